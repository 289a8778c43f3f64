//! From policies to tables. Policies hold their peers as selection numbers and prefixes; the tables of an
//! identity are those of all policies that select it, merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::address::Prefix;
use crate::ports::{NEVER, Named, Order, PortSet, PortSetBuilder, Segment};
use crate::selection::{SelectionId, SelectionKey, Selections, Within};
use crate::table::{Block, Group, PeerGroups, Reason, Table, Tables};
use crate::{NetworkPolicy, Peer, Peers, PolicyId, Ports, Rule};

/// A policy with its selections resolved.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The object.
    pub(crate) object: NetworkPolicy,
    /// Its subjects.
    pub(crate) subjects: SelectionId,
    id: Arc<PolicyId>,
    ingress: Option<Vec<CompiledRule>>,
    egress: Option<Vec<CompiledRule>>,
}

/// The peers of a rule; none where every peer matches. Its ports stay with the object.
#[derive(Debug)]
struct CompiledRule(Option<Vec<CompiledPeer>>);

#[derive(Debug)]
enum CompiledPeer {
    Selection(SelectionId),
    Block(BlockKey),
}

/// A network and the ranges that are not meant, sorted and disjoint.
type BlockKey = (Prefix, Box<[(u128, u128)]>);

impl Policy {
    /// Resolves a policy; [`Policy::release`] gives its selections back.
    pub(crate) fn new(object: NetworkPolicy, selections: &mut Selections) -> Self {
        let within = Within::Named(Arc::clone(&object.namespace));
        let subjects = selections.acquire(SelectionKey {
            namespaces: within,
            pods: object.pods.clone(),
        });
        let mut compile = |rules: &Option<Vec<Rule>>| -> Option<Vec<CompiledRule>> {
            let rules = rules.as_ref()?.iter();
            Some(
                rules
                    .map(|rule| compile_rule(rule, &object.namespace, selections))
                    .collect(),
            )
        };
        let (ingress, egress) = (compile(&object.ingress), compile(&object.egress));
        let (namespace, name) = (Arc::clone(&object.namespace), Arc::clone(&object.name));
        Self {
            object,
            subjects,
            id: Arc::new(PolicyId::NetworkPolicy { namespace, name }),
            ingress,
            egress,
        }
    }

    /// Gives up the selections that it names.
    pub(crate) fn release(self, selections: &mut Selections) {
        selections.release(self.subjects);
        for CompiledRule(peers) in self.ingress.iter().chain(&self.egress).flatten() {
            for peer in peers.iter().flatten() {
                if let CompiledPeer::Selection(id) = peer {
                    selections.release(*id);
                }
            }
        }
    }
}

/// The tables of an identity that these policies select, in name order.
pub(crate) fn tables(policies: &[&Policy], selections: &Selections) -> Tables {
    let ingress = policies.iter().filter_map(|policy| {
        Some((
            &policy.id,
            policy.ingress.as_deref()?,
            policy.object.ingress.as_deref()?,
        ))
    });
    let egress = policies.iter().filter_map(|policy| {
        Some((
            &policy.id,
            policy.egress.as_deref()?,
            policy.object.egress.as_deref()?,
        ))
    });
    Tables {
        ingress: table(ingress, selections),
        egress: table(egress, selections),
    }
}

fn table<'p>(
    policies: impl Iterator<Item = (&'p Arc<PolicyId>, &'p [CompiledRule], &'p [Rule])>,
    selections: &Selections,
) -> Option<Table> {
    let mut builder = TableBuilder::default();
    for (id, compiled, rules) in policies {
        builder.isolated_by.get_or_insert_with(|| Arc::clone(id));
        for (rule, (compiled, object)) in (0..).zip(compiled.iter().zip(rules)) {
            builder.add(
                Reason {
                    policy: Arc::clone(id),
                    rule,
                },
                compiled,
                &object.ports,
            );
        }
    }
    builder.finish(selections)
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

#[derive(Default)]
struct TableBuilder<'p> {
    isolated_by: Option<Arc<PolicyId>>,
    reasons: Vec<Reason>,
    any: PortSetBuilder,
    peers: BTreeMap<SelectionId, PortSetBuilder>,
    blocks: BTreeMap<&'p BlockKey, PortSetBuilder>,
}

impl<'p> TableBuilder<'p> {
    fn add(&mut self, reason: Reason, rule: &'p CompiledRule, ports: &Ports) {
        let order =
            Order::try_from(self.reasons.len()).expect("fewer than 2^32 rules fit into memory");
        self.reasons.push(reason);
        let Some(peers) = &rule.0 else {
            return self.any.add(ports, order);
        };
        for peer in peers {
            match peer {
                CompiledPeer::Selection(id) => self.peers.entry(*id).or_default().add(ports, order),
                CompiledPeer::Block(key) => self.blocks.entry(key).or_default().add(ports, order),
            }
        }
    }

    /// The table; none where no policy isolates.
    fn finish(self, selections: &Selections) -> Option<Table> {
        let isolated_by = self.isolated_by?;
        let mut any = self.any.finish(NEVER);
        let mut peers = without_empty(self.peers, any.all);
        let mut blocks = without_empty(self.blocks, any.all);

        let others = peers
            .iter_mut()
            .map(|(_, set)| set)
            .chain(blocks.iter_mut().map(|(_, set)| set));
        let used = renumber(std::iter::once(&mut any).chain(others).collect());
        let mut reasons = self.reasons.into_iter().map(Some).collect::<Vec<_>>();
        let reasons = used
            .into_iter()
            .filter_map(|order| reasons[order as usize].take())
            .collect();

        let mut flat = Flat::default();
        let any = flat.group(any);
        let key = |id: &SelectionId| {
            Arc::clone(
                &selections
                    .get(*id)
                    .expect("tables name selections in use")
                    .key,
            )
        };
        let keys = peers.iter().map(|(id, _)| key(id)).collect();
        let groups: Vec<_> = peers
            .into_iter()
            .map(|(id, set)| (id, flat.group(set)))
            .collect();
        let blocks: Box<[Block]> = blocks
            .into_iter()
            .map(|(key, set)| flat.block(key, set))
            .collect();
        let mut lengths: Vec<u8> = blocks.iter().map(|block| block.prefix.length).collect();
        lengths.dedup();
        Some(Table {
            isolated_by,
            reasons,
            any,
            peers: PeerGroups::new(&groups),
            selections: groups.into_iter().map(|(id, _)| id).collect(),
            keys,
            lengths: lengths.into(),
            blocks,
            exceptions: flat.exceptions.into(),
            segments: flat.segments.into(),
            named: flat.named.into(),
        })
    }
}

/// Finishes the sets of a map, without those where an earlier rule for every peer has it all.
fn without_empty<K: Ord>(sets: BTreeMap<K, PortSetBuilder>, earlier: Order) -> Vec<(K, PortSet)> {
    let finished = sets
        .into_iter()
        .map(|(key, ports)| (key, ports.finish(earlier)));
    finished.filter(|(_, ports)| !ports.is_empty()).collect()
}

/// Numbers the orders that still occur without gaps, so that rules which never speak leave no trace; the old
/// orders.
fn renumber(mut sets: Vec<&mut PortSet>) -> Vec<Order> {
    let mut used: Vec<Order> = sets
        .iter()
        .flat_map(|set| set.orders())
        .filter(|order| *order != NEVER)
        .collect();
    used.sort_unstable();
    used.dedup();
    let number = |order: Order| {
        used.binary_search(&order)
            .ok()
            .and_then(|index| Order::try_from(index).ok())
    };
    for set in &mut sets {
        set.map_orders(|order| number(order).unwrap_or(NEVER));
    }
    used
}

/// The flat parts of a table in the making.
#[derive(Default)]
struct Flat {
    segments: Vec<Segment>,
    named: Vec<Named>,
    exceptions: Vec<(u128, u128)>,
}

impl Flat {
    fn group(&mut self, set: PortSet) -> Group {
        Group {
            all: set.all,
            segments: append(&mut self.segments, set.segments),
            named: append(&mut self.named, set.named),
        }
    }

    fn block(&mut self, (prefix, exceptions): &BlockKey, set: PortSet) -> Block {
        let exceptions = append(&mut self.exceptions, exceptions.to_vec());
        Block {
            prefix: *prefix,
            exceptions,
            group: self.group(set),
        }
    }
}

/// Appends items; where they are then.
fn append<T>(to: &mut Vec<T>, items: Vec<T>) -> (u32, u32) {
    let end =
        |to: &Vec<T>| u32::try_from(to.len()).expect("fewer than 2^32 entries fit into memory");
    let start = end(to);
    to.extend(items);
    (start, end(to))
}
