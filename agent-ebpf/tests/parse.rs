//! What is read off packets, field by field and cut at every length.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use sluice_ebpf::{Addr, Family, Parsed, Phase, Transport, parse};
use support::{Slice, ipv4, ipv6, sctp, tcp, udp};

const A: &str = "10.244.0.1";
const B: &str = "10.244.0.2";
const A6: &str = "fd00:10:244::1";
const B6: &str = "fd00:10:244::2";

fn ends(source: &str, destination: &str) -> Parsed {
    Parsed::Ends(address(source), address(destination))
}

fn address(text: &str) -> Addr {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

fn read(bytes: &[u8]) -> Parsed {
    let family = if bytes.first().is_some_and(|first| first >> 4 == 6) {
        Family::V6
    } else {
        Family::V4
    };
    parse(&Slice(bytes), family)
}

fn phase(bytes: &[u8]) -> Option<Phase> {
    match read(bytes) {
        Parsed::Whole(packet) => Some(packet.phase),
        Parsed::Ends(..) | Parsed::Broken => None,
    }
}

#[test]
fn addresses_ports_and_protocol_are_read() {
    for (bytes, source, destination, transport) in [
        (ipv4(A, B, 6, &tcp(40_000, 80, 0x10)), A, B, Transport::Tcp),
        (ipv4(A, B, 17, &udp(40_000, 80)), A, B, Transport::Udp),
        (ipv4(A, B, 132, &sctp(40_000, 80, 0)), A, B, Transport::Sctp),
        (
            ipv6(A6, B6, 6, &tcp(40_000, 80, 0x10)),
            A6,
            B6,
            Transport::Tcp,
        ),
        (ipv6(A6, B6, 17, &udp(40_000, 80)), A6, B6, Transport::Udp),
        (
            ipv6(A6, B6, 132, &sctp(40_000, 80, 0)),
            A6,
            B6,
            Transport::Sctp,
        ),
    ] {
        let Parsed::Whole(packet) = read(&bytes) else {
            panic!("{transport:?} from {source} is not read")
        };
        assert_eq!(
            (packet.source, packet.destination),
            (address(source), address(destination))
        );
        assert_eq!(
            (
                packet.transport,
                packet.source_port,
                packet.destination_port
            ),
            (transport, 40_000, 80)
        );
        assert_eq!(
            (packet.lease_key().protocol, packet.lease_key().port),
            (transport.number(), 80)
        );
        let (reply, flow) = (packet.reply_key(), packet.flow_key());
        assert_eq!(
            (reply.source, reply.destination),
            (flow.destination, flow.source)
        );
        assert_eq!(
            (reply.source_port, reply.destination_port),
            (flow.destination_port, flow.source_port)
        );
    }
}

#[test]
fn tcp_flags_tell_the_phase() {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    for (flags, expected) in [
        (SYN, Phase::Opens),
        (SYN | 0xc0, Phase::Opens),
        (SYN | FIN, Phase::Opens),
        (SYN | RST, Phase::Opens),
        (SYN | ACK, Phase::Answers),
        (ACK, Phase::Continues),
        (0, Phase::Continues),
        (FIN | ACK, Phase::Closes),
        (SYN | FIN | ACK, Phase::Closes),
        (RST, Phase::Ends),
        (RST | ACK | FIN, Phase::Ends),
    ] {
        assert_eq!(
            phase(&ipv4(A, B, 6, &tcp(1, 2, flags))),
            Some(expected),
            "flags {flags:#x}"
        );
    }
}

#[test]
fn sctp_chunks_tell_the_phase() {
    for (chunk, expected) in [
        (0, Phase::Continues),
        (1, Phase::Opens),
        (2, Phase::Answers),
        (6, Phase::Ends),
        (7, Phase::Closes),
        (8, Phase::Closes),
        (14, Phase::Ends),
    ] {
        assert_eq!(
            phase(&ipv6(A6, B6, 132, &sctp(1, 2, chunk))),
            Some(expected),
            "chunk {chunk}"
        );
    }
    assert_eq!(phase(&ipv4(A, B, 17, &udp(1, 2))), Some(Phase::Datagram));
}

#[test]
fn what_has_no_sure_ports_keeps_its_addresses() {
    let plain = ipv4(A, B, 6, &tcp(1, 2, 2));
    let changed = |at: usize, value: u8| {
        let mut bytes = plain.clone();
        bytes[at] = value;
        bytes
    };
    assert_eq!(read(&ipv4(A, B, 1, &[8; 16])), ends(A, B), "ICMP");
    assert_eq!(read(&ipv4(A, B, 47, &[0; 16])), ends(A, B), "GRE");
    assert_eq!(read(&changed(0, 0x46)), ends(A, B), "options");
    assert_eq!(read(&changed(6, 0x20)), ends(A, B), "the first fragment");
    assert_eq!(read(&changed(7, 1)), ends(A, B), "a later fragment");
    assert_eq!(read(&changed(6, 0x1f)), ends(A, B), "a late fragment");
    assert_eq!(
        read(&changed(32, 0x40)),
        ends(A, B),
        "a TCP header of four words"
    );
    assert_eq!(
        read(&changed(32, 0xf0)),
        ends(A, B),
        "a TCP header longer than the packet"
    );
    for next in [0, 43, 44, 51, 60, 58, 59, 50] {
        assert_eq!(
            read(&ipv6(A6, B6, next, &tcp(1, 2, 2))),
            ends(A6, B6),
            "next header {next}"
        );
    }
}

#[test]
fn do_not_fragment_is_no_fragment() {
    let mut bytes = ipv4(A, B, 17, &udp(1, 2));
    bytes[6] = 0x40;
    assert_eq!(phase(&bytes), Some(Phase::Datagram));
}

#[test]
fn headers_of_no_ip_are_broken() {
    let mut bytes = ipv4(A, B, 6, &tcp(1, 2, 2));
    for first in [0x40, 0x44, 0x55, 0x65, 0x00, 0xf5] {
        bytes[0] = first;
        assert_eq!(
            parse(&Slice(&bytes), Family::V4),
            Parsed::Broken,
            "{first:#x}"
        );
    }
    let mut bytes = ipv6(A6, B6, 6, &tcp(1, 2, 2));
    for first in [0x40, 0x45, 0x70, 0x00] {
        bytes[0] = first;
        assert_eq!(
            parse(&Slice(&bytes), Family::V6),
            Parsed::Broken,
            "{first:#x}"
        );
    }
}

#[test]
fn an_ipv6_packet_cannot_borrow_an_ipv4_address() {
    let mapped = "::ffff:10.244.0.1";
    let raw = |source: &str, destination: &str| {
        let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        let mut bytes = ipv6(A6, B6, 6, &tcp(1, 2, 2));
        bytes[8..24].copy_from_slice(&octets(source));
        bytes[24..40].copy_from_slice(&octets(destination));
        bytes
    };
    assert_eq!(read(&raw(mapped, B6)), Parsed::Broken);
    assert_eq!(read(&raw(A6, mapped)), Parsed::Broken);
    assert_eq!(
        read(&ipv6(mapped, B6, 58, &[0; 16])),
        Parsed::Broken,
        "ICMPv6 neither"
    );
}

#[test]
fn padding_behind_the_packet_is_not_its_header() {
    let mut bytes = ipv4(A, B, 6, &tcp(1, 2, 2));
    bytes[3] = 39;
    assert_eq!(read(&bytes), ends(A, B));
    let mut bytes = ipv6(A6, B6, 17, &udp(1, 2));
    bytes[5] = 7;
    assert_eq!(read(&bytes), ends(A6, B6));
    bytes[5] = 0;
    assert_eq!(read(&bytes), ends(A6, B6), "a jumbogram");
}

#[test]
fn a_packet_cut_anywhere_is_never_read_in_full() {
    for (whole, header) in [
        (ipv4(A, B, 6, &tcp(1, 2, 2)), 20),
        (ipv4(A, B, 17, &udp(1, 2)), 20),
        (ipv4(A, B, 132, &sctp(1, 2, 1)), 20),
        (ipv6(A6, B6, 6, &tcp(1, 2, 2)), 40),
        (ipv6(A6, B6, 17, &udp(1, 2)), 40),
        (ipv6(A6, B6, 132, &sctp(1, 2, 1)), 40),
    ] {
        let family = if header == 20 { Family::V4 } else { Family::V6 };
        for length in 0..whole.len() {
            let read = parse(&Slice(&whole[..length]), family);
            if length < header {
                assert_eq!(read, Parsed::Broken, "{length} of {}", whole.len());
            } else {
                assert!(
                    matches!(read, Parsed::Ends(..)),
                    "{length} of {}: {read:?}",
                    whole.len()
                );
            }
        }
        assert!(matches!(parse(&Slice(&whole), family), Parsed::Whole(_)));
    }
}
