//! The ports of rules, compiled: for every protocol and port the first rule that has it. Knows nothing of
//! peers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::{AdminPort, AdminPorts, ContainerPort, Port, PortMatch, Ports, Protocol};

/// The protocols that have ports and that policies name.
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// The rank of a rule among all rules of a table; lower ones speak first.
pub(crate) type Order = u32;
/// Later than every rule.
pub(crate) const NEVER: Order = Order::MAX;

/// Ports of one protocol that one rule speaks for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    /// The IP protocol.
    pub(crate) protocol: u8,
    /// The first port.
    pub(crate) first: u16,
    /// The last port, included.
    pub(crate) last: u16,
    /// The rule.
    pub(crate) order: Order,
}

/// A port that is a different number on every pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The IP protocol.
    pub(crate) protocol: u8,
    /// The rule.
    pub(crate) order: Order,
}

/// Ports by rule. Canonical, so that sets which answer alike compare equal: segments are sorted, disjoint and
/// as long as can be, and nothing is kept that an earlier rule has anyway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortSet {
    /// The first rule that has every port of every protocol.
    pub(crate) all: Order,
    /// Numbers.
    pub(crate) segments: Vec<Segment>,
    /// Names, in order.
    pub(crate) named: Vec<Named>,
}

/// Collects ports on the way to a [`PortSet`].
#[derive(Debug)]
pub(crate) struct PortSetBuilder {
    all: Order,
    segments: Vec<Segment>,
    named: BTreeMap<(Arc<str>, u8), Order>,
}

impl Default for PortSetBuilder {
    fn default() -> Self {
        Self {
            all: NEVER,
            segments: Vec::new(),
            named: BTreeMap::new(),
        }
    }
}

impl PortSetBuilder {
    /// Adds what a rule has.
    pub(crate) fn add(&mut self, ports: &Ports, order: Order) {
        match ports {
            Ports::Any => self.add_all(order),
            Ports::Of(matches) => matches.iter().for_each(|port| self.add_match(port, order)),
        }
    }

    /// Adds what a rule of an admin policy has.
    pub(crate) fn add_admin(&mut self, ports: &AdminPorts, order: Order) {
        let AdminPorts::Of(matches) = ports else {
            return self.add_all(order);
        };
        for port in matches {
            match port {
                AdminPort::Numbered(port) => self.add_match(port, order),
                AdminPort::Named(name) => self.add_name(name, order),
            }
        }
    }

    /// Adds every port of every protocol.
    pub(crate) fn add_all(&mut self, order: Order) {
        self.all = self.all.min(order);
    }

    /// Adds a range.
    pub(crate) fn add_segment(&mut self, segment: Segment) {
        self.segments.push(segment);
    }

    /// Adds a name.
    pub(crate) fn add_named(&mut self, named: &Named) {
        let order = self
            .named
            .entry((Arc::clone(&named.name), named.protocol))
            .or_insert(NEVER);
        *order = named.order.min(*order);
    }

    /// Adds the numbers that a name has on a pod with these ports.
    pub(crate) fn add_resolved(&mut self, named: &Named, ports: &[ContainerPort]) {
        let is_named = |port: &&ContainerPort| {
            port.protocol.number() == named.protocol && port.name.as_ref() == Some(&named.name)
        };
        for port in ports.iter().filter(is_named) {
            let (protocol, order) = (named.protocol, named.order);
            self.segments.push(Segment {
                protocol,
                first: port.port,
                last: port.port,
                order,
            });
        }
    }

    /// The canonical set, without what rules of another set with every port have before.
    pub(crate) fn finish(self, earlier: Order) -> PortSet {
        let limit = self.all.min(earlier);
        let segments = disjoint(
            self.segments
                .into_iter()
                .filter(|segment| segment.order < limit)
                .collect(),
        );
        let named = self.named.into_iter().filter(|(_, order)| *order < limit);
        let named = named
            .map(|((name, protocol), order)| Named {
                name,
                protocol,
                order,
            })
            .collect();
        PortSet {
            all: if self.all < earlier { self.all } else { NEVER },
            segments,
            named,
        }
    }

    /// Adds a name, whatever the protocol of the port that has it.
    fn add_name(&mut self, name: &Arc<str>, order: Order) {
        for protocol in PROTOCOLS {
            self.add_named(&Named {
                name: Arc::clone(name),
                protocol: protocol.number(),
                order,
            });
        }
    }

    fn add_match(&mut self, port: &PortMatch, order: Order) {
        let protocol = port.protocol.number();
        // Policies name three protocols; a rule for another one would be wider than its text.
        if matches!(port.protocol, Protocol::Other(_)) {
            return;
        }
        match &port.port {
            Port::Any => self.add_segment(Segment {
                protocol,
                first: 0,
                last: u16::MAX,
                order,
            }),
            Port::Range(first, last) if first <= last => {
                self.add_segment(Segment {
                    protocol,
                    first: *first,
                    last: *last,
                    order,
                });
            }
            Port::Range(..) => {}
            Port::Named(name) => self.add_named(&Named {
                name: Arc::clone(name),
                protocol,
                order,
            }),
        }
    }
}

impl PortSet {
    /// Whether it has no port at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.all == NEVER && self.segments.is_empty() && self.named.is_empty()
    }

    /// The orders that occur, in no order.
    pub(crate) fn orders(&self) -> impl Iterator<Item = Order> {
        let segments = self.segments.iter().map(|segment| segment.order);
        segments
            .chain(self.named.iter().map(|named| named.order))
            .chain([self.all])
    }

    /// The first rule that has a port.
    pub(crate) fn at(&self, protocol: u8, port: u16) -> Order {
        let place = (protocol, port);
        let after = self
            .segments
            .partition_point(|segment| (segment.protocol, segment.first) <= place);
        let segment = after.checked_sub(1).map(|index| &self.segments[index]);
        let covers = |segment: &&Segment| segment.protocol == protocol && port <= segment.last;
        let of_segment = segment
            .filter(covers)
            .map_or(NEVER, |segment| segment.order);
        self.all.min(of_segment)
    }

    /// Renames the orders; what never speaks is `NEVER` before and after.
    pub(crate) fn map_orders(&mut self, map: impl Fn(Order) -> Order) {
        self.all = map(self.all);
        self.segments
            .iter_mut()
            .for_each(|segment| segment.order = map(segment.order));
        self.named
            .iter_mut()
            .for_each(|named| named.order = map(named.order));
    }
}

/// Turns overlapping segments into disjoint ones, the lowest order first wherever several cover a port.
fn disjoint(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_unstable();
    let mut result = Vec::with_capacity(segments.len());
    for of_protocol in segments.chunk_by(|a, b| a.protocol == b.protocol) {
        sweep(of_protocol, &mut result);
    }
    result
}

/// Walks the ports of one protocol upwards, holding the segments that cover the place it is at.
fn sweep(segments: &[Segment], result: &mut Vec<Segment>) {
    let mut open: BinaryHeap<Reverse<(Order, u16)>> = BinaryHeap::new();
    let mut pending = segments.iter().peekable();
    let mut at = 0_u32;
    loop {
        while open
            .peek()
            .is_some_and(|Reverse((_, last))| u32::from(*last) < at)
        {
            open.pop();
        }
        if open.is_empty() {
            let Some(next) = pending.peek() else { return };
            at = u32::from(next.first);
        }
        while let Some(next) = pending.next_if(|next| u32::from(next.first) <= at) {
            open.push(Reverse((next.order, next.last)));
        }
        let Some(Reverse((order, last))) = open.peek() else {
            continue;
        };
        let end = pending.peek().map_or(u32::from(*last), |next| {
            u32::from(*last).min(u32::from(next.first) - 1)
        });
        extend(result, segments[0].protocol, (at, end), *order);
        at = end + 1;
    }
}

/// Appends a stretch, to the last segment where it goes on from there.
#[expect(clippy::cast_possible_truncation, reason = "both ends are ports")]
fn extend(result: &mut Vec<Segment>, protocol: u8, (first, last): (u32, u32), order: Order) {
    if let Some(before) = result.last_mut()
        && (before.protocol, before.order) == (protocol, order)
        && u32::from(before.last) + 1 == first
    {
        before.last = last as u16;
    } else {
        result.push(Segment {
            protocol,
            first: first as u16,
            last: last as u16,
            order,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(u16, u16, Order)]) -> PortSet {
        let mut builder = PortSetBuilder::default();
        for (first, last, order) in ranges {
            builder.add_segment(Segment {
                protocol: 6,
                first: *first,
                last: *last,
                order: *order,
            });
        }
        builder.finish(NEVER)
    }

    fn check(ranges: &[(u16, u16, Order)], expected: &[(u16, u16, Order)]) {
        let segments = set(ranges).segments;
        let plain: Vec<_> = segments
            .iter()
            .map(|segment| (segment.first, segment.last, segment.order))
            .collect();
        assert_eq!(plain, expected, "of {ranges:?}");
    }

    #[test]
    fn segments_are_disjoint_and_the_first_rule_has_them() {
        check(&[], &[]);
        check(&[(80, 80, 0)], &[(80, 80, 0)]);
        check(
            &[(80, 90, 1), (85, 85, 0)],
            &[(80, 84, 1), (85, 85, 0), (86, 90, 1)],
        );
        check(&[(80, 90, 0), (85, 85, 1)], &[(80, 90, 0)]);
        check(
            &[(0, u16::MAX, 3), (u16::MAX, u16::MAX, 1)],
            &[(0, 65534, 3), (65535, 65535, 1)],
        );
        check(&[(1, 5, 0), (6, 9, 0)], &[(1, 9, 0)]);
    }

    #[test]
    fn what_an_earlier_rule_has_anyway_is_not_kept() {
        let mut builder = PortSetBuilder::default();
        builder.add_segment(Segment {
            protocol: 6,
            first: 80,
            last: 80,
            order: 5,
        });
        builder.add_all(7);
        assert!(builder.finish(3).is_empty());
    }

    proptest! {
        #[test]
        fn every_port_has_its_first_rule(ranges in prop::collection::vec((0_u16..40, 0_u16..20, 0_u32..6), 0..8)) {
            let ranges: Vec<_> = ranges.into_iter().map(|(first, more, order)| (first, first + more, order)).collect();
            let segments = set(&ranges).segments;
            for port in 0..70 {
                let expected = ranges.iter().filter(|r| r.0 <= port && port <= r.1).map(|r| r.2).min();
                let found: Vec<_> = segments.iter().filter(|s| s.first <= port && port <= s.last).collect();
                prop_assert!(found.len() <= 1);
                prop_assert_eq!(found.first().map(|s| s.order), expected);
            }
        }
    }
}
