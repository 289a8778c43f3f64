//! Random pods, namespaces and Services, few and alike, so that policies meet them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::draw::Draw;

pub(super) const NAMESPACES: [&str; 3] = ["x", "y", "z"];
pub(super) const NODES: [&str; 2] = ["node-1", "node-2"];
const PODS: [&str; 3] = ["a", "b", "c"];

/// Labels of pods: what is there often, and what is a little different.
pub(super) const POD_LABELS: [(&str, &[&str]); 3] = [
    ("app", &["a", "b", "c"]),
    ("tier", &["db", "front", ""]),
    ("example.org/app", &["a"]),
];

/// Labels of namespaces, besides the one that has their names.
pub(super) const NAMESPACE_LABELS: [(&str, &[&str]); 2] =
    [("team", &["red", "blue"]), ("env", &["prod", "test"])];

/// Ports of containers: names with several numbers and protocols, and numbers without a name.
const PORTS: [(&str, u16, &str); 9] = [
    ("web", 80, "TCP"),
    ("web", 81, "TCP"),
    ("web", 81, "UDP"),
    ("alt", 80, "UDP"),
    ("alt", 81, "TCP"),
    ("assoc", 80, "SCTP"),
    ("", 80, "TCP"),
    ("", 81, "TCP"),
    ("", 8080, "TCP"),
];

/// The names that policies use, one that no pod has among them.
pub(super) const PORT_NAMES: [&str; 4] = ["web", "alt", "assoc", "other"];

/// What a policy of a case can be about.
#[derive(Clone, Debug, Default)]
pub(super) struct Cluster {
    /// Namespaces, pods and Services.
    pub(super) objects: Vec<Value>,
    /// Of pods that there are or were, and of nodes.
    pub(super) addresses: Vec<IpAddr>,
    /// Names of namespaces.
    pub(super) namespaces: Vec<&'static str>,
}

impl Cluster {
    pub(super) fn draw(draw: &mut Draw) -> Self {
        let namespaces = draw.some(&NAMESPACES, 1..=3);
        let mut cluster = Self {
            objects: namespaces.iter().map(|it| namespace(draw, it)).collect(),
            addresses: (1..=2).flat_map(node_addresses).collect(),
            namespaces,
        };
        let all = cluster.namespaces.iter();
        let names = all.flat_map(|namespace| PODS.map(|name| (*namespace, name)));
        let names: Vec<(&str, &str)> = names.collect();
        for (number, (namespace, name)) in (1..).zip(draw.some(&names, 2..=5)) {
            cluster.addresses.extend(pod_addresses(number));
            cluster.objects.push(pod(draw, namespace, name, number));
        }
        if draw.one_in(4) {
            let namespace = draw.one(&cluster.namespaces);
            cluster.objects.push(service(draw, namespace));
        }
        cluster
    }
}

fn node_addresses(number: u16) -> [IpAddr; 2] {
    let last = u8::try_from(number).unwrap_or(u8::MAX);
    [
        Ipv4Addr::new(172, 18, 0, last).into(),
        Ipv6Addr::new(0xfd00, 0x172, 0x18, 0, 0, 0, 0, number).into(),
    ]
}

/// In one of two networks.
pub(super) fn pod_addresses(number: u16) -> [IpAddr; 2] {
    let (network, last) = (number % 2, u8::try_from(number).unwrap_or(u8::MAX));
    let third = u8::try_from(network).unwrap_or_default();
    [
        Ipv4Addr::new(10, 244, third, last).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x244, network, 0, 0, 0, number).into(),
    ]
}

fn namespace(draw: &mut Draw, name: &str) -> Value {
    let labels = labels(draw, &NAMESPACE_LABELS);
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// Some of some labels, each with one of its values.
pub(super) fn labels(draw: &mut Draw, of: &[(&str, &[&str])]) -> Value {
    let mut labels = Map::new();
    for (place, (key, values)) in of.iter().enumerate() {
        // The first is there more often than not.
        if draw.number(0..=3) > place {
            labels.insert((*key).to_owned(), json!(draw.one(values)));
        }
    }
    Value::Object(labels)
}

/// A pod that has the addresses of its number, of one family or both, or is in the network of its node.
pub(super) fn pod(draw: &mut Draw, namespace: &str, name: &str, number: u16) -> Value {
    let both = pod_addresses(number);
    let addresses = match draw.number(0..=9) {
        0 => both[..1].to_vec(),
        1 => both[1..].to_vec(),
        2 => both.iter().rev().copied().collect(),
        _ => both.to_vec(),
    };
    let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    let mut spec = json!({
        "nodeName": draw.one(&NODES),
        "containers": [{"name": "serve", "image": "agnhost", "ports": ports(draw)}],
    });
    let mut status = json!({"podIPs": ips});
    match draw.number(0..=15) {
        0 | 1 => {
            spec["hostNetwork"] = json!(true);
            status = json!({});
        }
        2 => status["phase"] = json!("Succeeded"),
        _ => {}
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels(draw, &POD_LABELS)},
        "spec": spec, "status": status,
    })
}

/// Each name once, and each number of a protocol.
fn ports(draw: &mut Draw) -> Vec<Value> {
    let mut chosen: Vec<(&str, u16, &str)> = Vec::new();
    for (name, number, protocol) in draw.some(&PORTS, 1..=3) {
        let is_same = |it: &(&str, u16, &str)| {
            (!name.is_empty() && it.0 == name) || (it.1, it.2) == (number, protocol)
        };
        if !chosen.iter().any(is_same) {
            chosen.push((name, number, protocol));
        }
    }
    let port = |(name, number, protocol): (&str, u16, &str)| {
        let mut port = json!({"containerPort": number, "protocol": protocol});
        if !name.is_empty() {
            port["name"] = json!(name);
        }
        port
    };
    chosen.into_iter().map(port).collect()
}

fn service(draw: &mut Draw, namespace: &str) -> Value {
    let target = match draw.number(0..=2) {
        0 => json!(draw.one(&PORT_NAMES)),
        _ => json!(draw.one(&[80, 81])),
    };
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "s", "namespace": namespace},
        "spec": {
            "selector": {"app": draw.one(POD_LABELS[0].1)},
            "ports": [{"port": 443, "targetPort": target, "protocol": "TCP"}],
        },
    })
}
