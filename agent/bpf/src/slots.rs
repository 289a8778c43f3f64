//! Keeps the `slots` map what the `pods` map makes of it.

use std::collections::HashMap;

use sluice_ebpf::{Addr, EPOCH_SLOTS, PodEntry, Slot};

use crate::maps::Maps;
use crate::table::MapError;

/// The local pods by slot. The single writer of both maps.
#[derive(Debug, Default)]
pub(crate) struct SlotBook {
    pods: HashMap<u32, Vec<(Addr, PodEntry)>>,
}

impl SlotBook {
    /// From the `pods` map as it was found; puts right whatever of `slots` disagrees with it.
    pub(crate) fn restore(maps: &Maps) -> Result<Self, MapError> {
        let mut book = Self::default();
        for (address, entry) in maps.pods.entries()? {
            book.pods
                .entry(address.slot())
                .or_default()
                .push((address, entry));
        }
        let found: HashMap<u32, Slot> = maps.slots.entries()?.into_iter().collect();
        let wrong = (0..EPOCH_SLOTS).map(|slot| (slot, book.sum(slot)));
        maps.slots
            .insert_all(wrong.filter(|(slot, sum)| found.get(slot) != Some(sum)))?;
        Ok(book)
    }

    /// Adds or changes a pod: first itself, then its slot, which is what makes it count.
    pub(crate) fn set(
        &mut self,
        maps: &Maps,
        address: Addr,
        entry: PodEntry,
    ) -> Result<(), MapError> {
        maps.pods.insert(&address, &entry)?;
        let pods = self.pods.entry(address.slot()).or_default();
        pods.retain(|(known, _)| *known != address);
        pods.push((address, entry));
        maps.slots
            .insert(&address.slot(), &self.sum(address.slot()))
    }

    /// Removes a pod; whether it was there.
    pub(crate) fn remove(&mut self, maps: &Maps, address: Addr) -> Result<bool, MapError> {
        let was_there = maps.pods.remove(&address)?;
        if let Some(pods) = self.pods.get_mut(&address.slot()) {
            pods.retain(|(known, _)| *known != address);
            if pods.is_empty() {
                self.pods.remove(&address.slot());
            }
        }
        maps.slots
            .insert(&address.slot(), &self.sum(address.slot()))?;
        Ok(was_there)
    }

    fn sum(&self, slot: u32) -> Slot {
        let mut sum = Slot::EMPTY;
        for (address, entry) in self.pods.get(&slot).into_iter().flatten() {
            sum.add(*address, *entry);
        }
        sum
    }
}
