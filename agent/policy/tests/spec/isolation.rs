//! Who is isolated: `podSelector`, `policyTypes`, and how policies add up.

use sluice_policy::{Isolation, Ports};

use crate::support::build::{any, egress, ingress, ip, own, policy, ports, rule};
use crate::{check, with};

#[test]
fn a_pod_that_no_policy_selects_is_open() {
    check(
        &with([]),
        &[
            "+10.0.0.1 > 10.0.0.2 80/TCP",
            "+8.8.8.8 > 10.0.0.1 80/TCP",
            "+10.0.0.1 > 8.8.8.8 53/UDP",
        ],
    );
}

#[test]
fn isolation_is_per_direction() {
    let only_in = with([ingress("x/np", "pod=a", vec![])]);
    check(
        &only_in,
        &["-10.0.0.2 > 10.0.0.1 80/TCP", "+10.0.0.1 > 10.0.0.2 80/TCP"],
    );
    assert_eq!(
        only_in.isolation(ip("10.0.0.1")),
        Some(Isolation {
            ingress: true,
            egress: false
        })
    );
    let only_out = with([egress("x/np", "pod=a", vec![])]);
    check(
        &only_out,
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "-10.0.0.1 > 10.0.0.2 80/TCP"],
    );
    assert_eq!(
        only_out.isolation(ip("10.0.0.1")),
        Some(Isolation {
            ingress: false,
            egress: true
        })
    );
}

#[test]
fn a_policy_of_neither_direction_isolates_nobody() {
    let snapshot = with([policy("x/np", "")]);
    check(&snapshot, &["+10.0.0.2 > 10.0.0.1 80/TCP"]);
    assert_eq!(snapshot.counts().isolated, 0);
}

#[test]
fn no_rules_deny_all_and_an_empty_rule_allows_all() {
    check(
        &with([ingress("x/np", "", vec![])]),
        &["-10.0.0.2 > 10.0.0.1 80/TCP", "-8.8.8.8 > 10.0.0.1 80/TCP"],
    );
    let open = with([ingress("x/np", "", vec![any(Ports::Any)])]);
    check(
        &open,
        &[
            "+10.0.0.2 > 10.0.0.1 80/TCP",
            "+8.8.8.8 > 10.0.0.1 1/SCTP",
            "+10.0.0.3 > 10.0.0.1 0/1",
        ],
    );
}

#[test]
fn an_empty_pod_selector_selects_the_pods_of_the_own_namespace_only() {
    let snapshot = with([ingress("x/np", "", vec![])]);
    check(
        &snapshot,
        &[
            "-10.0.0.3 > 10.0.0.1 80/TCP",
            "-10.0.0.3 > 10.0.0.2 80/TCP",
            "+10.0.0.1 > 10.0.0.3 80/TCP",
        ],
    );
}

#[test]
fn a_pod_selector_selects_nobody_in_other_namespaces() {
    check(
        &with([ingress("x/np", "pod=c", vec![])]),
        &["+10.0.0.1 > 10.0.0.3 80/TCP"],
    );
}

#[test]
fn policies_add_up_and_none_denies() {
    let policies = [
        ingress("x/deny", "pod=a", vec![]),
        ingress(
            "x/from-b",
            "pod=a",
            vec![rule(vec![own("pod=b")], ports(&["80/TCP"]))],
        ),
        ingress("x/port", "pod=a", vec![any(ports(&["443/TCP"]))]),
    ];
    let expected = [
        "+10.0.0.2 > 10.0.0.1 80/TCP",
        "-10.0.0.3 > 10.0.0.1 80/TCP",
        "+10.0.0.3 > 10.0.0.1 443/TCP",
    ];
    check(&with(policies.clone()), &expected);
    check(&with(policies.into_iter().rev()), &expected);
}

#[test]
fn a_connection_needs_egress_of_its_source_and_ingress_of_its_destination() {
    let from_a = ingress("x/in", "pod=b", vec![rule(vec![own("pod=a")], Ports::Any)]);
    let to_b = egress("x/out", "pod=a", vec![rule(vec![own("pod=b")], Ports::Any)]);
    check(
        &with([from_a.clone(), to_b.clone()]),
        &["+10.0.0.1 > 10.0.0.2 80/TCP"],
    );
    check(
        &with([from_a, egress("x/out", "pod=a", vec![])]),
        &["-10.0.0.1 > 10.0.0.2 80/TCP"],
    );
    check(
        &with([ingress("x/in", "pod=b", vec![]), to_b]),
        &["-10.0.0.1 > 10.0.0.2 80/TCP"],
    );
}

#[test]
fn an_egress_rule_opens_no_ingress() {
    let to_all = egress("x/out", "pod=a", vec![any(Ports::Any)]);
    let closed = ingress("x/in", "pod=a", vec![]);
    check(
        &with([to_all, closed]),
        &["+10.0.0.1 > 10.0.0.2 80/TCP", "-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn policies_of_one_name_in_two_namespaces_are_two() {
    let snapshot = with([
        ingress("x/np", "", vec![]),
        ingress("y/np", "", vec![any(Ports::Any)]),
    ]);
    check(
        &snapshot,
        &["-10.0.0.3 > 10.0.0.1 80/TCP", "+10.0.0.1 > 10.0.0.3 80/TCP"],
    );
    assert_eq!(snapshot.counts().network_policies, 2);
}
