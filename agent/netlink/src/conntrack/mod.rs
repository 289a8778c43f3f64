//! The kernel's table of connections: read, marked, deleted. What a mark means, and which connection deserves it, is
//! the caller's.

mod entry;
mod statistics;

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use netlink_bindings::conntrack::{self, Nfgenmsg, PushConntrackAttrs};
use rustix::io::Errno;

pub use entry::{Entry, FlowTuple, Judged};
pub use statistics::{Statistics, conntrack_sysctl};

use crate::Error;
use crate::message::Batch;
use crate::socket::{Family, Socket};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_*`: the specification has no updates, deletions and global statistics.
const NEW: u16 = 0x100;
const DELETE: u16 = 0x102;
const GET_STATS: u16 = 0x105;
/// `CTA_FILTER_F_CTA_IP_SRC`.
const BY_SOURCE: u32 = 1;
/// Each message may be refused (the connection may be gone), and all refusals must fit into the receive buffer.
const MESSAGES_PER_BATCH: usize = 128;
/// For so long a thread sends messages before it lets others have its processor, who may keep it for a slice of theirs.
const TURN: Duration = Duration::from_micros(500);

/// A socket to the connection table of the network namespace that the opening thread was in.
pub struct Conntrack {
    socket: Socket,
}

/// Which entries a dump is about; the default is all of both families. Parts are joined by AND.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those whose mark has the bits `mask` as they are in `value`.
    pub mark: Option<Masked>,
    /// Those that this address opened.
    pub original_source: Option<IpAddr>,
    /// Those that this address answers, which is what they were opened to after destination translation. Of the same
    /// family as `original_source`.
    pub reply_source: Option<IpAddr>,
}

/// Some bits of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masked {
    /// The bits; none outside `mask`.
    pub value: u32,
    /// Which bits are spoken of.
    pub mask: u32,
}

impl Conntrack {
    /// Opens a socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, Error> {
        Socket::open(Family::Netfilter).map(|socket| Self { socket })
    }

    /// Hands on each entry that `filter` lets through. What happens meanwhile may be seen or not.
    pub fn dump(&mut self, filter: &Filter, mut on_entry: impl FnMut(Entry)) -> Result<(), Error> {
        let mut request = conntrack::Request::new().op_get_dump(&header(filter.family()));
        filter.encode(request.encode());
        let ended = self
            .socket
            .request("dump connections", &request, |(_, attributes)| {
                // No kernel filters by all of it, and old ones by less.
                if let Some(entry) =
                    Entry::decode(attributes).filter(|entry| filter.lets_through(entry))
                {
                    on_entry(entry);
                }
            });
        ended.map(drop)
    }

    /// Changes the bits of `bits.mask` in the entry's mark; whether it still exists.
    pub fn set_mark(&mut self, entry: &Entry, bits: Masked) -> Result<bool, Error> {
        self.set_marks(&[(*entry, bits)])
            .map(|changed| changed == 1)
    }

    /// Changes the marks of many entries; returns how many of them still exist.
    pub fn set_marks(&mut self, changes: &[(Entry, Masked)]) -> Result<usize, Error> {
        self.each("mark connections", NEW, changes, |(entry, bits), bytes| {
            drop(
                entry
                    .encode(bytes)
                    .push_mark(bits.value & bits.mask)
                    .push_mark_mask(bits.mask),
            );
        })
    }

    /// Deletes the entry; whether it still existed. Its next packet is the first of a new connection.
    pub fn delete(&mut self, entry: &Entry) -> Result<bool, Error> {
        self.delete_all(&[*entry]).map(|deleted| deleted == 1)
    }

    /// Deletes many entries; returns how many of them still existed.
    pub fn delete_all(&mut self, entries: &[Entry]) -> Result<usize, Error> {
        self.each("delete connections", DELETE, entries, |entry, bytes| {
            drop(entry.encode(bytes).push_id(entry.id));
        })
    }

    /// Sends a message about each item; returns how many were not refused because the entry is gone.
    fn each<T>(
        &mut self,
        what: &'static str,
        kind: u16,
        items: &[T],
        encode: impl Fn(&T, &mut Vec<u8>),
    ) -> Result<usize, Error> {
        let (mut gone, mut refused) = (0, None);
        let mut yielded = Instant::now();
        for chunk in items.chunks(MESSAGES_PER_BATCH) {
            // Thousands of messages take milliseconds, for which nobody else would get this processor.
            if yielded.elapsed() >= TURN {
                thread::yield_now();
                yielded = Instant::now();
            }
            let mut batch = Batch::new();
            for item in chunk {
                batch.push_with(kind, 0, |bytes| encode(item, bytes));
            }
            self.socket
                .batch(what, batch, |refusal| match refusal.errno {
                    Errno::NOENT => gone += 1,
                    errno => {
                        refused = Some(Error::Refused {
                            what,
                            errno,
                            message: refusal.message,
                        });
                    }
                })?;
        }
        refused.map_or(Ok(items.len() - gone), Err)
    }
}

impl AsFd for Conntrack {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Filter {
    /// Whether an entry is one of those that are asked for.
    pub fn lets_through(&self, entry: &Entry) -> bool {
        self.mark
            .is_none_or(|mark| entry.mark & mark.mask == mark.value & mark.mask)
            && self
                .original_source
                .is_none_or(|address| entry.original.src == address)
            && self
                .reply_source
                .is_none_or(|address| entry.reply.src == address)
    }

    /// The kernel filters addresses within one family only.
    fn family(&self) -> Option<IpAddr> {
        self.original_source.or(self.reply_source)
    }

    fn encode(&self, mut attributes: PushConntrackAttrs<&mut Vec<u8>>) {
        if let Some(Masked { value, mask }) = self.mark {
            attributes = attributes.push_mark(value & mask).push_mark_mask(mask);
        }
        let (original, reply) = (ipv4(self.original_source), ipv4(self.reply_source));
        if original.is_some() || reply.is_some() {
            let flags = |source: Option<Ipv4Addr>| if source.is_some() { BY_SOURCE } else { 0 };
            let filter = attributes.nested_filter().push_orig_flags(flags(original));
            attributes = filter.push_reply_flags(flags(reply)).end_nested();
        }
        if let Some(source) = original {
            attributes = attributes
                .nested_tuple_orig()
                .nested_tuple_ip()
                .push_ip_v4_src(source)
                .end_nested()
                .end_nested();
        }
        if let Some(source) = reply {
            attributes = attributes
                .nested_tuple_reply()
                .nested_tuple_ip()
                .push_ip_v4_src(source)
                .end_nested()
                .end_nested();
        }
        drop(attributes);
    }
}

/// The address if the kernel can filter by it. Of IPv6 it dumps the very entries that have another address: the
/// comparison in `ctnetlink_filter_match_tuple` is the wrong way round (seen on 6.18).
fn ipv4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}

/// The header of messages about the family of `address`, or about both.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "AF_UNSPEC is 0, AF_INET 2, AF_INET6 10"
)]
fn header(address: Option<IpAddr>) -> Nfgenmsg {
    let family = match address {
        None => libc::AF_UNSPEC,
        Some(IpAddr::V4(_)) => libc::AF_INET,
        Some(IpAddr::V6(_)) => libc::AF_INET6,
    };
    Nfgenmsg {
        nfgen_family: family as u8,
        ..Nfgenmsg::new()
    }
}
