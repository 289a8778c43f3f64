//! Which single addresses a network namespace sends straight over which of its links, as a routing CNI has it do for
//! pods, and which come and go. Whose addresses they are is not known here.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_bindings::rt_link::{IfinfoFlags, OpGetlinkDump};
use netlink_bindings::rt_route::{self, IterableRouteAttrs, OpGetrouteDump, RtmType, Rtmsg};
use netlink_bindings::traits::NetlinkRequest as _;
use rustix::io::Errno;

use crate::Error;
use crate::message::{Message, flag};
use crate::socket::{Ended, Family, Socket};

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_ROUTE` and `RTNLGRP_IPV6_ROUTE`, as bits.
const GROUPS: u32 = 1 | 1 << 6 | 1 << 10;
/// `RTM_F_CLONED`: a cached exception of a route, and no route.
const CLONED: u32 = 0x200;
/// `RTPROT_KERNEL`: what comes with an address of the namespace's own.
const OF_AN_ADDRESS: u8 = 2;

/// That an address is straight behind a link: a unicast route of the main table to it alone, without a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostRoute {
    /// The one destination.
    pub address: IpAddr,
    /// Index of the link.
    pub device: u32,
}

/// What happened to a host route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RouteEvent {
    /// It is there, and was not before.
    Appeared(HostRoute),
    /// It is gone.
    Vanished(HostRoute),
}

/// The host routes of the network namespace it was opened in, followed.
///
/// Readable (`AsFd`) when [`RouteWatch::next`] may have something; call that until it has nothing.
pub struct RouteWatch {
    events: Socket,
    requests: Socket,
    known: Known,
    pending: VecDeque<RouteEvent>,
}

impl RouteWatch {
    /// Starts with a [`RouteEvent::Appeared`] for each route that is there.
    pub fn open() -> Result<Self, Error> {
        let mut watch = Self {
            events: Socket::subscribed(Family::Route, GROUPS)?,
            requests: Socket::open(Family::Route)?,
            known: Known::default(),
            pending: VecDeque::new(),
        };
        watch.resynchronise()?;
        Ok(watch)
    }

    /// The next event, or `None` if there is none now. Where the kernel had to throw events away, what they said is
    /// found out by comparison.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator that ends is over, and this one is not"
    )]
    pub fn next(&mut self) -> Result<Option<RouteEvent>, Error> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            let (known, pending) = (&mut self.known, &mut self.pending);
            match self
                .events
                .events(|message| known.note(message, |event| pending.push_back(event)))
            {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::NOBUFS) => self.resynchronise()?,
                Err(errno) => return Err(Error::system("receive route events", errno)),
            }
        }
    }

    /// Compares with what is there. Routes also go without an event: IPv4 ones with the address that they prefer as
    /// source.
    pub fn resynchronise(&mut self) -> Result<(), Error> {
        // What is still queued is older than the list, and would undo what that says.
        while !matches!(self.events.events(|_| ()), Err(Errno::AGAIN)) {}
        let mut rows = list(&mut self.requests, libc::AF_INET)?;
        rows.extend(list(&mut self.requests, libc::AF_INET6)?);
        self.pending.extend(self.known.replace(rows));
        Ok(())
    }
}

impl AsFd for RouteWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// A route as the kernel tells them apart: of two to one address and link, either may go alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    route: HostRoute,
    rank: Rank,
}

/// Type of service and priority, of which a route to an address is replaced by another.
type Rank = (u8, u32);

/// The routes as the last event left them.
#[derive(Debug, Default)]
struct Known(HashMap<IpAddr, BTreeSet<(u32, Rank)>>);

impl Known {
    fn note(&mut self, message: Message<'_>, mut tell: impl FnMut(RouteEvent)) {
        let replaces = message.flags & flag(libc::NLM_F_REPLACE) != 0;
        match message.kind {
            libc::RTM_NEWROUTE => {
                if let Some(row) = Row::decode(message.payload) {
                    self.add(row, replaces).into_iter().for_each(tell);
                }
            }
            libc::RTM_DELROUTE => {
                if let Some(row) = Row::decode(message.payload) {
                    self.remove(row).into_iter().for_each(tell);
                }
            }
            libc::RTM_NEWLINK | libc::RTM_DELLINK => {
                if let Some(device) = fallen(message) {
                    self.forget(device).into_iter().for_each(&mut tell);
                }
            }
            _ => {}
        }
    }

    fn has(&self, route: HostRoute) -> bool {
        let of = self.0.get(&route.address);
        of.is_some_and(|rows| rows.iter().any(|(device, _)| *device == route.device))
    }

    /// A route that replaces another of its rank comes without a word about that one.
    fn add(&mut self, row: Row, replaces: bool) -> Vec<RouteEvent> {
        let Row { route, rank } = row;
        let former = self.0.get(&route.address).into_iter().flatten().copied();
        let ended: Vec<_> = former
            .filter(|(device, of)| replaces && *of == rank && *device != route.device)
            .collect();
        let mut events = Vec::new();
        if !self.has(route) {
            events.push(RouteEvent::Appeared(route));
        }
        let rows = self.0.entry(route.address).or_default();
        rows.insert((route.device, rank));
        for (device, rank) in ended {
            let route = HostRoute { device, ..route };
            events.extend(self.remove(Row { route, rank }));
        }
        events
    }

    fn remove(&mut self, row: Row) -> Option<RouteEvent> {
        let Row { route, rank } = row;
        let rows = self.0.get_mut(&route.address)?;
        let was_there = rows.remove(&(route.device, rank));
        if rows.is_empty() {
            self.0.remove(&route.address);
        }
        (was_there && !self.has(route)).then_some(RouteEvent::Vanished(route))
    }

    /// A link that goes down loses its routes; of the IPv4 ones nothing is said.
    fn forget(&mut self, device: u32) -> Vec<RouteEvent> {
        let rows = self.rows();
        rows.filter(|row| row.route.device == device)
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|row| self.remove(row))
            .collect()
    }

    fn replace(&mut self, rows: Vec<Row>) -> Vec<RouteEvent> {
        let there: BTreeSet<Row> = rows.into_iter().collect();
        let gone: Vec<Row> = self.rows().filter(|row| !there.contains(row)).collect();
        let mut events: Vec<_> = there
            .into_iter()
            .flat_map(|row| self.add(row, false))
            .collect();
        events.extend(gone.into_iter().filter_map(|row| self.remove(row)));
        events
    }

    fn rows(&self) -> impl Iterator<Item = Row> {
        self.0.iter().flat_map(|(&address, rows)| {
            rows.iter().map(move |&(device, rank)| Row {
                route: HostRoute { address, device },
                rank,
            })
        })
    }
}

impl Row {
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (header, attributes) = OpGetrouteDump::decode_reply(payload);
        Self::new(&header, &attributes)
    }

    fn new(header: &Rtmsg, attributes: &IterableRouteAttrs<'_>) -> Option<Self> {
        let whole = match i32::from(header.rtm_family) {
            libc::AF_INET => 32,
            libc::AF_INET6 => 128,
            _ => return None,
        };
        let table = attributes.get_table().unwrap_or(header.rtm_table.into());
        let straight = attributes.get_gateway().is_err()
            && attributes.get_via().is_err()
            && attributes.get_multipath().is_err()
            && attributes.get_encap_type().is_err();
        let wanted = straight
            && header.rtm_dst_len == whole
            && header.rtm_src_len == 0
            && header.rtm_type == RtmType::Unicast as u8
            && header.rtm_protocol != OF_AN_ADDRESS
            && header.rtm_flags & CLONED == 0
            && table == u32::from(libc::RT_TABLE_MAIN);
        if !wanted {
            return None;
        }
        Some(Self {
            route: HostRoute {
                address: attributes.get_dst().ok()?,
                device: attributes.get_oif().ok()?,
            },
            rank: (
                header.rtm_tos,
                attributes.get_priority().unwrap_or_default(),
            ),
        })
    }
}

/// The link that is down or gone by what a message says.
fn fallen(message: Message<'_>) -> Option<u32> {
    let (header, _) = OpGetlinkDump::decode_reply(message.payload);
    let gone = message.kind == libc::RTM_DELLINK && i32::from(header.ifi_family) == libc::AF_UNSPEC;
    let down = message.kind == libc::RTM_NEWLINK && header.ifi_flags & IfinfoFlags::Up as u32 == 0;
    (gone || down).then_some(header.ifi_index.cast_unsigned())
}

fn list(socket: &mut Socket, family: i32) -> Result<Vec<Row>, Error> {
    let header = Rtmsg {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "AF_INET is 2, AF_INET6 is 10"
        )]
        rtm_family: family as u8,
        ..Rtmsg::new()
    };
    let request = rt_route::Request::new().op_getroute_dump(&header);
    loop {
        let mut rows = Vec::new();
        let ended = socket.request("list routes", &request, |(header, attributes)| {
            rows.extend(Row::new(&header, &attributes));
        })?;
        if ended == Ended::Complete {
            return Ok(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(address: [u8; 4], device: u32, priority: u32) -> Row {
        Row {
            route: HostRoute {
                address: address.into(),
                device,
            },
            rank: (0, priority),
        }
    }

    const A: [u8; 4] = [10, 0, 0, 1];
    const B: [u8; 4] = [10, 0, 0, 2];

    #[test]
    fn a_route_that_replaces_another_ends_it() {
        let mut known = Known::default();
        let (old, new) = (row(A, 2, 0), row(A, 3, 0));
        assert_eq!(known.add(old, false), [RouteEvent::Appeared(old.route)]);
        assert_eq!(known.add(old, true), []);
        let moved = [
            RouteEvent::Appeared(new.route),
            RouteEvent::Vanished(old.route),
        ];
        assert_eq!(known.add(new, true), moved);
    }

    #[test]
    fn of_two_routes_over_one_link_the_last_counts() {
        let mut known = Known::default();
        let (one, other) = (row(A, 2, 0), row(A, 2, 100));
        assert_eq!(known.add(one, false).len(), 1);
        assert_eq!(known.add(other, false), []);
        assert_eq!(known.remove(one), None);
        assert_eq!(known.remove(other), Some(RouteEvent::Vanished(other.route)));
        assert_eq!(known.remove(other), None);
    }

    #[test]
    fn lost_events_and_lost_links_are_made_up_for() {
        let (stays, goes, comes) = (row(A, 2, 0), row(B, 3, 0), row(B, 4, 0));
        let mut known = Known::default();
        assert_eq!(known.replace(vec![stays, goes]).len(), 2);
        let events = known.replace(vec![stays, comes]);
        let expected = [
            RouteEvent::Appeared(comes.route),
            RouteEvent::Vanished(goes.route),
        ];
        assert_eq!(events, expected);
        assert_eq!(known.forget(2), [RouteEvent::Vanished(stays.route)]);
        assert_eq!(known.forget(2), []);
    }
}
