//! The two families of addresses.

use std::fmt;
use std::net::IpAddr;

use sluice_policy::Pod;

/// An IP family: a pod that has addresses of both is judged in each by the address of that family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Addresses such as 10.244.0.1.
    Ipv4,
    /// Addresses such as `fd00:10:244::1`.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// That of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The first address of a pod in this family.
    pub fn address(self, pod: &Pod) -> Option<IpAddr> {
        pod.addresses
            .iter()
            .copied()
            .find(|address| Self::of(*address) == self)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}
