//! Bytes from the queue into what policies look at. Foreign input: whatever cannot be read for sure is an error.

use std::net::IpAddr;

use bytes::{Buf as _, TryGetError};
use etherparse::{IpNumber, LaxIpSlice};
use sluice_policy::{Protocol, Tuple};

/// A queued packet, as far as verdicts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: Protocol,
    /// 0 where the protocol has no ports.
    pub(crate) source_port: u16,
    /// 0 where the protocol has no ports.
    pub(crate) destination_port: u16,
    /// TCP without SYN: the middle of some connection.
    pub(crate) midstream: bool,
    /// It can open a connection: TCP SYN without ACK, anything without a handshake, and any SCTP packet.
    pub(crate) opens: bool,
}

/// Why a packet could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PacketError {
    #[error("ip header unreadable")]
    Ip,
    #[error("ip extension headers unreadable")]
    Extensions,
    #[error("fragment without its ports")]
    Fragment,
    #[error("transport header truncated")]
    Transport,
}

impl From<TryGetError> for PacketError {
    fn from(_cut: TryGetError) -> Self {
        Self::Transport
    }
}

const TCP_FLAGS_OFFSET: usize = 13;
const TCP_SYN: u8 = 0x02;
const TCP_ACK: u8 = 0x10;

impl Packet {
    /// From the network header on; the end may be cut off.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let (ip, stopped) = LaxIpSlice::from_slice(bytes).map_err(|_reason| PacketError::Ip)?;
        let opaque = is_opaque(&ip);
        if stopped.is_some() && !opaque {
            return Err(PacketError::Extensions);
        }
        let payload = ip.payload();
        if payload.fragmented {
            return Err(PacketError::Fragment);
        }
        let (source, destination) = addresses(&ip);
        let number = if opaque {
            IpNumber::AUTHENTICATION_HEADER
        } else {
            payload.ip_number
        };
        let protocol = Protocol::from_number(number.0);
        let mut packet = Self {
            source,
            destination,
            protocol,
            source_port: 0,
            destination_port: 0,
            midstream: false,
            opens: true,
        };
        let mut transport = payload.payload;
        if matches!(number, IpNumber::TCP | IpNumber::UDP | IpNumber::SCTP) {
            packet.source_port = transport.try_get_u16()?;
            packet.destination_port = transport.try_get_u16()?;
        }
        if protocol == Protocol::Tcp {
            let flags = payload
                .payload
                .get(TCP_FLAGS_OFFSET)
                .ok_or(PacketError::Transport)?;
            packet.midstream = flags & TCP_SYN == 0;
            packet.opens = flags & (TCP_SYN | TCP_ACK) == TCP_SYN;
        }
        Ok(packet)
    }

    /// The connection if this packet travels in its direction.
    pub(crate) const fn forward(&self) -> Tuple {
        Tuple {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            port: self.destination_port,
        }
    }

    /// The connection if this packet is a reply.
    pub(crate) const fn backward(&self) -> Tuple {
        Tuple {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            port: self.source_port,
        }
    }
}

/// An authentication header in IPv4. Conntrack steps over it in IPv6 alone: what stands behind it here must not be judged,
/// since the verdict would be remembered for whatever else stands behind the next one.
fn is_opaque(ip: &LaxIpSlice<'_>) -> bool {
    matches!(ip, LaxIpSlice::Ipv4(ip) if ip.header().protocol() == IpNumber::AUTHENTICATION_HEADER)
}

fn addresses(ip: &LaxIpSlice<'_>) -> (IpAddr, IpAddr) {
    (ip.source_addr(), ip.destination_addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn tcp(syn: bool) -> Vec<u8> {
        let builder = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(4000, 80, 1, 1024);
        let builder = if syn { builder.syn() } else { builder.ack(1) };
        let mut bytes = Vec::new();
        builder.write(&mut bytes, b"hello").unwrap();
        bytes
    }

    #[test]
    fn a_syn_opens_and_an_ack_is_midstream() {
        let packet = Packet::parse(&tcp(true)).unwrap();
        assert_eq!(packet.forward().to_string(), "10.0.0.1 > 10.0.0.2 80/TCP");
        assert_eq!(
            packet.backward().to_string(),
            "10.0.0.2 > 10.0.0.1 4000/TCP"
        );
        assert!(packet.opens && !packet.midstream);
        let packet = Packet::parse(&tcp(false)).unwrap();
        assert!(!packet.opens && packet.midstream);
    }

    #[test]
    fn every_truncation_is_read_alike_or_refused() {
        let bytes = tcp(true);
        let whole = Packet::parse(&bytes).unwrap();
        for length in 0..bytes.len() {
            match Packet::parse(&bytes[..length]) {
                Ok(packet) => assert_eq!(packet, whole, "cut at {length}"),
                Err(_) => assert!(length <= 20 + TCP_FLAGS_OFFSET, "cut at {length}"),
            }
        }
    }

    #[test]
    fn ipv6_extension_headers_are_walked() {
        // Destination options (60) of 8 bytes, then UDP 53 > 5353.
        let mut bytes = vec![0x60, 0, 0, 0, 0, 16, 60, 64];
        bytes.extend([0xfd; 16]);
        bytes.extend([0xfe; 16]);
        bytes.extend([17, 0, 1, 4, 0, 0, 0, 0]);
        bytes.extend([0, 53, 0x14, 0xe9, 0, 8, 0, 0]);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(
            (packet.protocol, packet.source_port, packet.destination_port),
            (Protocol::Udp, 53, 5353)
        );
        assert_eq!(Packet::parse(&bytes[..50]), Err(PacketError::Transport));
    }

    #[test]
    fn an_authentication_header_is_stepped_over_in_ipv6_alone() {
        let udp = [0, 53, 0x14, 0xe9, 0, 8, 0, 0];
        let header = [17, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
        let behind = [&header[..], &[0; 12], &udp].concat();
        let mut bytes = vec![0x60, 0, 0, 0, 0, 32, 51, 64];
        bytes.extend([[0xfd; 16], [0xfe; 16]].concat());
        bytes.extend(&behind);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(
            packet.forward().to_string().rsplit(' ').next(),
            Some("5353/UDP")
        );
        // cut, or with a length that cannot be, it is the same protocol
        for (length, words) in [(32, 4), (12, 4), (5, 4), (0, 4), (32, 0), (32, 255)] {
            let mut bytes = vec![
                0x45, 0, 0, 52, 0, 0, 0, 0, 64, 51, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
            ];
            bytes.extend(&behind[..length]);
            if length > 1 {
                bytes[21] = words;
            }
            let packet = Packet::parse(&bytes).unwrap();
            let expected = (Protocol::Other(51), 0);
            assert_eq!((packet.protocol, packet.destination_port), expected);
        }
    }

    #[test]
    fn a_later_fragment_has_no_ports_to_judge_by() {
        let mut bytes = tcp(true);
        bytes[7] = 1;
        assert_eq!(Packet::parse(&bytes), Err(PacketError::Fragment));
    }

    #[test]
    fn protocols_without_ports_are_judged_by_address() {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .icmpv4_echo_request(1, 2)
            .write(&mut bytes, b"")
            .unwrap();
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(
            (packet.protocol, packet.destination_port),
            (Protocol::Other(1), 0)
        );
    }
}
