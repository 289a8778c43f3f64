//! The tiers around `NetworkPolicy`, read sentence by sentence: `AdminNetworkPolicy`, `BaselineAdminNetworkPolicy` and
//! `ClusterNetworkPolicy`.

use std::net::IpAddr;

use sluice_kubernetes::World;
use sluice_policy::{Labels, Pod};

use super::api::{
    AdminObject, DestinationPort, Peer, Pods, Port, Protocol, ProtocolPort, Range, Rule,
};
use super::{Connection, End, Ties, has_port, name_of, network, select};

/// A tier of policies that is not that of `NetworkPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    /// `AdminNetworkPolicy` is the Admin tier of v1alpha1.
    Admin,
    /// `BaselineAdminNetworkPolicy` is the Baseline tier of v1alpha1.
    Baseline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// What a tier says. A Pass says nothing: "skips all further rules in the current tier, and passes evaluation to the
/// next".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Accept,
    Deny,
    Nothing,
}

/// The objects of a world, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Tiers {
    objects: Vec<AdminObject>,
    ties: Ties,
}

impl Tiers {
    /// Objects that do not have the API's shape are none of the API's.
    pub(super) fn of(world: &World, ties: Ties) -> Self {
        let objects = world.api_admin_policies.iter().cloned();
        let mut objects: Vec<AdminObject> = objects
            .filter_map(|object| serde_json::from_value(object).ok())
            .collect();
        // "Policies with lower priority values are checked before policies with higher priority values." A
        // BaselineAdminNetworkPolicy, which has none, comes last.
        objects.sort_by_key(|object| {
            let priority = object.spec.priority.unwrap_or(u32::MAX);
            (priority, object.metadata.name.clone(), object.kind.clone())
        });
        Self { objects, ties }
    }

    /// What a tier says about one direction of a connection.
    pub(super) fn ask(
        &self,
        world: &World,
        tier: Tier,
        direction: Direction,
        connection: &Connection<'_>,
    ) -> Said {
        let subject = match direction {
            Direction::Ingress => connection.destination,
            Direction::Egress => connection.source,
        };
        let is_about_it = |object: &&AdminObject| {
            tier_of(object) == tier && pods_match(world, &object.spec.subject, subject)
        };
        let policies: Vec<&AdminObject> = self.objects.iter().filter(is_about_it).collect();
        for tied in policies.chunk_by(|one, other| one.spec.priority == other.spec.priority) {
            let found = tied.iter();
            let found: Vec<Action> = found
                .filter_map(|object| first_match(world, object, direction, connection))
                .collect();
            // Which of equal ones comes first is up to implementations.
            let preferred = found.iter().find(|action| self.ties.prefers(**action));
            match preferred.or(found.first()) {
                Some(Action::Accept) => return Said::Accept,
                Some(Action::Deny) => return Said::Deny,
                Some(Action::Pass) => return Said::Nothing,
                None => {}
            }
        }
        Said::Nothing
    }
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Accept,
    Deny,
    Pass,
}

impl Ties {
    fn prefers(self, action: Action) -> bool {
        match self {
            Self::ByName => false,
            Self::Accepting => action == Action::Accept,
            Self::Denying => action == Action::Deny,
            Self::Passing => action == Action::Pass,
        }
    }
}

/// The action of a policy's first rule for a connection: "the relative precedence of rules within a single object is
/// determined by the order in which they are written."
fn first_match(
    world: &World,
    object: &AdminObject,
    direction: Direction,
    connection: &Connection<'_>,
) -> Option<Action> {
    let peer = match direction {
        Direction::Ingress => connection.from(),
        Direction::Egress => connection.to(),
    };
    for rule in rules(object, direction) {
        let peers = match direction {
            Direction::Ingress => &rule.from,
            Direction::Egress => &rule.to,
        };
        let peers = peers.as_deref().unwrap_or_default();
        // "If an implementation sees no fields are set, it should fail closed. For Accept rules, treat the rule as
        // matching no traffic. For Deny and Pass rules, treat the rule as a 'Deny all' rule."
        if peers.iter().any(is_unknown) {
            if is_accept(rule) {
                continue;
            }
            return Some(Action::Deny);
        }
        // "If any element matches, then the specified action is applied."
        let matches = peers.iter().any(|entry| peer_matches(world, entry, &peer));
        if matches && ports_match(rule, connection) {
            return Some(match rule.action.as_str() {
                _ if is_accept(rule) => Action::Accept,
                "Pass" => Action::Pass,
                _ => Action::Deny,
            });
        }
    }
    None
}

fn tier_of(object: &AdminObject) -> Tier {
    match (object.kind.as_str(), object.spec.tier.as_deref()) {
        ("BaselineAdminNetworkPolicy", _) | (_, Some("Baseline")) => Tier::Baseline,
        _ => Tier::Admin,
    }
}

/// Policies with no rules of a direction do not affect it.
fn rules(object: &AdminObject, direction: Direction) -> &[Rule] {
    let rules = match direction {
        Direction::Ingress => &object.spec.ingress,
        Direction::Egress => &object.spec.egress,
    };
    rules.as_deref().unwrap_or_default()
}

/// v1alpha2 calls Accept what v1alpha1 calls Allow.
fn is_accept(rule: &Rule) -> bool {
    matches!(rule.action.as_str(), "Allow" | "Accept")
}

fn is_unknown(peer: &Peer) -> bool {
    peer.pods.namespaces.is_none()
        && peer.pods.pods.is_none()
        && peer.nodes.is_none()
        && peer.networks.is_none()
}

fn peer_matches(world: &World, entry: &Peer, end: &End<'_>) -> bool {
    // "Nodes selects the IPs present in the status.addresses of the nodes that the selector matches."
    if let Some(selector) = &entry.nodes {
        return world.nodes.iter().any(|node| {
            select::matches(selector, &node.labels) && node.addresses.contains(&end.address)
        });
    }
    // "Cluster-internal traffic will be checked against networks as well."
    if let Some(networks) = &entry.networks {
        return in_any(networks, end.address);
    }
    pods_match(world, &entry.pods, end.pod)
}

fn in_any(networks: &[String], address: IpAddr) -> bool {
    networks.iter().any(|cidr| network::contains(cidr, address))
}

/// "Host-networked pods are not included", neither in subjects nor in peers.
fn pods_match(world: &World, selected: &Pods, pod: &Pod) -> bool {
    if pod.host_network {
        return false;
    }
    let Some(labels) = namespace_labels(world, pod) else {
        return false;
    };
    match (&selected.namespaces, &selected.pods) {
        // "All pods within a set of namespaces."
        (Some(namespaces), _) => select::matches(namespaces, labels),
        // "Pods via namespace AND pod selectors."
        (None, Some(both)) => {
            select::matches(&both.namespace_selector, labels)
                && select::matches(&both.pod_selector, &pod.labels)
        }
        (None, None) => false,
    }
}

fn namespace_labels<'w>(world: &'w World, pod: &Pod) -> Option<&'w Labels> {
    let namespaces = world.namespaces.iter();
    let own = namespaces.filter(|namespace| namespace.name == pod.name.namespace);
    own.map(|namespace| &namespace.labels).next()
}

/// "If ports is not set then the rule does not filter traffic via port", and the same for protocols.
fn ports_match(rule: &Rule, connection: &Connection<'_>) -> bool {
    match (&rule.ports, &rule.protocols) {
        (Some(ports), _) => ports.iter().any(|entry| port_matches(entry, connection)),
        (None, Some(some)) => some.iter().any(|entry| protocol_matches(entry, connection)),
        (None, None) => true,
    }
}

fn port_matches(entry: &Port, connection: &Connection<'_>) -> bool {
    // "If protocol is not specified, this field defaults to TCP."
    let is_protocol = |protocol: &Option<String>| {
        name_of(connection.protocol) == protocol.as_deref().unwrap_or("TCP")
    };
    let port = connection.port;
    if let Some(number) = &entry.number {
        return is_protocol(&number.protocol) && number.port == port;
    }
    // "An inclusive range of ports."
    if let Some(range) = &entry.range {
        return is_protocol(&range.protocol) && range.start <= port && port <= range.end;
    }
    let name = entry.name.as_deref();
    name.is_some_and(|name| pod_has_port(connection, name))
}

/// "Host-networked pods are not included": their ports are ports of the node, which have no names.
fn pod_has_port(connection: &Connection<'_>, name: &str) -> bool {
    !connection.destination.host_network && has_port(connection, name)
}

fn protocol_matches(entry: &Protocol, connection: &Connection<'_>) -> bool {
    let is = |name: &str, wanted: &Option<ProtocolPort>| {
        let matches = |wanted: &ProtocolPort| {
            let DestinationPort { number, range } = &wanted.destination_port;
            let in_range = |range: &Range| (range.start..=range.end).contains(&connection.port);
            *number == Some(connection.port) || range.as_ref().is_some_and(in_range)
        };
        name_of(connection.protocol) == name && wanted.as_ref().is_some_and(matches)
    };
    // "DestinationNamedPort selects a destination port on a pod based on the ContainerPort name", number and protocol.
    let name = entry.destination_named_port.as_deref();
    is("TCP", &entry.tcp)
        || is("UDP", &entry.udp)
        || is("SCTP", &entry.sctp)
        || name.is_some_and(|name| pod_has_port(connection, name))
}
