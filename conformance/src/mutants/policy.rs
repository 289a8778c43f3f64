//! `NetworkPolicy` objects as a mutant reads them: as they are written, with its own idea of what is missing.

use std::net::IpAddr;

use serde_json::Value;
use sluice_policy::Protocol;

use super::closed::closed;
use super::fault::{Fault, Faulty};
use super::selector::{Network, Selector, items};
use crate::case::{Object, ObjectName};

#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) pods: Selector,
    /// None where it does not isolate.
    pub(super) ingress: Option<Vec<Rule>>,
    pub(super) egress: Option<Vec<Rule>>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// None for every peer.
    pub(super) peers: Option<Vec<Peer>>,
    /// None for every port.
    pub(super) ports: Option<Vec<Port>>,
}

#[derive(Clone, Debug)]
pub(super) enum Peer {
    Block(Network, Vec<Network>),
    Pods {
        namespaces: Option<Selector>,
        pods: Option<Selector>,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Port {
    /// None where it is not written.
    pub(super) protocol: Option<Protocol>,
    pub(super) number: Number,
}

#[derive(Clone, Debug)]
pub(super) enum Number {
    Any,
    Range(u16, u16),
    Name(String),
}

/// A protocol as the API writes it.
pub(super) fn protocol(value: &Value) -> Option<Protocol> {
    match value.as_str()? {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

pub(super) fn number(value: &Value) -> Option<u16> {
    value.as_u64()?.try_into().ok()
}

impl Policy {
    /// What is left of an object that is not valid.
    pub(super) fn closed(object: &Object, faulty: Faulty) -> Self {
        Self::of(object.name(), &closed(object.value(), faulty), faulty)
    }

    /// Of a valid spec.
    pub(super) fn of(name: &ObjectName, spec: &Value, faulty: Faulty) -> Self {
        let has_rules = |field: &str| !items(&spec[field]).is_empty();
        let (mut ingress, mut egress) = types(spec, faulty);
        if faulty.has(Fault::RulesAddTypes) {
            ingress |= has_rules("ingress");
            egress |= has_rules("egress");
        }
        if faulty.has(Fault::BothDirections) {
            (ingress, egress) = (true, true);
        }
        let rules = |field: &str, peers: &str| {
            let rules = items(&spec[field]).iter();
            rules.map(|rule| Rule::of(rule, peers)).collect()
        };
        Self {
            namespace: name.namespace.clone(),
            name: name.name.clone(),
            pods: Selector::of(&spec["podSelector"]).unwrap_or_default(),
            ingress: ingress.then(|| rules("ingress", "from")),
            egress: egress.then(|| rules("egress", "to")),
        }
    }
}

/// Whether a policy isolates for ingress and for egress.
fn types(spec: &Value, faulty: Faulty) -> (bool, bool) {
    let has_rules = |field: &str| !items(&spec[field]).is_empty();
    let listed = items(&spec["policyTypes"]);
    if faulty.has(Fault::TypesIgnored) {
        return (has_rules("ingress"), has_rules("egress"));
    }
    if listed.is_empty() {
        let egress = match faulty.0 {
            Some(Fault::DefaultEgressAlways) => true,
            Some(Fault::DefaultEgressNever) => false,
            _ => has_rules("egress"),
        };
        return (true, egress);
    }
    let has = |wanted: &str| listed.iter().any(|it| it.as_str() == Some(wanted));
    (has("Ingress"), has("Egress"))
}

impl Rule {
    fn of(rule: &Value, peers: &str) -> Self {
        let list = |field: &str| Some(items(&rule[field])).filter(|it| !it.is_empty());
        Self {
            peers: list(peers).map(|it| it.iter().filter_map(Peer::of).collect()),
            ports: list("ports").map(|it| it.iter().map(Port::of).collect()),
        }
    }
}

impl Peer {
    fn of(peer: &Value) -> Option<Self> {
        let block = &peer["ipBlock"];
        if block.is_object() {
            let except = items(&block["except"]).iter().filter_map(Network::of);
            return Some(Self::Block(Network::of(&block["cidr"])?, except.collect()));
        }
        Some(Self::Pods {
            namespaces: Selector::of(&peer["namespaceSelector"]),
            pods: Selector::of(&peer["podSelector"]),
        })
    }

    /// Whether it is a block that has an address among its exceptions.
    pub(super) fn excepts(&self, address: IpAddr, faulty: Faulty) -> bool {
        let Self::Block(network, except) = self else {
            return false;
        };
        let is_in = |it: &Network| it.contains(address, faulty);
        is_in(network) && except.iter().any(is_in)
    }
}

impl Port {
    fn of(port: &Value) -> Self {
        let first = &port["port"];
        let last = number(&port["endPort"]);
        let number = match number(first) {
            Some(first) => Number::Range(first, last.unwrap_or(first)),
            None => first
                .as_str()
                .map_or(Number::Any, |name| Number::Name(name.to_owned())),
        };
        Self {
            protocol: protocol(&port["protocol"]),
            number,
        }
    }
}
