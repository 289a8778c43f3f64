//! How the rules of an identity see a peer that is another one now, or has other ports: whether some verdict of
//! theirs is different. Looks through all tiers, as one that decides hides the next.

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

/// Whether the rules of an identity see both alike.
pub(crate) enum Sight<'t> {
    /// Alike.
    Same,
    /// Not alike.
    Different,
    /// It depends on which numbers the pod has for the names in its ingress rules.
    ByName(&'t Tiers, Seen<'t>),
}

impl<'t> Sight<'t> {
    /// How these rules see it.
    pub(crate) fn of(tiers: &'t Tiers, seen: Seen<'t>) -> Self {
        if differs(tiers, Direction::Egress, seen) {
            return Self::Different;
        }
        if tiers.towards(Direction::Ingress).any(Table::has_names) {
            return Self::ByName(tiers, seen);
        }
        let ports: [&[ContainerPort]; 2] = [&[], &[]];
        if differs(tiers, Direction::Ingress, Seen { ports, ..seen }) {
            return Self::Different;
        }
        Self::Same
    }

    /// Whether a pod with these ports sees a difference.
    pub(crate) fn differs_for(&self, declared: &[ContainerPort]) -> bool {
        match self {
            Self::Same => false,
            Self::Different => true,
            Self::ByName(tiers, seen) => {
                let ports = [declared, declared];
                differs(tiers, Direction::Ingress, Seen { ports, ..*seen })
            }
        }
    }
}

/// What a table says of a peer: the first rule by port.
struct Said<'t> {
    table: &'t Table,
    ports: PortSet,
}

/// Whether a direction's tables decide something else.
fn differs(tiers: &Tiers, direction: Direction, seen: Seen<'_>) -> bool {
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
    let differing = was.iter().zip(&is).any(|(was, is)| was.ports != is.ports);
    // A tier that is asked first may decide before what differs is heard, and to pass is to say nothing.
    differing
        && places(was.iter().chain(&is)).any(|place| decided(&was, place) != decided(&is, place))
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

/// The table that decides at a place, and its first rule there.
fn decided(said: &[Said<'_>], (protocol, port): (u8, u16)) -> Option<(usize, Order)> {
    said.iter().enumerate().find_map(|(tier, said)| {
        let order = said.ports.at(protocol, port);
        let decides = match said.table.reasons.get(order as usize) {
            Some(reason) => reason.action != AdminAction::Pass,
            None => said.table.isolated_by.is_some(),
        };
        decides.then_some((tier, order))
    })
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
