//! The handle with which queue workers write leases.

use std::sync::Arc;

use sluice_ebpf::{Lease, LeaseKey, Verdict};

use crate::maps::Maps;
use crate::table::MapError;

/// Writes leases from any thread, without a lock: each operation is one system call.
#[derive(Clone, Debug)]
pub struct Leases {
    pub(crate) maps: Arc<Maps>,
}

impl Leases {
    /// Writes a lease, of each verdict into a map of its own. A full map forgets its least recently used one.
    pub fn insert(&self, key: &LeaseKey, lease: &Lease) -> Result<(), MapError> {
        match lease.verdict(key) {
            Some(Verdict::Deny) => {
                // An allow lease would be found first.
                let _was_there = self.maps.leases.remove(key)?;
                self.maps.denials.insert(key, lease)
            }
            Some(Verdict::Allow) | None => self.maps.leases.insert(key, lease),
        }
    }

    /// Forgets many allow leases, of which some may be forgotten already.
    pub fn remove_all(&self, keys: &[LeaseKey]) -> Result<(), MapError> {
        keys.iter()
            .try_for_each(|key| self.maps.leases.remove(key).map(drop))
    }

    /// How many allow leases there can be.
    pub fn capacity(&self) -> Result<u32, MapError> {
        self.maps.leases.max()
    }

    /// The allow lease under a key, live or not.
    pub fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, MapError> {
        self.maps.leases.get(key)
    }

    /// Forgets an allow lease; whether it was there.
    pub fn remove(&self, key: &LeaseKey) -> Result<bool, MapError> {
        self.maps.leases.remove(key)
    }

    /// The keys of all allow leases, live or not.
    pub fn keys(&self) -> Result<Vec<LeaseKey>, MapError> {
        let entries = self.entries()?;
        Ok(entries.into_iter().map(|(key, _)| key).collect())
    }

    /// All allow leases, live or not; those that come and go meanwhile may be missing.
    pub fn entries(&self) -> Result<Vec<(LeaseKey, Lease)>, MapError> {
        self.maps.leases.entries()
    }
}
