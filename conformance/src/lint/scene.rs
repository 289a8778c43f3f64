//! Policies of all kinds in one shape, and who they select.

use std::collections::HashMap;

use ipnet::IpNet;
use serde_json::Value;
use sluice_kubernetes::{World, Written};
use sluice_policy::{
    AdminAction, AdminPeer, AdminPeers, AdminPolicy, AdminPort, AdminPorts, Labels, Namespaces,
    NetworkPolicy, Peer, Peers, Pod, Port, PortMatch, Ports, Protocol, Rule as PolicyRule,
    Selector,
};

/// Everything that rules look at.
pub(super) struct Scene<'w> {
    pub(super) world: &'w World,
    /// Those that policies can select: not ended, and not in the network of their node.
    pub(super) pods: Vec<&'w Pod>,
    pub(super) policies: Vec<Policy<'w>>,
    namespaces: HashMap<&'w str, &'w Labels>,
}

/// A policy of any kind.
pub(super) struct Policy<'w> {
    /// Its place among all.
    pub(super) number: usize,
    pub(super) written: &'w Written,
    pub(super) json: Value,
    pub(super) subject: Pods<'w>,
    /// Of an admin policy.
    pub(super) admin: Option<&'w AdminPolicy>,
    /// Whether it isolates pods for egress: a `NetworkPolicy` whose types name it.
    pub(super) isolates_egress: bool,
    pub(super) rules: Vec<Rule<'w>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// Pods by namespace and label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pods<'w> {
    pub(super) namespaces: Within<'w>,
    pub(super) pods: &'w Selector,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within<'w> {
    /// One, by name.
    Own(&'w str),
    Matching(&'w Selector),
}

/// A rule of any kind of policy.
pub(super) struct Rule<'w> {
    pub(super) direction: Direction,
    /// `spec.ingress[0]`.
    pub(super) field: String,
    /// Always Allow of a `NetworkPolicy`.
    pub(super) action: AdminAction,
    /// None where everybody is meant.
    pub(super) peers: Option<Vec<PeerOf<'w>>>,
    /// None where every port is meant.
    pub(super) ports: Option<Vec<PortOf<'w>>>,
}

/// One entry of `from` or `to`, with its field.
pub(super) struct PeerOf<'w> {
    pub(super) field: String,
    pub(super) kind: PeerKind<'w>,
}

pub(super) enum PeerKind<'w> {
    Pods(Pods<'w>),
    Nodes(&'w Selector),
    Block(&'w IpNet, &'w [IpNet]),
    Networks(&'w [IpNet]),
}

/// One entry of `ports` or `protocols`, with its field.
pub(super) struct PortOf<'w> {
    pub(super) field: String,
    /// None where a name stands for ports of any protocol.
    pub(super) protocol: Option<Protocol>,
    pub(super) kind: PortKind<'w>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PortKind<'w> {
    Any,
    Range(u16, u16),
    Named(&'w str),
}

impl<'w> Scene<'w> {
    pub(super) fn of(world: &'w World, written: &'w [Written]) -> Self {
        let pods = world.pods.iter().filter(|facts| !facts.ended);
        let pods = pods.map(|facts| &facts.pod);
        let namespaces = world.namespaces.iter().map(|it| (&*it.name, &it.labels));
        let policies = written.iter().filter_map(|it| policy(world, it));
        Self {
            world,
            pods: pods.filter(|pod| !pod.host_network).collect(),
            policies: policies
                .enumerate()
                .map(|(number, policy)| Policy { number, ..policy })
                .collect(),
            namespaces: namespaces.collect(),
        }
    }

    /// Whether pods are among these, whatever network they are in.
    pub(super) fn selects(&self, pods: &Pods<'_>, pod: &Pod) -> bool {
        self.is_within(pods.namespaces, &pod.name.namespace) && pods.pods.matches(&pod.labels)
    }

    /// The pods that are among these.
    pub(super) fn selected(&self, pods: &Pods<'_>) -> Vec<&'w Pod> {
        let all = self.pods.iter().copied();
        all.filter(|pod| self.selects(pods, pod)).collect()
    }

    pub(super) fn is_within(&self, within: Within<'_>, namespace: &str) -> bool {
        match within {
            Within::Own(name) => name == namespace,
            Within::Matching(selector) => {
                let labels = self.namespaces.get(namespace);
                labels.is_some_and(|labels| selector.matches(labels))
            }
        }
    }

    /// Rules of all policies.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&Policy<'w>, &Rule<'w>)> {
        let policies = self.policies.iter();
        policies.flat_map(|policy| policy.rules.iter().map(move |rule| (policy, rule)))
    }

    /// The pods whose ports a rule names: those that it protects, or those that may be reached.
    pub(super) fn receivers(&self, policy: &Policy<'_>, rule: &Rule<'_>) -> Vec<&'w Pod> {
        if rule.direction == Direction::Ingress {
            return self.selected(&policy.subject);
        }
        let Some(peers) = &rule.peers else {
            return self.pods.clone();
        };
        let is_meant = |pod: &&Pod| peers.iter().any(|peer| self.is_peer(peer, pod));
        self.pods.iter().copied().filter(is_meant).collect()
    }

    /// Whether a pod is meant by a peer.
    pub(super) fn is_peer(&self, peer: &PeerOf<'_>, pod: &Pod) -> bool {
        let is_in = |nets: &[IpNet]| {
            let mut addresses = pod.addresses.iter();
            addresses.any(|it| nets.iter().any(|net| net.contains(it)))
        };
        match &peer.kind {
            PeerKind::Pods(pods) => self.selects(pods, pod),
            PeerKind::Nodes(_) => false,
            PeerKind::Block(cidr, except) => {
                let mut addresses = pod.addresses.iter();
                addresses.any(|it| cidr.contains(it) && !except.iter().any(|net| net.contains(it)))
            }
            PeerKind::Networks(nets) => is_in(nets),
        }
    }
}

impl Policy<'_> {
    /// Whether it is a `NetworkPolicy`.
    pub(super) fn is_namespaced(&self) -> bool {
        self.admin.is_none()
    }

    /// Its rules of a direction.
    pub(super) fn of(&self, direction: Direction) -> impl Iterator<Item = &Rule<'_>> {
        let rules = self.rules.iter();
        rules.filter(move |rule| rule.direction == direction)
    }
}

/// None where the world has no such policy, as of one that is declared twice.
fn policy<'w>(world: &'w World, written: &'w Written) -> Option<Policy<'w>> {
    if written.kind == "NetworkPolicy" {
        let is_it =
            |it: &&NetworkPolicy| it.namespace == written.namespace && it.name == written.name;
        return world
            .policies
            .iter()
            .find(is_it)
            .map(|it| network_policy(it, written));
    }
    let is_it = |it: &&AdminPolicy| {
        let kind = it.name.to_string();
        it.name.name == written.name && kind.starts_with(written.kind)
    };
    let found = world.admin_policies.iter().find(is_it);
    found.map(|it| admin_policy(it, written))
}

fn network_policy<'w>(policy: &'w NetworkPolicy, written: &'w Written) -> Policy<'w> {
    let mut rules = Vec::new();
    for (direction, own) in [
        (Direction::Ingress, &policy.ingress),
        (Direction::Egress, &policy.egress),
    ] {
        let own = own.iter().flatten().enumerate();
        rules.extend(own.map(|(at, rule)| network_rule(policy, direction, at, rule)));
    }
    Policy {
        number: 0,
        written,
        json: written.json(),
        subject: Pods {
            namespaces: Within::Own(&policy.namespace),
            pods: &policy.pods,
        },
        admin: None,
        isolates_egress: policy.egress.is_some(),
        rules,
    }
}

fn network_rule<'w>(
    policy: &'w NetworkPolicy,
    direction: Direction,
    at: usize,
    rule: &'w PolicyRule,
) -> Rule<'w> {
    let field = direction.field(at);
    let kind = |peer: &'w Peer| match peer {
        Peer::Pods { namespaces, pods } => PeerKind::Pods(Pods {
            namespaces: match namespaces {
                Namespaces::Own => Within::Own(&policy.namespace),
                Namespaces::Matching(selector) => Within::Matching(selector),
            },
            pods,
        }),
        Peer::Block { cidr, except } => PeerKind::Block(cidr, except),
    };
    let peers = match &rule.peers {
        Peers::Any => None,
        Peers::Of(some) => Some(peers(&field, direction, some.iter().map(kind))),
    };
    let ports = match &rule.ports {
        Ports::Any => None,
        Ports::Of(some) => Some(
            some.iter()
                .enumerate()
                .map(|(at, it)| numbered(format!("{field}.ports[{at}]"), it))
                .collect(),
        ),
    };
    Rule {
        direction,
        field,
        action: AdminAction::Allow,
        peers,
        ports,
    }
}

fn admin_policy<'w>(policy: &'w AdminPolicy, written: &'w Written) -> Policy<'w> {
    let mut rules = Vec::new();
    let json = written.json();
    for (direction, own) in [
        (Direction::Ingress, &policy.ingress),
        (Direction::Egress, &policy.egress),
    ] {
        for (at, rule) in own.iter().enumerate() {
            let field = direction.field(at);
            let list = match json.pointer(&format!("/{}/protocols", field_pointer(direction, at))) {
                Some(_) => "protocols",
                None => "ports",
            };
            let kind = |peer: &'w AdminPeer| match peer {
                AdminPeer::Pods(of) => PeerKind::Pods(pods_of(of)),
                AdminPeer::Nodes(selector) => PeerKind::Nodes(selector),
                AdminPeer::Networks(nets) => PeerKind::Networks(nets),
            };
            rules.push(Rule {
                direction,
                action: rule.action,
                peers: match &rule.peers {
                    AdminPeers::Any => None,
                    AdminPeers::Of(some) => Some(peers(&field, direction, some.iter().map(kind))),
                },
                ports: match &rule.ports {
                    AdminPorts::Any => None,
                    AdminPorts::Of(some) => {
                        let some = some.iter().enumerate();
                        Some(
                            some.map(|(at, it)| admin_port(format!("{field}.{list}[{at}]"), it))
                                .collect(),
                        )
                    }
                },
                field,
            });
        }
    }
    Policy {
        number: 0,
        written,
        json,
        subject: pods_of(&policy.subject),
        admin: Some(policy),
        isolates_egress: false,
        rules,
    }
}

fn field_pointer(direction: Direction, at: usize) -> String {
    let name = direction.name();
    format!("spec/{name}/{at}")
}

fn pods_of(of: &sluice_policy::PodsOf) -> Pods<'_> {
    Pods {
        namespaces: Within::Matching(&of.namespaces),
        pods: &of.pods,
    }
}

fn peers<'w>(
    field: &str,
    direction: Direction,
    kinds: impl Iterator<Item = PeerKind<'w>>,
) -> Vec<PeerOf<'w>> {
    let list = direction.list();
    let one = |(at, kind)| PeerOf {
        field: format!("{field}.{list}[{at}]"),
        kind,
    };
    kinds.enumerate().map(one).collect()
}

fn numbered(field: String, entry: &PortMatch) -> PortOf<'_> {
    let kind = match &entry.port {
        Port::Any => PortKind::Any,
        Port::Range(first, last) => PortKind::Range(*first, *last),
        Port::Named(name) => PortKind::Named(name),
    };
    PortOf {
        field,
        protocol: Some(entry.protocol),
        kind,
    }
}

fn admin_port(field: String, entry: &AdminPort) -> PortOf<'_> {
    match entry {
        AdminPort::Numbered(numbers) => numbered(field, numbers),
        AdminPort::Named(name) => PortOf {
            field,
            protocol: None,
            kind: PortKind::Named(name),
        },
    }
}

impl Direction {
    pub(super) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The field of peers.
    pub(super) const fn list(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }

    fn field(self, at: usize) -> String {
        format!("spec.{}[{at}]", self.name())
    }
}
