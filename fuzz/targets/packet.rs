//! Both packet parsers, the kernel's and the agent's, against a third reading of the same bytes: etherparse's strict
//! one. What it calls malformed, fragmented or extended is nothing that the kernel half may read in full.
#![no_main]

use std::net::IpAddr;

use etherparse::{IpSlice, LenSource, TcpHeaderSlice, UdpHeaderSlice};
use libfuzzer_sys::fuzz_target;
use sluice_ebpf::{Bytes, Family, Packet, Parsed, Phase, Transport, parse};

#[path = "../../agent/src/queue/packet.rs"]
#[expect(dead_code, reason = "the agent asks for more of it")]
mod agent;

/// The kernel's way of looking at packets.
struct Slice<'a>(&'a [u8]);

impl Bytes for Slice<'_> {
    fn load<const N: usize>(&self, offset: u32) -> Option<[u32; N]> {
        let bytes = self.0.get(offset as usize..)?.get(..4 * N)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().ok()?);
        }
        Some(words)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let family = match bytes.first().map(|first| first >> 4) {
        Some(4) => Family::V4,
        Some(6) => Family::V6,
        _ => {
            assert_eq!(parse(&Slice(bytes), Family::V4), Parsed::Broken);
            assert_eq!(parse(&Slice(bytes), Family::V6), Parsed::Broken);
            assert!(agent::Packet::parse(bytes).is_err());
            return;
        }
    };
    let kernel = parse(&Slice(bytes), family);
    let agent = agent::Packet::parse(bytes);
    let oracle = IpSlice::from_slice(bytes);
    if let (Ok(oracle), Ok(agent)) = (&oracle, &agent) {
        let ends = (oracle.source_addr(), oracle.destination_addr());
        assert_eq!((agent.source, agent.destination), ends);
    }
    match kernel {
        Parsed::Whole(packet) => {
            let agent = agent.expect("what the kernel half reads, the agent reads");
            assert_eq!(seen(&packet), seen_by_agent(&agent));
            if let Ok(oracle) = &oracle {
                check_whole(&packet, oracle);
            }
        }
        Parsed::Ends(source, destination) => {
            if let Ok(agent) = agent {
                let ends = (IpAddr::from(source), IpAddr::from(destination));
                assert_eq!((agent.source, agent.destination), ends);
            }
            if let Ok(oracle) = &oracle {
                assert!(!is_plain(oracle), "left to the agent: {oracle:?}");
            }
        }
        Parsed::Broken => {}
    }
});

type Seen = (IpAddr, IpAddr, u8, u16, u16, bool);

fn seen(packet: &Packet) -> Seen {
    (
        packet.source.into(),
        packet.destination.into(),
        packet.transport.number(),
        packet.source_port,
        packet.destination_port,
        // Of SCTP the agent takes any packet for one that may open.
        packet.transport != Transport::Tcp || packet.phase == Phase::Opens,
    )
}

fn seen_by_agent(packet: &agent::Packet) -> Seen {
    (
        packet.source,
        packet.destination,
        packet.protocol.number(),
        packet.source_port,
        packet.destination_port,
        packet.opens,
    )
}

/// What both read in full, they read alike.
fn check_whole(packet: &Packet, oracle: &IpSlice<'_>) {
    let payload = oracle.payload();
    assert!(!payload.fragmented, "a fragment");
    assert_eq!(payload.ip_number.0, packet.transport.number());
    assert!(!is_extended(oracle), "options or extension headers");
    let ports = match packet.transport {
        Transport::Tcp => {
            let tcp = TcpHeaderSlice::from_slice(payload.payload).expect("a TCP header");
            let phase = match (tcp.syn(), tcp.ack(), tcp.rst(), tcp.fin()) {
                (true, false, ..) => Phase::Opens,
                (_, _, true, _) => Phase::Ends,
                (_, _, _, true) => Phase::Closes,
                (true, true, ..) => Phase::Answers,
                _ => Phase::Continues,
            };
            assert_eq!(packet.phase, phase);
            (tcp.source_port(), tcp.destination_port())
        }
        Transport::Udp => {
            let udp = UdpHeaderSlice::from_slice(payload.payload).expect("a UDP header");
            (udp.source_port(), udp.destination_port())
        }
        Transport::Sctp => {
            let port = |at| u16::from_be_bytes([payload.payload[at], payload.payload[at + 1]]);
            (port(0), port(2))
        }
    };
    assert_eq!((packet.source_port, packet.destination_port), ports);
}

fn is_extended(oracle: &IpSlice<'_>) -> bool {
    match oracle {
        IpSlice::Ipv4(ip) => ip.header().ihl() != 5 || !ip.extensions().is_empty(),
        IpSlice::Ipv6(ip) => ip.header().next_header() != ip.payload().ip_number,
    }
}

/// Whether the kernel half is to read it in full: a whole transport header right behind a plain IP header.
fn is_plain(oracle: &IpSlice<'_>) -> bool {
    let payload = oracle.payload();
    // Of a jumbogram it does not know the length.
    let is_jumbo = payload.len_source == LenSource::Slice;
    if payload.fragmented || is_extended(oracle) || is_jumbo {
        return false;
    }
    match Transport::of_number(payload.ip_number.0) {
        Some(Transport::Tcp) => TcpHeaderSlice::from_slice(payload.payload).is_ok(),
        Some(Transport::Udp) => UdpHeaderSlice::from_slice(payload.payload).is_ok(),
        Some(Transport::Sctp) => payload.payload.len() >= 16,
        None => false,
    }
}
