//! How the rules of an identity see a peer that is another one now, or has other ports: whether some verdict of
//! theirs is different, and whether one turns into a denial. Looks through all tiers, as one that decides hides the next.

use crate::ports::{Order, PortSet};
use crate::table::{Peer, Table};
use crate::tiers::Tiers;
use crate::{AdminAction, ContainerPort, Direction};

/// A protocol that no rule with ports is for.
const OTHER_PROTOCOL: u8 = u8::MAX;

/// An address as a peer, before and after.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'s> {
    /// Before.
    pub(crate) was: Peer<'s>,
    /// After.
    pub(crate) is: Peer<'s>,
    /// The ports that its pod declares, before and after.
    pub(crate) ports: [&'s [ContainerPort]; 2],
}

/// What the rules of an identity make of it that a peer is another one. The worse, the greater.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Difference {
    /// Nothing.
    None,
    /// Other rules decide, or more is allowed: nothing is denied that was allowed.
    Shifts,
    /// Something is denied that was allowed.
    Closes,
}

/// How the rules of an identity see both.
pub(crate) enum Sight<'t> {
    /// Alike for all its pods.
    Known(Difference),
    /// This much for all its pods; more may depend on which numbers the pod has for the names in its ingress rules.
    ByName(Difference, &'t Tiers, Seen<'t>),
}

impl<'t> Sight<'t> {
    /// How these rules see it.
    pub(crate) fn of(tiers: &'t Tiers, seen: Seen<'t>) -> Self {
        let egress = difference(tiers, Direction::Egress, seen);
        if egress == Difference::Closes {
            Self::Known(egress)
        } else if tiers.towards(Direction::Ingress).any(Table::has_names) {
            Self::ByName(egress, tiers, seen)
        } else {
            Self::Known(egress.max(inward(tiers, seen, &[])))
        }
    }

    /// What a pod with these ports sees.
    pub(crate) fn for_pod_with(&self, declared: &[ContainerPort]) -> Difference {
        match self {
            Self::Known(difference) => *difference,
            Self::ByName(egress, tiers, seen) => inward(tiers, *seen, declared).max(*egress),
        }
    }
}

/// The difference for connections to a pod that has declared these ports.
fn inward(tiers: &Tiers, seen: Seen<'_>, declared: &[ContainerPort]) -> Difference {
    let ports = [declared, declared];
    difference(tiers, Direction::Ingress, Seen { ports, ..seen })
}

/// What a table says of a peer: the first rule by port.
struct Said<'t> {
    table: &'t Table,
    ports: PortSet,
}

/// What a direction's tables decide differently.
fn difference(tiers: &Tiers, direction: Direction, seen: Seen<'_>) -> Difference {
    let say = |peer, ports| -> Vec<Said<'_>> {
        let tables = tiers.towards(direction);
        tables
            .map(|table| Said {
                table,
                ports: table.ports_of(peer, ports),
            })
            .collect()
    };
    let was = say(seen.was, seen.ports[0]);
    let is = say(seen.is, seen.ports[1]);
    if was.iter().zip(&is).all(|(was, is)| was.ports == is.ports) {
        return Difference::None;
    }
    // A tier that is asked first may decide before what differs is heard, and to pass is to say nothing.
    let mut worst = Difference::None;
    for place in places(was.iter().chain(&is)) {
        let (was, is) = (decided(&was, place), decided(&is, place));
        if is_allowed(was) && !is_allowed(is) {
            return Difference::Closes;
        }
        if was != is {
            worst = Difference::Shifts;
        }
    }
    worst
}

/// A protocol and port of every stretch within which the first rule of each table is the same.
fn places<'s>(said: impl Iterator<Item = &'s Said<'s>>) -> impl Iterator<Item = (u8, u16)> {
    let segments = said.flat_map(|said| &said.ports.segments);
    let starts = segments.flat_map(|segment| {
        let next = segment.last.checked_add(1);
        let ports = [Some(0), Some(segment.first), next];
        ports
            .into_iter()
            .flatten()
            .map(|port| (segment.protocol, port))
    });
    starts.chain([(OTHER_PROTOCOL, 0)])
}

/// What a tier's first rule at a place decides.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Decided {
    tier: usize,
    order: Order,
    allows: bool,
}

/// What is decided at a place, if any tier does.
fn decided(said: &[Said<'_>], (protocol, port): (u8, u16)) -> Option<Decided> {
    said.iter().enumerate().find_map(|(tier, said)| {
        let order = said.ports.at(protocol, port);
        let reason = said.table.reasons.get(order as usize);
        let action = reason.map(|reason| reason.action);
        let decides = match action {
            Some(action) => action != AdminAction::Pass,
            None => said.table.isolated_by.is_some(),
        };
        decides.then_some(Decided {
            tier,
            order,
            allows: action == Some(AdminAction::Allow),
        })
    })
}

/// Where nobody decides, everything is.
fn is_allowed(decided: Option<Decided>) -> bool {
    decided.is_none_or(|decided| decided.allows)
}

impl Table {
    /// Whether every name has the same numbers on both lists of ports.
    pub(crate) fn resolves_alike(&self, one: &[ContainerPort], other: &[ContainerPort]) -> bool {
        if !self.has_names() || one == other {
            return true;
        }
        self.named.iter().all(|named| {
            let numbers = |ports: &[ContainerPort]| {
                let is_named = |port: &&ContainerPort| {
                    port.name.as_ref() == Some(&named.name)
                        && port.protocol.number() == named.protocol
                };
                let mut numbers: Vec<u16> = ports
                    .iter()
                    .filter(is_named)
                    .map(|port| port.port)
                    .collect();
                numbers.sort_unstable();
                numbers.dedup();
                numbers
            };
            numbers(one) == numbers(other)
        })
    }
}
