//! What the kernel says about its table of connections as a whole.

use std::{fs, io};

use netlink_bindings::conntrack::{
    self, ConntrackStatsAttrs, IterableConntrackStatsAttrs, Nfgenmsg,
};
use netlink_bindings::utils::find_attr;

use super::{Conntrack, GET_STATS, header};
use crate::Error;
use crate::message::Batch;

/// `CTA_STATS_GLOBAL_ENTRIES`.
const GLOBAL_ENTRIES: u16 = 1;
/// `CTA_STATS_GLOBAL_MAX_ENTRIES`.
const GLOBAL_MAX_ENTRIES: u16 = 2;

/// How full the table of the network namespace is, and what has become of connections that did not fit. Counts are
/// since the namespace was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Entries now.
    pub entries: u32,
    /// Entries at most (`net.netfilter.nf_conntrack_max`); 0 where the kernel does not say.
    pub max: u32,
    /// Entries that could not be inserted: mostly, another packet had opened the same connection.
    pub insert_failed: u64,
    /// Packets dropped because no entry could be made: the table was full.
    pub dropped: u64,
    /// Entries of connections that nobody had answered, removed to make room.
    pub early_dropped: u64,
    /// Packets dropped because too many entries share a bucket.
    pub chain_too_long: u64,
}

/// A setting of conntrack (`net.netfilter.NAME`), in the network namespace of the calling process.
pub fn conntrack_sysctl(name: &str) -> io::Result<u32> {
    let path = format!("/proc/sys/net/netfilter/{name}");
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
    let text = fs::read_to_string(&path).map_err(named)?;
    let number = text.trim().parse();
    number.map_err(|error| named(io::Error::new(io::ErrorKind::InvalidData, error)))
}

impl Conntrack {
    /// How many entries there are.
    pub fn count(&mut self) -> Result<u32, Error> {
        self.fill().map(|(entries, _max)| entries)
    }

    /// How the table stands.
    pub fn statistics(&mut self) -> Result<Statistics, Error> {
        let (entries, max) = self.fill()?;
        let mut sum = Statistics {
            entries,
            max,
            ..Statistics::default()
        };
        let request = conntrack::Request::new().op_get_stats_dump(&header(None));
        let ended = self
            .socket
            .request("read statistics", &request, |(_, of_a_cpu)| {
                sum.add(of_a_cpu);
            });
        ended.map(|_| sum)
    }

    fn fill(&mut self) -> Result<(u32, u32), Error> {
        let mut fill = (0, 0);
        let mut batch = Batch::new();
        batch.push_with(GET_STATS, 0, |bytes| {
            bytes.extend_from_slice(header(None).as_slice());
        });
        let ended = self.socket.query("count connections", batch, |payload| {
            fill = (
                number(payload, GLOBAL_ENTRIES),
                number(payload, GLOBAL_MAX_ENTRIES),
            );
        });
        ended.map(|_| fill)
    }
}

impl Statistics {
    /// Adds a processor's share.
    fn add(&mut self, attributes: IterableConntrackStatsAttrs<'_>) {
        for attribute in attributes.flatten() {
            match attribute {
                ConntrackStatsAttrs::InsertFailed(count) => self.insert_failed += u64::from(count),
                ConntrackStatsAttrs::Drop(count) => self.dropped += u64::from(count),
                ConntrackStatsAttrs::EarlyDrop(count) => self.early_dropped += u64::from(count),
                ConntrackStatsAttrs::ChainToolong(count) => {
                    self.chain_too_long += u64::from(count);
                }
                _ => {}
            }
        }
    }
}

fn number(payload: &[u8], attribute: u16) -> u32 {
    payload
        .get(Nfgenmsg::len()..)
        .and_then(|attributes| find_attr(attributes, attribute))
        .and_then(|value| value.first_chunk())
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `enum ctattr_stats_cpu` of the kernel's `nfnetlink_conntrack.h`.
    const SHARE: [(u16, u32); 6] = [(8, 7), (9, 1), (10, 2), (11, 3), (12, 9), (15, 4)];

    #[test]
    fn shares_add_up() {
        let mut bytes = Vec::new();
        for (kind, count) in SHARE {
            bytes.extend(8_u16.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(count.to_be_bytes());
        }
        let mut sum = Statistics::default();
        for _cpu in 0..2 {
            sum.add(ConntrackStatsAttrs::new(&bytes));
        }
        let expected = Statistics {
            insert_failed: 2,
            dropped: 4,
            early_dropped: 6,
            chain_too_long: 8,
            ..Statistics::default()
        };
        assert_eq!(sum, expected);
    }
}
