//! Nodes, host-network pods, loopback, and the scope.

use std::sync::Arc;

use sluice_policy::{AdminPolicy, Event, Pod, Ports, Scope, Snapshot};

use crate::support::build::{
    admin_in, admin_out, any, block, built, egress, ingress, ip, node, own, pod, pods_in, rule,
    snapshot, tuple,
};
use crate::{check, text};

const NODE: &str = "192.168.0.1";
const OTHER_NODE: &str = "192.168.0.2";

/// x/a on n1 and x/b on n2, closed both ways.
fn closed(more: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let b = Pod {
        node: Some("n2".into()),
        ..pod("x/b", "pod=b", &["10.0.1.1"])
    };
    let events = [
        Event::Node(node("n1", &[NODE, "fd00:1::1"])),
        Event::Node(node("n2", &[OTHER_NODE])),
        Event::Pod(pod("x/a", "pod=a", &["10.0.0.1", "fd00::1"])),
        Event::Pod(b),
        Event::NetworkPolicy(ingress("x/in", "", vec![])),
        Event::NetworkPolicy(egress("x/out", "", vec![])),
    ];
    events.into_iter().chain(more).collect()
}

/// Those, closed by the Admin tier as well.
fn closed_by_admins() -> Arc<Snapshot> {
    let policy = AdminPolicy {
        egress: admin_out("anp/deny", &["deny any"]).egress,
        ..admin_in("anp/deny", &["deny any"])
    };
    snapshot(closed([Event::AdminPolicy(policy)]))
}

fn on_n1(events: Vec<Event>) -> Arc<Snapshot> {
    built(Scope::Node("n1".into()), events).snapshot()
}

#[test]
fn a_pod_takes_everything_from_its_own_node() {
    let snapshot = snapshot(closed([]));
    let expected = [
        "+192.168.0.1 > 10.0.0.1 80/TCP",
        "+192.168.0.1 > 10.0.0.1 0/1",
        "+fd00:1::1 > fd00::1 80/TCP",
    ];
    check(&snapshot, &expected);
    let verdict = snapshot.evaluate(&tuple("192.168.0.1 > 10.0.0.1 80/TCP"));
    assert_eq!(text(verdict.ingress), "allow Exempt");
}

#[test]
fn what_is_exempt_is_exempt_from_admin_policies_too() {
    let expected = [
        "+192.168.0.1 > 10.0.0.1 80/TCP",
        "+10.0.0.1 > 10.0.0.1 80/TCP",
        "-192.168.0.2 > 10.0.0.1 80/TCP",
        "-10.0.0.1 > 192.168.0.1 80/TCP",
    ];
    check(&closed_by_admins(), &expected);
}

#[test]
fn another_node_is_an_outside_address() {
    let from_nodes = Event::NetworkPolicy(ingress(
        "x/n",
        "pod=a",
        vec![rule(vec![block("192.168.0.2/32", &[])], Ports::Any)],
    ));
    check(
        &snapshot(closed([])),
        &[
            "-192.168.0.2 > 10.0.0.1 80/TCP",
            "-192.168.0.1 > 10.0.1.1 80/TCP",
        ],
    );
    check(
        &snapshot(closed([from_nodes])),
        &["+192.168.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_pod_reaches_its_own_node_only_by_a_rule() {
    check(&snapshot(closed([])), &["-10.0.0.1 > 192.168.0.1 80/TCP"]);
    let to_node = Event::NetworkPolicy(egress(
        "x/n",
        "pod=a",
        vec![rule(vec![block("192.168.0.1/32", &[])], Ports::Any)],
    ));
    check(
        &snapshot(closed([to_node])),
        &["+10.0.0.1 > 192.168.0.1 80/TCP"],
    );
}

#[test]
fn a_node_that_is_not_known_yet_is_an_outside_address() {
    let events = closed([Event::NodeGone("n1".into())]);
    check(&snapshot(events), &["-192.168.0.1 > 10.0.0.1 80/TCP"]);
}

#[test]
fn one_address_can_be_two_nodes() {
    let second = Event::Node(node("n2", &[OTHER_NODE, NODE]));
    let both = snapshot(closed([second.clone()]));
    check(
        &both,
        &[
            "+192.168.0.1 > 10.0.0.1 80/TCP",
            "+192.168.0.1 > 10.0.1.1 80/TCP",
        ],
    );
    let one = snapshot(closed([second, Event::NodeGone("n1".into())]));
    check(
        &one,
        &[
            "-192.168.0.1 > 10.0.0.1 80/TCP",
            "+192.168.0.1 > 10.0.1.1 80/TCP",
        ],
    );
}

#[test]
fn a_host_network_pod_is_its_node() {
    let host = Pod {
        host_network: true,
        ..pod("x/host", "pod=host", &[OTHER_NODE])
    };
    let by_selector = Event::NetworkPolicy(ingress(
        "x/n",
        "pod=a",
        vec![rule(vec![own(""), pods_in("", "")], Ports::Any)],
    ));
    let snapshot = snapshot(closed([Event::Pod(host), by_selector]));
    // Neither subject nor peer by selector; other pods are peers of that rule.
    check(
        &snapshot,
        &[
            "+8.8.8.8 > 192.168.0.2 80/TCP",
            "+192.168.0.2 > 8.8.8.8 80/TCP",
            "-192.168.0.2 > 10.0.0.1 80/TCP",
        ],
    );
    assert_eq!(snapshot.pod_at(ip(OTHER_NODE)), None);
    assert_eq!(snapshot.isolation(ip(OTHER_NODE)), None);
    assert_eq!((snapshot.counts().pods, snapshot.counts().local), (3, 2));
}

#[test]
fn a_pod_always_reaches_itself() {
    let snapshot = snapshot(closed([]));
    check(
        &snapshot,
        &["+10.0.0.1 > 10.0.0.1 80/TCP", "+fd00::1 > fd00::1 80/UDP"],
    );
    let verdict = snapshot.evaluate(&tuple("10.0.0.1 > 10.0.0.1 80/TCP"));
    assert_eq!(
        [verdict.egress, verdict.ingress].map(text),
        ["allow Exempt", "allow Exempt"]
    );
}

#[test]
fn only_pods_of_the_scope_are_subjects() {
    let snapshot = on_n1(closed([]));
    check(
        &snapshot,
        &[
            "-8.8.8.8 > 10.0.0.1 80/TCP",
            "+8.8.8.8 > 10.0.1.1 80/TCP",
            "+10.0.1.1 > 8.8.8.8 80/TCP",
        ],
    );
    let verdict = snapshot.evaluate(&tuple("10.0.0.1 > 10.0.1.1 80/TCP"));
    assert_eq!(
        [verdict.egress, verdict.ingress].map(text),
        ["deny NetworkPolicy x/out", "allow Default"]
    );
    assert_eq!((snapshot.counts().local, snapshot.counts().pods), (1, 2));
    assert_eq!(snapshot.isolation(ip("10.0.1.1")), None);
}

#[test]
fn pods_outside_the_scope_are_peers() {
    let from_b = Event::NetworkPolicy(ingress(
        "x/n",
        "pod=a",
        vec![rule(vec![own("pod=b")], Ports::Any)],
    ));
    let open = Event::NetworkPolicy(egress("x/open", "pod=a", vec![any(Ports::Any)]));
    check(
        &on_n1(closed([from_b, open])),
        &["+10.0.1.1 > 10.0.0.1 80/TCP", "+10.0.0.1 > 10.0.1.1 80/TCP"],
    );
}
