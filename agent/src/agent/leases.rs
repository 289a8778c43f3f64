//! Verdicts into leases: what a worker remembers of a judgement.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_bpf::{Leases, MapError, now_ns};
use sluice_ebpf::{Addr, Epochs, Lease, LeaseKey, Verdict};
use sluice_policy::{Action, Protocol, Tuple};

use super::ledger::Ledger;
use super::published::Published;
use crate::queue::Judgement;

/// How long a denial is remembered. Long enough for the first retransmissions of a SYN (1, 3, 7 s) to end in the
/// kernel, short enough for the log to tell of a client that goes on trying.
const DENIAL: Duration = Duration::from_secs(10);

/// A worker's handle on the leases.
#[derive(Clone)]
pub(crate) struct LeaseWriter {
    leases: Leases,
    ledger: Arc<Mutex<Ledger>>,
}

/// What became of a judgement's lease.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// It is written, or there is none to write.
    Written,
    /// It is written, and another one was removed for it.
    Displacing,
}

impl LeaseWriter {
    /// Leases into an empty map. A quarter of it stays free: the kernel hands entries to its CPUs by the hundred, and
    /// takes any lease for the next where it has none left.
    pub(crate) fn new(leases: Leases) -> Result<Self, MapError> {
        let bound = leases.capacity()? as usize / 4 * 3;
        Ok(Self {
            leases,
            ledger: Arc::new(Mutex::new(Ledger::new(bound))),
        })
    }

    /// Forgets the leases of an address that is no local pod's any more; no worker judges by a snapshot in which it was.
    pub(crate) fn close(&self, address: IpAddr) -> Result<(), MapError> {
        let closed = self.ledger().close(address);
        self.leases.remove_all(&closed)
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a judgement, with the epochs of the snapshot that it was made from. A denial is remembered only of a
    /// packet that `opens` a connection: that of another one says nothing about connections to come.
    pub(crate) fn remember(
        &self,
        published: &Published,
        judgement: &Judgement<'_>,
        opens: bool,
    ) -> Result<Remembered, MapError> {
        let denial = judgement.action() == Action::Deny;
        let says_nothing = denial && (judgement.reversed || !opens);
        let Some(key) = key(&judgement.tuple).filter(|_| !says_nothing) else {
            return Ok(Remembered::Written);
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
        let displaced = if denial {
            None
        } else {
            self.ledger()
                .charge(account(published, &judgement.tuple), key)
        };
        if let Some(displaced) = &displaced {
            let _was_there = self.leases.remove(displaced)?;
        }
        self.leases
            .insert(&key, &Lease::new(&key, verdict, epochs, expires_ns))?;
        Ok(if displaced.is_some() {
            Remembered::Displacing
        } else {
            Remembered::Written
        })
    }
}

/// Who pays for a lease: the local pod that asks, or that is asked from elsewhere. So there are no more accounts than
/// local pods, however many addresses there are in the world.
fn account(published: &Published, tuple: &Tuple) -> IpAddr {
    let local = published.snapshot.isolation(tuple.source).is_some();
    if local {
        tuple.source
    } else {
        tuple.destination
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
