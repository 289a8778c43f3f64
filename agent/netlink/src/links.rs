//! Which links a network namespace has, and which come, change and go. What is attached to them is not known here.

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_bindings::rt_link::{self, IfinfoFlags, Ifinfomsg, IterableLinkAttrs, OpGetlinkDump};
use netlink_bindings::traits::NetlinkRequest as _;
use rustix::io::Errno;

use crate::Error;
use crate::message::Message;
use crate::socket::{Ended, Family, Socket};

/// `RTNLGRP_LINK`, as a bit.
const GROUP_LINK: u32 = 1;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number in the network namespace, never reused at once.
    pub index: u32,
    /// Its name, which can change.
    pub name: String,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it is the loopback device.
    pub loopback: bool,
    /// What it is, such as `veth` or `bridge`; `None` for hardware and loopback.
    pub kind: Option<String>,
    /// Whether it is one end of a pair (`veth`, `netkit`) whose other end is in another network namespace
    /// (`IFLA_LINK_NETNSID`), as a pod's is.
    pub peer_elsewhere: bool,
}

/// What happened to a link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum LinkEvent {
    /// It is there, and was not before.
    Appeared(Link),
    /// Its name or state is another one.
    Changed(Link),
    /// It is gone; this is what it was.
    Vanished(Link),
}

/// All links of the network namespace of the calling thread.
pub fn list() -> Result<Vec<Link>, Error> {
    list_with(&mut Socket::open(Family::Route)?)
}

/// The links of the network namespace it was opened in, followed.
///
/// Readable (`AsFd`, for tokio's `AsyncFd`) when [`LinkWatch::next`] may have something; call that until it has nothing.
pub struct LinkWatch {
    events: Socket,
    requests: Socket,
    known: Known,
    pending: VecDeque<LinkEvent>,
}

impl LinkWatch {
    /// Starts with an [`LinkEvent::Appeared`] for each link that is there.
    pub fn open() -> Result<Self, Error> {
        let events = Socket::subscribed(Family::Route, GROUP_LINK)?;
        let requests = Socket::open(Family::Route)?;
        let mut watch = Self {
            events,
            requests,
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
    pub fn next(&mut self) -> Result<Option<LinkEvent>, Error> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(Some(event));
            }
            let (known, pending) = (&mut self.known, &mut self.pending);
            match self.events.events(|message| {
                pending.extend(known.note(message));
            }) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::NOBUFS) => self.resynchronise()?,
                Err(errno) => return Err(Error::system("receive link events", errno)),
            }
        }
    }

    fn resynchronise(&mut self) -> Result<(), Error> {
        // What is still queued is older than what was thrown away, and would undo what the list says.
        while !matches!(self.events.events(|_| ()), Err(Errno::AGAIN)) {}
        let links = list_with(&mut self.requests)?;
        self.pending.extend(self.known.replace(links));
        Ok(())
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

impl AsRawFd for LinkWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_fd().as_raw_fd()
    }
}

/// The links as the last event left them.
#[derive(Debug, Default)]
pub(crate) struct Known(HashMap<u32, Link>);

impl Known {
    pub(crate) fn note(&mut self, message: Message<'_>) -> Option<LinkEvent> {
        let (header, attributes) = OpGetlinkDump::decode_reply(message.payload);
        if i32::from(header.ifi_family) != libc::AF_UNSPEC {
            // a bridge speaks of a port of its, which may leave it and stay a link
            return None;
        }
        match message.kind {
            libc::RTM_NEWLINK => self.put(Link::decode(&header, &attributes)?),
            libc::RTM_DELLINK => self
                .0
                .remove(&header.ifi_index.cast_unsigned())
                .map(LinkEvent::Vanished),
            _ => None,
        }
    }

    fn put(&mut self, link: Link) -> Option<LinkEvent> {
        match self.0.insert(link.index, link.clone()) {
            Some(old) if old == link => None,
            Some(_) => Some(LinkEvent::Changed(link)),
            None => Some(LinkEvent::Appeared(link)),
        }
    }

    fn replace(&mut self, links: Vec<Link>) -> Vec<LinkEvent> {
        let gone = self
            .0
            .extract_if(|index, _| links.iter().all(|link| link.index != *index));
        let mut events: Vec<LinkEvent> = gone.map(|(_, link)| LinkEvent::Vanished(link)).collect();
        events.extend(links.into_iter().filter_map(|link| self.put(link)));
        events
    }
}

impl Link {
    fn decode(header: &Ifinfomsg, attributes: &IterableLinkAttrs<'_>) -> Option<Self> {
        let kind = attributes
            .get_linkinfo()
            .ok()
            .and_then(|info| info.get_kind().ok());
        Some(Self {
            index: header.ifi_index.cast_unsigned(),
            name: attributes.get_ifname().ok()?.to_string_lossy().into_owned(),
            up: header.ifi_flags & IfinfoFlags::Up as u32 != 0,
            loopback: header.ifi_flags & IfinfoFlags::Loopback as u32 != 0,
            peer_elsewhere: kind.is_some_and(is_pair) && attributes.get_link_netnsid().is_ok(),
            kind: kind.map(|kind| kind.to_string_lossy().into_owned()),
        })
    }
}

fn is_pair(kind: &CStr) -> bool {
    matches!(kind.to_bytes(), b"veth" | b"netkit")
}

fn list_with(socket: &mut Socket) -> Result<Vec<Link>, Error> {
    let request = rt_link::Request::new().op_getlink_dump(&Ifinfomsg::new());
    loop {
        let mut links = Vec::new();
        let ended = socket.request("list links", &request, |(header, attributes)| {
            links.extend(Link::decode(&header, &attributes));
        })?;
        if ended == Ended::Complete {
            return Ok(links);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.into(),
            up: true,
            loopback: false,
            kind: Some("veth".into()),
            peer_elsewhere: true,
        }
    }

    #[test]
    fn what_did_not_change_is_no_event() {
        let mut known = Known::default();
        assert_eq!(
            known.put(link(2, "a")),
            Some(LinkEvent::Appeared(link(2, "a")))
        );
        assert_eq!(known.put(link(2, "a")), None);
        assert_eq!(
            known.put(link(2, "b")),
            Some(LinkEvent::Changed(link(2, "b")))
        );
    }

    #[test]
    fn lost_events_are_found_out_by_comparison() {
        let links = [link(2, "stays"), link(3, "goes"), link(4, "changes")];
        let mut known = Known(links.into_iter().map(|link| (link.index, link)).collect());
        let events = known.replace(vec![link(2, "stays"), link(4, "changed"), link(5, "comes")]);
        let expected = [
            LinkEvent::Vanished(link(3, "goes")),
            LinkEvent::Changed(link(4, "changed")),
            LinkEvent::Appeared(link(5, "comes")),
        ];
        assert_eq!(events, expected);
    }
}
