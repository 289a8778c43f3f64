//! An evaluator with at most one fault: its way from a connection to a verdict, tier by tier.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_oracle::{Family, Port};
use sluice_policy::{Labels, Pod, Protocol};

use super::fault::{Fault, Faulty};
use super::memory::Memory;
use super::tier::{Action, Pods, TierPeer, TierPort, TierRule};
use crate::runner::{Evaluator, Scene};

/// An evaluator of the suite's own, with a fault or, by default, without.
#[derive(Debug, Default)]
pub struct Mutant {
    pub(super) faulty: Faulty,
    pub(super) memory: Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// One end of a connection.
#[derive(Clone, Copy)]
pub(super) struct End<'m> {
    pub(super) pod: &'m Pod,
    pub(super) address: IpAddr,
}

/// A connection, seen from one of its ends.
#[derive(Clone, Copy)]
pub(super) struct Asked<'m> {
    pub(super) direction: Direction,
    pub(super) subject: End<'m>,
    pub(super) peer: End<'m>,
    pub(super) port: Port,
}

impl<'m> Asked<'m> {
    pub(super) fn source(&self) -> &'m Pod {
        match self.direction {
            Direction::Ingress => self.peer.pod,
            Direction::Egress => self.subject.pod,
        }
    }

    pub(super) fn destination(&self) -> &'m Pod {
        match self.direction {
            Direction::Ingress => self.subject.pod,
            Direction::Egress => self.peer.pod,
        }
    }
}

impl Evaluator for Mutant {
    fn begin(&mut self, scene: &Arc<Scene>) {
        self.memory = Memory::of(scene, self.faulty);
    }

    fn follow(&mut self, scene: &Arc<Scene>) {
        self.memory.follow(scene, self.faulty);
    }

    fn allows(&self, from: &Pod, to: &Pod, family: Family, port: Port) -> bool {
        let end = |pod: &Pod| {
            let address = family.address(pod)?;
            let first = self.memory.first_owners.get(&address);
            let pod = first.or_else(|| self.memory.pods.get(&pod.name))?;
            Some(End { pod, address })
        };
        let (Some(source), Some(destination)) = (end(from), end(to)) else {
            return false;
        };
        if from.name == to.name {
            return true;
        }
        self.connects(source, destination, port)
            || (self.faulty.has(Fault::BothWays) && self.connects(destination, source, port))
    }
}

impl Mutant {
    /// The one with a fault of that name, as [`super::Tried::id`] has it.
    pub fn of(id: &str) -> Option<Self> {
        let mut faults = Fault::ALL.iter();
        let fault = faults.find(|fault| fault.id() == id)?;
        Some(Self::with(*fault))
    }

    pub(super) fn with(fault: Fault) -> Self {
        Self {
            faulty: Faulty(Some(fault)),
            ..Self::default()
        }
    }

    fn connects(&self, source: End<'_>, destination: End<'_>, port: Port) -> bool {
        let asked = |direction, subject, peer| Asked {
            direction,
            subject,
            peer,
            port,
        };
        let egress = || self.direction(&asked(Direction::Egress, source, destination));
        let ingress = || self.direction(&asked(Direction::Ingress, destination, source));
        match self.faulty.0 {
            Some(Fault::OnlyIngress) => ingress(),
            Some(Fault::OnlyEgress) => egress(),
            Some(Fault::EitherEnd) => egress() || ingress(),
            _ => egress() && ingress(),
        }
    }

    fn direction(&self, asked: &Asked<'_>) -> bool {
        if self.is_free(asked) {
            return true;
        }
        let admin = self.admin(asked);
        let decided = match admin {
            Some(Action::Accept) => Some(true),
            Some(Action::Deny) => Some(false),
            _ => None,
        };
        let baseline = || self.baseline(asked);
        let network_policy = || self.network_policy(asked);
        let verdict = match self.faulty.0 {
            Some(Fault::NetworkPolicyFirst) => network_policy().or(decided).or_else(baseline),
            Some(Fault::BaselineFirst) => decided.or_else(baseline).or_else(network_policy),
            Some(Fault::AllowNotFinal) => decided
                .or_else(|| network_policy().filter(|allowed| !allowed))
                .or_else(baseline),
            Some(Fault::DenyNotFinal) => decided
                .or_else(|| network_policy().filter(|allowed| *allowed))
                .or_else(baseline)
                .or_else(network_policy),
            Some(Fault::PassSkipsNetworkPolicy) if admin == Some(Action::Pass) => baseline(),
            _ => decided.or_else(network_policy).or_else(baseline),
        };
        verdict.unwrap_or(true)
    }

    /// What is allowed whatever policies say.
    fn is_free(&self, asked: &Asked<'_>) -> bool {
        let is_of = |address: IpAddr| {
            let own = asked.subject.pod.node.as_ref();
            let mut nodes = self.memory.nodes.iter();
            let is_any = self.faulty.has(Fault::NodesAllowed);
            nodes.any(|node| {
                (is_any || own == Some(&node.name)) && node.addresses.contains(&address)
            })
        };
        let from_node = asked.direction == Direction::Ingress
            && is_of(asked.peer.address)
            && !self.faulty.has(Fault::NodeDenied);
        from_node
            || match self.faulty.0 {
                Some(Fault::UdpFree) => asked.port.protocol == Protocol::Udp,
                Some(Fault::SctpFree) => asked.port.protocol == Protocol::Sctp,
                Some(Fault::Ipv6Free) => asked.peer.address.is_ipv6(),
                _ => false,
            }
    }

    fn admin(&self, asked: &Asked<'_>) -> Option<Action> {
        if self.faulty.has(Fault::AdminIgnored) {
            return None;
        }
        match (self.tier(false, asked), self.faulty.0) {
            (Some(Action::Pass), Some(Fault::PassAccepts)) => Some(Action::Accept),
            (Some(Action::Pass), Some(Fault::PassDenies)) => Some(Action::Deny),
            (said, _) => said,
        }
    }

    fn baseline(&self, asked: &Asked<'_>) -> Option<bool> {
        if self.faulty.has(Fault::BaselineIgnored) {
            return None;
        }
        match self.tier(true, asked) {
            Some(Action::Accept) => Some(true),
            Some(Action::Deny) => Some(false),
            _ => None,
        }
    }

    /// What the first rule that matches says.
    fn tier(&self, is_baseline: bool, asked: &Asked<'_>) -> Option<Action> {
        let policies = self.memory.tiers.iter();
        let policies = policies.filter(|it| it.is_baseline == is_baseline);
        let of_subject = policies.filter(|it| {
            let subject = it.subject.as_ref();
            subject.is_some_and(|subject| {
                self.selects(subject, asked.subject.pod, Fault::SubjectPodsIgnored)
            })
        });
        let rules: Vec<&TierRule> = match asked.direction {
            Direction::Ingress => of_subject.flat_map(|it| &it.ingress).collect(),
            Direction::Egress if self.faulty.has(Fault::TierIngressAlone) => return None,
            Direction::Egress => of_subject.flat_map(|it| &it.egress).collect(),
        };
        let mut said = rules.iter().filter_map(|rule| self.rule(rule, asked));
        match self.faulty.0 {
            Some(Fault::LastRule) => said.next_back(),
            Some(Fault::PassNothing) => said.find(|action| *action != Action::Pass),
            Some(Fault::DenyWins) => {
                let said: Vec<Action> = said.collect();
                let deny = said.iter().find(|action| **action == Action::Deny);
                deny.or(said.first()).copied()
            }
            Some(Fault::AcceptIsolates) => said.next().or_else(|| {
                let accepts = |rule: &&TierRule| rule.action == Action::Accept;
                rules.iter().any(accepts).then_some(Action::Deny)
            }),
            _ => said.next(),
        }
    }

    /// What a rule says, where it matches.
    fn rule(&self, rule: &TierRule, asked: &Asked<'_>) -> Option<Action> {
        let is_unknown = |peer: &TierPeer| matches!(peer, TierPeer::Unknown);
        if rule.peers.iter().any(is_unknown) {
            return match rule.action {
                Action::Accept => self
                    .faulty
                    .has(Fault::UnknownAcceptsAll)
                    .then_some(Action::Accept),
                Action::Deny | Action::Pass => {
                    (!self.faulty.has(Fault::UnknownIgnored)).then_some(Action::Deny)
                }
            };
        }
        let is_port = |port: &TierPort| self.is_tier_port(port, asked);
        let ports = rule.ports.as_ref();
        let matches = rule.peers.iter().any(|peer| self.is_peer(peer, asked))
            && (self.faulty.has(Fault::TierPortsIgnored)
                || ports.is_none_or(|ports| ports.iter().any(is_port)));
        matches.then_some(rule.action)
    }

    fn is_peer(&self, peer: &TierPeer, asked: &Asked<'_>) -> bool {
        let End { pod, address } = asked.peer;
        match peer {
            TierPeer::Pods(pods) => self.selects(pods, pod, Fault::PeerPodsIgnored),
            TierPeer::Networks(networks) => {
                let is_missed = self.faulty.has(Fault::NetworksNotPods) && !pod.host_network;
                !is_missed && networks.iter().any(|it| it.contains(address, self.faulty))
            }
            TierPeer::Nodes(selector) => {
                let mut nodes = self.memory.nodes.iter();
                !self.faulty.has(Fault::NodesNobody)
                    && nodes.any(|node| {
                        node.addresses.contains(&address)
                            && selector.matches(&node.labels, self.faulty)
                    })
            }
            TierPeer::Unknown => false,
        }
    }

    /// Whether pods of namespaces are meant that a pod is among; `ignoring` is the fault of not looking at the pods.
    fn selects(&self, pods: &Pods, pod: &Pod, ignoring: Fault) -> bool {
        let selects = |labels: &Labels| {
            let own = pods.pods.as_ref().filter(|_| !self.faulty.has(ignoring));
            pods.namespaces.matches(labels, self.faulty)
                && own.is_none_or(|selector| selector.matches(&pod.labels, self.faulty))
        };
        !pod.host_network
            && self
                .namespace_labels(&pod.name.namespace)
                .is_some_and(selects)
    }

    pub(super) fn namespace_labels(&self, name: &str) -> Option<&Labels> {
        self.memory.namespaces.get(name)
    }

    fn is_tier_port(&self, port: &TierPort, asked: &Asked<'_>) -> bool {
        let own = asked.port;
        match port {
            TierPort::Range(protocol, first, last) => {
                let is_cut = self.faulty.has(Fault::RangeExclusive) && first < last;
                *protocol == own.protocol
                    && (*first..=*last).contains(&own.number)
                    && !(is_cut && own.number == *last)
            }
            TierPort::Name(name) => {
                let destination = asked.destination();
                !self.faulty.has(Fault::TierNamesNothing)
                    && !destination.host_network
                    && has_port(destination, name, own.protocol, own.number)
            }
            TierPort::Unknown => false,
        }
    }
}

/// Whether a container of a pod declares a port under a name.
pub(super) fn has_port(pod: &Pod, name: &str, protocol: Protocol, number: u16) -> bool {
    let is_it = |port: &sluice_policy::ContainerPort| {
        port.name.as_deref() == Some(name) && (port.protocol, port.port) == (protocol, number)
    };
    pod.ports.iter().any(is_it)
}
