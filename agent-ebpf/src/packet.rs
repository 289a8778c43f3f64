//! What can be read off a packet for sure. Everything else is named as such and left to others.

use crate::{Addr, FlowKey, LeaseKey};

/// Access to a packet from its network header on.
pub trait Bytes {
    /// `N` words at a byte offset, each as it lies in memory; none where the packet ends before.
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]>;
}

/// Which IP the link says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Ethertype 0x0800.
    V4,
    /// Ethertype 0x86dd.
    V6,
}

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
    /// IP protocol 132.
    Sctp,
}

/// What a packet does to its connection, as far as one packet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// TCP SYN without ACK, SCTP INIT: asks for a connection, and is never a reply.
    Opens,
    /// TCP SYN with ACK, SCTP INIT ACK: grants it.
    Answers,
    /// UDP: may be the first one.
    Datagram,
    /// Anything in between.
    Continues,
    /// TCP FIN, SCTP SHUTDOWN and its ACK: one side is done.
    Closes,
    /// TCP RST, SCTP ABORT and SHUTDOWN COMPLETE: the connection is gone.
    Ends,
}

/// A packet that is read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// TCP, UDP or SCTP.
    pub transport: Transport,
    /// In host order.
    pub source_port: u16,
    /// In host order.
    pub destination_port: u16,
    /// What it does to its connection.
    pub phase: Phase,
}

/// How much of a packet can be read.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// All of it.
    Whole(Packet),
    /// The addresses: it has options, extension headers or another protocol, or is a fragment or malformed behind
    /// its addresses.
    Ends(Addr, Addr),
    /// Nothing.
    Broken,
}

impl Family {
    /// From `skb->protocol` as a number; none for anything but IP.
    #[inline(always)]
    pub const fn of_ethertype(ethertype: u16) -> Option<Self> {
        match ethertype {
            0x0800 => Some(Self::V4),
            0x86dd => Some(Self::V6),
            _ => None,
        }
    }
}

impl Transport {
    /// The IP protocol number.
    #[inline(always)]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// From the IP protocol number; none for a protocol without ports.
    #[inline(always)]
    pub const fn of_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            132 => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl Packet {
    /// The lease that could cover it.
    #[inline(always)]
    pub const fn lease_key(&self) -> LeaseKey {
        LeaseKey::new(
            self.source,
            self.destination,
            self.transport.number(),
            self.destination_port,
        )
    }

    /// The flow entry that covers it if it is a reply.
    #[inline(always)]
    pub const fn flow_key(&self) -> FlowKey {
        FlowKey::new(
            self.source,
            self.destination,
            self.transport,
            self.source_port,
            self.destination_port,
        )
    }

    /// The flow entry of its replies.
    #[inline(always)]
    pub const fn reply_key(&self) -> FlowKey {
        FlowKey::new(
            self.destination,
            self.source,
            self.transport,
            self.destination_port,
            self.source_port,
        )
    }
}

/// Reads a packet.
#[inline(always)]
pub fn parse(bytes: &impl Bytes, family: Family) -> Parsed {
    match family {
        Family::V4 => parse_ipv4(bytes),
        Family::V6 => parse_ipv6(bytes),
    }
}

#[inline(always)]
fn parse_ipv4(bytes: &impl Bytes) -> Parsed {
    const HEADER: u32 = 20;
    /// More-fragments and the offset; do-not-fragment and the reserved bit are nobody's business.
    const FRAGMENT: u32 = 0x3fff;
    let Some([first, second, third, source, destination]) = bytes.load::<5>(0) else {
        return Parsed::Broken;
    };
    let (first, second, third) = (
        u32::from_be(first),
        u32::from_be(second),
        u32::from_be(third),
    );
    let (version, words) = (first >> 28, (first >> 24) & 0xf);
    if version != 4 || words < 5 {
        return Parsed::Broken;
    }
    let ends = (
        Addr::from_ipv4_word(source),
        Addr::from_ipv4_word(destination),
    );
    let protocol = (third >> 16).to_le_bytes()[0];
    let plain = words == 5 && second & FRAGMENT == 0;
    match Transport::of_number(protocol) {
        Some(transport) if plain => parse_transport(bytes, ends, transport, HEADER, first & 0xffff),
        _ => Parsed::Ends(ends.0, ends.1),
    }
}

#[inline(always)]
fn parse_ipv6(bytes: &impl Bytes) -> Parsed {
    const HEADER: u32 = 40;
    let Some([first, second, s0, s1, s2, s3, d0, d1, d2, d3]) = bytes.load::<10>(0) else {
        return Parsed::Broken;
    };
    let (first, second) = (u32::from_be(first), u32::from_be(second));
    let ends = (
        Addr::from_ipv6_words([s0, s1, s2, s3]),
        Addr::from_ipv6_words([d0, d1, d2, d3]),
    );
    // A mapped address on the wire would borrow the keys of an IPv4 address.
    if first >> 28 != 6 || ends.0.is_ipv4() || ends.1.is_ipv4() {
        return Parsed::Broken;
    }
    match Transport::of_number((second >> 8).to_le_bytes()[0]) {
        Some(transport) => parse_transport(bytes, ends, transport, HEADER, HEADER + (second >> 16)),
        None => Parsed::Ends(ends.0, ends.1),
    }
}

/// Reads the header at `offset` of a packet that is `total` bytes long by its network header: what lies beyond is
/// padding, and the receiver cuts it off.
#[inline(always)]
fn parse_transport(
    bytes: &impl Bytes,
    (source, destination): (Addr, Addr),
    transport: Transport,
    offset: u32,
    total: u32,
) -> Parsed {
    let read = match transport {
        Transport::Tcp => parse_tcp(bytes, offset, total),
        Transport::Udp => parse_udp(bytes, offset, total),
        Transport::Sctp => parse_sctp(bytes, offset, total),
    };
    let Some((ports, phase)) = read else {
        return Parsed::Ends(source, destination);
    };
    let [high, low] = [(ports >> 16) & 0xffff, ports & 0xffff];
    #[expect(clippy::cast_possible_truncation, reason = "masked to 16 bits")]
    let (source_port, destination_port) = (high as u16, low as u16);
    Parsed::Whole(Packet {
        source,
        destination,
        transport,
        source_port,
        destination_port,
        phase,
    })
}

#[inline(always)]
fn parse_tcp(bytes: &impl Bytes, offset: u32, total: u32) -> Option<(u32, Phase)> {
    const FIN: u32 = 1 << 16;
    const SYN: u32 = 1 << 17;
    const RST: u32 = 1 << 18;
    const ACK: u32 = 1 << 20;
    let [ports, _, _, fourth, _] = bytes.load::<5>(offset)?;
    let fourth = u32::from_be(fourth);
    let words = fourth >> 28;
    if words < 5 || offset + 4 * words > total {
        return None;
    }
    let phase = if fourth & (SYN | ACK) == SYN {
        Phase::Opens
    } else if fourth & RST != 0 {
        Phase::Ends
    } else if fourth & FIN != 0 {
        Phase::Closes
    } else if fourth & SYN != 0 {
        Phase::Answers
    } else {
        Phase::Continues
    };
    Some((u32::from_be(ports), phase))
}

#[inline(always)]
fn parse_udp(bytes: &impl Bytes, offset: u32, total: u32) -> Option<(u32, Phase)> {
    let [ports, _] = bytes.load::<2>(offset)?;
    if offset + 8 > total {
        return None;
    }
    Some((u32::from_be(ports), Phase::Datagram))
}

/// The first chunk tells: INIT and SHUTDOWN COMPLETE stand alone, and the others come first where they matter.
#[inline(always)]
fn parse_sctp(bytes: &impl Bytes, offset: u32, total: u32) -> Option<(u32, Phase)> {
    let [ports, _, _, chunk] = bytes.load::<4>(offset)?;
    if offset + 16 > total {
        return None;
    }
    let phase = match u32::from_be(chunk) >> 24 {
        1 => Phase::Opens,
        2 => Phase::Answers,
        7 | 8 => Phase::Closes,
        6 | 14 => Phase::Ends,
        _ => Phase::Continues,
    };
    Some((u32::from_be(ports), phase))
}
