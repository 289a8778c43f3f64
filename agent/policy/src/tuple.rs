//! What a verdict depends on: nothing else of a packet is looked at.

use std::fmt;
use std::net::IpAddr;

/// An IP protocol, by its number where policies have no name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
    /// IP protocol 132.
    Sctp,
    /// Any other IP protocol: rules with ports never match it, rules without do.
    Other(u8),
}

impl Protocol {
    /// From the number of the IPv4 `protocol` or the last IPv6 `next header` field.
    pub const fn from_number(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            132 => Self::Sctp,
            other => Self::Other(other),
        }
    }

    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("TCP"),
            Self::Udp => f.write_str("UDP"),
            Self::Sctp => f.write_str("SCTP"),
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

/// A connection as policies see it: after destination and before source address translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// The address that opened the connection.
    pub source: IpAddr,
    /// The address it was opened to.
    pub destination: IpAddr,
    /// The IP protocol.
    pub protocol: Protocol,
    /// The destination port; 0 for a protocol without ports.
    pub port: u16,
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} > {} {}/{}",
            self.source, self.destination, self.port, self.protocol
        )
    }
}
