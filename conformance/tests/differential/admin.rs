//! Random objects of the cluster-scoped kinds: all peers, ports, actions and tiers, and priorities that are often equal.

use proptest::prelude::*;

use super::Object;
use super::network_policy::{list, namespaces, one_of, selector};

/// Where a rule's peers come from: given the direction, entries of `from` or `to`.
type Peers = fn(Direction) -> BoxedStrategy<String>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// The names that a version has for things.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V1Alpha1,
    V1Alpha2,
}

/// An `AdminNetworkPolicy` or a `ClusterNetworkPolicy`.
pub(crate) fn policy(peers: Peers) -> impl Strategy<Value = Object> {
    let actions = &["Allow", "Deny", "Pass"];
    let old = (0..4_u16, body(Version::V1Alpha1, actions, peers)).prop_map(|(priority, body)| {
        object(
            "AdminNetworkPolicy",
            &format!("priority: {priority}, {body}"),
        )
    });
    let actions = &["Accept", "Deny", "Pass"];
    let tier = one_of(&["Admin", "Baseline"]);
    let new = (tier, 0..4_u16, body(Version::V1Alpha2, actions, peers)).prop_map(
        |(tier, priority, body)| {
            let place = format!("tier: {tier}, priority: {priority}");
            object("ClusterNetworkPolicy", &format!("{place}, {body}"))
        },
    );
    prop_oneof![2 => old, 3 => new]
}

/// The `BaselineAdminNetworkPolicy`.
pub(crate) fn baseline() -> impl Strategy<Value = Object> {
    body(Version::V1Alpha1, &["Allow", "Deny"], known_peers)
        .prop_map(|body| object("BaselineAdminNetworkPolicy", &body))
}

fn object(kind: &'static str, fields: &str) -> Object {
    Object {
        kind,
        namespace: String::new(),
        spec: format!("{{{fields}}}"),
    }
}

fn body(
    version: Version,
    actions: &'static [&'static str],
    peers: Peers,
) -> impl Strategy<Value = String> {
    let ingress = list(rule(version, actions, Direction::Ingress, peers), 0..4);
    let egress = list(rule(version, actions, Direction::Egress, peers), 0..4);
    (pods(), ingress, egress).prop_map(|(subject, ingress, egress)| {
        format!("subject: {subject}, ingress: {ingress}, egress: {egress}")
    })
}

/// A subject, or a peer that is pods.
fn pods() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => namespaces().prop_map(|some| format!("{{namespaces: {some}}}")),
        2 => (namespaces(), selector()).prop_map(|(namespaces, pods)| {
            format!("{{pods: {{namespaceSelector: {namespaces}, podSelector: {pods}}}}}")
        }),
    ]
}

/// Peers that the API has.
pub(crate) fn known_peers(direction: Direction) -> BoxedStrategy<String> {
    let networks = one_of(&[
        "[0.0.0.0/0]",
        "['::/0']",
        "[10.244.0.2/31, 'fd00:10:244::/126']",
        "[172.18.0.0/16]",
        "[10.244.0.1/32, 10.244.0.4/32, 172.18.0.2/32]",
    ]);
    let nodes = one_of(&[
        "{}",
        "{matchLabels: {zone: a}}",
        "{matchExpressions: [{key: zone, operator: DoesNotExist}]}",
    ]);
    let networks = networks.prop_map(|some| format!("{{networks: {some}}}"));
    let nodes = nodes.prop_map(|some| format!("{{nodes: {some}}}"));
    match direction {
        Direction::Ingress => pods().boxed(),
        Direction::Egress => prop_oneof![4 => pods(), 2 => networks, 2 => nodes].boxed(),
    }
}

/// The same, and now and then one that nobody knows.
pub(crate) fn any_peers(direction: Direction) -> BoxedStrategy<String> {
    let unknown = one_of(&["{}", "{services: {}}", "{domainNames: [example.org]}"]);
    prop_oneof![9 => known_peers(direction), 1 => unknown].boxed()
}

fn rule(
    version: Version,
    actions: &'static [&'static str],
    direction: Direction,
    peers: Peers,
) -> impl Strategy<Value = String> {
    let key = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let ports = prop::option::weighted(0.6, list(port(version), 1..3));
    (one_of(actions), list(peers(direction), 1..3), ports).prop_map(
        move |(action, peers, ports)| {
            // Nodes and networks have no named ports, and a rule may not have both.
            let nameless = ["nodes", "networks", "domainNames"]
                .iter()
                .any(|key| peers.contains(key));
            let ports = ports.filter(|ports| !(nameless && ports.contains("amedPort")));
            let ports = match (ports, version) {
                (None, _) => String::new(),
                (Some(ports), Version::V1Alpha1) => format!(", ports: {ports}"),
                (Some(ports), Version::V1Alpha2) => format!(", protocols: {ports}"),
            };
            format!("{{action: {action}, {key}: {peers}{ports}}}")
        },
    )
}

fn port(version: Version) -> impl Strategy<Value = String> {
    one_of(match version {
        Version::V1Alpha1 => &[
            "{portNumber: {port: 80}}",
            "{portNumber: {port: 81, protocol: TCP}}",
            "{portNumber: {port: 80, protocol: UDP}}",
            "{portRange: {start: 80, end: 81}}",
            "{portRange: {start: 1, end: 80, protocol: SCTP}}",
            "{portRange: {start: 82, end: 65535}}",
            "{namedPort: web}",
            "{namedPort: alt}",
        ],
        Version::V1Alpha2 => &[
            "{tcp: {destinationPort: {number: 80}}}",
            "{tcp: {destinationPort: {range: {start: 81, end: 8080}}}}",
            "{udp: {destinationPort: {number: 80}}}",
            "{udp: {destinationPort: {range: {start: 1, end: 65535}}}}",
            "{sctp: {destinationPort: {number: 80}}}",
            "{destinationNamedPort: web}",
            "{destinationNamedPort: alt}",
        ],
    })
}
