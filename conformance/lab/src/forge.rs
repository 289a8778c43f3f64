//! Packets with any source address, from a raw socket, as a process with `CAP_NET_RAW` in a pod can send them. Whether
//! they ought to arrive is not known here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto};
use sluice_netlink::Netns;

use crate::Family;

/// What a forged packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A TCP segment with these flags, and neither options nor data.
    Tcp {
        /// As on the wire: 2 is SYN, 16 is ACK.
        flags: u8,
    },
    /// A datagram of four bytes.
    Udp,
}

/// A packet, from wherever it says.
#[derive(Clone, Copy, Debug)]
pub struct Forged {
    /// What it gives as its source.
    pub from: SocketAddr,
    /// Where it goes; of the family of `from`.
    pub to: SocketAddr,
    /// What is in it.
    pub segment: Segment,
}

/// A raw socket in a namespace, for one family.
#[derive(Debug)]
pub struct Forger(OwnedFd);

impl Segment {
    /// What asks for a TCP connection.
    pub const SYN: Self = Self::Tcp { flags: 2 };

    const fn protocol(self) -> u8 {
        match self {
            Self::Tcp { .. } => 6,
            Self::Udp => 17,
        }
    }

    /// With a checksum of zero.
    fn bytes(self, from: u16, to: u16) -> Vec<u8> {
        let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
        match self {
            Self::Tcp { flags } => {
                bytes.extend([0, 0, 0, 100, 0, 0, 0, 0]);
                bytes.extend([5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
            }
            Self::Udp => bytes.extend([0, 12, 0, 0, b'f', b'a', b'k', b'e']),
        }
        bytes
    }

    const fn checksum_at(self) -> usize {
        match self {
            Self::Tcp { .. } => 16,
            Self::Udp => 6,
        }
    }
}

impl Forged {
    /// The packet from its network header on.
    pub fn bytes(&self) -> Vec<u8> {
        let protocol = self.segment.protocol();
        let mut segment = self.segment.bytes(self.from.port(), self.to.port());
        let (source, destination) = (octets(self.from.ip()), octets(self.to.ip()));
        #[expect(clippy::cast_possible_truncation, reason = "at most 20 bytes")]
        let length = segment.len() as u16;
        let pseudo = [
            words(&source),
            words(&destination),
            protocol.into(),
            length.into(),
        ];
        let sum = fold(pseudo.iter().sum::<u32>() + words(&segment));
        let at = self.segment.checksum_at();
        segment[at..at + 2].copy_from_slice(&(!sum).to_be_bytes());
        let mut packet = if self.from.is_ipv4() {
            // The kernel fills in the length and the header's checksum.
            vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0]
        } else {
            let [high, low] = length.to_be_bytes();
            vec![0x60, 0, 0, 0, high, low, protocol, 64]
        };
        for part in [source, destination, segment] {
            packet.extend(part);
        }
        packet
    }
}

impl Forger {
    /// A socket in `netns`.
    pub fn open(netns: &Netns, family: Family) -> Result<Self> {
        let family = match family {
            Family::Ipv4 => AddressFamily::INET,
            Family::Ipv6 => AddressFamily::INET6,
        };
        let open = || {
            let flags = SocketFlags::CLOEXEC;
            rustix::net::socket_with(family, SocketType::RAW, flags, Some(ipproto::RAW))
        };
        Ok(Self(netns.enter(open)?.context("open a raw socket")?))
    }

    /// Sends a packet by the namespace's routes.
    pub fn send(&self, forged: &Forged) -> io::Result<()> {
        let to = SocketAddr::new(forged.to.ip(), 0);
        rustix::net::sendto(&self.0, &forged.bytes(), SendFlags::empty(), &to)?;
        Ok(())
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The sum of the words of bytes of an even number.
fn words(bytes: &[u8]) -> u32 {
    let (words, _) = bytes.as_chunks::<2>();
    words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum()
}

fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
    let twice = ((once & 0xffff) + (once >> 16)) as u16;
    twice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_add_up_to_all_ones() {
        for (from, to) in [
            ("10.0.0.1:4000", "10.0.0.2:80"),
            ("[fd00::1]:4000", "[fd00::2]:80"),
        ] {
            for segment in [Segment::SYN, Segment::Udp] {
                let forged = Forged {
                    from: from.parse().unwrap(),
                    to: to.parse().unwrap(),
                    segment,
                };
                let packet = forged.bytes();
                let header = if forged.from.is_ipv4() { 20 } else { 40 };
                let addresses = header - 2 * octets(forged.from.ip()).len();
                let length = u32::try_from(packet.len() - header).unwrap();
                let sum = words(&packet[addresses..]) + length + u32::from(segment.protocol());
                assert_eq!(fold(sum), 0xffff, "{forged:?}");
            }
        }
    }
}
