//! The oracle: `NetworkPolicy` v1 and the tiers around it, read sentence by sentence and written down slowly.
//!
//! Every function says in our own words what the API text says, and does nothing else. It works on the API's own
//! objects and on the pods, namespaces and nodes of a [`World`]. It owns its selectors ([`select`]) and networks
//! ([`network`]); from `sluice-policy` it takes values, never a decision. Where the text leaves something open it knows
//! each [`Reading`], and [`judge`] decides what all of some readings agree about.
#![forbid(unsafe_code)]

mod api;
mod cell;
mod closed;
mod family;
mod network;
mod reading;
mod select;
mod tiers;

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use sluice_kubernetes::World;
use sluice_policy::{Labels, Pod, Protocol};

use tiers::{Direction, Said, Tier, Tiers};

pub use cell::{Cell, Port, PortError, ServiceName, Target};
pub use family::Family;
pub use reading::{
    Finality, HostNetwork, Judgement, OwnNode, Reading, Ties, Topic, judge, oracles,
};

/// Says what the API text says about a world.
#[derive(Debug)]
pub struct Oracle<'w> {
    world: &'w World,
    tiers: Tiers,
    /// What is left of invalid policies.
    closed: Vec<NetworkPolicy>,
    reading: Reading,
}

/// A connection that is asked about.
#[derive(Clone, Copy)]
struct Connection<'w> {
    source: &'w Pod,
    source_address: IpAddr,
    destination: &'w Pod,
    destination_address: IpAddr,
    protocol: Protocol,
    port: u16,
}

impl<'w> Connection<'w> {
    fn from(&self) -> End<'w> {
        End {
            pod: self.source,
            address: self.source_address,
        }
    }

    fn to(&self) -> End<'w> {
        End {
            pod: self.destination,
            address: self.destination_address,
        }
    }
}

impl<'w> Oracle<'w> {
    /// An oracle on the policies of a world. Those that are not valid fail closed for what they select.
    pub fn new(world: &'w World) -> Self {
        Self::reading(world, Reading::default())
    }

    /// The same, by one reading of what is open.
    pub fn reading(world: &'w World, reading: Reading) -> Self {
        let invalid = world.api_invalid_policies.iter();
        Self {
            world,
            tiers: Tiers::of(world, reading.ties),
            closed: invalid.map(closed::closed).collect(),
            reading,
        }
    }

    /// Whether a pod may open a connection to a port of another. False where one of them has no address of the family,
    /// as there is nothing to connect.
    pub fn allowed(
        &self,
        source: &Pod,
        destination: &Pod,
        family: Family,
        protocol: Protocol,
        port: u16,
    ) -> bool {
        let (Some(source_address), Some(destination_address)) =
            (family.address(source), family.address(destination))
        else {
            return false;
        };
        let connection = Connection {
            source,
            source_address,
            destination,
            destination_address,
            protocol,
            port,
        };
        // A pod cannot be kept from itself.
        if source.name == destination.name {
            return true;
        }
        // Both the egress policy of the source and the ingress policy of the destination must allow a connection.
        self.egress_allowed(&connection) && self.ingress_allowed(&connection)
    }

    /// A pod that a `NetworkPolicy` isolates for egress may open those connections that at least one rule of at least one
    /// of the policies that isolate it allows.
    fn egress_allowed(&self, connection: &Connection<'_>) -> bool {
        self.is_to_own_node(connection)
            || self.tiers_allow(Direction::Egress, connection, || {
                let mut isolating = self.isolating(connection.source, "Egress").peekable();
                isolating.peek()?;
                Some(isolating.any(|policy| egress_rules_allow(self, policy, connection)))
            })
    }

    /// The same for ingress; in addition, connections from the pod's own node are always allowed.
    fn ingress_allowed(&self, connection: &Connection<'_>) -> bool {
        self.is_from_own_node(connection)
            || self.tiers_allow(Direction::Ingress, connection, || {
                let mut isolating = self.isolating(connection.destination, "Ingress").peekable();
                isolating.peek()?;
                Some(isolating.any(|policy| ingress_rules_allow(self, policy, connection)))
            })
    }

    /// "Policy tiers are evaluated in the following order: Admin, NetworkPolicy, Baseline. v1.NetworkPolicy always makes
    /// a final decision for selected pods", which is read as: in the directions that it isolates them in. "If a
    /// connection wasn't allowed or denied by any of the tiers, all pods can communicate with each other."
    fn tiers_allow(
        &self,
        direction: Direction,
        connection: &Connection<'_>,
        network_policy: impl Fn() -> Option<bool>,
    ) -> bool {
        let ask = |tier| match self.tiers.ask(self.world, tier, direction, connection) {
            Said::Accept => Some(true),
            Said::Deny => Some(false),
            Said::Nothing => None,
        };
        ask(Tier::Admin)
            .or_else(network_policy)
            .or_else(|| self.is_final(direction, connection).then_some(true))
            .or_else(|| ask(Tier::Baseline))
            .unwrap_or(true)
    }

    /// Whether a policy that isolates the pod in the other direction alone has had the last word in this one.
    fn is_final(&self, direction: Direction, connection: &Connection<'_>) -> bool {
        let (subject, other) = match direction {
            Direction::Ingress => (connection.destination, "Egress"),
            Direction::Egress => (connection.source, "Ingress"),
        };
        self.reading.finality == Finality::Pod && self.isolating(subject, other).next().is_some()
    }

    /// The policies that isolate a pod in a direction: those of its namespace whose `podSelector` matches it and whose
    /// `policyTypes` have the direction. A pod in the network of its node is the node as far as policies can tell, and
    /// no policy isolates it.
    fn isolating<'p>(
        &'p self,
        pod: &'p Pod,
        direction: &'static str,
    ) -> impl Iterator<Item = &'p NetworkPolicy> + 'p {
        let is_node = pod.host_network && self.reading.host_network == HostNetwork::Node;
        let isolates = move |policy: &&NetworkPolicy| {
            let is_of_namespace =
                policy.metadata.namespace.as_deref() == Some(&*pod.name.namespace);
            // An empty podSelector matches all pods of the namespace.
            let is_selected = |spec: &NetworkPolicySpec| {
                let selector = spec.pod_selector.as_ref();
                selector.is_none_or(|selector| select::matches(selector, &pod.labels))
            };
            let spec = policy.spec.as_ref();
            let isolates = |spec| is_selected(spec) && has_type(spec, direction);
            !is_node && is_of_namespace && spec.is_some_and(isolates)
        };
        let valid = self.world.api_policies.iter();
        valid.chain(&self.closed).filter(isolates)
    }

    /// Whether the source is the node that the destination runs on, and no pod that can be told from it.
    fn is_from_own_node(&self, connection: &Connection<'_>) -> bool {
        let is_pod =
            connection.source.host_network && self.reading.host_network == HostNetwork::Pod;
        !is_pod && self.is_of_node(connection.destination, connection.source_address)
    }

    /// Whether the destination is the node that the source runs on, where that is always allowed.
    fn is_to_own_node(&self, connection: &Connection<'_>) -> bool {
        self.reading.own_node == OwnNode::Allowed
            && self.is_of_node(connection.source, connection.destination_address)
    }

    /// Whether an address is one of the pod's node.
    fn is_of_node(&self, pod: &Pod, address: IpAddr) -> bool {
        let own = pod.node.as_ref();
        let mut nodes = self.world.nodes.iter();
        nodes.any(|node| own == Some(&node.name) && node.addresses.contains(&address))
    }

    fn namespace_labels(&self, name: &str) -> Option<&'w Labels> {
        self.world
            .namespaces
            .iter()
            .find(|namespace| &*namespace.name == name)
            .map(|namespace| &namespace.labels)
    }
}

/// The types of a policy are those that it lists. The API server fills them in where they are missing: Ingress always,
/// and Egress where there are egress rules.
fn has_type(spec: &NetworkPolicySpec, direction: &str) -> bool {
    match spec.policy_types.as_deref() {
        Some(types) if !types.is_empty() => types.iter().any(|listed| listed == direction),
        _ => direction == "Ingress" || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    }
}

/// A policy without ingress rules allows nothing in.
fn ingress_rules_allow(
    oracle: &Oracle<'_>,
    policy: &NetworkPolicy,
    connection: &Connection<'_>,
) -> bool {
    let rules = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.ingress.as_deref())
        .unwrap_or_default();
    let peer = connection.from();
    for rule in rules {
        // A connection must match both parts of a rule.
        if peers_match(oracle, policy, rule.from.as_deref(), &peer)
            && ports_match(oracle, rule.ports.as_deref(), connection)
        {
            return true;
        }
    }
    false
}

/// A policy without egress rules allows nothing out.
fn egress_rules_allow(
    oracle: &Oracle<'_>,
    policy: &NetworkPolicy,
    connection: &Connection<'_>,
) -> bool {
    let rules = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.egress.as_deref())
        .unwrap_or_default();
    let peer = connection.to();
    for rule in rules {
        if peers_match(oracle, policy, rule.to.as_deref(), &peer)
            && ports_match(oracle, rule.ports.as_deref(), connection)
        {
            return true;
        }
    }
    false
}

/// The other end of a connection, seen from the pod that a policy is about.
struct End<'w> {
    pod: &'w Pod,
    address: IpAddr,
}

/// Where `from` or `to` is missing or empty, every peer matches. Otherwise one of the entries must.
fn peers_match(
    oracle: &Oracle<'_>,
    policy: &NetworkPolicy,
    entries: Option<&[NetworkPolicyPeer]>,
    peer: &End<'_>,
) -> bool {
    let entries = entries.unwrap_or_default();
    entries.is_empty()
        || entries
            .iter()
            .any(|entry| peer_matches(oracle, policy, entry, peer))
}

/// An entry is either an `ipBlock` alone, or selects pods.
fn peer_matches(
    oracle: &Oracle<'_>,
    policy: &NetworkPolicy,
    entry: &NetworkPolicyPeer,
    peer: &End<'_>,
) -> bool {
    if let Some(block) = &entry.ip_block {
        return block_matches(block, peer.address);
    }
    // Pods in the network of their node that cannot be told from it are matched by no selector.
    if peer.pod.host_network && oracle.reading.host_network == HostNetwork::Node {
        return false;
    }
    // Without a namespaceSelector the policy's own namespace is meant; an empty one matches every namespace.
    let namespace_matches = match &entry.namespace_selector {
        None => policy.metadata.namespace.as_deref() == Some(&*peer.pod.name.namespace),
        Some(selector) => oracle
            .namespace_labels(&peer.pod.name.namespace)
            .is_some_and(|labels| select::matches(selector, labels)),
    };
    // Without a podSelector all pods of those namespaces are meant; an empty one matches every pod.
    let pod_matches = match &entry.pod_selector {
        None => entry.namespace_selector.is_some(),
        Some(selector) => select::matches(selector, &peer.pod.labels),
    };
    namespace_matches && pod_matches
}

/// A block matches the addresses within its `cidr` that are in none of its `except`.
fn block_matches(block: &IPBlock, address: IpAddr) -> bool {
    let is_excepted = block
        .except
        .as_deref()
        .unwrap_or_default()
        .iter()
        .any(|part| network::contains(part, address));
    network::contains(&block.cidr, address) && !is_excepted
}

/// Where `ports` is missing or empty, every port of every protocol matches. Otherwise one of the entries must.
fn ports_match(
    oracle: &Oracle<'_>,
    entries: Option<&[NetworkPolicyPort]>,
    connection: &Connection<'_>,
) -> bool {
    let entries = entries.unwrap_or_default();
    entries.is_empty()
        || entries
            .iter()
            .any(|entry| port_matches(oracle, entry, connection))
}

/// The protocol must be the entry's, TCP where it has none. Without a port, every port of the protocol matches; with a
/// number, that one, or those up to and including `endPort`; with a name, the port that the destination pod has under
/// that name for that protocol.
fn port_matches(
    oracle: &Oracle<'_>,
    entry: &NetworkPolicyPort,
    connection: &Connection<'_>,
) -> bool {
    let protocol = entry.protocol.as_deref().unwrap_or("TCP");
    if name_of(connection.protocol) != protocol {
        return false;
    }
    let port = i32::from(connection.port);
    match (&entry.port, entry.end_port) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), None) => *first == port,
        (Some(IntOrString::Int(first)), Some(last)) => *first <= port && port <= last,
        (Some(IntOrString::String(name)), _) => {
            let is_node = connection.destination.host_network
                && oracle.reading.host_network == HostNetwork::Node;
            !is_node && has_port(connection, name)
        }
    }
}

/// A protocol as the API writes it; others have no name in it.
fn name_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
        Protocol::Other(_) => "other",
    }
}

/// Whether the destination has the port of the connection under a name.
fn has_port(connection: &Connection<'_>, name: &str) -> bool {
    let is_it = |port: &sluice_policy::ContainerPort| {
        port.name.as_deref() == Some(name)
            && port.protocol == connection.protocol
            && port.port == connection.port
    };
    connection.destination.ports.iter().any(is_it)
}
