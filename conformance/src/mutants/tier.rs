//! Policies of the tiers around `NetworkPolicy`, both versions of their API, as a mutant reads them.

use serde_json::Value;
use sluice_policy::Protocol;

use super::fault::{Fault, Faulty};
use super::policy::{number, protocol};
use super::selector::{Network, Selector, items, text};

#[derive(Clone, Debug)]
pub(super) struct TierPolicy {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) is_baseline: bool,
    pub(super) priority: u64,
    /// None where nobody can say who is meant.
    pub(super) subject: Option<Pods>,
    pub(super) ingress: Vec<TierRule>,
    pub(super) egress: Vec<TierRule>,
}

/// Pods of namespaces.
#[derive(Clone, Debug)]
pub(super) struct Pods {
    pub(super) namespaces: Selector,
    /// None for all of them.
    pub(super) pods: Option<Selector>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Accept,
    Deny,
    Pass,
}

#[derive(Clone, Debug)]
pub(super) struct TierRule {
    pub(super) action: Action,
    pub(super) peers: Vec<TierPeer>,
    /// None for every port.
    pub(super) ports: Option<Vec<TierPort>>,
}

#[derive(Clone, Debug)]
pub(super) enum TierPeer {
    Pods(Pods),
    Nodes(Selector),
    Networks(Vec<Network>),
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) enum TierPort {
    Range(Protocol, u16, u16),
    Name(String),
    Unknown,
}

/// All of them, in the order in which they are asked.
pub(super) fn tiers(objects: &[Value], faulty: Faulty) -> Vec<TierPolicy> {
    let mut tiers: Vec<TierPolicy> = objects.iter().map(TierPolicy::of).collect();
    if faulty.has(Fault::VersionTwoIgnored) {
        tiers.retain(|it| it.kind != "ClusterNetworkPolicy");
    }
    tiers.sort_by(|one, other| (&one.name, &one.kind).cmp(&(&other.name, &other.kind)));
    match faulty.0 {
        Some(Fault::PriorityIgnored) => {}
        Some(Fault::PriorityAsText) => tiers.sort_by_key(|it| it.priority.to_string()),
        Some(Fault::PriorityReversed) => tiers.sort_by_key(|it| std::cmp::Reverse(it.priority)),
        _ => tiers.sort_by_key(|it| it.priority),
    }
    tiers
}

impl TierPolicy {
    fn of(object: &Value) -> Self {
        let spec = &object["spec"];
        let kind = text(&object["kind"]);
        let rules = |field: &str, peers: &str| {
            let rules = items(&spec[field]).iter();
            rules.map(|rule| TierRule::of(rule, peers)).collect()
        };
        Self {
            is_baseline: kind == "BaselineAdminNetworkPolicy" || spec["tier"] == "Baseline",
            name: text(&object["metadata"]["name"]),
            priority: spec["priority"].as_u64().unwrap_or(u64::MAX),
            subject: Pods::of(&spec["subject"]),
            ingress: rules("ingress", "from"),
            egress: rules("egress", "to"),
            kind,
        }
    }
}

impl Pods {
    fn of(value: &Value) -> Option<Self> {
        if let Some(namespaces) = Selector::of(&value["namespaces"]) {
            return Some(Self {
                namespaces,
                pods: None,
            });
        }
        let both = value["pods"].as_object()?;
        let selector = |field: &str| both.get(field).and_then(Selector::of);
        Some(Self {
            namespaces: selector("namespaceSelector").unwrap_or_default(),
            pods: Some(selector("podSelector").unwrap_or_default()),
        })
    }
}

impl TierRule {
    fn of(rule: &Value, peers: &str) -> Self {
        let list = |field: &str, read: fn(&Value) -> TierPort| {
            let listed = rule[field].as_array();
            listed.map(|it| it.iter().map(read).collect())
        };
        Self {
            action: match rule["action"].as_str() {
                Some("Accept" | "Allow") => Action::Accept,
                Some("Pass") => Action::Pass,
                _ => Action::Deny,
            },
            peers: items(&rule[peers]).iter().map(TierPeer::of).collect(),
            ports: list("ports", port).or_else(|| list("protocols", port_of_protocol)),
        }
    }
}

impl TierPeer {
    fn of(peer: &Value) -> Self {
        if let Some(networks) = peer["networks"].as_array() {
            return Self::Networks(networks.iter().filter_map(Network::of).collect());
        }
        let pods = Pods::of(peer).map(Self::Pods);
        let nodes = || Selector::of(&peer["nodes"]).map(Self::Nodes);
        pods.or_else(nodes).unwrap_or(Self::Unknown)
    }
}

/// An entry of `ports`, v1alpha1.
fn port(entry: &Value) -> TierPort {
    let protocol = |of: &Value| protocol(&of["protocol"]).unwrap_or(Protocol::Tcp);
    let single = &entry["portNumber"];
    let range = &entry["portRange"];
    let name = entry["namedPort"].as_str();
    if let Some(number) = number(&single["port"]) {
        return TierPort::Range(protocol(single), number, number);
    }
    if let (Some(start), Some(end)) = (number(&range["start"]), number(&range["end"])) {
        return TierPort::Range(protocol(range), start, end);
    }
    name.map_or(TierPort::Unknown, |name| TierPort::Name(name.to_owned()))
}

/// An entry of `protocols`, v1alpha2.
fn port_of_protocol(entry: &Value) -> TierPort {
    let protocols = [
        ("tcp", Protocol::Tcp),
        ("udp", Protocol::Udp),
        ("sctp", Protocol::Sctp),
    ];
    for (field, protocol) in protocols {
        let port = &entry[field]["destinationPort"];
        let range = &port["range"];
        if let Some(number) = number(&port["number"]) {
            return TierPort::Range(protocol, number, number);
        }
        if let (Some(start), Some(end)) = (number(&range["start"]), number(&range["end"])) {
            return TierPort::Range(protocol, start, end);
        }
    }
    let name = entry["destinationNamedPort"].as_str();
    name.map_or(TierPort::Unknown, |name| TierPort::Name(name.to_owned()))
}
