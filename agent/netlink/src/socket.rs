//! One netlink socket: requests, dumps and batches, one at a time, blocking.
//!
//! Why not `netlink-socket2`: it reads dumps in pieces of 8 KiB, wants an acknowledgement for every message of a batch
//! (a few hundred of them overflow the socket's receive buffer), takes a batch whose length is a multiple of 64 for
//! acknowledged without reading a reply, and hides that a dump was interrupted. Knows nothing of what is said.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_bindings::traits::{NetlinkRequest, Protocol};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::Timeout;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::Error;
use crate::message::{Batch, Message, Messages, flag};

/// The kernel fills at most this much of a dump at once, if the reader offers it.
const BUFFER: usize = 32 * 1024;
/// The size of a socket's send buffer where nobody changed `net.core.wmem_default`.
const SEND_BUFFER: usize = 212_992;
/// Answers are there when `send` returns, or, for a dump, follow at once: whoever waits that long waits for ever.
const PATIENCE: Duration = Duration::from_secs(10);

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
            rustix::net::sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
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
        batch.push_with(request_type, request.flags(), |bytes| {
            bytes.extend_from_slice(request.payload());
        });
        self.query(what, batch, |payload| on_reply(R::decode_reply(payload)))
    }

    /// Sends the one message of `batch`, and hands the body of each reply on.
    pub(crate) fn query(
        &mut self,
        what: &'static str,
        batch: Batch,
        mut on_reply: impl FnMut(&[u8]),
    ) -> Result<Ended, Error> {
        let mut refused = None;
        let ended = self.exchange(what, batch, |answer| match answer {
            Answer::Reply(payload) => on_reply(payload),
            Answer::Refused(refusal) => refused = Some(refusal),
        })?;
        refused.map_or(Ok(ended), |Refusal { errno, message, .. }| {
            Err(Error::Refused {
                what,
                errno,
                message,
            })
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

    /// Sends all messages of `batch` at once, and reports each that is refused.
    pub(crate) fn batch(
        &mut self,
        what: &'static str,
        batch: Batch,
        mut on_refused: impl FnMut(Refusal),
    ) -> Result<(), Error> {
        self.exchange(what, batch, |answer| {
            if let Answer::Refused(refusal) = answer {
                on_refused(refusal);
            }
        })
        .map(drop)
    }

    /// Hands on the events of a subscription that are there; `AGAIN` if there are none.
    pub(crate) fn events(&mut self, on_event: impl FnMut(Message<'_>)) -> Result<(), Errno> {
        let length = receive(&self.fd, &mut self.buffer, RecvFlags::DONTWAIT)?;
        Messages(&self.buffer[..length]).for_each(on_event);
        Ok(())
    }

    fn exchange(
        &mut self,
        what: &'static str,
        mut batch: Batch,
        mut on_answer: impl FnMut(Answer<'_>),
    ) -> Result<Ended, Error> {
        let first = self.sequence.wrapping_add(1);
        let count = batch.seal(first);
        self.sequence = self.sequence.wrapping_add(count);
        self.send(batch.bytes())
            .map_err(|errno| Error::system(what, errno))?;
        let mut ended = Ended::Complete;
        loop {
            let length = receive(&self.fd, &mut self.buffer, RecvFlags::empty())
                .map_err(|errno| Error::system(what, errno))?;
            for message in Messages(&self.buffer[..length]) {
                let position = message.sequence.wrapping_sub(first);
                if position >= count {
                    // left over from an exchange that failed half-way
                    continue;
                }
                if message.flags & flag(libc::NLM_F_DUMP_INTR) != 0 {
                    ended = Ended::Interrupted;
                }
                if answered(message, position, batch.is_transaction(), &mut on_answer)
                    || position + 1 == count && message.is_final()
                {
                    return Ok(ended);
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Errno> {
        // The kernel refuses what does not fit into the send buffer as a whole.
        if bytes.len() > SEND_BUFFER / 2 {
            rustix::net::sockopt::set_socket_send_buffer_size_force(
                &self.fd,
                bytes.len() + SEND_BUFFER,
            )?;
        }
        loop {
            match rustix::net::send(&self.fd, bytes, SendFlags::empty()) {
                Err(Errno::INTR) => {}
                result => return result.map(drop),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a message says about the request it answers.
enum Answer<'a> {
    Reply(&'a [u8]),
    Refused(Refusal),
}

/// The kernel's no to one message of a batch.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Which message, from 0.
    pub(crate) position: u32,
    pub(crate) errno: Errno,
    pub(crate) message: Option<String>,
}

/// Hands `message` on if it says anything; whether it is the last word on the batch although it answers its head.
fn answered(
    message: Message<'_>,
    position: u32,
    transaction: bool,
    on_answer: &mut impl FnMut(Answer<'_>),
) -> bool {
    if !message.is_final() {
        on_answer(Answer::Reply(message.payload));
        return false;
    }
    let code = message
        .payload
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code >= 0 {
        return false;
    }
    let errno = Errno::from_raw_os_error(-code);
    on_answer(Answer::Refused(Refusal {
        position,
        errno,
        message: message.explanation(),
    }));
    // Without the capability only the first message of any batch is answered.
    position == 0 && (transaction || errno == Errno::PERM)
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
