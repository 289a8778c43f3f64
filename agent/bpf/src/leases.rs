//! The handle with which queue workers write leases.

use std::sync::Arc;

use sluice_ebpf::{Lease, LeaseKey};

use crate::maps::Maps;
use crate::table::MapError;

/// Writes leases from any thread, without a lock: each operation is one system call.
#[derive(Clone, Debug)]
pub struct Leases {
    pub(crate) maps: Arc<Maps>,
}

impl Leases {
    /// Writes a lease. A full map forgets its least recently used one.
    pub fn insert(&self, key: &LeaseKey, lease: &Lease) -> Result<(), MapError> {
        self.maps.leases.insert(key, lease)
    }

    /// The lease under a key, live or not.
    pub fn get(&self, key: &LeaseKey) -> Result<Option<Lease>, MapError> {
        self.maps.leases.get(key)
    }

    /// Forgets a lease; whether it was there.
    pub fn remove(&self, key: &LeaseKey) -> Result<bool, MapError> {
        self.maps.leases.remove(key)
    }

    /// All leases, live or not; those that come and go meanwhile may be missing.
    pub fn entries(&self) -> Result<Vec<(LeaseKey, Lease)>, MapError> {
        self.maps.leases.entries()
    }
}
