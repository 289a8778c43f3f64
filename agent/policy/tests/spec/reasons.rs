//! On whose authority: tier, policy and rule of verdicts, and traces.

use sluice_policy::{Action, Direction, PolicyId, Ports, Step, Tier};

use crate::admin_tiers::ruled;
use crate::support::build::{admin_in, any, egress, ingress, own, ports, rule, tuple};
use crate::{text, with};

#[test]
fn the_first_matching_policy_in_name_order_and_its_lowest_rule_allow() {
    let unmatched = || rule(vec![own("pod=z")], Ports::Any);
    let matched = || rule(vec![own("pod=b")], ports(&["80/TCP"]));
    let policies = [
        ingress("x/c", "pod=a", vec![any(Ports::Any)]),
        ingress("x/b", "", vec![unmatched(), matched(), any(Ports::Any)]),
        ingress("x/a", "pod=a", vec![unmatched()]),
    ];
    let snapshot = with(policies);
    let ingress = |connection| text(snapshot.evaluate(&tuple(connection)).ingress);
    assert_eq!(
        ingress("10.0.0.2 > 10.0.0.1 80/TCP"),
        "allow NetworkPolicy x/b 1"
    );
    assert_eq!(
        ingress("10.0.0.2 > 10.0.0.1 81/TCP"),
        "allow NetworkPolicy x/b 2"
    );
}

#[test]
fn the_first_policy_that_isolates_in_the_direction_denies() {
    let policies = [
        egress("x/a", "", vec![]),
        ingress("x/c", "", vec![]),
        ingress("x/b", "pod=a", vec![rule(vec![own("pod=z")], Ports::Any)]),
    ];
    let snapshot = with(policies);
    let verdict = snapshot.evaluate(&tuple("10.0.0.2 > 10.0.0.1 80/TCP"));
    assert_eq!(
        [verdict.egress, verdict.ingress].map(text),
        ["deny NetworkPolicy x/a", "deny NetworkPolicy x/b"]
    );
}

#[test]
fn where_no_policy_has_a_say_the_default_allows() {
    let snapshot = with([]);
    let verdict = snapshot.evaluate(&tuple("10.0.0.2 > 8.8.8.8 80/TCP"));
    assert_eq!(
        [verdict.egress, verdict.ingress].map(text),
        ["allow Default", "allow Default"]
    );
}

#[test]
fn a_verdict_allows_only_what_both_directions_allow() {
    let snapshot = with([ingress("x/np", "pod=a", vec![])]);
    let action = |connection| snapshot.evaluate(&tuple(connection)).action();
    assert_eq!(action("10.0.0.2 > 10.0.0.1 80/TCP"), Action::Deny);
    assert_eq!(action("10.0.0.1 > 10.0.0.2 80/TCP"), Action::Allow);
}

#[test]
fn policies_print_as_the_fields_tools_name_them() {
    let id = |kind: fn(std::sync::Arc<str>) -> PolicyId| kind("np".into()).to_string();
    let namespaced = PolicyId::NetworkPolicy {
        namespace: "x".into(),
        name: "np".into(),
    };
    assert_eq!(namespaced.to_string(), "x/np");
    assert_eq!(id(PolicyId::AdminNetworkPolicy), "AdminNetworkPolicy/np");
    assert_eq!(
        id(PolicyId::BaselineAdminNetworkPolicy),
        "BaselineAdminNetworkPolicy/np"
    );
    assert_eq!(
        id(PolicyId::ClusterNetworkPolicy),
        "ClusterNetworkPolicy/np"
    );
}

#[test]
fn a_trace_names_every_tier_asked_egress_first() {
    let snapshot = with([ingress("x/np", "pod=a", vec![any(ports(&["80/TCP"]))])]);
    let trace = |connection: &str| -> Vec<String> {
        let steps = snapshot.trace(&tuple(connection));
        steps
            .iter()
            .map(|s| {
                format!(
                    "{:?} {:?} {:?}: {}",
                    s.direction, s.tier, s.action, s.reason
                )
            })
            .collect()
    };
    let expected = [
        "Egress Exempt None: neither the pod itself nor its own node",
        "Egress Admin None: no policy selects x/b",
        "Egress NetworkPolicy None: no policy selects x/b",
        "Egress Baseline None: no policy selects x/b",
        "Egress Default Some(Allow): no policy has a say",
        "Ingress Exempt None: neither the pod itself nor its own node",
        "Ingress Admin None: no policy selects x/a",
        "Ingress NetworkPolicy Some(Allow): rule 0 allows",
    ];
    assert_eq!(trace("10.0.0.2 > 10.0.0.1 80/TCP"), expected);
    let outside = trace("8.8.8.8 > 10.0.0.1 81/TCP");
    assert_eq!(
        outside[0],
        "Egress Default Some(Allow): 8.8.8.8 is no pod whose policies are enforced here"
    );
    assert_eq!(
        outside[3],
        "Ingress NetworkPolicy Some(Deny): isolated, and no rule matches"
    );
    let own = trace("10.0.0.1 > 10.0.0.1 81/TCP");
    assert_eq!(
        own[0],
        "Egress Exempt Some(Allow): a pod always reaches itself"
    );
}

#[test]
fn a_trace_says_what_each_tier_said() {
    let admin = admin_in(
        "anp/a",
        &["deny pods pod=z", "pass pods pod=b", "allow any"],
    );
    let baseline = admin_in("baseline/b", &["deny pods pod=z", "deny any @ 80/TCP"]);
    let trace = |connection: &str, network| -> Vec<String> {
        let snapshot = ruled([admin.clone(), baseline.clone()], network);
        let steps = snapshot.trace(&tuple(connection));
        let ingress = steps
            .iter()
            .filter(|step| step.direction == Direction::Ingress);
        let text = |s: &Step<'_>| {
            let policy = s.policy.map(ToString::to_string).unwrap_or_default();
            format!("{:?} {:?} {policy}: {}", s.tier, s.action, s.reason)
        };
        ingress.skip(1).map(text).collect()
    };
    assert_eq!(
        trace("10.0.0.2 > 10.0.0.1 80/TCP", vec![]),
        [
            "Admin None AdminNetworkPolicy/a: rule 1 passes",
            "NetworkPolicy None : no policy selects x/a",
            "Baseline Some(Deny) ClusterNetworkPolicy/b: rule 1 denies",
        ]
    );
    assert_eq!(
        trace("10.0.0.2 > 10.0.0.1 81/TCP", vec![])[2..],
        [
            "Baseline None : no rule matches",
            "Default Some(Allow) : no policy has a say",
        ]
    );
    assert_eq!(
        trace(
            "10.0.0.2 > 10.0.0.1 80/TCP",
            vec![ingress("x/np", "", vec![])]
        ),
        [
            "Admin None AdminNetworkPolicy/a: rule 1 passes",
            "NetworkPolicy Some(Deny) x/np: isolated, and no rule matches",
        ]
    );
    assert_eq!(
        trace("8.8.8.8 > 10.0.0.1 80/TCP", vec![]),
        ["Admin Some(Allow) AdminNetworkPolicy/a: rule 2 allows"]
    );
}

#[test]
fn a_trace_ends_where_the_verdict_does() {
    let network = [
        ingress("x/np", "pod=a", vec![any(ports(&["80/TCP"]))]),
        egress("x/out", "pod=b", vec![]),
    ];
    let admin = [
        admin_in("anp/a", &["pass pods pod=b", "deny any @ 81/TCP"]),
        admin_in("banp/default", &["deny any @ 1/UDP"]),
    ];
    let snapshot = ruled(admin, network);
    for connection in [
        "10.0.0.2 > 10.0.0.1 80/TCP",
        "10.0.0.1 > 10.0.0.2 1/UDP",
        "8.8.8.8 > 10.0.0.1 81/TCP",
    ] {
        let (verdict, steps) = (
            snapshot.evaluate(&tuple(connection)),
            snapshot.trace(&tuple(connection)),
        );
        for (direction, decision) in [
            (Direction::Egress, verdict.egress),
            (Direction::Ingress, verdict.ingress),
        ] {
            let last = steps
                .iter()
                .rfind(|step| step.direction == direction)
                .expect("each direction has steps");
            let said = (last.tier, last.action, last.policy, last.rule);
            assert_eq!(
                said,
                (
                    decision.tier,
                    Some(decision.action),
                    decision.policy,
                    decision.rule
                )
            );
            assert!(
                steps
                    .iter()
                    .all(|step| step.tier != Tier::Default || step.action == Some(Action::Allow))
            );
        }
    }
}
