//! One netlink socket: requests, dumps and batches, one at a time, blocking.
//!
//! Why not `netlink-socket2`: it reads dumps in pieces of 8 KiB, wants an acknowledgement for every message of a batch
//! (a few hundred of them overflow the socket's receive buffer), takes a batch whose length is a multiple of 64 for
//! acknowledged without reading a reply, and hides that a dump was interrupted. Knows nothing of what is said.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use netlink_bindings::builtin::NlmsgerrAttrs;
use netlink_bindings::traits::{NetlinkRequest, Protocol};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::Error;

/// The kernel fills at most this much of a dump at once, if the reader offers it.
const BUFFER: usize = 32 * 1024;
/// Length of `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;

/// The netlink protocols that Sluice speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `NETLINK_ROUTE`: links, addresses, routes.
    Route,
    /// `NETLINK_NETFILTER`: `nf_tables`, conntrack.
    Netfilter,
}

/// An open socket, bound to the network namespace of the thread that opened it.
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Box<[u8]>,
}

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Ended {
    /// All of it was read.
    Complete,
    /// What is dumped changed meanwhile: entries may be missing or doubled.
    Interrupted,
}

/// One message as it came.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// Several messages that are sent as one; the kernel acknowledges the last.
#[derive(Debug)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Where the header of the message starts that is to be acknowledged.
    last: usize,
    count: u32,
}

impl Socket {
    pub(crate) fn open(family: Family) -> Result<Self, Error> {
        Self::subscribed(family, 0)
    }

    /// A socket that also receives the events of the multicast groups whose bits are set in `groups`.
    pub(crate) fn subscribed(family: Family, groups: u32) -> Result<Self, Error> {
        let protocol = match family {
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let open = || -> rustix::io::Result<OwnedFd> {
            let fd = rustix::net::socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                protocol,
            )?;
            rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
            set_option(fd.as_fd(), libc::NETLINK_EXT_ACK)?;
            set_option(fd.as_fd(), libc::NETLINK_CAP_ACK)?;
            Ok(fd)
        };
        let fd = open().map_err(|errno| Error::system("open a netlink socket", errno))?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// Sends `request`, hands each reply to `on_reply`, and waits for the acknowledgement.
    pub(crate) fn request<R: NetlinkRequest>(
        &mut self,
        what: &'static str,
        request: &R,
        mut on_reply: impl FnMut(R::ReplyType<'_>),
    ) -> Result<Ended, Error> {
        let Protocol::Raw { request_type, .. } = request.protocol() else {
            return Err(Error::Argument {
                what,
                why: "generic netlink is not spoken here".into(),
            });
        };
        let mut batch = Batch::new();
        batch.push(request_type, request.flags(), request.payload());
        let (first, last) = self.send(what, batch)?;
        self.receive(what, first, last, |payload| {
            on_reply(R::decode_reply(payload))
        })
    }

    /// Sends `request`, whose only answer is an acknowledgement.
    pub(crate) fn command<R: NetlinkRequest>(
        &mut self,
        what: &'static str,
        request: &R,
    ) -> Result<(), Error> {
        self.request(what, request, |_| ()).map(drop)
    }

    /// Sends all messages of `batch` at once, and waits until the last is acknowledged or one is refused. The messages
    /// that are no acknowledgement are handed on as they are.
    pub(crate) fn batch(&mut self, what: &'static str, batch: Batch) -> Result<(), Error> {
        let (first, last) = self.send(what, batch)?;
        self.receive(what, first, last, |_| ()).map(drop)
    }

    /// The next datagram's messages, for a subscription.
    pub(crate) fn events(
        &mut self,
        flags: RecvFlags,
        mut on_event: impl FnMut(Message<'_>),
    ) -> Result<(), Errno> {
        let length = receive(&self.fd, &mut self.buffer, flags)?;
        Messages(&self.buffer[..length]).for_each(&mut on_event);
        Ok(())
    }

    fn send(&mut self, what: &'static str, mut batch: Batch) -> Result<(u32, u32), Error> {
        let first = self.sequence.wrapping_add(1);
        let count = batch.seal(first);
        self.sequence = self.sequence.wrapping_add(count);
        loop {
            match rustix::net::send(&self.fd, &batch.bytes, SendFlags::empty()) {
                Ok(_) => return Ok((first, self.sequence)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system(what, errno)),
            }
        }
    }

    /// Reads until the message `last` is done or any from `first` on is refused.
    fn receive(
        &mut self,
        what: &'static str,
        first: u32,
        last: u32,
        mut on_payload: impl FnMut(&[u8]),
    ) -> Result<Ended, Error> {
        let mut ended = Ended::Complete;
        let mut refused = None;
        loop {
            let length = receive(&self.fd, &mut self.buffer, RecvFlags::empty())
                .map_err(|errno| Error::system(what, errno))?;
            for message in Messages(&self.buffer[..length]) {
                if message.sequence.wrapping_sub(first) > last.wrapping_sub(first) {
                    // left over from an exchange that failed half-way
                    continue;
                }
                if message.flags & flag(libc::NLM_F_DUMP_INTR) != 0 {
                    ended = Ended::Interrupted;
                }
                match Status::of(message) {
                    Status::Reply => on_payload(message.payload),
                    Status::Refused(errno, text) => {
                        refused.get_or_insert(Error::Refused {
                            what,
                            errno,
                            message: text,
                        });
                    }
                    Status::Acknowledged => {}
                }
                // Every batch is answered as a whole, the refusals of its earlier messages first.
                if message.sequence == last && Status::of(message).is_final() {
                    return refused.map_or(Ok(ended), Err);
                }
            }
            if let Some(error) = refused {
                return Err(error);
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            last: 0,
            count: 0,
        }
    }

    /// Appends a message with the body `payload`.
    pub(crate) fn push(&mut self, kind: u16, flags: u16, payload: &[u8]) {
        self.push_with(kind, flags, |bytes| bytes.extend_from_slice(payload));
    }

    /// Appends a message whose body `write` appends to the bytes that it is given.
    pub(crate) fn push_with(&mut self, kind: u16, flags: u16, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; HEADER]);
        write(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let header = &mut self.bytes[start..start + HEADER];
        header[0..4].copy_from_slice(&length.to_ne_bytes());
        header[4..6].copy_from_slice(&kind.to_ne_bytes());
        header[6..8].copy_from_slice(&(flags | flag(libc::NLM_F_REQUEST)).to_ne_bytes());
        header[8..12].copy_from_slice(&self.count.to_ne_bytes());
        self.last = start;
        self.count += 1;
    }

    /// Appends a message that carries nothing of interest: the one before it stays the last to be acknowledged.
    pub(crate) fn push_trailer(&mut self, kind: u16, payload: &[u8]) {
        let last = self.last;
        self.push(kind, 0, payload);
        self.last = last;
        self.count -= 1;
    }

    /// How many bytes the batch has.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Numbers the messages from `first` on and asks for the acknowledgement; returns how many numbers are used.
    fn seal(&mut self, first: u32) -> u32 {
        let mut start = 0;
        while start < self.bytes.len() {
            let header = &mut self.bytes[start..start + HEADER];
            let number = u32_at(header, 8).wrapping_add(first);
            header[8..12].copy_from_slice(&number.to_ne_bytes());
            if start == self.last {
                let flags = u16_at(header, 6) | flag(libc::NLM_F_ACK);
                header[6..8].copy_from_slice(&flags.to_ne_bytes());
            }
            start += (u32_at(header, 0) as usize).next_multiple_of(4);
        }
        self.count
    }
}

/// What a message means for the exchange it belongs to.
enum Status {
    Reply,
    Acknowledged,
    Refused(Errno, Option<String>),
}

impl Status {
    fn of(message: Message<'_>) -> Self {
        let kind = i32::from(message.kind);
        if kind != libc::NLMSG_ERROR && kind != libc::NLMSG_DONE {
            return Self::Reply;
        }
        let code = message
            .payload
            .first_chunk()
            .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        if code >= 0 {
            return Self::Acknowledged;
        }
        Self::Refused(Errno::from_raw_os_error(-code), extended(message))
    }

    const fn is_final(&self) -> bool {
        !matches!(self, Self::Reply)
    }
}

/// The messages of one datagram.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        if self.0.len() < HEADER {
            return None;
        }
        let length = (u32_at(self.0, 0) as usize).clamp(HEADER, self.0.len());
        let (message, rest) = (
            &self.0[..length],
            &self.0[length.next_multiple_of(4).min(self.0.len())..],
        );
        self.0 = rest;
        Some(Message {
            kind: u16_at(message, 4),
            flags: u16_at(message, 6),
            sequence: u32_at(message, 8),
            payload: &message[HEADER..],
        })
    }
}

/// The kernel's own words in an error message. `NETLINK_CAP_ACK` makes it echo no more than the request's header.
fn extended(message: Message<'_>) -> Option<String> {
    if message.flags & flag(libc::NLM_F_ACK_TLVS) == 0 {
        return None;
    }
    let echoed = if i32::from(message.kind) == libc::NLMSG_DONE {
        4
    } else {
        4 + HEADER
    };
    let attributes = NlmsgerrAttrs::new(message.payload.get(echoed..)?);
    Some(attributes.get_msg().ok()?.to_string_lossy().into_owned())
}

fn receive(fd: &OwnedFd, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
    loop {
        match rustix::net::recv(fd, &mut *buffer, flags | RecvFlags::TRUNC) {
            Ok((_, length)) if length > buffer.len() => return Err(Errno::MSGSIZE),
            Ok((_, length)) => return Ok(length),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn set_option(fd: BorrowedFd<'_>, option: libc::c_int) -> rustix::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let one: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&one)).unwrap_or_default();
    // SAFETY: `one` outlives the call, and its size is what is said.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const one).cast(),
            length,
        )
    };
    if result < 0 {
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}

/// Header flags are declared as `int`, and are 16 bits on the wire.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "all flags are below 2^16"
)]
pub(crate) const fn flag(flag: libc::c_int) -> u16 {
    flag as u16
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}
