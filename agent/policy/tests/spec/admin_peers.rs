//! Peers of admin policies: pods and namespaces, nodes, networks, and what cannot be understood.

use std::sync::Arc;

use sluice_policy::{
    AdminAction, AdminPeer, AdminPeers, AdminPolicy, AdminPorts, AdminRule, Event, Node, Pod,
    Snapshot,
};

use crate::admin_tiers::ruled;
use crate::support::build::{
    admin, admin_in, admin_out, cluster, ip, labels, namespace, node, pod, pods_of, snapshot,
};
use crate::{check, three_pods};

const NODE: &str = "192.168.0.1";
const OTHER: &str = "192.168.0.2";

fn labelled(name: &str, with: &str, addresses: &[&str]) -> Node {
    Node {
        labels: labels(with),
        ..node(name, addresses)
    }
}

/// Three pods on n1 of zone a, n2 of zone b, and a host-network pod on n2.
fn on_nodes(policies: impl IntoIterator<Item = AdminPolicy>) -> Vec<Event> {
    let host = Pod {
        node: Some("n2".into()),
        host_network: true,
        ..pod("x/host", "pod=host", &[OTHER])
    };
    let nodes = [
        labelled("n1", "zone=a", &[NODE, "fd00:1::1"]),
        labelled("n2", "zone=b", &[OTHER]),
    ];
    let policies = policies.into_iter().map(Event::AdminPolicy);
    three_pods()
        .into_iter()
        .chain(nodes.map(Event::Node))
        .chain([Event::Pod(host)])
        .chain(policies)
        .collect()
}

fn with_nodes(policy: AdminPolicy) -> Arc<Snapshot> {
    snapshot(on_nodes([policy]))
}

#[test]
fn pods_are_peers_by_namespace_and_label() {
    let of = |namespaces: &str, pods: &str| AdminRule {
        action: AdminAction::Deny,
        peers: AdminPeers::Of(vec![AdminPeer::Pods(pods_of(namespaces, pods))]),
        ports: AdminPorts::Any,
    };
    let a = "kubernetes.io/metadata.name=x";
    let snapshot_of = |rule| {
        let policy = AdminPolicy {
            ingress: vec![rule],
            ..admin("anp/a")
        };
        ruled([policy], [])
    };
    // Without a namespace of its own, a policy's empty selector is every namespace's.
    let both = "-10.0.0.2 > 10.0.0.1 80/TCP";
    check(
        &snapshot_of(of("", "")),
        &[
            both,
            "-10.0.0.3 > 10.0.0.1 80/TCP",
            "+8.8.8.8 > 10.0.0.1 80/TCP",
        ],
    );
    check(
        &snapshot_of(of(a, "")),
        &[both, "+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    check(
        &snapshot_of(of(a, "pod=c")),
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    check(
        &snapshot_of(of("", "pod=c")),
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "-10.0.0.3 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_source_that_is_no_pod_is_no_peer_of_selectors() {
    let snapshot = with_nodes(admin_in("anp/a", &["deny pods", "deny ns"]));
    check(
        &snapshot,
        &[
            "+8.8.8.8 > 10.0.0.1 80/TCP",
            "+192.168.0.2 > 10.0.0.1 80/TCP",
            "-10.0.0.2 > 10.0.0.1 80/TCP",
        ],
    );
    // Every peer is everybody.
    check(
        &with_nodes(admin_in("anp/a", &["deny any"])),
        &["-8.8.8.8 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn host_network_pods_are_neither_subjects_nor_peers() {
    let snapshot = with_nodes(admin_out("anp/a", &["deny pods"]));
    check(
        &snapshot,
        &[
            "-10.0.0.1 > 10.0.0.2 80/TCP",
            "+10.0.0.1 > 192.168.0.2 80/TCP",
            "+192.168.0.2 > 8.8.8.8 80/TCP",
        ],
    );
    assert_eq!(snapshot.isolation(ip(OTHER)), None);
    check(
        &with_nodes(admin_out("anp/a", &["deny any"])),
        &["+192.168.0.2 > 8.8.8.8 80/TCP"],
    );
}

#[test]
fn nodes_are_peers_by_their_addresses_and_labels() {
    for (rule, expected) in [
        ("deny nodes", ["-", "-", "-", "+"]),
        ("deny nodes zone=a", ["-", "-", "+", "+"]),
        ("deny nodes zone in (b)", ["+", "+", "-", "+"]),
        ("deny nodes zone notin (a|b)", ["+", "+", "+", "+"]),
        ("deny nodes !zone", ["+", "+", "+", "+"]),
    ] {
        let connections = [
            "10.0.0.1 > 192.168.0.1 80/TCP",
            "10.0.0.1 > fd00:1::1 80/TCP",
            "10.0.0.1 > 192.168.0.2 80/TCP",
            "10.0.0.1 > 192.168.0.3 80/TCP",
        ];
        let signs = expected.iter().zip(connections);
        let lines: Vec<String> = signs.map(|(sign, line)| format!("{sign}{line}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        check(&with_nodes(admin_out("anp/a", &[rule])), &lines);
    }
}

#[test]
fn pods_on_a_node_are_not_the_node() {
    let snapshot = with_nodes(admin_out("anp/a", &["deny nodes"]));
    check(&snapshot, &["+10.0.0.1 > 10.0.0.2 80/TCP"]);
}

#[test]
fn nodes_are_followed() {
    let to = |address: &str, sign: char| format!("{sign}10.0.0.1 > {address} 80/TCP");
    let mut index = cluster(on_nodes([admin_out("anp/a", &["deny nodes zone=a"])]));
    let mut then = |event, expected: [char; 3]| {
        let _changes = index.apply([event]);
        let addresses = [NODE, OTHER, "192.168.0.9"];
        let lines: Vec<String> = addresses
            .iter()
            .zip(expected)
            .map(|(address, sign)| to(address, sign))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        check(&index.snapshot(), &lines);
    };
    let n2 = |with: &str, address: &str| Event::Node(labelled("n2", with, &[address]));
    then(n2("zone=a", OTHER), ['-', '-', '+']);
    then(n2("zone=a", "192.168.0.9"), ['-', '+', '-']);
    then(n2("zone=b", "192.168.0.9"), ['-', '+', '+']);
    then(Event::NodeGone("n1".into()), ['+', '+', '+']);
    then(n2("zone=a", NODE), ['-', '+', '+']);
    then(
        Event::AdminPolicy(admin_out("anp/a", &["deny nodes zone=b"])),
        ['+', '+', '+'],
    );
    then(n2("zone=b", OTHER), ['+', '-', '+']);
}

#[test]
fn an_address_of_two_nodes_is_each_of_them() {
    let second = Event::Node(labelled("n2", "zone=b", &[NODE, OTHER]));
    let events = |rule: &str| {
        let policy = admin_out("anp/a", &[rule]);
        on_nodes([policy]).into_iter().chain([second.clone()])
    };
    for rule in ["deny nodes zone=a", "deny nodes zone=b"] {
        check(&snapshot(events(rule)), &["-10.0.0.1 > 192.168.0.1 80/TCP"]);
    }
}

#[test]
fn networks_are_peers_by_address_pods_and_nodes_among_them() {
    let to = |networks: &str| with_nodes(admin_out("anp/a", &[&format!("deny net {networks}")]));
    let all = [
        "-10.0.0.1 > 10.0.0.2 80/TCP",
        "-10.0.0.1 > 192.168.0.1 80/TCP",
        "-10.0.0.1 > 8.8.8.8 80/TCP",
        "+fd00::1 > fd00:1::1 80/TCP",
    ];
    check(&to("0.0.0.0/0"), &all);
    check(
        &to("10.0.0.2/32 8.0.0.0/8"),
        &[
            "-10.0.0.1 > 10.0.0.2 80/TCP",
            "+10.0.0.1 > 10.0.0.3 80/TCP",
            "-10.0.0.1 > 8.8.8.8 80/TCP",
            "+10.0.0.1 > 9.9.9.9 80/TCP",
        ],
    );
}

#[test]
fn networks_match_protocols_without_ports() {
    let snapshot = ruled([admin_out("anp/a", &["deny net 8.0.0.0/8"])], []);
    check(
        &snapshot,
        &[
            "-10.0.0.1 > 8.8.8.8 0/1",
            "-10.0.0.1 > 8.8.8.8 0/47",
            "+10.0.0.1 > 9.9.9.9 0/1",
        ],
    );
}

#[test]
fn an_address_by_which_a_pod_and_a_network_are_meant_follows_the_first_rule() {
    let rules = [
        "allow pods pod=b",
        "deny net 10.0.0.0/24",
        "allow net 10.0.0.3/32",
    ];
    check(
        &ruled([admin_out("anp/a", &rules)], []),
        &["+10.0.0.1 > 10.0.0.2 80/TCP", "-10.0.0.1 > 10.0.0.3 80/TCP"],
    );
}

#[test]
fn a_peer_that_is_not_understood_closes() {
    // What the decoder makes of it: a Deny or Pass rule is for everybody, an Allow rule for nobody.
    check(
        &ruled([admin_in("anp/a", &["deny any"])], []),
        &["-8.8.8.8 > 10.0.0.1 0/1", "-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    check(
        &ruled([admin_in("anp/a", &["allow nobody", "deny any"])], []),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn namespaces_are_followed_as_subjects_and_as_peers() {
    let mut index = cluster(three_pods());
    let mut then = |event, expected: &[&str]| {
        let _changes = index.apply([event]);
        check(&index.snapshot(), expected);
    };
    let subject = AdminPolicy {
        subject: pods_of("team=red", ""),
        ..admin_in("anp/subject", &["deny pods pod=c"])
    };
    let c_to_a = |sign| format!("{sign}10.0.0.3 > 10.0.0.1 80/TCP");
    let a_to_c = |sign| format!("{sign}10.0.0.1 > 10.0.0.3 80/TCP");
    then(Event::AdminPolicy(subject), &[&c_to_a('+')]);
    then(
        Event::Namespace(namespace("x", "team=red")),
        &[&c_to_a('-')],
    );
    then(
        Event::Namespace(namespace("x", "team=blue")),
        &[&c_to_a('+')],
    );
    let peer = admin_in("anp/peer", &["deny ns team=blue"]);
    then(Event::AdminPolicy(peer), &[&c_to_a('+'), &a_to_c('-')]);
    then(
        Event::NamespaceGone("x".into()),
        &[&c_to_a('+'), &a_to_c('+')],
    );
}
