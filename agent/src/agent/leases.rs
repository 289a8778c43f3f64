//! Verdicts into leases: what a worker remembers of a judgement.

use std::net::IpAddr;
use std::time::Duration;

use sluice_bpf::{Leases, now_ns};
use sluice_ebpf::{Addr, Epochs, Lease, LeaseKey, Verdict};
use sluice_policy::{Action, Protocol, Tuple};

use super::published::Published;
use crate::queue::Judgement;

/// How long a denial is remembered. Long enough for the first retransmissions of a SYN (1, 3, 7 s) to end in the
/// kernel, short enough for the log to tell of a client that goes on trying.
const DENIAL: Duration = Duration::from_secs(10);

/// A worker's handle on the leases.
#[derive(Clone)]
pub(crate) struct LeaseWriter {
    leases: Leases,
}

impl LeaseWriter {
    pub(crate) fn new(leases: Leases) -> Self {
        Self { leases }
    }

    /// Remembers a judgement, with the epochs of the snapshot that it was made from. A denial is remembered only of a
    /// packet that `opens` a connection: that of another one says nothing about connections to come.
    pub(crate) fn remember(
        &self,
        published: &Published,
        judgement: &Judgement<'_>,
        opens: bool,
    ) -> Result<(), sluice_bpf::MapError> {
        let denial = judgement.action() == Action::Deny;
        let says_nothing = denial && (judgement.reversed || !opens);
        let Some(key) = key(&judgement.tuple).filter(|_| !says_nothing) else {
            return Ok(());
        };
        let epoch = |address: IpAddr| published.epochs.get(slot(address));
        let (verdict, expires_ns) = if denial {
            let lifetime = u64::try_from(DENIAL.as_nanos()).unwrap_or(u64::MAX);
            (Verdict::Deny, now_ns().saturating_add(lifetime))
        } else {
            (Verdict::Allow, 0)
        };
        let Tuple {
            source,
            destination,
            ..
        } = judgement.tuple;
        let epochs = Epochs {
            source: epoch(source),
            destination: epoch(destination),
        };
        self.leases
            .insert(&key, &Lease::new(&key, verdict, epochs, expires_ns))
    }
}

/// The slot of an address's epoch.
pub(crate) fn slot(address: IpAddr) -> u32 {
    Addr::from(address).slot()
}

/// The key of a connection, if the kernel half can read such packets at all.
fn key(tuple: &Tuple) -> Option<LeaseKey> {
    match tuple.protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => Some(LeaseKey::new(
            Addr::from(tuple.source),
            Addr::from(tuple.destination),
            tuple.protocol.number(),
            tuple.port,
        )),
        Protocol::Other(_) => None,
    }
}
