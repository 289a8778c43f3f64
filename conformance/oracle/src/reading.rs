//! What the API text leaves open, and what is true all the same.
//!
//! The API group's documentation says of pods in the network of their node that their behaviour is "undefined but it
//! should be limited to 2 possibilities"; of connections between a pod and its node that they are "always allowed", where
//! the field's text says so of ingress alone; and of `NetworkPolicy` that it "always makes a final decision for selected
//! pods", whichever directions it isolates. Of admin policies with the same priority any may come first. An enforcer is
//! right by any of these; a case is decided where all agree.

use std::fmt;

use sluice_kubernetes::World;
use sluice_policy::Pod;

use crate::{Family, Oracle, Port};

/// What a pod in the network of its node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostNetwork {
    /// Its node: no selector matches it, and no policy isolates it.
    #[default]
    Node,
    /// A pod like others: selectors match it, and policies isolate it.
    Pod,
}

/// What a pod may send to the node that it runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnNode {
    /// What its egress policies allow.
    #[default]
    ByPolicy,
    /// Everything.
    Allowed,
}

/// What a `NetworkPolicy` decides finally, so that no Baseline tier is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Finality {
    /// The directions that it isolates a pod in.
    #[default]
    Direction,
    /// Both directions of the pods that it selects.
    Pod,
}

/// Which of the policies of one tier and priority that have a rule for a connection comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ties {
    /// The one whose name does, in alphabetical order, then the one whose kind does.
    #[default]
    ByName,
    /// One that accepts it, where there is one.
    Accepting,
    /// One that denies it, where there is one.
    Denying,
    /// One that passes it on, where there is one.
    Passing,
}

impl Ties {
    const ALL: [Self; 4] = [Self::ByName, Self::Accepting, Self::Denying, Self::Passing];
}

/// One way to read all that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reading {
    /// Of pods in the network of their node.
    pub host_network: HostNetwork,
    /// Of connections to the pod's own node.
    pub own_node: OwnNode,
    /// Of `NetworkPolicy` before the Baseline tier.
    pub finality: Finality,
    /// Of admin policies that have the same priority.
    pub ties: Ties,
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// [`Reading::host_network`].
    HostNetwork,
    /// [`Reading::own_node`].
    OwnNode,
    /// [`Reading::finality`].
    Finality,
    /// [`Reading::ties`].
    Ties,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNetwork => "pods in the network of their node",
            Self::OwnNode => "what a pod may send to its own node",
            Self::Finality => "whether a policy of one direction is final in both",
            Self::Ties => "which of two policies of one priority comes first",
        })
    }
}

/// What is true of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Judgement {
    /// Every reading allows it.
    Allowed,
    /// Every reading denies it.
    Denied,
    /// Readings disagree, for these reasons.
    Open(Vec<Topic>),
}

impl Reading {
    /// Every reading there is.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for host_network in [HostNetwork::Node, HostNetwork::Pod] {
            for own_node in [OwnNode::ByPolicy, OwnNode::Allowed] {
                for finality in [Finality::Direction, Finality::Pod] {
                    all.extend(Ties::ALL.map(|ties| Self {
                        host_network,
                        own_node,
                        finality,
                        ties,
                    }));
                }
            }
        }
        all
    }

    /// What sets it apart from another.
    fn differs(self, other: Self) -> Vec<Topic> {
        let mut topics = Vec::new();
        if self.host_network != other.host_network {
            topics.push(Topic::HostNetwork);
        }
        if self.own_node != other.own_node {
            topics.push(Topic::OwnNode);
        }
        if self.finality != other.finality {
            topics.push(Topic::Finality);
        }
        if self.ties != other.ties {
            topics.push(Topic::Ties);
        }
        topics
    }
}

/// What readings have in common about a connection between two pods of a world. `oracles` are of one world, each of its
/// own reading; there is at least one.
pub fn judge(
    oracles: &[Oracle<'_>],
    source: &Pod,
    destination: &Pod,
    family: Family,
    port: Port,
) -> Judgement {
    let ask = |oracle: &Oracle<'_>| {
        oracle.allowed(source, destination, family, port.protocol, port.number)
    };
    let mut said = oracles.iter().map(ask);
    match said.next() {
        Some(true) if said.all(|other| other) => Judgement::Allowed,
        Some(false) if !said.any(|other| other) => Judgement::Denied,
        _ => Judgement::Open(reasons(
            oracles,
            &oracles.iter().map(ask).collect::<Vec<_>>(),
        )),
    }
}

/// The topics by which two readings differ that say different things, the fewest first.
fn reasons(oracles: &[Oracle<'_>], said: &[bool]) -> Vec<Topic> {
    let pairs = oracles.iter().zip(said).enumerate();
    let differing = pairs.flat_map(|(number, (one, one_said))| {
        let others = oracles.iter().zip(said).skip(number + 1);
        others
            .filter(move |(_, other_said)| one_said != *other_said)
            .map(move |(other, _)| one.reading.differs(other.reading))
    });
    differing.min_by_key(Vec::len).unwrap_or_default()
}

/// Oracles of a world, one for each reading that can make a difference in it.
pub fn oracles<'w>(world: &'w World, readings: &[Reading]) -> Vec<Oracle<'w>> {
    let has_hosts = world.pods.iter().any(|facts| facts.pod.host_network);
    let has_tiers = !world.api_admin_policies.is_empty();
    let mut kept: Vec<Reading> = Vec::new();
    for reading in readings {
        let is_same = |other: &Reading| {
            (!has_hosts
                || (other.host_network, other.own_node) == (reading.host_network, reading.own_node))
                && (!has_tiers || (other.finality, other.ties) == (reading.finality, reading.ties))
        };
        if !kept.iter().any(is_same) {
            kept.push(*reading);
        }
    }
    let oracle = |reading: Reading| Oracle::reading(world, reading);
    kept.into_iter().map(oracle).collect()
}
