//! Random `NetworkPolicy` specs, with every field that the API has, and the parts that other kinds share with them.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::cluster::{Cluster, NAMESPACE_LABELS, POD_LABELS, PORT_NAMES};
use super::draw::Draw;

/// Prefix lengths, those that tell neighbours apart more often than others.
const BITS_OF_IPV4: [u8; 10] = [0, 8, 16, 23, 24, 24, 29, 30, 31, 32];
const BITS_OF_IPV6: [u8; 9] = [0, 16, 48, 63, 64, 125, 126, 127, 128];

pub(super) fn spec(draw: &mut Draw, cluster: &Cluster) -> Value {
    let mut spec = Map::new();
    spec.insert("podSelector".to_owned(), pods(draw));
    let types: &[&str] = match draw.number(0..=6) {
        0 => &["Ingress"],
        1 => &["Egress"],
        2 | 3 => &["Ingress", "Egress"],
        _ => &[],
    };
    if !types.is_empty() || draw.one_in(8) {
        spec.insert("policyTypes".to_owned(), json!(types));
    }
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        if !draw.one_in(3) {
            let some = draw.list(0..=3, |draw| rule(draw, cluster, peers));
            spec.insert(rules.to_owned(), json!(some));
        }
    }
    Value::Object(spec)
}

/// What a rule that allows something is like.
pub(super) fn rule(draw: &mut Draw, cluster: &Cluster, peers: &str) -> Value {
    let mut rule = Map::new();
    if !draw.one_in(4) {
        // An empty list is as good as none.
        let least = usize::from(!draw.one_in(10));
        let some = draw.list(least..=3, |draw| peer(draw, cluster));
        rule.insert(peers.to_owned(), json!(some));
    }
    if !draw.one_in(3) {
        let least = usize::from(!draw.one_in(10));
        rule.insert("ports".to_owned(), json!(draw.list(least..=2, port)));
    }
    Value::Object(rule)
}

fn peer(draw: &mut Draw, cluster: &Cluster) -> Value {
    match draw.number(0..=9) {
        0..=2 => json!({"podSelector": pods(draw)}),
        3 | 4 => json!({"namespaceSelector": namespaces(draw)}),
        5 | 6 => json!({"podSelector": pods(draw), "namespaceSelector": namespaces(draw)}),
        _ => json!({"ipBlock": block(draw, cluster)}),
    }
}

pub(super) fn pods(draw: &mut Draw) -> Value {
    selector(draw, &POD_LABELS)
}

/// Namespaces by their labels, or by the one that has their names.
pub(super) fn namespaces(draw: &mut Draw) -> Value {
    if draw.one_in(4) {
        let name = draw.one(&super::cluster::NAMESPACES);
        return json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    }
    selector(draw, &NAMESPACE_LABELS)
}

/// A selector of labels that objects may have.
pub(super) fn selector(draw: &mut Draw, of: &[(&str, &[&str])]) -> Value {
    let mut selector = Map::new();
    let form = draw.number(0..=6);
    if matches!(form, 2..=4) {
        let (key, values) = draw.one(of);
        selector.insert("matchLabels".to_owned(), json!({*key: draw.one(values)}));
    }
    if matches!(form, 4..=6) {
        let some = draw.list(1..=2, |draw| requirement(draw, of));
        selector.insert("matchExpressions".to_owned(), json!(some));
    }
    Value::Object(selector)
}

fn requirement(draw: &mut Draw, of: &[(&str, &[&str])]) -> Value {
    let (key, values) = draw.one(of);
    match draw.number(0..=3) {
        0 => json!({"key": key, "operator": "Exists"}),
        1 => json!({"key": key, "operator": "DoesNotExist"}),
        2 => json!({"key": key, "operator": "In", "values": draw.some(values, 1..=2)}),
        _ => json!({"key": key, "operator": "NotIn", "values": draw.some(values, 1..=2)}),
    }
}

fn block(draw: &mut Draw, cluster: &Cluster) -> Value {
    let (cidr, address, bits) = around(draw, cluster);
    let is_within = |other: &IpAddr| {
        other.is_ipv4() == address.is_ipv4() && network(*other, bits) == network(address, bits)
    };
    let within = cluster.addresses.iter().copied().filter(is_within);
    let within: Vec<IpAddr> = within.collect();
    let longer: Vec<u8> = lengths(address)
        .iter()
        .copied()
        .filter(|it| *it > bits)
        .collect();
    if longer.is_empty() || draw.one_in(3) {
        return json!({"cidr": cidr});
    }
    let except = draw.list(1..=2, |draw| {
        let (part, bits) = (*draw.one(&within), *draw.one(&longer));
        format!("{}/{bits}", network(part, bits))
    });
    json!({"cidr": cidr, "except": except})
}

/// A network around an address of the cluster, as text, and what it is made of.
fn around(draw: &mut Draw, cluster: &Cluster) -> (String, IpAddr, u8) {
    let address = *draw.one(&cluster.addresses);
    let bits = *draw.one(lengths(address));
    // Bits behind the prefix may be written, and mean nothing.
    let first = if draw.one_in(10) {
        address
    } else {
        network(address, bits)
    };
    (format!("{first}/{bits}"), address, bits)
}

/// The same as text alone.
pub(super) fn cidr(draw: &mut Draw, cluster: &Cluster) -> String {
    around(draw, cluster).0
}

fn lengths(address: IpAddr) -> &'static [u8] {
    if address.is_ipv4() {
        &BITS_OF_IPV4
    } else {
        &BITS_OF_IPV6
    }
}

fn network(address: IpAddr, bits: u8) -> IpAddr {
    crate::state::network(address, bits.into())
}

fn port(draw: &mut Draw) -> Value {
    let mut port = match draw.number(0..=8) {
        0 => json!({}),
        1..=3 => json!({"port": draw.one(&[80, 81, 8080])}),
        4 => json!({"port": 80, "endPort": draw.one(&[80, 81, 8080])}),
        5 => json!({"port": draw.one(&[1, 81, 82]), "endPort": draw.one(&[82, 8079, 65535])}),
        _ => json!({"port": draw.one(&PORT_NAMES)}),
    };
    if draw.one_in(2) {
        port["protocol"] = json!(draw.one(&["TCP", "TCP", "UDP", "SCTP"]));
    }
    port
}
