//! Which sources belong behind an interface, and which packets claim another.

use crate::{Addr, Bytes, Family, Maps, Parsed};

/// How many addresses can be behind a guarded interface. A pod has one, or two in a dual stack.
pub const GUARD_ADDRESSES: usize = 4;

/// Value of the `guards` map, by interface index: the addresses behind an interface.
///
/// Speaks about the families that it has an address of: nothing is known about the other one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The key again: an entry may become another key's while a program reads it.
    ifindex: u32,
    flags: u32,
    addresses: [Addr; GUARD_ADDRESSES],
}

const _: () = assert!(size_of::<Guard>() == 72);

const V4: u32 = 1;
const V6: u32 = 2;
/// The interface is one end of a pair whose other end is in another network namespace.
const PEER_ELSEWHERE: u32 = 4;

impl Guard {
    /// The guard of an interface with these addresses behind it; none where there are none, or too many.
    #[must_use]
    pub fn new(ifindex: u32, addresses: &[Addr]) -> Option<Self> {
        let mut guard = Self {
            ifindex,
            flags: 0,
            addresses: [Addr::UNSPECIFIED; GUARD_ADDRESSES],
        };
        if addresses.is_empty() || addresses.len() > GUARD_ADDRESSES {
            return None;
        }
        for (place, address) in guard.addresses.iter_mut().zip(addresses) {
            *place = *address;
            guard.flags |= family(address);
        }
        Some(guard)
    }

    /// Says whether the interface is one end of a pair whose other end is in another network namespace: what is handed
    /// to it arrives there.
    #[must_use]
    pub const fn with_peer_elsewhere(self, elsewhere: bool) -> Self {
        let flag = if elsewhere { PEER_ELSEWHERE } else { 0 };
        Self {
            flags: self.flags & !PEER_ELSEWHERE | flag,
            ..self
        }
    }

    /// The addresses that belong behind it.
    pub fn addresses(&self) -> impl Iterator<Item = Addr> {
        self.addresses
            .into_iter()
            .filter(|address| *address != Addr::UNSPECIFIED)
    }

    /// Whether a packet with this source can come from behind `ifindex`.
    #[inline(always)]
    fn admits(&self, source: &Addr, ifindex: u32) -> bool {
        self.has(source)
            || self.flags & family(source) == 0
            || source.is_unspecified()
            || source.is_link_local()
            || self.ifindex != ifindex
    }

    /// Whether it is `ifindex`'s, and what is handed to that arrives in another network namespace.
    #[inline(always)]
    pub(crate) const fn has_peer_elsewhere(&self, ifindex: u32) -> bool {
        self.ifindex == ifindex && self.flags & PEER_ELSEWHERE != 0
    }

    /// Whether the address is behind it.
    #[inline(always)]
    pub(crate) fn has(&self, address: &Addr) -> bool {
        let mut index = 0;
        while index < GUARD_ADDRESSES {
            if self.addresses[index] == *address {
                return true;
            }
            index += 1;
        }
        false
    }
}

/// Whether a packet that came in by `ifindex` claims a source that is not behind it. Neighbour discovery never does, nor
/// what is not read: whatever has no readable addresses is no packet to the kernel either.
#[inline(always)]
pub fn spoofed(
    parsed: &Parsed,
    bytes: &impl Bytes,
    family: Family,
    ifindex: u32,
    maps: &impl Maps,
) -> bool {
    let source = match parsed {
        Parsed::Whole(packet) => &packet.source,
        Parsed::Ends(source, _) => source,
        Parsed::Broken => return false,
    };
    match maps.guard(ifindex) {
        Some(guard) => !guard.admits(source, ifindex) && !discovery(bytes, family),
        None => false,
    }
}

/// Whether a guarded interface has to be left by frames that carry what is not read: a tag within a tag, of which the
/// kernel takes off both.
#[inline(always)]
pub fn hidden(ethertype: u16, ifindex: u32, maps: &impl Maps) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8) && maps.guard(ifindex).is_some()
}

/// Neighbour discovery as its receivers take it: from the link itself (RFC 4861, 7.1), so with an unspent hop limit.
#[inline(always)]
fn discovery(bytes: &impl Bytes, family: Family) -> bool {
    const HEADER: u32 = 40;
    if family != Family::V6 {
        return false;
    }
    let (Some([second]), Some([message])) = (bytes.load::<1>(4), bytes.load::<1>(HEADER)) else {
        return false;
    };
    let [_, _, next, hops] = u32::from_be(second).to_be_bytes();
    let [kind, ..] = u32::from_be(message).to_be_bytes();
    next == 58 && hops == 255 && matches!(kind, 133..=137)
}

#[inline(always)]
const fn family(address: &Addr) -> u32 {
    if address.is_ipv4() { V4 } else { V6 }
}
