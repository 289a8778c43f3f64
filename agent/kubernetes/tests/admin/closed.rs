//! What is left of what cannot be read: it allows less, never more.

use sluice_kubernetes::{Loaded, load_text};
use sluice_policy::{
    AdminAction, AdminPeers, AdminPolicy, AdminPorts, AdminRule, AdminTier, Selector,
};

use super::{ADMIN, BASELINE, CLUSTER, load, object, one_policy, one_rule, spec};

/// What becomes of an object that is invalid, after making sure that it is not passed off as valid.
#[track_caller]
fn closed(kind: &str, spec: &str) -> AdminPolicy {
    let loaded = load(kind, spec);
    assert!(!loaded.problems.is_empty(), "{kind} {spec}");
    one_policy(&loaded).clone()
}

/// What becomes of one rule of ADMIN with these fields, as ingress (`from`) or egress (`to`).
#[track_caller]
fn rule(fields: &str) -> AdminRule {
    let direction = if fields.contains("from") {
        "ingress"
    } else {
        "egress"
    };
    let policy = closed(ADMIN, &spec(ADMIN, &format!("{direction}: [{{{fields}}}]")));
    let rules = [policy.ingress, policy.egress].concat();
    one_rule(&rules).clone()
}

fn deny_everything() -> AdminRule {
    AdminRule {
        action: AdminAction::Deny,
        peers: AdminPeers::Any,
        ports: AdminPorts::Any,
    }
}

/// Whether a rule matches nothing at all.
fn is_nothing(rule: &AdminRule) -> bool {
    rule.peers == AdminPeers::Of(vec![]) || rule.ports == AdminPorts::Of(vec![])
}

/// The only entries that are there can be read, but for those that say otherwise.
fn is_some(rule: &AdminRule) -> bool {
    matches!(&rule.peers, AdminPeers::Of(some) if !some.is_empty())
}

#[test]
fn a_rule_with_an_unreadable_peer_allows_nothing_and_else_denies_everything() {
    for peers in [
        "from: [{}]",
        "from: [null]",
        "from: []",
        "from: all",
        "from: [{namespaces: {}}, {}]",
        "from: [{services: {}}]",
        "from: [{namespaces: {}, services: {}}]",
        "from: [{namespaces: {matchLabel: {a: b}}}]",
        "from: [{namespaces: {}, pods: {namespaceSelector: {}, podSelector: {}}}]",
        "from: [{pods: {podSelector: {}}}]",
        "from: [{pods: {namespaceSelector: {}, podSelecter: {}}}]",
        "from: [{nodes: {}}]",
        "from: [{networks: [10.0.0.0/8]}]",
        "to: [{domainNames: [example.org]}]",
        "to: [{networks: [10.0.0.0/8]}, {domainNames: [example.org]}]",
        "to: [{networks: []}]",
        "to: [{networks: [10.0.0.0/8, ten/8]}]",
        "to: [{networks: ['10.0.0.0/8', 10]}]",
        "to: [{nodes: {matchExpressions: [{key: a, operator: In}]}}]",
    ] {
        let of = |action| {
            rule(&format!(
                "action: {action}, {peers}, ports: [{{portNumber: {{port: 80}}}}]"
            ))
        };
        assert!(is_nothing(&of("Allow")), "{peers}");
        assert_eq!(of("Allow").action, AdminAction::Allow, "{peers}");
        assert_eq!(of("Deny"), deny_everything(), "{peers}");
        assert_eq!(of("Pass"), deny_everything(), "{peers}");
    }
    for action in ["Deny", "Pass"] {
        let fields =
            format!("action: {action}, form: [{{namespaces: {{}}}}], ports: [{{namedPort: a}}]");
        assert_eq!(rule(&fields), deny_everything());
    }
    assert!(is_nothing(&rule("action: Allow, form: [{namespaces: {}}]")));
}

#[test]
fn a_rule_with_unreadable_ports_allows_nothing_and_else_denies_its_peers_on_all() {
    for ports in [
        "ports: []",
        "ports: 80",
        "ports: [{}]",
        "ports: [{portNumber: {port: 80}}, {portNumber: {port: 0}}]",
        "ports: [{portNumber: {port: 80, protocol: tcp}}]",
        "ports: [{portNumber: {port: 80, ports: 1}}]",
        "ports: [{portNumber: {port: 80}, namedPort: web}]",
        "ports: [{portRange: {start: 80, end: 79}}]",
        "ports: [{portRange: {start: 80}}]",
        "ports: [{namedPort: ''}]",
        "ports: [{icmp: {}}]",
        "ports: [{namedPort: web}], ports: [{namedPort: web}]",
    ] {
        let of = |action| {
            rule(&format!(
                "action: {action}, from: [{{namespaces: {{}}}}], {ports}"
            ))
        };
        assert!(is_nothing(&of("Allow")), "{ports}");
        for action in ["Deny", "Pass"] {
            let rule = of(action);
            assert_eq!(
                (rule.action, &rule.ports),
                (AdminAction::Deny, &AdminPorts::Any),
                "{ports}"
            );
        }
    }
    for protocols in [
        "[]",
        "[{tcp: {}}]",
        "[{tcp: {destinationPort: {}}}]",
        "[{tcp: {destinationPort: {range: {start: 2, end: 2}}}}]",
        "[{tcp: {destinationPort: {number: 80, ranges: {}}}}]",
        "[{tcp: {destinationPort: {number: 80}, flags: [SYN]}}]",
        "[{tcp: {destinationPort: {number: 80}}, udp: {destinationPort: {number: 80}}}]",
    ] {
        for (action, found, ports) in [
            ("Accept", AdminAction::Allow, AdminPorts::Of(vec![])),
            ("Deny", AdminAction::Deny, AdminPorts::Any),
            ("Pass", AdminAction::Deny, AdminPorts::Any),
        ] {
            let fields = format!(
                "{{action: {action}, from: [{{namespaces: {{}}}}], protocols: {protocols}}}"
            );
            let policy = closed(CLUSTER, &spec(CLUSTER, &format!("ingress: [{fields}]")));
            let rule = one_rule(&policy.ingress);
            assert_eq!((rule.action, &rule.ports), (found, &ports), "{protocols}");
        }
    }
}

#[test]
fn the_peers_of_a_rule_with_unreadable_ports_stay() {
    let rule = rule("action: Deny, from: [{namespaces: {matchLabels: {a: b}}}], ports: [{}]");
    assert!(is_some(&rule), "{rule:?}");
}

#[test]
fn named_ports_of_what_has_none_are_unreadable() {
    for peers in [
        "to: [{nodes: {}}]",
        "to: [{namespaces: {}}, {networks: [10.0.0.0/8]}]",
    ] {
        let of = |action| {
            rule(&format!(
                "action: {action}, {peers}, ports: [{{namedPort: web}}]"
            ))
        };
        assert!(is_nothing(&of("Allow")), "{peers}");
        for action in ["Deny", "Pass"] {
            let rule = of(action);
            assert_eq!(rule.action, AdminAction::Deny, "{peers}");
            assert_eq!(rule.ports, AdminPorts::Any, "{peers}");
            assert!(is_some(&rule), "{peers}");
        }
    }
}

#[test]
fn an_unreadable_action_denies() {
    for (kind, action) in [
        (ADMIN, "action: Accept, "),
        (ADMIN, "action: allow, "),
        (ADMIN, "action: [Allow], "),
        (ADMIN, "action: Allow, action: Deny, "),
        (ADMIN, ""),
        (BASELINE, "action: Pass, "),
        (CLUSTER, "action: Allow, "),
    ] {
        let fields = format!("{{{action}from: [{{namespaces: {{}}}}]}}");
        let policy = closed(kind, &spec(kind, &format!("ingress: [{fields}]")));
        let rule = one_rule(&policy.ingress);
        assert_eq!(rule.action, AdminAction::Deny, "{kind} {action}");
        assert!(!is_nothing(rule), "{kind} {action}");
    }
}

#[test]
fn a_rule_with_an_unknown_field_allows_nothing_and_else_denies_everything() {
    for (action, expected) in [("Deny", false), ("Pass", false), ("Allow", true)] {
        let rule = rule(&format!(
            "action: {action}, from: [{{namespaces: {{matchLabels: {{a: b}}}}}}], schedule: night"
        ));
        assert_eq!(is_nothing(&rule), expected, "{action}");
        assert_eq!(rule == deny_everything(), !expected, "{action}");
    }
}

#[test]
fn rules_keep_their_places() {
    let rules = "ingress: [{action: Allow, from: [{}]}, {action: Allow, from: [{namespaces: {}}]}, {action: Nay, from: [{namespaces: {}}]}]";
    let policy = closed(ADMIN, &spec(ADMIN, rules));
    let shown: Vec<_> = policy
        .ingress
        .iter()
        .map(|rule| (rule.action, is_nothing(rule)))
        .collect();
    assert_eq!(
        shown,
        [
            (AdminAction::Allow, true),
            (AdminAction::Allow, false),
            (AdminAction::Deny, false)
        ]
    );
}

/// A rule of each action, and one that says nothing about the direction.
const RULES: &str = "ingress: [{action: ALLOW, from: [{namespaces: {matchLabels: {a: b}}}]}, {action: Deny, from: [{namespaces: {matchLabels: {a: c}}}]}, {action: Pass, from: [{namespaces: {matchLabels: {a: d}}}]}]";

/// Of these three rules, nothing allows, and what passes denies; whom they are about stays.
#[track_caller]
fn check_nothing_is_allowed(policy: &AdminPolicy, of: &str) {
    let shown: Vec<_> = policy
        .ingress
        .iter()
        .map(|rule| (rule.action, is_nothing(rule), is_some(rule)))
        .collect();
    let denies = (AdminAction::Deny, false, true);
    assert_eq!(
        shown,
        [(AdminAction::Allow, true, false), denies, denies],
        "{of}"
    );
    assert_eq!(policy.egress, [], "{of}");
}

#[test]
fn a_policy_that_may_be_about_anyone_is_about_everyone_and_allows_nothing() {
    for subject in [
        "",
        "subject: {}, ",
        "subject: all, ",
        "subject: {namespaces: {matchLabel: {a: b}}}, ",
        "subject: {namespaces: {}, pods: {namespaceSelector: {}, podSelector: {}}}, ",
        "subject: {pods: {podSelector: {matchLabels: {a: b}}}}, ",
        "subject: {services: {}}, ",
    ] {
        let rules = RULES.replace("ALLOW", "Allow");
        let policy = closed(ADMIN, &format!("{{priority: 5, {subject}{rules}}}"));
        check_nothing_is_allowed(&policy, subject);
        let every = Selector::default();
        assert_eq!(
            (&policy.subject.namespaces, &policy.subject.pods),
            (&every, &every),
            "{subject}"
        );
        assert_eq!((policy.tier, policy.priority), (AdminTier::Admin, 5));
    }
}

#[test]
fn a_policy_that_may_stand_anywhere_stands_first_and_allows_nothing() {
    let subject = "subject: {namespaces: {matchLabels: {a: b}}}";
    for (kind, place, tier, priority) in [
        (ADMIN, "", AdminTier::Admin, 0),
        (ADMIN, "priority: 1001, ", AdminTier::Admin, 0),
        (ADMIN, "priority: high, ", AdminTier::Admin, 0),
        (
            CLUSTER,
            "tier: Baseline, priority: -1, ",
            AdminTier::Baseline,
            0,
        ),
        (CLUSTER, "priority: 7, ", AdminTier::Admin, 7),
        (CLUSTER, "tier: Base, priority: 7, ", AdminTier::Admin, 7),
    ] {
        let allow = if kind == CLUSTER { "Accept" } else { "Allow" };
        let rules = RULES.replace("ALLOW", allow);
        let policy = closed(kind, &format!("{{{place}{subject}, {rules}}}"));
        check_nothing_is_allowed(&policy, place);
        assert_eq!((policy.tier, policy.priority), (tier, priority), "{place}");
        assert_eq!(policy.subject.namespaces.requirements.len(), 1, "{place}");
    }
}

#[test]
fn a_baseline_of_another_name_denies_and_allows_nothing() {
    let rules = RULES.replace("ALLOW", "Allow").replace("Pass", "Deny");
    let text = object(BASELINE, &spec(BASELINE, &rules)).replace("default", "other");
    let loaded = load_text("f.yaml", &text);
    assert_eq!(loaded.problems.len(), 1);
    let policy = one_policy(&loaded);
    check_nothing_is_allowed(policy, "other");
    assert_eq!(
        (policy.tier, policy.priority),
        (AdminTier::Baseline, AdminPolicy::LAST)
    );
}

#[test]
fn a_direction_with_unreadable_rules_is_denied_and_the_other_stays() {
    let other = "egress: [{action: Allow, to: [{namespaces: {}}]}]";
    for rules in ["ingress: {}", "ingress: all", "ingress: [], ingress: []"] {
        let policy = closed(ADMIN, &spec(ADMIN, &format!("{rules}, {other}")));
        // Of what is there twice, one may be misspelled: the spec as a whole is in doubt.
        let twice = rules.contains("[]");
        assert_eq!(policy.ingress, [deny_everything()], "{rules}");
        assert_eq!(policy.egress == [deny_everything()], twice, "{rules}");
    }
}

#[test]
fn a_spec_that_cannot_be_read_denies_everything_in_both_directions() {
    for kind in [ADMIN, BASELINE, CLUSTER] {
        let whole = |text: String| {
            let loaded = load_text("f.yaml", &text);
            assert!(!loaded.problems.is_empty(), "{text}");
            one_policy(&loaded).clone()
        };
        let misspelled = object(kind, &spec(kind, "")).replace("spec:", "spek:");
        let missing = object(kind, "null");
        let list = object(kind, "[]");
        let unknown = object(kind, &spec(kind, "ingres: [{action: Deny, from: []}]"));
        let twice = object(kind, &spec(kind, "subject: {namespaces: {}}"));
        for text in [misspelled, missing, list, unknown, twice] {
            let policy = whole(text.clone());
            let both = (policy.ingress.as_slice(), policy.egress.as_slice());
            assert_eq!(
                both,
                (&[deny_everything()][..], &[deny_everything()][..]),
                "{text}"
            );
        }
    }
}

#[test]
fn networks_that_are_written_badly_are_taken_for_what_they_are() {
    let rule = rule("action: Allow, to: [{networks: [10.0.0.1/8]}]");
    assert!(!is_nothing(&rule), "{rule:?}");
    assert!(is_some(&rule), "{rule:?}");
}

#[test]
fn of_two_policies_with_one_name_the_second_allows_nothing() {
    let rules = RULES.replace("ALLOW", "Allow");
    let text = object(ADMIN, &spec(ADMIN, &rules));
    let Loaded {
        world, problems, ..
    } = load_text("f.yaml", &format!("{text}---\n{text}"));
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["f.yaml:6: AdminNetworkPolicy p: already declared at f.yaml:1"]
    );
    let [first, second] = world.admin_policies.as_slice() else {
        panic!("{:?}", world.admin_policies)
    };
    assert_eq!(
        (&*first.name.name, &*second.name.name),
        ("p", "p (again at f.yaml:6)")
    );
    assert!(!is_nothing(&first.ingress[0]));
    check_nothing_is_allowed(second, "again");
    assert_eq!(world.api_admin_policies.len(), 1);
}

#[test]
fn a_policy_without_a_usable_name_is_there_all_the_same() {
    let text = object(ADMIN, &spec(ADMIN, "")).replace("{name: p}", "{}");
    let loaded = load_text("f.yaml", &text);
    assert_eq!(loaded.problems.len(), 1, "{:?}", loaded.problems);
    assert_eq!(&*one_policy(&loaded).name.name, "(unnamed, line 1)");
}
