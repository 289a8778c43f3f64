//! From policies to tables. The tables of an identity in a tier are those of all policies of that tier that select
//! it, merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ports::{NEVER, Named, Order, PortSet, PortSetBuilder, Segment};
use crate::resolve::{BlockKey, CompiledPeer, Line, Policy};
use crate::selection::{SelectionId, Selections};
use crate::table::{Block, Group, PeerGroups, Reason, Table, Tables};
use crate::{AdminAction, Direction, PolicyId, Tier};

/// The tables of an identity that these policies of one tier select, in the order in which they are asked.
pub(crate) fn tables(policies: &[&Policy], selections: &Selections) -> Tables {
    Tables {
        ingress: table(policies, Direction::Ingress, selections),
        egress: table(policies, Direction::Egress, selections),
    }
}

fn table(policies: &[&Policy], direction: Direction, selections: &Selections) -> Option<Table> {
    let mut builder = TableBuilder::default();
    for policy in policies {
        let Some(lines) = policy.lines(direction) else {
            continue;
        };
        builder.speaks = true;
        if policy.object.tier() == Tier::NetworkPolicy {
            builder
                .isolated_by
                .get_or_insert_with(|| Arc::clone(&policy.id));
        }
        for (rule, line) in (0..).zip(lines) {
            let (policy, action) = (Arc::clone(&policy.id), line.action);
            builder.add(
                Reason {
                    policy,
                    rule,
                    action,
                },
                &line,
            );
        }
    }
    builder.finish(selections)
}

#[derive(Default)]
struct TableBuilder<'p> {
    /// Whether a policy speaks of this direction at all.
    speaks: bool,
    isolated_by: Option<Arc<PolicyId>>,
    reasons: Vec<Reason>,
    any: PortSetBuilder,
    peers: BTreeMap<SelectionId, PortSetBuilder>,
    blocks: BTreeMap<&'p BlockKey, PortSetBuilder>,
}

impl<'p> TableBuilder<'p> {
    fn add(&mut self, reason: Reason, line: &Line<'p>) {
        let order =
            Order::try_from(self.reasons.len()).expect("fewer than 2^32 rules fit into memory");
        self.reasons.push(reason);
        let Some(peers) = &line.peers.0 else {
            return line.ports.add_to(&mut self.any, order);
        };
        for peer in peers {
            let set = match peer {
                CompiledPeer::Selection(id) => self.peers.entry(*id).or_default(),
                CompiledPeer::Block(key) => self.blocks.entry(key).or_default(),
            };
            line.ports.add_to(set, order);
        }
    }

    /// The table; none where no policy speaks of the direction.
    fn finish(self, selections: &Selections) -> Option<Table> {
        if !self.speaks {
            return None;
        }
        let mut any = self.any.finish(NEVER);
        let mut peers = without_empty(self.peers, any.all);
        let mut blocks = without_empty(self.blocks, any.all);

        let others = peers
            .iter_mut()
            .map(|(_, set)| set)
            .chain(blocks.iter_mut().map(|(_, set)| set));
        let used = renumber(std::iter::once(&mut any).chain(others).collect());
        let mut reasons = self.reasons.into_iter().map(Some).collect::<Vec<_>>();
        let reasons: Box<[Reason]> = used
            .into_iter()
            .filter_map(|order| reasons[order as usize].take())
            .collect();
        let can_deny = |reason: &Reason| reason.action == AdminAction::Deny;

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
            denies: self.isolated_by.is_some() || reasons.iter().any(can_deny),
            isolated_by: self.isolated_by,
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
