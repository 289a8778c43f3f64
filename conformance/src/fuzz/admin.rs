//! Random policies of the tiers around `NetworkPolicy`, both versions of their API.

use serde_json::{Map, Value, json};

use super::cluster::{Cluster, PORT_NAMES};
use super::draw::Draw;
use super::network_policy::{cidr, namespaces, pods, selector};

/// Priorities of policies, few enough for ties. 0 is left for one that comes before them all.
const PRIORITIES: [u16; 4] = [1, 2, 3, 1000];
const NODE_LABELS: [(&str, &[&str]); 1] = [("zone", &["zone-1", "zone-2"])];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Admin,
    Baseline,
    Cluster,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Admin, Self::Baseline, Self::Cluster];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Admin => "AdminNetworkPolicy",
            Self::Baseline => "BaselineAdminNetworkPolicy",
            Self::Cluster => "ClusterNetworkPolicy",
        }
    }

    const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Admin => &["Allow", "Deny", "Pass"],
            Self::Baseline => &["Allow", "Deny"],
            Self::Cluster => &["Accept", "Deny", "Pass"],
        }
    }
}

pub(super) fn spec(draw: &mut Draw, cluster: &Cluster, kind: Kind, unknown: bool) -> Value {
    let subject = if draw.one_in(2) {
        json!({"namespaces": namespaces(draw)})
    } else {
        json!({"pods": {"namespaceSelector": namespaces(draw), "podSelector": pods(draw)}})
    };
    let mut spec = Map::new();
    spec.insert("subject".to_owned(), subject);
    if kind != Kind::Baseline {
        spec.insert("priority".to_owned(), json!(draw.one(&PRIORITIES)));
    }
    if kind == Kind::Cluster {
        let tier = draw.one(&["Admin", "Admin", "Baseline"]);
        spec.insert("tier".to_owned(), json!(tier));
    }
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        if !draw.one_in(3) {
            let some = draw.list(0..=3, |draw| rule(draw, cluster, kind, peers, unknown));
            spec.insert(rules.to_owned(), json!(some));
        }
    }
    Value::Object(spec)
}

fn rule(draw: &mut Draw, cluster: &Cluster, kind: Kind, peers: &str, unknown: bool) -> Value {
    let some = draw.list(1..=2, |draw| peer(draw, cluster, peers, unknown));
    let is_nameless = |peer: &Value| peer.get("nodes").or(peer.get("networks")).is_some();
    // Nodes and networks have no named ports, and a rule may not have both.
    let names = !some.iter().any(is_nameless);
    let mut rule = json!({"action": draw.one(kind.actions()), peers: some});
    if draw.one_in(2) {
        let (field, port): (_, fn(&mut Draw, bool) -> Value) = match kind {
            Kind::Cluster => ("protocols", protocol),
            Kind::Admin | Kind::Baseline => ("ports", port),
        };
        rule[field] = json!(draw.list(1..=2, |draw| port(draw, names)));
    }
    rule
}

fn peer(draw: &mut Draw, cluster: &Cluster, peers: &str, unknown: bool) -> Value {
    if unknown && draw.one_in(4) {
        return draw.one(&[json!({}), json!({"services": {}})]).clone();
    }
    let most = if peers == "to" { 8 } else { 5 };
    match draw.number(0..=most) {
        0..=2 => json!({"namespaces": namespaces(draw)}),
        3..=5 => {
            json!({"pods": {"namespaceSelector": namespaces(draw), "podSelector": pods(draw)}})
        }
        6 => json!({"nodes": selector(draw, &NODE_LABELS)}),
        _ => json!({"networks": networks(draw, cluster)}),
    }
}

/// Each once.
fn networks(draw: &mut Draw, cluster: &Cluster) -> Vec<String> {
    let mut networks = draw.list(1..=2, |draw| cidr(draw, cluster));
    networks.dedup();
    networks
}

/// An entry of `ports`, v1alpha1.
fn port(draw: &mut Draw, names: bool) -> Value {
    let mut port = match draw.number(0..=if names { 5 } else { 3 }) {
        0 | 1 => json!({"portNumber": {"port": draw.one(&[80, 81, 8080])}}),
        2 => json!({"portRange": {"start": 80, "end": draw.one(&[80, 81, 8080])}}),
        3 => json!({"portRange": {"start": draw.one(&[1, 81, 82]), "end": 65535}}),
        _ => return json!({"namedPort": draw.one(&PORT_NAMES)}),
    };
    if draw.one_in(2) {
        for field in ["portNumber", "portRange"] {
            if let Some(part) = port.get_mut(field) {
                part["protocol"] = json!(draw.one(&["TCP", "UDP", "SCTP"]));
            }
        }
    }
    port
}

/// An entry of `protocols`, v1alpha2.
fn protocol(draw: &mut Draw, names: bool) -> Value {
    let port = match draw.number(0..=if names { 5 } else { 3 }) {
        0 | 1 => json!({"number": draw.one(&[80, 81, 8080])}),
        2 => json!({"range": {"start": 80, "end": draw.one(&[81, 8080])}}),
        3 => json!({"range": {"start": draw.one(&[1, 81, 82]), "end": 65535}}),
        _ => return json!({"destinationNamedPort": draw.one(&PORT_NAMES)}),
    };
    json!({*draw.one(&["tcp", "tcp", "udp", "sctp"]): {"destinationPort": port}})
}
