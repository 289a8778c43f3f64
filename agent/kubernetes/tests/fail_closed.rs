//! What is left of invalid policies: they isolate what they may have meant, and allow only what could be read.

use sluice_kubernetes::load_text;
use sluice_policy::{NetworkPolicy, Peer, Peers, Ports, Rule};

/// What becomes of an invalid spec, after making sure that it is not passed off as valid.
#[track_caller]
fn closed(spec: &str) -> NetworkPolicy {
    let text = format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: x}}\nspec: {spec}\n"
    );
    let loaded = load_text("f.yaml", &text);
    assert!(!loaded.problems.is_empty(), "{spec}");
    let is_harmless = loaded.problems.iter().all(|problem| problem.harmless);
    let written = (
        loaded.world.api_policies.len(),
        loaded.world.api_invalid_policies.len(),
    );
    let wanted = if is_harmless { (1, 0) } else { (0, 1) };
    assert_eq!(written, wanted, "{spec}");
    let [policy] = loaded.world.policies.as_slice() else {
        panic!("{spec}: {:?}", loaded.world.policies)
    };
    assert_eq!((&*policy.namespace, &*policy.name), ("x", "p"));
    policy.clone()
}

#[track_caller]
fn one_rule(spec: &str) -> Rule {
    let policy = closed(spec);
    let [rule] = policy.ingress.as_deref().expect("isolated") else {
        panic!("{policy:?}")
    };
    rule.clone()
}

fn nothing() -> Rule {
    Rule {
        peers: Peers::Of(vec![]),
        ports: Ports::Of(vec![]),
    }
}

#[test]
fn an_unreadable_selector_selects_the_whole_namespace() {
    for selector in [
        "[]",
        "{matchLabel: {a: b}}",
        "{matchExpressions: [{key: a, operator: Is}]}",
        "{matchLabels: {a: yes}}",
    ] {
        let policy = closed(&format!("{{podSelector: {selector}}}"));
        assert_eq!(policy.pods.requirements, [], "{selector}");
        assert_eq!(
            (policy.ingress, policy.egress),
            (Some(vec![]), None),
            "{selector}"
        );
    }
    assert_eq!(
        closed("{podSelector: {matchLabels: {a: b}}, podSelector: {}}")
            .pods
            .requirements,
        []
    );
}

#[test]
fn of_pods_that_it_may_not_have_meant_a_policy_allows_nothing() {
    for spec in [
        "{podSelector: {matchLabel: {a: b}}, ingress: [{}], egress: [{}]}",
        "{podSelecter: {matchLabels: {a: b}}, ingress: [{}], egress: [{}]}",
        "{podSelector: {}, podSelector: {}, ingress: [{}], egress: [{}]}",
    ] {
        let policy = closed(spec);
        assert_eq!(
            (policy.ingress, policy.egress),
            (Some(vec![]), Some(vec![])),
            "{spec}"
        );
    }
}

#[test]
fn a_readable_selector_stays_what_it_is() {
    let policy = closed("{podSelector: {matchLabels: {a: b}}, ingress: [{ports: [{port: 0}]}]}");
    assert_eq!(policy.pods.requirements.len(), 1);
}

#[test]
fn unreadable_types_isolate_both_directions() {
    for spec in [
        "{podSelector: {}, policyTypes: [ingress]}",
        "{podSelector: {}, policyTypes: Egress}",
        "{podSelector: {}, policyTypes: [Ingress, Egress, Egress]}",
        "{podSelector: {}, policyTypes: [Ingress], policyTypes: [Egress]}",
        "{podSelector: {}, policyType: [Egress]}",
        "{podSelector: {}, egres: [{}]}",
        "{podSelector: {}, egress: {}}",
        "[]",
    ] {
        let policy = closed(spec);
        assert_eq!(
            (policy.ingress, policy.egress),
            (Some(vec![]), Some(vec![])),
            "{spec}"
        );
    }
}

#[test]
fn readable_types_stay_what_they_are() {
    let policy = closed("{podSelector: {}, policyTypes: [Egress], egress: {}}");
    assert_eq!((policy.ingress, policy.egress), (None, Some(vec![])));
}

#[test]
fn unreadable_entries_match_nothing_and_the_others_stay() {
    let rule = one_rule("{ingress: [{from: [{podSelecter: {}}, {podSelector: {}}]}]}");
    assert!(
        matches!(&rule.peers, Peers::Of(peers) if peers.len() == 1),
        "{rule:?}"
    );
    assert_eq!(rule.ports, Ports::Any);
    let rule = one_rule("{ingress: [{ports: [{port: 0}, {port: 80}]}]}");
    assert!(
        matches!(&rule.ports, Ports::Of(ports) if ports.len() == 1),
        "{rule:?}"
    );
    assert_eq!(rule.peers, Peers::Any);
}

#[test]
fn where_all_entries_are_unreadable_nothing_matches_rather_than_everything() {
    for entry in [
        "{}",
        "null",
        "{podSelecter: {}}",
        "{podSelector: {matchLabels: {a: 1}}}",
        "{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}",
        "{ipBlock: {}}",
        "{ipBlock: {cidr: ten/8}}",
        "{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}",
        "{ipBlock: {cidr: 10.0.0.0/8, exept: [10.0.0.0/16]}}",
    ] {
        assert_eq!(
            one_rule(&format!("{{ingress: [{{from: [{entry}]}}]}}")).peers,
            Peers::Of(vec![]),
            "{entry}"
        );
    }
    for entry in [
        "{port: 0}",
        "{protocol: tcp}",
        "{endPort: 80}",
        "{port: 80, endPort: 79}",
        "{prot: TCP}",
        "null",
        "[]",
    ] {
        assert_eq!(
            one_rule(&format!("{{ingress: [{{ports: [{entry}]}}]}}")).ports,
            Ports::Of(vec![]),
            "{entry}"
        );
    }
    assert_eq!(one_rule("{ingress: [{from: {}}]}").peers, Peers::Of(vec![]));
    assert_eq!(
        one_rule("{ingress: [{ports: 80}]}").ports,
        Ports::Of(vec![])
    );
}

#[test]
fn a_rule_with_an_unknown_field_matches_nothing() {
    for rule in [
        "{form: [{podSelector: {}}]}",
        "{to: []}",
        "{from: [], from: []}",
        "from",
    ] {
        assert_eq!(
            one_rule(&format!("{{ingress: [{rule}]}}")),
            nothing(),
            "{rule}"
        );
    }
}

#[test]
fn rules_keep_their_places() {
    let policy = closed("{ingress: [{form: []}, {}, {ports: [{port: 0}]}]}");
    let rules = policy.ingress.unwrap();
    assert_eq!(rules.len(), 3);
    assert_eq!(
        rules[1],
        Rule {
            peers: Peers::Any,
            ports: Ports::Any
        }
    );
}

#[test]
fn networks_that_older_clusters_let_in_mean_there_what_they_mean_here() {
    for (cidr, network) in [
        ("10.0.0.1/24", "10.0.0.0/24"),
        ("010.0.0.0/8", "10.0.0.0/8"),
        ("'::ffff:10.0.0.0/104'", "10.0.0.0/8"),
    ] {
        let rule = one_rule(&format!(
            "{{ingress: [{{from: [{{ipBlock: {{cidr: {cidr}}}}}]}}]}}"
        ));
        let Peers::Of(peers) = &rule.peers else {
            panic!("{rule:?}")
        };
        let [Peer::Block { cidr, except }] = peers.as_slice() else {
            panic!("{rule:?}")
        };
        assert_eq!((cidr.to_string().as_str(), except.len()), (network, 0));
    }
}

#[test]
fn a_policy_without_a_usable_name_isolates_all_the_same() {
    for (metadata, namespace) in [
        ("{namespace: x}", "x"),
        ("{name: A_b, namespace: x}", "x"),
        ("{name: [a]}", "default"),
        ("[]", "default"),
    ] {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {metadata}, spec: {{}}}}"
        );
        let loaded = load_text("f.yaml", &text);
        assert_eq!(
            loaded.problems.len(),
            1,
            "{metadata}: {:?}",
            loaded.problems
        );
        let [policy] = loaded.world.policies.as_slice() else {
            panic!("{metadata}")
        };
        assert_eq!(
            (&*policy.namespace, &policy.ingress),
            (namespace, &Some(vec![])),
            "{metadata}"
        );
    }
}

#[test]
fn a_spec_that_is_not_where_it_should_be_isolates_both_directions() {
    for rest in ["spek: {podSelector: {}}", "spec: {}, spec: {}"] {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, {rest}}}"
        );
        let loaded = load_text("f.yaml", &text);
        let policy = &loaded.world.policies[0];
        assert_eq!(
            (&policy.ingress, &policy.egress),
            (&Some(vec![]), &Some(vec![])),
            "{rest}"
        );
    }
}

#[test]
fn of_two_policies_with_one_name_the_second_allows_nothing() {
    let policy = |port: u16, label: &str| {
        format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p}}, spec: {{podSelector: {{matchLabels: {{a: {label}}}}}, ingress: [{{ports: [{{port: {port}}}]}}]}}}}\n"
        )
    };
    let loaded = load_text("f.yaml", &(policy(80, "b") + &policy(81, "c")));
    let shown: Vec<_> = loaded
        .world
        .policies
        .iter()
        .map(|policy| (&*policy.name, policy.ingress.as_ref().unwrap().len()))
        .collect();
    assert_eq!(shown, [("p", 1), ("p (again at f.yaml:4)", 0)]);
    assert_eq!(loaded.world.api_policies.len(), 1);
}

#[test]
fn invalid_pods_and_namespaces_stay_with_what_can_be_read() {
    let loaded = load_text(
        "f.yaml",
        "
{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {a: b, c: 1}}, spec: {containers: [{ports: [{containerPort: 0}, {containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {a: 'b c', d: e}}}
",
    );
    assert_eq!(loaded.problems.len(), 3, "{:?}", loaded.problems);
    let pod = &loaded.world.pods[0].pod;
    assert_eq!((pod.labels.len(), pod.ports.len()), (1, 1));
    assert_eq!(loaded.world.namespaces[0].labels.len(), 2);
}
