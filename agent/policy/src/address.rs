//! Addresses and networks as numbers of one space. IPv4 lives in `::ffff:0:0/96`, so an IPv4-mapped IPv6
//! address is its IPv4 address, and still no IPv6 network covers an IPv4 address.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Bits of the space that are above an IPv4 address.
const IPV4_OFFSET: u8 = 96;

/// An address of either family. In halves, because a `u128` would align what holds it to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    high: u64,
    low: u64,
}

impl Address {
    /// The number that stands for it.
    pub(crate) const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// The address that a number stands for.
    #[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
    const fn from_bits(bits: u128) -> Self {
        Self {
            high: (bits >> 64) as u64,
            low: bits as u64,
        }
    }

    /// Whether it is an IPv4 address.
    pub(crate) const fn is_ipv4(self) -> bool {
        self.high == 0 && self.low >> 32 == 0xffff
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self {
                high: 0,
                low: 0xffff << 32 | u64::from(v4.to_bits()),
            },
            IpAddr::V6(v6) => Self::from_bits(v6.to_bits()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from_bits(address.bits()).to_canonical()
    }
}

/// A network of either family. Orders by length first, which is how lookups go through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix {
    /// Leading bits that are fixed, 0 to 128.
    pub(crate) length: u8,
    /// The fixed bits; the others are zero.
    pub(crate) network: u128,
}

impl Prefix {
    /// The network of this length that an address would be in; none where the family has no such length.
    pub(crate) const fn around(address: Address, length: u8) -> Option<Self> {
        if address.is_ipv4() && length < IPV4_OFFSET {
            return None;
        }
        Some(Self {
            length,
            network: address.bits() & mask(length),
        })
    }

    /// Its first and last address.
    pub(crate) const fn range(self) -> (u128, u128) {
        (self.network, self.network | !mask(self.length))
    }

    /// Whether it is a network of IPv4 addresses.
    pub(crate) const fn is_ipv4(self) -> bool {
        self.length >= IPV4_OFFSET && Address::from_bits(self.network).is_ipv4()
    }
}

impl From<IpNet> for Prefix {
    /// Host bits are dropped; an IPv4-mapped IPv6 network becomes the IPv4 network.
    fn from(net: IpNet) -> Self {
        let length = match net {
            IpNet::V4(_) => net.prefix_len() + IPV4_OFFSET,
            IpNet::V6(_) => net.prefix_len(),
        };
        Self {
            length,
            network: Address::from(net.addr()).bits() & mask(length),
        }
    }
}

const fn mask(length: u8) -> u128 {
    if length == 0 {
        0
    } else {
        u128::MAX << (128 - length as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        let plain: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(Address::from(mapped), Address::from(plain));
        assert_eq!(IpAddr::from(Address::from(mapped)), plain);
    }

    #[test]
    fn a_mapped_network_is_its_ipv4_network() {
        let mapped: IpNet = "::ffff:10.0.0.0/104".parse().unwrap();
        let plain: IpNet = "10.0.0.0/8".parse().unwrap();
        assert_eq!(Prefix::from(mapped), Prefix::from(plain));
        assert!(Prefix::from(plain).is_ipv4());
    }

    #[test]
    fn no_ipv6_network_is_around_an_ipv4_address() {
        let address = Address::from("10.0.0.1".parse::<IpAddr>().unwrap());
        assert_eq!(Prefix::around(address, 0), None);
        assert_eq!(Prefix::around(address, 95), None);
        let all: IpNet = "0.0.0.0/0".parse().unwrap();
        assert_eq!(Prefix::around(address, 96), Some(Prefix::from(all)));
    }
}
