//! Whether two snapshots hold the same. Numbers of selections and identities depend on the order of events, so
//! they are compared by what they stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;

use crate::address::{Address, Prefix};
use crate::ports::{Named, Order, Segment};
use crate::selection::{SelectionId, SelectionKey};
use crate::snapshot::Entry;
use crate::table::{Group, Reason, Table};
use crate::tiers::{POLICY_TIERS, Tiers};
use crate::{Direction, Pod, PolicyId, Snapshot};

/// Everything about an address that a verdict can depend on, and the pod.
#[derive(PartialEq)]
struct Facts<'s> {
    pod: Option<&'s Pod>,
    local: bool,
    nodes: &'s [Arc<str>],
    /// Selections that some rule has as a peer.
    selections: BTreeSet<&'s SelectionKey>,
    /// By tier and direction.
    tables: Vec<[Option<Rules<'s>>; 2]>,
}

/// A table without numbers.
#[derive(PartialEq)]
struct Rules<'s> {
    isolated_by: Option<&'s PolicyId>,
    reasons: &'s [Reason],
    any: GroupPorts<'s>,
    peers: BTreeMap<&'s SelectionKey, GroupPorts<'s>>,
    blocks: Vec<BlockPorts<'s>>,
}

/// A network, its exceptions and its ports.
type BlockPorts<'s> = (Prefix, &'s [(u128, u128)], GroupPorts<'s>);
type GroupPorts<'s> = (Order, &'s [Segment], &'s [Named]);

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        let addresses: BTreeSet<Address> = self
            .addresses
            .iter()
            .chain(other.addresses.iter())
            .map(|(address, _)| address)
            .collect();
        let keys = [self, other].map(Snapshot::peer_keys);
        self.counts == other.counts
            && addresses
                .iter()
                .all(|address| self.facts(*address, &keys[0]) == other.facts(*address, &keys[1]))
    }
}

impl Snapshot {
    /// The selections that some rule has as a peer.
    fn peer_keys(&self) -> HashMap<SelectionId, &SelectionKey> {
        let pods = self
            .addresses
            .iter()
            .filter_map(|(_, entry)| entry.pod.as_deref());
        let tables = pods
            .filter_map(|pod| self.tiers(pod))
            .flat_map(Tiers::tables);
        tables
            .flat_map(|table| {
                table
                    .selections
                    .iter()
                    .copied()
                    .zip(table.keys.iter().map(Arc::as_ref))
            })
            .collect()
    }

    fn facts<'s>(
        &'s self,
        address: Address,
        keys: &HashMap<SelectionId, &'s SelectionKey>,
    ) -> Option<Facts<'s>> {
        let entry = self.addresses.get(address)?;
        let pod = entry.pod.as_deref();
        let selections = pod.map_or(&[][..], |pod| self.selections(pod));
        let tiers = pod.and_then(|pod| self.tiers(pod));
        Some(Facts {
            pod: pod.map(|view| &view.pod),
            local: pod.is_some_and(|pod| pod.standing.local),
            nodes: Entry::nodes(entry),
            selections: selections
                .iter()
                .chain(entry.node_selections())
                .filter_map(|id| keys.get(id).copied())
                .collect(),
            tables: tiers.map_or_else(Vec::new, by_tier),
        })
    }
}

fn by_tier(tiers: &Tiers) -> Vec<[Option<Rules<'_>>; 2]> {
    let of = |tier| {
        [Direction::Ingress, Direction::Egress]
            .map(|direction| tiers.table(tier, direction).map(rules))
    };
    POLICY_TIERS.map(of).into()
}

fn rules(table: &Table) -> Rules<'_> {
    let peers = table.keys.iter().zip(&table.selections);
    let exceptions = |bounds: (u32, u32)| &table.exceptions[bounds.0 as usize..bounds.1 as usize];
    let blocks = table.blocks.iter();
    Rules {
        isolated_by: table.isolated_by.as_deref(),
        reasons: &table.reasons,
        any: ports(table, &table.any),
        peers: peers
            .filter_map(|(key, id)| Some((&**key, ports(table, table.peers.get(*id)?))))
            .collect(),
        blocks: blocks
            .map(|b| (b.prefix, exceptions(b.exceptions), ports(table, &b.group)))
            .collect(),
    }
}

fn ports<'t>(table: &'t Table, group: &Group) -> GroupPorts<'t> {
    let segments = &table.segments[group.segments.0 as usize..group.segments.1 as usize];
    (
        group.all,
        segments,
        &table.named[group.named.0 as usize..group.named.1 as usize],
    )
}
