//! Addresses as map keys, and the epoch slot that an address belongs to.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many epochs there are. Addresses share them by hash, so the array can never be full.
pub const EPOCH_SLOTS: u32 = 1 << SLOT_BITS;

const SLOT_BITS: u32 = 16;

/// Odd 64-bit constants with well-mixed bits (the fractional parts of the golden ratio and of √3).
const FOLD: u64 = 0x9e37_79b9_7f4a_7c15;
const SPREAD: u64 = 0xbb67_ae85_84ca_a73b;

/// The second to last word of an IPv4-mapped address, in network order.
const MAPPED: u32 = 0x0000_ffff_u32.to_be();

/// An IPv6 address, or an IPv4 address as its IPv4-mapped IPv6 address, in network order.
///
/// IPv6 packets never carry the mapped form legitimately; the parser refuses those that do, so a key names
/// packets of one family only.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Addr {
    words: [u32; 4],
}

const _: () = assert!(size_of::<Addr>() == 16);

impl Addr {
    /// The IPv6 address without a bit.
    pub const UNSPECIFIED: Self = Self { words: [0; 4] };

    /// From an IPv4 header's word, as it lies in memory.
    #[inline(always)]
    pub const fn from_ipv4_word(word: u32) -> Self {
        Self {
            words: [0, 0, MAPPED, word],
        }
    }

    /// From an IPv6 header's words, as they lie in memory.
    #[inline(always)]
    pub const fn from_ipv6_words(words: [u32; 4]) -> Self {
        Self { words }
    }

    /// The word of an IPv4 address, as [`Self::from_ipv4_word`] takes it.
    #[inline(always)]
    #[must_use]
    pub const fn ipv4_word(&self) -> u32 {
        self.words[3]
    }

    /// The words of an IPv6 address, as [`Self::from_ipv6_words`] takes them.
    #[inline(always)]
    #[must_use]
    pub const fn words(&self) -> [u32; 4] {
        self.words
    }

    /// Whether this is an IPv4 address, or an IPv6 address that pretends to be one.
    #[inline(always)]
    pub const fn is_ipv4(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == MAPPED
    }

    /// Whether it is nobody's: `0.0.0.0` or `::`, the source of who has no address yet.
    #[inline(always)]
    pub const fn is_unspecified(&self) -> bool {
        self.words[3] == 0
            && (self.is_ipv4() || self.words[2] == 0)
            && self.words[0] == 0
            && self.words[1] == 0
    }

    /// Whether it is in `fe80::/10`, which no router forwards.
    #[inline(always)]
    pub const fn is_link_local(&self) -> bool {
        self.words[0] & 0xffc0_0000_u32.to_be() == 0xfe80_0000_u32.to_be()
    }

    /// The index into the `epochs` map, below [`EPOCH_SLOTS`].
    ///
    /// Addresses that differ in the last 16 bits only never share a slot: a pod network of up to a /16 (or a
    /// /112) has no collisions at all.
    #[inline(always)]
    pub const fn slot(&self) -> u32 {
        (self.mixed() >> (u64::BITS - SLOT_BITS)) as u32
    }

    /// All bits of the address stirred into 64; the highest are the best.
    #[inline(always)]
    pub(crate) const fn mixed(&self) -> u64 {
        (self.pair(0).wrapping_mul(FOLD) ^ self.pair(2)).wrapping_mul(SPREAD)
    }

    /// Two words as a number whose high bits are the last bytes of the address.
    #[inline(always)]
    const fn pair(&self, at: usize) -> u64 {
        (self.words[at].to_le() as u64) | ((self.words[at + 1].to_le() as u64) << 32)
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_ipv4_word(u32::from_ne_bytes(address.octets()))
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(address: Ipv6Addr) -> Self {
        let octets = address.octets();
        let (words, _) = octets.as_chunks::<4>();
        Self {
            words: [words[0], words[1], words[2], words[3]].map(u32::from_ne_bytes),
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(address: Addr) -> Self {
        let [a, b, c, d] = address.words.map(u32::from_be);
        let whole =
            (u128::from(a) << 96) | (u128::from(b) << 64) | (u128::from(c) << 32) | u128::from(d);
        Ipv6Addr::from_bits(whole).to_canonical()
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&IpAddr::from(*self), f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashSet;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::{Addr, EPOCH_SLOTS};

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in [
            "10.244.1.2",
            "0.0.0.0",
            "255.255.255.255",
            "fd00:10:244::1",
            "::",
            "::1",
            "2001:db8::a00:1",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(IpAddr::from(Addr::from(address)), address);
        }
    }

    #[test]
    fn ipv4_and_its_mapped_form_are_one_key() {
        let four = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(Addr::from(four), Addr::from(four.to_ipv6_mapped()));
        assert!(Addr::from(four).is_ipv4());
        assert!(!Addr::from(Ipv6Addr::LOCALHOST).is_ipv4());
    }

    #[test]
    fn words_lie_in_network_order() {
        let address = Addr::from(Ipv4Addr::new(1, 2, 3, 4));
        assert_eq!(
            address,
            Addr::from_ipv4_word(u32::from_ne_bytes([1, 2, 3, 4]))
        );
    }

    #[test]
    #[cfg_attr(miri, ignore = "65536 hashes take minutes there")]
    fn a_sixteen_bit_pod_network_has_no_shared_slots() {
        let four: HashSet<u32> = (0..EPOCH_SLOTS)
            .map(|host| Addr::from(Ipv4Addr::from_bits(0x0af4_0000 | host)).slot())
            .collect();
        assert_eq!(four.len(), EPOCH_SLOTS as usize);
        let base = "fd00:10:244::".parse::<Ipv6Addr>().unwrap().to_bits();
        let six: HashSet<u32> = (0..EPOCH_SLOTS)
            .map(|host| Addr::from(Ipv6Addr::from_bits(base | u128::from(host))).slot())
            .collect();
        assert_eq!(six.len(), EPOCH_SLOTS as usize);
    }

    #[test]
    fn every_bit_of_an_address_can_change_its_hash() {
        let base = Addr::from("fd00:10:244::7".parse::<Ipv6Addr>().unwrap());
        for bit in 0..128 {
            let other = Addr::from(Ipv6Addr::from_bits(
                "fd00:10:244::7".parse::<Ipv6Addr>().unwrap().to_bits() ^ (1 << bit),
            ));
            assert_ne!(base.mixed(), other.mixed(), "bit {bit}");
        }
    }
}
