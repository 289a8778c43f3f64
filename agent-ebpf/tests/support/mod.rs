//! Packets as bytes, and maps in memory.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod pair;

use std::cell::Cell;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_ebpf::{
    Addr, Bytes, EPOCH_SLOTS, Epochs, Flow, FlowChange, FlowKey, Guard, Lease, LeaseKey, Maps,
    Packet, PodEntry, Redirect, Slot, Verdict, Write,
};

/// A packet in memory.
pub(crate) struct Slice<'b>(pub(crate) &'b [u8]);

impl Bytes for Slice<'_> {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let bytes = self.0.get(offset as usize..)?.get(..4 * N)?;
        let (words, _) = bytes.as_chunks::<4>();
        Some(std::array::from_fn(|index| {
            u32::from_ne_bytes(words[index])
        }))
    }
}

/// The smallest TCP header; flags as on the wire.
pub(crate) fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut bytes = ports(source, destination);
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

pub(crate) fn udp(source: u16, destination: u16) -> Vec<u8> {
    let mut bytes = ports(source, destination);
    bytes.extend([0, 8, 0, 0]);
    bytes
}

/// A common header and a chunk's.
pub(crate) fn sctp(source: u16, destination: u16, chunk: u8) -> Vec<u8> {
    let mut bytes = ports(source, destination);
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, chunk, 0, 0, 4]);
    bytes
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

pub(crate) fn ipv4(source: &str, destination: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    bytes.extend(source.parse::<Ipv4Addr>().unwrap().octets());
    bytes.extend(destination.parse::<Ipv4Addr>().unwrap().octets());
    bytes.extend(payload);
    bytes
}

pub(crate) fn ipv6(source: &str, destination: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    bytes.extend(source.parse::<Ipv6Addr>().unwrap().octets());
    bytes.extend(destination.parse::<Ipv6Addr>().unwrap().octets());
    bytes.extend(payload);
    bytes
}

/// The maps as the agent writes them and the programs read them.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) leases: HashMap<LeaseKey, Lease>,
    pub(crate) denials: HashMap<LeaseKey, Lease>,
    pub(crate) guards: HashMap<u32, Guard>,
    pub(crate) flows: HashMap<FlowKey, Flow>,
    pub(crate) redirects: HashMap<FlowKey, Redirect>,
    pub(crate) pods: HashMap<Addr, PodEntry>,
    pub(crate) epochs: HashMap<u32, u32>,
    pub(crate) incomplete: bool,
    pub(crate) now: u64,
    /// How often a hash map was asked.
    pub(crate) lookups: Cell<u32>,
}

impl World {
    pub(crate) fn pod(&mut self, address: Addr, isolated: u32) {
        self.pods.insert(address, PodEntry { isolated });
    }

    pub(crate) fn lease(&mut self, key: LeaseKey, verdict: Verdict, expires_ns: u64) {
        let epochs = self.epochs_of(key.source, key.destination);
        let map = match verdict {
            Verdict::Allow => &mut self.leases,
            Verdict::Deny => {
                self.leases.remove(&key);
                &mut self.denials
            }
        };
        map.insert(key, Lease::new(&key, verdict, epochs, expires_ns));
    }

    pub(crate) fn raise(&mut self, address: Addr) {
        *self.epochs.entry(address.slot()).or_default() += 1;
    }

    pub(crate) fn epochs_of(&self, source: Addr, destination: Addr) -> Epochs {
        let of = |address: Addr| {
            self.epochs
                .get(&address.slot())
                .copied()
                .unwrap_or_default()
        };
        Epochs {
            source: of(source),
            destination: of(destination),
        }
    }

    pub(crate) fn change(&mut self, packet: &Packet, change: FlowChange) {
        let key = change.key(packet);
        match change.write {
            Write::Keep => {}
            Write::Put => drop(self.flows.insert(key, change.flow(&key))),
            Write::End => drop(self.flows.remove(&key)),
        }
    }

    fn asked(&self) {
        self.lookups.set(self.lookups.get() + 1);
    }
}

impl Maps for World {
    fn lease(&self, key: &LeaseKey) -> Option<Lease> {
        self.asked();
        self.leases.get(key).copied()
    }

    fn denial(&self, key: &LeaseKey) -> Option<Lease> {
        self.asked();
        self.denials.get(key).copied()
    }

    fn flow(&self, key: &FlowKey) -> Option<Flow> {
        self.asked();
        self.flows.get(key).copied()
    }

    fn redirect(&self, key: &FlowKey) -> Option<Redirect> {
        self.asked();
        self.redirects.get(key).copied()
    }

    fn slot(&self, slot: u32) -> Option<Slot> {
        assert!(slot < EPOCH_SLOTS);
        let mut sum = Slot::EMPTY;
        self.pods
            .iter()
            .filter(|(address, _)| address.slot() == slot)
            .for_each(|(address, pod)| sum.add(*address, *pod));
        Some(sum)
    }

    fn pod(&self, address: &Addr) -> Option<PodEntry> {
        self.asked();
        self.pods.get(address).copied()
    }

    fn epoch(&self, slot: u32) -> Option<u32> {
        assert!(slot < EPOCH_SLOTS);
        Some(self.epochs.get(&slot).copied().unwrap_or_default())
    }

    fn guard(&self, ifindex: u32) -> Option<&Guard> {
        self.asked();
        self.guards.get(&ifindex)
    }

    fn pods_complete(&self) -> bool {
        !self.incomplete
    }

    fn now_ns(&self) -> u64 {
        self.now
    }
}
