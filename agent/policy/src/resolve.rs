//! Policies with their peers as selection numbers and prefixes, so that what they name is kept while they are there.
//! Of either shape: a line is a rule of a NetworkPolicy or of an admin policy.

use std::sync::Arc;

use crate::address::Prefix;
use crate::policies::Object;
use crate::ports::{Order, PortSetBuilder};
use crate::selection::{SelectionId, SelectionKey, Selections, Within};
use crate::{AdminAction, AdminPeer, AdminPeers, AdminPolicy, AdminPorts, AdminRule, Direction};
use crate::{NetworkPolicy, Peer, Peers, PodsOf, PolicyId, Ports, Rule};

/// A policy with its selections resolved.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The object.
    pub(crate) object: Object,
    /// Its name.
    pub(crate) id: Arc<PolicyId>,
    /// Its subjects.
    pub(crate) subjects: SelectionId,
    ingress: Vec<CompiledRule>,
    egress: Vec<CompiledRule>,
}

/// The peers of a rule; none where every peer matches. Its ports stay with the object.
#[derive(Debug)]
pub(crate) struct CompiledRule(pub(crate) Option<Vec<CompiledPeer>>);

/// An entry of a rule's peers.
#[derive(Debug)]
pub(crate) enum CompiledPeer {
    /// Pods or nodes.
    Selection(SelectionId),
    /// Addresses.
    Block(BlockKey),
}

/// A network and the ranges that are not meant, sorted and disjoint.
pub(crate) type BlockKey = (Prefix, Box<[(u128, u128)]>);

/// A rule on its way into a table.
pub(crate) struct Line<'p> {
    /// What it does with what it matches.
    pub(crate) action: AdminAction,
    /// Its peers.
    pub(crate) peers: &'p CompiledRule,
    /// Its ports.
    pub(crate) ports: LinePorts<'p>,
}

/// The ports of a rule, in either shape.
#[derive(Clone, Copy)]
pub(crate) enum LinePorts<'p> {
    /// Of a NetworkPolicy.
    Network(&'p Ports),
    /// Of an admin policy.
    Admin(&'p AdminPorts),
}

impl Policy {
    /// Resolves a policy; [`Policy::release`] gives its selections back.
    pub(crate) fn new(object: Object, selections: &mut Selections) -> Self {
        let id = Arc::new(object.id());
        let (subjects, [ingress, egress]) = match &object {
            Object::Network(policy) => {
                let subjects = selections.acquire(SelectionKey {
                    namespaces: Within::Named(Arc::clone(&policy.namespace)),
                    pods: policy.pods.clone(),
                });
                let rules = [&policy.ingress, &policy.egress].map(|rules| {
                    let rules = rules.iter().flatten();
                    rules
                        .map(|rule| compile_rule(rule, &policy.namespace, selections))
                        .collect()
                });
                (subjects, rules)
            }
            Object::Admin(policy) => {
                let subjects = selections.acquire(SelectionKey::from(&policy.subject));
                let rules = [&policy.ingress, &policy.egress].map(|rules| {
                    let rules = rules.iter();
                    rules
                        .map(|rule| compile_admin_rule(rule, selections))
                        .collect()
                });
                (subjects, rules)
            }
        };
        Self {
            object,
            id,
            subjects,
            ingress,
            egress,
        }
    }

    /// Gives up the selections that it names.
    pub(crate) fn release(self, selections: &mut Selections) {
        selections.release(self.subjects);
        for CompiledRule(peers) in self.ingress.iter().chain(&self.egress) {
            for peer in peers.iter().flatten() {
                if let CompiledPeer::Selection(id) = peer {
                    selections.release(*id);
                }
            }
        }
    }

    /// The rules of a direction; none where the policy does not speak of it.
    pub(crate) fn lines(&self, direction: Direction) -> Option<Vec<Line<'_>>> {
        let compiled = match direction {
            Direction::Ingress => self.ingress.iter(),
            Direction::Egress => self.egress.iter(),
        };
        match &self.object {
            Object::Network(policy) => {
                let lines = compiled.zip(policy.rules(direction)?).map(Line::network);
                Some(lines.collect())
            }
            Object::Admin(policy) => {
                let lines: Vec<_> = compiled
                    .zip(policy.rules(direction))
                    .map(Line::admin)
                    .collect();
                (!lines.is_empty()).then_some(lines)
            }
        }
    }
}

impl NetworkPolicy {
    fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

impl AdminPolicy {
    fn rules(&self, direction: Direction) -> &[AdminRule] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

impl<'p> Line<'p> {
    fn network((peers, rule): (&'p CompiledRule, &'p Rule)) -> Self {
        Self {
            action: AdminAction::Allow,
            peers,
            ports: LinePorts::Network(&rule.ports),
        }
    }

    fn admin((peers, rule): (&'p CompiledRule, &'p AdminRule)) -> Self {
        Self {
            action: rule.action,
            peers,
            ports: LinePorts::Admin(&rule.ports),
        }
    }
}

impl LinePorts<'_> {
    /// Adds them to a set.
    pub(crate) fn add_to(self, set: &mut PortSetBuilder, order: Order) {
        match self {
            Self::Network(ports) => set.add(ports, order),
            Self::Admin(ports) => set.add_admin(ports, order),
        }
    }
}

impl From<&PodsOf> for SelectionKey {
    fn from(PodsOf { namespaces, pods }: &PodsOf) -> Self {
        Self {
            namespaces: Within::Matching(namespaces.clone()),
            pods: pods.clone(),
        }
    }
}

fn compile_rule(rule: &Rule, own: &Arc<str>, selections: &mut Selections) -> CompiledRule {
    let Peers::Of(peers) = &rule.peers else {
        return CompiledRule(None);
    };
    let compile = |peer: &Peer| match peer {
        Peer::Pods { namespaces, pods } => CompiledPeer::Selection(
            selections.acquire(SelectionKey::of_peer(namespaces, pods, own)),
        ),
        Peer::Block { cidr, except } => {
            let prefix = Prefix::from(*cidr);
            let except = except.iter().map(|net| Prefix::from(*net));
            // An exception of the other family covers nothing of the block.
            let of_family = except.filter(|other| other.is_ipv4() == prefix.is_ipv4());
            CompiledPeer::Block((prefix, merge(of_family.map(Prefix::range).collect())))
        }
    };
    CompiledRule(Some(peers.iter().map(compile).collect()))
}

fn compile_admin_rule(rule: &AdminRule, selections: &mut Selections) -> CompiledRule {
    let AdminPeers::Of(peers) = &rule.peers else {
        return CompiledRule(None);
    };
    let mut compiled = Vec::new();
    for peer in peers {
        match peer {
            AdminPeer::Pods(pods) => {
                let selection = selections.acquire(SelectionKey::from(pods));
                compiled.push(CompiledPeer::Selection(selection));
            }
            AdminPeer::Nodes(nodes) => {
                let selection = selections.acquire(SelectionKey {
                    namespaces: Within::Nodes,
                    pods: nodes.clone(),
                });
                compiled.push(CompiledPeer::Selection(selection));
            }
            AdminPeer::Networks(networks) => {
                let blocks = networks
                    .iter()
                    .map(|net| (Prefix::from(*net), Box::default()));
                compiled.extend(blocks.map(CompiledPeer::Block));
            }
        }
    }
    CompiledRule(Some(compiled))
}

/// Sorts ranges and joins those that touch.
fn merge(mut ranges: Vec<(u128, u128)>) -> Box<[(u128, u128)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}
