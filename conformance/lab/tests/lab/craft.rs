//! Packets written by hand, right in all that is not wrong on purpose: checksums too. Where they go is not known here.

use std::net::IpAddr;

/// Time to live and hop limit of all crafted packets: nobody else's, so that they are told from others.
pub(crate) const TTL: u8 = 177;

/// IP protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const GRE: u8 = 47;
pub(crate) const ESP: u8 = 50;
pub(crate) const AH: u8 = 51;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SCTP: u8 = 132;
/// Extension headers of IPv6.
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const NO_NEXT: u8 = 59;
pub(crate) const DESTINATION: u8 = 60;
pub(crate) const MOBILITY: u8 = 135;
/// TCP flags.
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;

/// A packet's addresses, and the identification that it is known by on arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) identification: u16,
}

/// A TCP segment without options.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Segment {
    pub(crate) ports: (u16, u16),
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
}

/// An extension header: its number, and its bytes, of which the first is filled in.
pub(crate) type Extension = (u8, Vec<u8>);

impl Way {
    pub(crate) fn is_ipv6(&self) -> bool {
        self.source.is_ipv6()
    }

    pub(crate) fn back(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ..*self
        }
    }

    /// A plain packet.
    pub(crate) fn ip(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        if self.is_ipv6() {
            self.ipv6(&[], protocol, payload)
        } else {
            self.ipv4((0, false), &[], protocol, payload)
        }
    }

    /// A fragment: `offset` in bytes, a multiple of 8.
    pub(crate) fn fragment(&self, protocol: u8, offset: usize, more: bool, part: &[u8]) -> Vec<u8> {
        if !self.is_ipv6() {
            return self.ipv4((offset, more), &[], protocol, part);
        }
        let field = u16::try_from(offset).unwrap() | u16::from(more);
        let mut header = vec![0, 0];
        header.extend(field.to_be_bytes());
        header.extend(u32::from(self.identification).to_be_bytes());
        self.ipv6(&[(FRAGMENT, header)], protocol, part)
    }

    /// `options` is padded with no-operations... to four bytes.
    pub(crate) fn ipv4(
        &self,
        (offset, more): (usize, bool),
        options: &[u8],
        protocol: u8,
        payload: &[u8],
    ) -> Vec<u8> {
        let header = 20 + options.len().next_multiple_of(4);
        let first = 0x40 | u8::try_from(header / 4).unwrap();
        let mut bytes = vec![first, 0];
        bytes.extend(length(header + payload.len()));
        bytes.extend(self.identification.to_be_bytes());
        let field = u16::try_from(offset / 8).unwrap() | if more { 0x2000 } else { 0 };
        bytes.extend(field.to_be_bytes());
        bytes.extend([TTL, protocol, 0, 0]);
        bytes.extend(octets(self.source));
        bytes.extend(octets(self.destination));
        bytes.extend(options);
        bytes.resize(header, 0);
        let sum = checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    pub(crate) fn ipv6(&self, chain: &[Extension], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let numbers: Vec<u8> = chain
            .iter()
            .map(|(number, _)| *number)
            .chain([protocol])
            .collect();
        let mut body = Vec::new();
        for ((_, header), next) in chain.iter().zip(&numbers[1..]) {
            let at = body.len();
            body.extend(header);
            body[at] = *next;
        }
        body.extend(payload);
        let mut bytes = vec![0x60, 0];
        bytes.extend(self.identification.to_be_bytes());
        bytes.extend(length(body.len()));
        bytes.extend([numbers[0], TTL]);
        bytes.extend(octets(self.source));
        bytes.extend(octets(self.destination));
        bytes.extend(body);
        bytes
    }

    /// A TCP segment.
    pub(crate) fn tcp(&self, segment: Segment, data: &[u8]) -> Vec<u8> {
        let mut bytes = ports(segment.ports);
        bytes.extend(segment.sequence.to_be_bytes());
        bytes.extend(segment.acknowledgement.to_be_bytes());
        bytes.extend([5 << 4, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.extend(data);
        self.sealed(TCP, bytes, 16)
    }

    /// A UDP datagram.
    pub(crate) fn udp(&self, ends: (u16, u16), data: &[u8]) -> Vec<u8> {
        let mut bytes = ports(ends);
        bytes.extend(length(8 + data.len()));
        bytes.extend([0, 0]);
        bytes.extend(data);
        self.sealed(UDP, bytes, 6)
    }

    /// An ICMP or `ICMPv6` message, by the family; `rest` is what follows the checksum.
    pub(crate) fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> (u8, Vec<u8>) {
        let mut bytes = vec![kind, code, 0, 0];
        bytes.extend(rest);
        if self.is_ipv6() {
            return (ICMPV6, self.sealed(ICMPV6, bytes, 2));
        }
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        (ICMP, bytes)
    }

    /// An echo request.
    pub(crate) fn echo(&self, identifier: u16) -> Vec<u8> {
        let kind = if self.is_ipv6() { 128 } else { 8 };
        let mut rest = identifier.to_be_bytes().to_vec();
        rest.extend([0, 1]);
        rest.extend(b"sluice");
        let (protocol, message) = self.icmp(kind, 0, &rest);
        self.ip(protocol, &message)
    }

    /// Writes a checksum over `bytes` and the pseudo header (RFC 8200 §8.1).
    fn sealed(&self, protocol: u8, mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
        let mut covered = octets(self.source);
        covered.extend(octets(self.destination));
        covered.extend([0, protocol]);
        covered.extend(length(bytes.len()));
        covered.extend(&bytes);
        let sum = checksum(&covered);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// An SCTP packet with one chunk (RFC 9260 §3), of which `body` follows the chunk's length.
pub(crate) fn sctp(ends: (u16, u16), chunk: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = ports(ends);
    let tag: u32 = if chunk == 1 { 0 } else { 7 };
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([chunk, 0]);
    bytes.extend(length(4 + body.len()));
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let sum = crc32c(&bytes).to_le_bytes();
    bytes[8..12].copy_from_slice(&sum);
    bytes
}

/// An extension header of options (RFC 8200 §4.3, §4.6) that is `length` bytes long, a multiple of 8: experimental
/// options that a receiver skips (RFC 4727), so that it may be as long as it likes.
pub(crate) fn options(number: u8, length: usize) -> Extension {
    let mut bytes = vec![0, u8::try_from(length / 8 - 1).unwrap()];
    while bytes.len() < length {
        let room = (length - bytes.len() - 2).min(255);
        // what is left must be nothing, or room for another option
        let room = if length - bytes.len() - 2 - room == 1 {
            room - 1
        } else {
            room
        };
        bytes.extend([0x1e, u8::try_from(room).unwrap()]);
        bytes.resize(bytes.len() + room, 0);
    }
    (number, bytes)
}

fn ports((source, destination): (u16, u16)) -> Vec<u8> {
    [source.to_be_bytes(), destination.to_be_bytes()].concat()
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap().to_be_bytes()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

/// CRC-32C (RFC 9260 appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
