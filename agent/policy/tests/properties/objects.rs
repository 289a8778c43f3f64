//! Random objects of a small universe.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sluice_policy::{
    AdminAction, AdminKind, AdminName, AdminPeer, AdminPeers, AdminPolicy, AdminPort, AdminPorts,
    AdminRule, AdminTier, Event, NetworkPolicy, Node, Peer, Pod, PodName, PodsOf, Ports, Rule,
    Scope,
};

use crate::support::build::{
    admin_port, any, block, declared, ip, labels, namespace, own, pod_name, pods_in, pods_of,
    ports, rule, selector,
};

const ADDRESSES: [&str; 10] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.1.1",
    "10.0.1.2",
    "fd00::1",
    "fd00::2",
    "::ffff:10.0.0.3",
    "192.168.0.1",
    "192.168.0.2",
];
const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const SELECTORS: [&str; 10] = [
    "",
    "a=1",
    "a=2",
    "a in (1|2)",
    "a notin (1)",
    "a",
    "!a",
    "a=1,b=1",
    "b notin (1|2),a",
    "a in ()",
];
const NAMESPACE_SELECTORS: [&str; 5] = [
    "",
    "team=1",
    "team notin (1)",
    "!team",
    "kubernetes.io/metadata.name in (x|y)",
];
const NETWORKS: [&str; 9] = [
    "0.0.0.0/0",
    "10.0.0.0/16",
    "10.0.0.0/24",
    "10.0.0.2/32",
    "192.168.0.0/31",
    "::/0",
    "fd00::/64",
    "fd00::2/128",
    "::ffff:10.0.0.0/120",
];
const PORTS: [&str; 9] = [
    "80/TCP",
    "80-90/TCP",
    "81/TCP",
    "/TCP",
    "/UDP",
    "53/UDP",
    "http/TCP",
    "dns/UDP",
    "http/UDP",
];

fn some_labels() -> impl Strategy<Value = String> {
    (
        select(vec!["", "a=1", "a=2", "a=3"]),
        select(vec!["", "b=1", "b=2"]),
    )
        .prop_map(|(a, b)| format!("{a},{b}"))
}

fn a_pod_name() -> impl Strategy<Value = PodName> {
    (select(&NAMESPACES[..]), 0..3_u8)
        .prop_map(|(namespace, number)| pod_name(&format!("{namespace}/p{number}")))
}

fn a_pod() -> impl Strategy<Value = Pod> {
    let container_ports = select(vec![
        "http=80/TCP",
        "http=81/TCP",
        "dns=53/UDP",
        "http=53/UDP",
        "80/TCP",
        "web=80/TCP",
    ]);
    (
        a_pod_name(),
        prop::option::of(select(vec!["n1", "n2"])),
        some_labels(),
        subsequence(&ADDRESSES[..], 0..3),
        prop::collection::vec(container_ports, 0..3),
        prop::bool::weighted(0.1),
        0..3_i64,
    )
        .prop_map(
            |(name, node, with, addresses, container_ports, host_network, created)| Pod {
                name,
                node: node.map(Into::into),
                labels: labels(&with),
                addresses: addresses.into_iter().map(ip).collect(),
                ports: container_ports.into_iter().map(declared).collect(),
                host_network,
                created,
            },
        )
}

fn a_node() -> impl Strategy<Value = Node> {
    (
        select(vec!["n1", "n2"]),
        select(vec!["", "zone=a", "zone=b"]),
        subsequence(
            &["192.168.0.1", "192.168.0.2", "10.0.0.3", "fd00::2"][..],
            0..3,
        ),
    )
        .prop_map(|(name, with, addresses)| Node {
            labels: labels(with),
            ..crate::support::build::node(name, &addresses)
        })
}

fn some_peer() -> impl Strategy<Value = Peer> {
    let selectors = || select(&SELECTORS[..]);
    prop_oneof![
        selectors().prop_map(own),
        (select(&NAMESPACE_SELECTORS[..]), selectors())
            .prop_map(|(namespaces, pods)| pods_in(namespaces, pods)),
        (select(&NETWORKS[..]), subsequence(&NETWORKS[..], 0..3))
            .prop_map(|(cidr, except)| block(cidr, &except)),
    ]
}

fn some_ports() -> impl Strategy<Value = Ports> {
    prop_oneof![1 => Just(Ports::Any), 3 => subsequence(&PORTS[..], 0..4).prop_map(|list| ports(&list))]
}

fn a_rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        1 => some_ports().prop_map(any),
        3 => (prop::collection::vec(some_peer(), 0..3), some_ports()).prop_map(|(peers, ports)| rule(peers, ports)),
    ]
}

fn a_policy() -> impl Strategy<Value = NetworkPolicy> {
    let rules = || prop::option::weighted(0.7, prop::collection::vec(a_rule(), 0..4));
    (
        select(&NAMESPACES[..]),
        0..4_u8,
        select(&SELECTORS[..]),
        rules(),
        rules(),
    )
        .prop_map(|(namespace, number, pods, ingress, egress)| NetworkPolicy {
            namespace: namespace.into(),
            name: format!("np{number}").into(),
            pods: selector(pods),
            ingress,
            egress,
        })
}

fn some_pods() -> impl Strategy<Value = PodsOf> {
    (select(&NAMESPACE_SELECTORS[..]), select(&SELECTORS[..]))
        .prop_map(|(namespaces, pods)| pods_of(namespaces, pods))
}

fn some_admin_peer() -> impl Strategy<Value = AdminPeer> {
    let nodes = select(vec!["", "zone=a", "zone", "zone notin (a)"]);
    prop_oneof![
        2 => some_pods().prop_map(AdminPeer::Pods),
        1 => nodes.prop_map(|nodes| AdminPeer::Nodes(selector(nodes))),
        1 => subsequence(&NETWORKS[..], 1..3).prop_map(|nets| {
            AdminPeer::Networks(nets.iter().map(|net| net.parse().expect("a network")).collect())
        }),
    ]
}

fn an_admin_rule() -> impl Strategy<Value = AdminRule> {
    let peers = prop_oneof![
        1 => Just(AdminPeers::Any),
        4 => prop::collection::vec(some_admin_peer(), 0..3).prop_map(AdminPeers::Of),
    ];
    let port = prop_oneof![
        3 => select(&PORTS[..]).prop_map(admin_port),
        1 => select(vec!["http", "dns"]).prop_map(|name| AdminPort::Named(name.into())),
    ];
    let ports = prop_oneof![
        1 => Just(AdminPorts::Any),
        2 => prop::collection::vec(port, 0..3).prop_map(AdminPorts::Of),
    ];
    let actions = [AdminAction::Allow, AdminAction::Deny, AdminAction::Pass];
    (select(actions.to_vec()), peers, ports).prop_map(|(action, peers, ports)| AdminRule {
        action,
        peers,
        ports,
    })
}

fn an_admin_name() -> impl Strategy<Value = AdminName> {
    let kinds = [
        AdminKind::AdminNetworkPolicy,
        AdminKind::BaselineAdminNetworkPolicy,
        AdminKind::ClusterNetworkPolicy,
    ];
    (select(kinds.to_vec()), select(vec!["p", "q"])).prop_map(|(kind, name)| AdminName {
        kind,
        name: name.into(),
    })
}

fn an_admin_policy() -> impl Strategy<Value = AdminPolicy> {
    let rules = || prop::collection::vec(an_admin_rule(), 0..4);
    (
        an_admin_name(),
        proptest::prelude::any::<bool>(),
        0..3_u16,
        some_pods(),
        rules(),
        rules(),
    )
        .prop_map(|(name, is_admin, priority, subject, ingress, egress)| {
            let (is_admin, priority) = match name.kind {
                AdminKind::AdminNetworkPolicy => (true, priority),
                AdminKind::BaselineAdminNetworkPolicy => (false, AdminPolicy::LAST),
                AdminKind::ClusterNetworkPolicy => (is_admin, priority),
            };
            let tier = if is_admin {
                AdminTier::Admin
            } else {
                AdminTier::Baseline
            };
            AdminPolicy {
                name,
                tier,
                priority,
                subject,
                ingress,
                egress,
            }
        })
}

/// An object of any kind.
pub(crate) fn an_object() -> impl Strategy<Value = Event> {
    let a_namespace = (
        select(&NAMESPACES[..]),
        select(vec!["", "team=1", "team=2"]),
    );
    prop_oneof![
        6 => a_pod().prop_map(Event::Pod),
        4 => a_policy().prop_map(Event::NetworkPolicy),
        4 => an_admin_policy().prop_map(Event::AdminPolicy),
        2 => a_namespace.prop_map(|(name, with)| Event::Namespace(namespace(name, with))),
        1 => a_node().prop_map(Event::Node),
    ]
}

/// An object that comes, changes or goes.
pub(crate) fn an_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => an_object(),
        1 => a_pod_name().prop_map(Event::PodGone),
        1 => (select(&NAMESPACES[..]), 0..4_u8)
            .prop_map(|(namespace, number)| Event::NetworkPolicyGone(namespace.into(), format!("np{number}").into())),
        1 => an_admin_name().prop_map(Event::AdminPolicyGone),
        1 => select(&NAMESPACES[..]).prop_map(|name| Event::NamespaceGone(name.into())),
        1 => select(vec!["n1", "n2"]).prop_map(|name| Event::NodeGone(name.into())),
    ]
}

/// One node, or the cluster.
pub(crate) fn a_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::Cluster), Just(Scope::Node("n1".into()))]
}
