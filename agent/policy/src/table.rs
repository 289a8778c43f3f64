//! The rules that apply to an identity in one direction, compiled for looking one peer and one port up. Flat: a
//! few slices, no pointers between them. How they come about is [`crate::compile`]'s business.

use std::ops::Range;
use std::sync::Arc;

use crate::address::{Address, Prefix};
use crate::ports::{NEVER, Named, Order, PortSet, PortSetBuilder, Segment};
use crate::selection::{SelectionId, SelectionKey};
use crate::snapshot::PodView;
use crate::{AdminAction, ContainerPort, Direction, PolicyId, Protocol};

/// The tables of an identity in one tier; none in a direction that no policy speaks of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tables {
    /// For connections to it.
    pub(crate) ingress: Option<Table>,
    /// For connections from it.
    pub(crate) egress: Option<Table>,
}

/// Rules by peer and port. Tables of one index that answer alike compare equal, up to rules whose peers overlap.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// The first policy in name order that isolates in this direction: what no rule matches is denied. Without one,
    /// the next tier is asked.
    pub(crate) isolated_by: Option<Arc<PolicyId>>,
    /// Whether it can deny anything.
    pub(crate) denies: bool,
    /// What [`Order`]s stand for.
    pub(crate) reasons: Box<[Reason]>,
    /// Rules for every peer.
    pub(crate) any: Group,
    /// The rules of selections.
    pub(crate) peers: PeerGroups,
    /// Selections that are peers, sorted.
    pub(crate) selections: Box<[SelectionId]>,
    /// What each of them selects.
    pub(crate) keys: Box<[Arc<SelectionKey>]>,
    /// The prefix lengths that occur.
    pub(crate) lengths: Box<[u8]>,
    /// Rules by network, sorted; one network may be there several times, with other exceptions.
    pub(crate) blocks: Box<[Block]>,
    /// Exceptions of blocks: first and last address, sorted and disjoint within a block.
    pub(crate) exceptions: Box<[(u128, u128)]>,
    /// Port segments of all groups.
    pub(crate) segments: Box<[Segment]>,
    /// Port names of all groups.
    pub(crate) named: Box<[Named]>,
}

/// Groups by selection: open addressing in one slice, as a search is the better part of a verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PeerGroups {
    places: Box<[(SelectionId, Group)]>,
}

/// Marks a place without a selection.
const FREE: SelectionId = SelectionId::MAX;

/// A rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The policy.
    pub(crate) policy: Arc<PolicyId>,
    /// Zero-based index of the rule.
    pub(crate) rule: u32,
    /// What it does with what it matches.
    pub(crate) action: AdminAction,
}

/// Ports of some peers: a [`PortSet`] within a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// The first rule that has every port.
    pub(crate) all: Order,
    /// Where its segments are.
    pub(crate) segments: (u32, u32),
    /// Where its names are.
    pub(crate) named: (u32, u32),
}

/// Ports of a network's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The network.
    pub(crate) prefix: Prefix,
    /// Where its exceptions are.
    pub(crate) exceptions: (u32, u32),
    /// Its rules.
    pub(crate) group: Group,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer<'s> {
    /// Its address.
    pub(crate) address: Address,
    /// The selections that its pod belongs to, sorted; none for what is no pod.
    pub(crate) selections: &'s [SelectionId],
    /// The selections that its node belongs to, sorted; none for what is no node.
    pub(crate) nodes: &'s [SelectionId],
}

/// What a connection is opened to.
#[derive(Clone, Copy)]
pub(crate) struct Service<'s> {
    /// The IP protocol.
    pub(crate) protocol: Protocol,
    /// The port number.
    pub(crate) port: u16,
    /// The pod at the destination, if it is one: it has the numbers of names.
    pub(crate) pod: Option<&'s PodView>,
}

impl Tables {
    /// The table of a direction.
    #[inline]
    pub(crate) fn of(&self, direction: Direction) -> Option<&Table> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }

    /// Both tables, where there are.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Table> {
        self.ingress.iter().chain(&self.egress)
    }
}

impl PeerGroups {
    /// The table of some selections.
    pub(crate) fn new(groups: &[(SelectionId, Group)]) -> Self {
        // At most two thirds full, so that a search soon meets a free place.
        let size = if groups.is_empty() {
            0
        } else {
            (groups.len() * 3 / 2 + 1).next_power_of_two()
        };
        let mut places = vec![(FREE, Group::default()); size];
        for (id, group) in groups {
            let free = Self::probe(*id, size).find(|place| places[*place].0 == FREE);
            places[free.expect("there are more places than groups")] = (*id, *group);
        }
        Self {
            places: places.into(),
        }
    }

    /// The rules of a selection.
    #[inline]
    pub(crate) fn get(&self, id: SelectionId) -> Option<&Group> {
        if self.places.is_empty() {
            return None;
        }
        let mut probe = Self::probe(id, self.places.len()).map(|place| &self.places[place]);
        let (found, group) = probe.find(|(found, _)| *found == id || *found == FREE)?;
        (*found == id).then_some(group)
    }

    /// The places where a selection can be, likeliest first. The numbers are given out by the index and follow one
    /// another, so spreading them needs no seed.
    #[inline]
    fn probe(id: SelectionId, size: usize) -> impl Iterator<Item = usize> {
        let start = (id.wrapping_mul(0x9e37_79b9) >> 7) as usize;
        (start..).map(move |place| place & (size - 1)).take(size)
    }
}

impl Table {
    /// The first rule that matches a connection, if one does.
    #[inline]
    pub(crate) fn first_match(&self, peer: Peer<'_>, service: Service<'_>) -> Option<&Reason> {
        let mut first = self.order(&self.any, service);
        self.each_selected(peer, |group| first = first.min(self.order(group, service)));
        if !self.blocks.is_empty() {
            self.each_block(peer.address, |group| {
                first = first.min(self.order(group, service));
            });
        }
        self.reasons.get(first as usize)
    }

    /// Whether some rule has a port by name.
    pub(crate) fn has_names(&self) -> bool {
        !self.named.is_empty()
    }

    /// All ports on which some rule matches a peer, with the first rule that does. Names are resolved on the ports that
    /// the destination declares.
    pub(crate) fn ports_of(&self, peer: Peer<'_>, declared: &[ContainerPort]) -> PortSet {
        let mut ports = PortSetBuilder::default();
        let mut add = |group: &Group| {
            ports.add_all(group.all);
            self.segments[range(group.segments)]
                .iter()
                .for_each(|segment| ports.add_segment(*segment));
            self.named[range(group.named)]
                .iter()
                .for_each(|named| ports.add_resolved(named, declared));
        };
        add(&self.any);
        self.each_selected(peer, &mut add);
        self.each_block(peer.address, &mut add);
        ports.finish(NEVER)
    }

    /// Visits the groups of the selections that a peer belongs to.
    #[inline]
    fn each_selected<'t>(&'t self, peer: Peer<'_>, mut visit: impl FnMut(&'t Group)) {
        self.each_of(peer.selections, &mut visit);
        // Few peers are nodes.
        if !peer.nodes.is_empty() {
            self.each_of(peer.nodes, visit);
        }
    }

    /// Visits the groups of some selections. The cost is that of the shorter side: neither many rules nor a peer in
    /// many selections make it long.
    #[inline]
    fn each_of<'t>(&'t self, selections: &[SelectionId], visit: impl FnMut(&'t Group)) {
        if self.selections.len() < selections.len() {
            let common = self
                .selections
                .iter()
                .filter(|id| selections.binary_search(id).is_ok());
            common.filter_map(|id| self.peers.get(*id)).for_each(visit);
        } else {
            selections
                .iter()
                .filter_map(|id| self.peers.get(*id))
                .for_each(visit);
        }
    }

    /// Visits the groups of the networks that an address is in.
    #[inline]
    fn each_block<'t>(&'t self, address: Address, mut visit: impl FnMut(&'t Group)) {
        for length in &self.lengths {
            let Some(prefix) = Prefix::around(address, *length) else {
                continue;
            };
            let start = self.blocks.partition_point(|block| block.prefix < prefix);
            for block in self.blocks[start..]
                .iter()
                .take_while(|block| block.prefix == prefix)
            {
                if !self.excepts(block, address) {
                    visit(&block.group);
                }
            }
        }
    }

    fn excepts(&self, block: &Block, address: Address) -> bool {
        let exceptions = &self.exceptions[range(block.exceptions)];
        let after = exceptions.partition_point(|(first, _)| *first <= address.bits());
        after > 0 && address.bits() <= exceptions[after - 1].1
    }

    /// The first rule of a group that has a port.
    #[inline]
    fn order(&self, group: &Group, service: Service<'_>) -> Order {
        let segments = &self.segments[range(group.segments)];
        let place = (service.protocol.number(), service.port);
        let after = segments.partition_point(|segment| (segment.protocol, segment.first) <= place);
        let mut first = group.all;
        if let Some(segment) = after.checked_sub(1).map(|index| &segments[index])
            && (segment.protocol, place.1.max(segment.last)) == (place.0, segment.last)
        {
            first = first.min(segment.order);
        }
        if group.named.0 == group.named.1 {
            first
        } else {
            first.min(self.named_order(group, service))
        }
    }

    fn named_order(&self, group: &Group, service: Service<'_>) -> Order {
        let entries = &self.named[range(group.named)];
        let declared = service.pod.map_or(&[][..], |view| &view.pod.ports);
        let is_it =
            |port: &&ContainerPort| port.port == service.port && port.protocol == service.protocol;
        let orders = declared.iter().filter(is_it).filter_map(|port| {
            let wanted = (port.name.as_deref()?, service.protocol.number());
            let found =
                entries.binary_search_by(|entry| (&*entry.name, entry.protocol).cmp(&wanted));
            Some(entries[found.ok()?].order)
        });
        orders.min().unwrap_or(NEVER)
    }
}

#[inline]
const fn range(bounds: (u32, u32)) -> Range<usize> {
    bounds.0 as usize..bounds.1 as usize
}
