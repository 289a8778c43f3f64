//! The pinned maps: which there are, whether those found can be used, and typed access to them.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use aya::maps::MapType;
use sluice_ebpf::{
    Addr, Counters, EPOCH_SLOTS, Flow, FlowKey, Guard, Lease, LeaseKey, MAX_GUARDS, PodEntry,
    Redirect, Slot, names,
};

use crate::sys::{self, MapInfo};
use crate::table::{MapError, Table};
use crate::{LoadError, Sizes, bpffs};

/// How many entries a map has, and how many it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Live and stale entries alike.
    pub entries: u32,
    /// The map's capacity.
    pub max: u32,
}

/// How full the maps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The `leases` map.
    pub leases: Fill,
    /// The `denials` map.
    pub denials: Fill,
    /// The `flows` map.
    pub flows: Fill,
    /// The `redirects` map.
    pub redirects: Fill,
    /// The `guards` map.
    pub guards: Fill,
}

/// A map as this program wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    kind: MapType,
    key_size: usize,
    value_size: usize,
    pub(crate) max: u32,
}

/// All maps, open.
#[derive(Debug)]
pub(crate) struct Maps {
    pub(crate) pods: Table<Addr, PodEntry>,
    pub(crate) slots: Table<u32, Slot>,
    pub(crate) leases: Table<LeaseKey, Lease>,
    pub(crate) denials: Table<LeaseKey, Lease>,
    pub(crate) flows: Table<FlowKey, Flow>,
    pub(crate) redirects: Table<FlowKey, Redirect>,
    pub(crate) guards: Table<u32, Guard>,
    pub(crate) epochs: Table<u32, u32>,
    pub(crate) state: Table<u32, u32>,
    pub(crate) counters: Table<u32, Counters>,
}

/// Maps that mean something together only: the new of one beside the old of another would be believed. A lease
/// says nothing without the epochs it was given at, and a slot nothing without its pods.
const GROUPS: [&[&str]; 4] = [
    &[names::PODS, names::SLOTS, names::STATE],
    &[
        names::EPOCHS,
        names::LEASES,
        names::DENIALS,
        names::FLOWS,
        names::REDIRECTS,
    ],
    &[names::GUARDS],
    &[names::COUNTERS],
];

/// Unpins every group of which a map is missing or has another layout. What was unpinned; programs that use it
/// keep it until they are replaced.
pub(crate) fn discard_unusable(pins: &Path, sizes: Sizes) -> Result<Vec<&'static str>, LoadError> {
    let specs = specs(sizes);
    let usable = |name: &&str| {
        specs
            .iter()
            .any(|spec| spec.name == *name && spec.is_pinned(pins))
    };
    let mut discarded = Vec::new();
    for group in GROUPS.iter().filter(|group| !group.iter().all(usable)) {
        for name in *group {
            let path = pins.join(name);
            if bpffs::remove(&path).map_err(|source| LoadError::Pin { path, source })? {
                discarded.push(*name);
            }
        }
    }
    Ok(discarded)
}

/// Every pinned map.
pub(crate) fn specs(sizes: Sizes) -> [Spec; 10] {
    let spec = |name, kind, (key_size, value_size), max| Spec {
        name,
        kind,
        key_size,
        value_size,
        max,
    };
    [
        spec(
            names::PODS,
            MapType::Hash,
            of::<Addr, PodEntry>(),
            sizes.pods,
        ),
        spec(names::SLOTS, MapType::Array, of::<u32, Slot>(), EPOCH_SLOTS),
        spec(
            names::LEASES,
            MapType::LruHash,
            of::<LeaseKey, Lease>(),
            sizes.leases,
        ),
        spec(
            names::DENIALS,
            MapType::LruHash,
            of::<LeaseKey, Lease>(),
            sizes.denials,
        ),
        spec(
            names::FLOWS,
            MapType::LruHash,
            of::<FlowKey, Flow>(),
            sizes.flows,
        ),
        spec(
            names::REDIRECTS,
            MapType::LruHash,
            of::<FlowKey, Redirect>(),
            sizes.redirects,
        ),
        spec(names::GUARDS, MapType::Hash, of::<u32, Guard>(), MAX_GUARDS),
        spec(names::EPOCHS, MapType::Array, of::<u32, u32>(), EPOCH_SLOTS),
        spec(names::STATE, MapType::Array, of::<u32, u32>(), 1),
        spec(
            names::COUNTERS,
            MapType::PerCpuArray,
            of::<u32, Counters>(),
            1,
        ),
    ]
}

const fn of<K, V>() -> (usize, usize) {
    (size_of::<K>(), size_of::<V>())
}

impl Spec {
    /// Whether a map of this layout is pinned.
    fn is_pinned(&self, pins: &Path) -> bool {
        sys::get(&pins.join(self.name))
            .and_then(|map| sys::map_info(map.as_fd()))
            .is_ok_and(|info| self.fits(&info))
    }

    fn fits(&self, info: &MapInfo) -> bool {
        let mut name = [0; 16];
        name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        (
            info.kind,
            info.key_size as usize,
            info.value_size as usize,
            info.max_entries,
            info.name,
        ) == (
            self.kind as u32,
            self.key_size,
            self.value_size,
            self.max,
            name,
        )
    }
}

impl Maps {
    /// Opens all of them by their pins.
    pub(crate) fn open(pins: &Path) -> Result<Self, MapError> {
        Ok(Self {
            pods: Table::open(pins, names::PODS)?,
            slots: Table::open(pins, names::SLOTS)?,
            leases: Table::open(pins, names::LEASES)?,
            denials: Table::open(pins, names::DENIALS)?,
            flows: Table::open(pins, names::FLOWS)?,
            redirects: Table::open(pins, names::REDIRECTS)?,
            guards: Table::open(pins, names::GUARDS)?,
            epochs: Table::open(pins, names::EPOCHS)?,
            state: Table::open(pins, names::STATE)?,
            counters: Table::open(pins, names::COUNTERS)?,
        })
    }

    /// The descriptor of each, by name.
    pub(crate) fn descriptors(&self) -> [(&'static str, BorrowedFd<'_>); 10] {
        [
            self.pods.descriptor(),
            self.slots.descriptor(),
            self.leases.descriptor(),
            self.denials.descriptor(),
            self.flows.descriptor(),
            self.redirects.descriptor(),
            self.guards.descriptor(),
            self.epochs.descriptor(),
            self.state.descriptor(),
            self.counters.descriptor(),
        ]
    }

    pub(crate) fn counters(&self) -> Result<Counters, MapError> {
        let mut sum = Counters::default();
        self.counters
            .per_cpu(0)?
            .iter()
            .for_each(|share| sum.add(share));
        Ok(sum)
    }

    pub(crate) fn usage(&self) -> Result<Usage, MapError> {
        Ok(Usage {
            leases: self.leases.fill()?,
            denials: self.denials.fill()?,
            flows: self.flows.fill()?,
            redirects: self.redirects.fill()?,
            guards: self.guards.fill()?,
        })
    }
}
