//! Which tier, which policy and which rule decides.

use std::sync::Arc;

use sluice_policy::{AdminPolicy, Event, NetworkPolicy, Ports, Snapshot};

use crate::support::build::{admin_in, admin_out, any, ingress, pods_of, ports, snapshot, tuple};
use crate::{text, three_pods};

const B_TO_A: &str = "10.0.0.2 > 10.0.0.1 80/TCP";

/// Three pods and policies of all tiers.
pub(crate) fn ruled(
    admin: impl IntoIterator<Item = AdminPolicy>,
    network: impl IntoIterator<Item = NetworkPolicy>,
) -> Arc<Snapshot> {
    let admin = admin.into_iter().map(Event::AdminPolicy);
    let network = network.into_iter().map(Event::NetworkPolicy);
    snapshot(three_pods().into_iter().chain(admin).chain(network))
}

/// Who decides about ingress of x/a from x/b on 80/TCP.
#[track_caller]
fn decides<const A: usize, const N: usize>(
    admin: [AdminPolicy; A],
    network: [NetworkPolicy; N],
    expected: &str,
) {
    let snapshot = ruled(admin, network);
    assert_eq!(text(snapshot.evaluate(&tuple(B_TO_A)).ingress), expected);
}

fn open() -> NetworkPolicy {
    ingress("x/open", "", vec![any(Ports::Any)])
}

fn closed() -> NetworkPolicy {
    ingress("x/closed", "", vec![])
}

#[test]
fn an_admin_tier_decides_before_network_policies() {
    let deny = || admin_in("anp/d", &["deny any"]);
    let allow = || admin_in("anp/a", &["allow any"]);
    decides([deny()], [open()], "deny Admin AdminNetworkPolicy/d 0");
    decides([deny()], [], "deny Admin AdminNetworkPolicy/d 0");
    decides([allow()], [closed()], "allow Admin AdminNetworkPolicy/a 0");
    decides([allow()], [], "allow Admin AdminNetworkPolicy/a 0");
}

#[test]
fn what_no_rule_of_the_admin_tier_matches_is_left_to_the_next() {
    let other = || admin_in("anp/d", &["deny pods pod=z", "allow any @ 81/TCP"]);
    decides([other()], [open()], "allow NetworkPolicy x/open 0");
    decides([other()], [closed()], "deny NetworkPolicy x/closed");
    decides([other()], [], "allow Default");
}

#[test]
fn a_network_policy_is_final_for_whom_it_isolates() {
    let baseline = || admin_in("banp/default", &["deny any"]);
    let expected = "deny Baseline BaselineAdminNetworkPolicy/default 0";
    decides([baseline()], [open()], "allow NetworkPolicy x/open 0");
    decides([baseline()], [closed()], "deny NetworkPolicy x/closed");
    decides([baseline()], [], expected);
    // One for the other direction does not isolate in this one.
    let out = crate::support::build::egress("x/out", "", vec![any(Ports::Any)]);
    decides([baseline()], [out], expected);
}

#[test]
fn a_baseline_decides_where_nobody_before_it_did() {
    let allow = admin_in("baseline/b", &["allow any", "deny any"]);
    decides([allow], [], "allow Baseline ClusterNetworkPolicy/b 0");
    let other = admin_in("baseline/b", &["deny pods pod=z"]);
    decides([other], [], "allow Default");
}

#[test]
fn a_rule_that_passes_ends_its_tier_alone() {
    let pass = || admin_in("anp/p:1", &["pass any @ 80/TCP", "deny any"]);
    let later = || admin_in("anp/d:2", &["deny any"]);
    let baseline = || admin_in("baseline/b", &["deny any"]);
    decides([pass(), later()], [], "allow Default");
    decides([pass(), later()], [open()], "allow NetworkPolicy x/open 0");
    decides([pass(), later()], [closed()], "deny NetworkPolicy x/closed");
    decides(
        [pass(), later(), baseline()],
        [],
        "deny Baseline ClusterNetworkPolicy/b 0",
    );
}

#[test]
fn a_rule_that_passes_in_the_baseline_leaves_the_default() {
    let pass = admin_in("baseline/p", &["pass pods pod=b"]);
    let last = admin_in("banp/default", &["deny any"]);
    decides([pass, last], [], "allow Default");
}

#[test]
fn the_first_matching_rule_of_a_policy_counts() {
    let rules = ["deny any @ 81/TCP", "allow pods pod=b", "deny pods pod=b"];
    decides(
        [admin_in("anp/a", &rules)],
        [],
        "allow Admin AdminNetworkPolicy/a 1",
    );
    let rules = ["deny pods pod=b", "allow any"];
    decides(
        [admin_in("anp/a", &rules)],
        [],
        "deny Admin AdminNetworkPolicy/a 0",
    );
}

#[test]
fn lower_priorities_come_first_whatever_the_kind_and_the_order_of_events() {
    let first = || admin_in("admin/z:1", &["deny any"]);
    let second = || admin_in("anp/a:2", &["allow any"]);
    let expected = "deny Admin ClusterNetworkPolicy/z 0";
    decides([first(), second()], [], expected);
    decides([second(), first()], [], expected);
    let ten = || admin_in("anp/z:10", &["deny any"]);
    let hundred = || admin_in("admin/a:100", &["allow any"]);
    decides([hundred(), ten()], [], "deny Admin AdminNetworkPolicy/z 0");
}

#[test]
fn of_equal_priorities_the_name_decides_and_then_the_kind() {
    let a = || admin_in("admin/a:5", &["deny any"]);
    let b = || admin_in("anp/b:5", &["allow any"]);
    decides([b(), a()], [], "deny Admin ClusterNetworkPolicy/a 0");
    let same = || admin_in("anp/a:5", &["allow any"]);
    decides([a(), same()], [], "allow Admin AdminNetworkPolicy/a 0");
    decides([same(), a()], [], "allow Admin AdminNetworkPolicy/a 0");
}

#[test]
fn the_baseline_admin_network_policy_is_the_last_of_its_tier() {
    let last = || admin_in("banp/default", &["deny any"]);
    let before = admin_in("baseline/z:1000", &["allow any"]);
    decides(
        [last(), before],
        [],
        "allow Baseline ClusterNetworkPolicy/z 0",
    );
}

#[test]
fn priorities_order_within_a_tier_only() {
    let late = admin_in("admin/late:1000", &["deny any"]);
    let early = admin_in("baseline/early:0", &["allow any"]);
    decides([early, late], [], "deny Admin ClusterNetworkPolicy/late 0");
}

#[test]
fn each_direction_has_its_own_rules() {
    let out = admin_out("anp/out", &["deny pods pod=a"]);
    let snapshot = ruled([out], []);
    let verdict = snapshot.evaluate(&tuple(B_TO_A));
    assert_eq!(
        [verdict.egress, verdict.ingress].map(text),
        ["deny Admin AdminNetworkPolicy/out 0", "allow Default"]
    );
    // An allowed egress does not open the ingress of its destination.
    let allow = admin_out("anp/out", &["allow any"]);
    let verdict = ruled([allow], [closed()]);
    let verdict = verdict.evaluate(&tuple(B_TO_A));
    assert_eq!(
        [verdict.egress, verdict.ingress].map(text),
        [
            "allow Admin AdminNetworkPolicy/out 0",
            "deny NetworkPolicy x/closed"
        ]
    );
}

#[test]
fn a_policy_speaks_of_its_subjects_only() {
    let of = |namespaces: &str, pods: &str| AdminPolicy {
        subject: pods_of(namespaces, pods),
        ..admin_in("anp/a", &["deny any"])
    };
    let denied = "deny Admin AdminNetworkPolicy/a 0";
    for (namespaces, pods, expected) in [
        ("", "", denied),
        ("", "pod=a", denied),
        ("", "pod=b", "allow Default"),
        ("kubernetes.io/metadata.name=x", "", denied),
        ("kubernetes.io/metadata.name=y", "", "allow Default"),
        ("kubernetes.io/metadata.name=y", "pod=a", "allow Default"),
        ("team", "", "allow Default"),
        ("", "pod in ()", "allow Default"),
    ] {
        decides([of(namespaces, pods)], [], expected);
    }
}

#[test]
fn rules_with_ports_leave_other_ports_to_the_next_tier() {
    let admin = admin_in("anp/a", &["deny any @ 80/TCP"]);
    let network = ingress("x/np", "", vec![any(ports(&["80/TCP", "82/TCP"]))]);
    let snapshot = ruled([admin], [network]);
    for (port, expected) in [
        (80, "deny Admin AdminNetworkPolicy/a 0"),
        (81, "deny NetworkPolicy x/np"),
        (82, "allow NetworkPolicy x/np 0"),
    ] {
        let tuple = tuple(&format!("10.0.0.2 > 10.0.0.1 {port}/TCP"));
        assert_eq!(text(snapshot.evaluate(&tuple).ingress), expected);
    }
}
