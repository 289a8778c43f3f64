//! TCP packets that no TCP would send, from raw sockets.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};
use sluice_netlink::Netns;

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;

/// One end of a connection that is none.
pub struct Forger {
    socket: OwnedFd,
    from: SocketAddr,
}

impl Forger {
    /// Sends from an address of that namespace.
    pub fn new(netns: &Netns, from: SocketAddr) -> Self {
        let family = if from.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let open = || rustix::net::socket(family, SocketType::RAW, Some(ipproto::TCP)).unwrap();
        let socket = netns.enter(open).unwrap();
        rustix::net::bind(&socket, &SocketAddr::new(from.ip(), 0)).unwrap();
        Self { socket, from }
    }

    /// Sends a packet without data.
    pub fn send(&self, to: SocketAddr, flags: u8) {
        let segment = segment(self.from, to, flags);
        let to = SocketAddr::new(to.ip(), 0);
        rustix::net::sendto(&self.socket, &segment, SendFlags::empty(), &to).unwrap();
    }
}

/// A header of 20 bytes, with the checksum that conntrack asks for.
fn segment(from: SocketAddr, to: SocketAddr, flags: u8) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..12].copy_from_slice(&[0, 0, 0, 100, 0, 0, 0, 200]);
    segment[12..16].copy_from_slice(&[5 << 4, flags, 0xff, 0xff]);
    let sum = sum(&octets(from.ip())) + sum(&octets(to.ip())) + sum(&segment) + 6 + 20;
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    segment[16..18].copy_from_slice(&(!folded).to_be_bytes());
    segment
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(2);
    words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum()
}
