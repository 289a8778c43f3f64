//! Protocols: those without ports are judged by peers, and ports are what they are, 0 too.

use sluice_lab::Family;

use crate::craft::{AH, ESP, GRE, SCTP, UDP, Way, sctp};
use crate::hostile::Fate::{Arrives, Dropped};
use crate::hostile::{Case, check};

const ALLOWED: u16 = 80;
const FORBIDDEN: u16 = 81;

fn by_peers(family: Family) -> Vec<Case> {
    let bytes = |length: usize| vec![0x5a; length];
    let mut protocols = vec![
        ("GRE", GRE, [&[0, 0, 8, 0][..], &[0x45; 28]].concat()),
        (
            "GRE of PPTP",
            GRE,
            [&[0x30, 1, 0x88, 0x0b, 0, 4, 0, 9][..], &[0; 12]].concat(),
        ),
        ("ESP", ESP, bytes(40)),
        ("IP in IP", 4, [&[0x45][..], &[0; 39]].concat()),
        ("IPv6 in IP", 41, [&[0x60][..], &[0; 47]].concat()),
        ("DCCP", 33, bytes(24)),
        (
            "UDP-Lite",
            136,
            [&[0x20, 0, 0, 80, 0, 8, 0, 0][..], &[0; 8]].concat(),
        ),
        ("OSPF", 89, bytes(24)),
        ("experimental", 253, bytes(16)),
        ("reserved", 255, bytes(16)),
        ("without a byte", 253, bytes(0)),
    ];
    if family == Family::Ipv4 {
        protocols.push(("protocol 0", 0, bytes(8)));
        protocols.push(("ICMPv6 in IPv4", 58, vec![135, 0, 0, 0, 0, 0, 0, 0]));
        protocols.push(("IPv6 fragments in IPv4", 44, vec![UDP, 0, 0, 0, 0, 0, 0, 1]));
        protocols.push(("AH without ports", AH, bytes(24)));
    } else {
        protocols.push(("ICMP in IPv6", 1, vec![8, 0, 0, 0, 0, 1, 0, 1]));
    }
    let case = |(name, protocol, payload): (&str, u8, Vec<u8>)| {
        Case::new(name, (Arrives, Dropped), move |way: Way, _| {
            vec![way.ip(protocol, &payload)]
        })
    };
    protocols.into_iter().map(case).collect()
}

#[test]
fn protocols_without_ports_are_judged_by_peers() {
    check(by_peers);
}

fn port_zero(_: Family) -> Vec<Case> {
    let udp = |from: Option<u16>, to: u16| {
        move |way: Way, port| {
            let datagram = way.udp((from.unwrap_or(port), to), b"zero");
            vec![way.ip(UDP, &datagram)]
        }
    };
    vec![
        Case::new("UDP to 0", (Arrives, Dropped), udp(None, 0)),
        Case::new("UDP from 0", (Arrives, Arrives), udp(Some(0), ALLOWED)),
        Case::new("UDP from 0 to 0", (Arrives, Dropped), udp(Some(0), 0)),
        Case::new(
            "UDP from 0 to 81",
            (Arrives, Dropped),
            udp(Some(0), FORBIDDEN),
        ),
    ]
}

#[test]
fn port_zero_is_a_port_that_no_rule_names() {
    check(port_zero);
}

fn sctp_chunks(_: Family) -> Vec<Case> {
    let mut cases = Vec::new();
    for (port, fates) in [
        (ALLOWED, (Arrives, Arrives)),
        (FORBIDDEN, (Arrives, Dropped)),
    ] {
        for chunk in (0..=15).chain([63, 64, 128, 192, 255]) {
            let name = format!("SCTP chunk {chunk} to {port}");
            cases.push(Case::new(name, fates, move |way: Way, from| {
                vec![way.ip(SCTP, &sctp((from, port), chunk, &[1; 16]))]
            }));
        }
    }
    cases
}

#[test]
fn sctp_chunks_of_every_type_follow_the_port() {
    check(sctp_chunks);
}
