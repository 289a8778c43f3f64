//! What stands between the addresses and the ports: options, extension headers, and headers that end too early.

use sluice_lab::Family;

use crate::craft::{
    self, AH, DESTINATION, Extension, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, MOBILITY, NO_NEXT,
    ROUTING, SCTP, SYN, Segment, TCP, UDP, Way,
};
use crate::hostile::Fate::{Arrives, Dropped, Either};
use crate::hostile::{Case, Fate, check};

const ALLOWED: u16 = 80;
const FORBIDDEN: u16 = 81;

fn ipv4_options(family: Family) -> Vec<Case> {
    if family == Family::Ipv6 {
        return Vec::new();
    }
    let legal = [
        ("no operation", vec![1, 1, 1, 1]),
        ("end of list", vec![0, 0, 0, 0]),
        ("router alert", vec![148, 4, 0, 0]),
        ("record route", [&[7, 39, 4][..], &[0; 36]].concat()),
        ("timestamp", [&[68, 36, 5, 0][..], &[0; 32]].concat()),
        ("security", [&[130, 11][..], &[0; 9]].concat()),
        ("experimental", vec![0x1e, 4, 1, 2]),
        ("forty bytes", vec![1; 40]),
    ];
    let illegal = [
        ("loose source route", vec![131, 7, 4, 10, 244, 1, 1]),
        ("strict source route", vec![137, 7, 4, 10, 244, 1, 1]),
        ("longer than the header", vec![7, 39, 4, 0]),
        ("of length zero", vec![7, 0, 0, 0]),
    ];
    let case = |(name, options): (&str, Vec<u8>), port, fates| {
        Case::new(format!("{name} to {port}"), fates, move |way: Way, from| {
            let datagram = way.udp((from, port), b"options");
            vec![way.ipv4((0, false), &options, UDP, &datagram)]
        })
    };
    let forbidden = legal
        .clone()
        .map(|shape| case(shape, FORBIDDEN, (Arrives, Dropped)));
    let legal = legal.map(|shape| case(shape, ALLOWED, (Arrives, Arrives)));
    let illegal = illegal.map(|shape| case(shape, ALLOWED, (Dropped, Dropped)));
    legal.into_iter().chain(forbidden).chain(illegal).collect()
}

#[test]
fn ipv4_options_change_nothing_in_a_verdict() {
    check(ipv4_options);
}

fn routing(kind: u8) -> Extension {
    let mut header = vec![0, 2, kind, 0];
    header.resize(24, 0);
    (ROUTING, header)
}

fn authentication() -> Extension {
    let mut header = vec![0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    header.resize(24, 9);
    (AH, header)
}

fn atomic() -> Extension {
    (FRAGMENT, vec![0, 0, 0, 0, 0, 0, 0, 1])
}

/// Chains that conntrack and receivers step over.
fn chains() -> Vec<(&'static str, Vec<Extension>)> {
    let options = craft::options;
    let every = vec![
        options(HOP_BY_HOP, 8),
        options(DESTINATION, 16),
        routing(4),
        atomic(),
        authentication(),
        options(DESTINATION, 24),
    ];
    vec![
        ("hop by hop", vec![options(HOP_BY_HOP, 8)]),
        ("200 bytes hop by hop", vec![options(HOP_BY_HOP, 200)]),
        ("destination", vec![options(DESTINATION, 8)]),
        ("200 bytes of destination", vec![options(DESTINATION, 200)]),
        (
            "200 bytes in three",
            vec![
                options(DESTINATION, 64),
                options(DESTINATION, 64),
                options(DESTINATION, 72),
            ],
        ),
        (
            "1360 bytes of destination",
            vec![options(DESTINATION, 1360)],
        ),
        ("routing, type 0", vec![routing(0)]),
        ("routing, type 2", vec![routing(2)]),
        ("routing, type 4", vec![routing(4)]),
        ("routing, unknown type", vec![routing(200)]),
        ("a fragment that is all", vec![atomic()]),
        ("authentication", vec![authentication()]),
        ("every one", every),
    ]
}

fn extension_headers(family: Family) -> Vec<Case> {
    if family == Family::Ipv4 {
        return Vec::new();
    }
    let mut cases = Vec::new();
    for (port, fates) in [
        (ALLOWED, (Arrives, Arrives)),
        (FORBIDDEN, (Arrives, Dropped)),
    ] {
        for (name, chain) in chains() {
            let tcp = chain.clone();
            cases.push(Case::new(
                format!("UDP {port} behind {name}"),
                fates,
                move |way, from| vec![way.ipv6(&chain, UDP, &way.udp((from, port), b"chain"))],
            ));
            cases.push(Case::new(
                format!("TCP {port} behind {name}"),
                fates,
                move |way, from| vec![way.ipv6(&tcp, TCP, &syn(way, from, port))],
            ));
        }
    }
    cases
}

#[test]
fn every_ipv6_extension_header_is_stepped_over() {
    check(extension_headers);
}

fn syn(way: Way, from: u16, port: u16) -> Vec<u8> {
    let segment = Segment {
        ports: (from, port),
        flags: SYN,
        ..Segment::default()
    };
    way.tcp(segment, &[])
}

/// Headers behind which nobody finds ports: protocols of their own, or nonsense.
fn dead_ends(family: Family) -> Vec<Case> {
    if family == Family::Ipv4 {
        return Vec::new();
    }
    let behind = |name: &str, fates, header: Extension| {
        Case::new(name, fates, move |way: Way, from| {
            let datagram = way.udp((from, ALLOWED), b"behind");
            vec![way.ipv6(std::slice::from_ref(&header), UDP, &datagram)]
        })
    };
    let bare = |number| (number, vec![0, 0, 0, 0, 0, 0, 0, 0]);
    let by_peers: (Fate, Fate) = (Arrives, Dropped);
    vec![
        behind("mobility", by_peers, bare(MOBILITY)),
        behind("host identity", by_peers, bare(139)),
        behind("shim6", by_peers, bare(140)),
        behind("no next header", by_peers, bare(NO_NEXT)),
        Case::new("nothing at all", by_peers, |way, _| {
            vec![way.ipv6(&[], NO_NEXT, &[])]
        }),
        Case::new(
            "hop by hop in second place",
            (Either, Dropped),
            |way, from| {
                let chain = [
                    craft::options(DESTINATION, 8),
                    craft::options(HOP_BY_HOP, 8),
                ];
                vec![way.ipv6(&chain, UDP, &way.udp((from, FORBIDDEN), b"late"))]
            },
        ),
        Case::new("jumbo that is none", (Dropped, Dropped), |way, from| {
            let jumbo = (HOP_BY_HOP, vec![0, 0, 0xc2, 4, 0, 0, 0, 200]);
            without_length(way.ipv6(&[jumbo], UDP, &way.udp((from, ALLOWED), &[0; 184])))
        }),
        Case::new(
            "jumbo, and all but the length",
            (Dropped, Dropped),
            |way, from| {
                let jumbo = (HOP_BY_HOP, vec![0, 0, 0xc2, 4, 0, 1, 0, 0]);
                without_length(way.ipv6(&[jumbo], UDP, &way.udp((from, ALLOWED), &[0; 184])))
            },
        ),
        Case::new("a length of zero", (Either, Dropped), |way, from| {
            let header = craft::options(HOP_BY_HOP, 8);
            without_length(way.ipv6(&[header], UDP, &way.udp((from, FORBIDDEN), b"none")))
        }),
    ]
}

fn without_length(mut packet: Vec<u8>) -> Vec<Vec<u8>> {
    packet[4..6].fill(0);
    vec![packet]
}

#[test]
fn behind_headers_that_end_the_chain_no_port_is_believed() {
    check(dead_ends);
}

/// A header of each kind, cut at every length. To a port that is the web's, what of it is delivered is of no use.
fn truncated(family: Family) -> Vec<Case> {
    let mut cases = Vec::new();
    for (port, by_web) in [(ALLOWED, Either), (FORBIDDEN, Dropped)] {
        let mut cut = |name: &'static str, protocol: u8, header: usize, by_web: Fate| {
            for length in 0..header {
                let name = format!("{name} {port} cut at {length}");
                cases.push(Case::new(name, (Either, by_web), move |way, from| {
                    let whole = transport(protocol, way, from, port);
                    vec![way.ip(protocol, &whole[..length])]
                }));
            }
        };
        cut("TCP", TCP, 20, by_web);
        cut("UDP", UDP, 8, by_web);
        cut("SCTP", SCTP, 16, by_web);
        let icmp = if family == Family::Ipv6 { ICMPV6 } else { ICMP };
        cut("ICMP", icmp, 8, Dropped);
        cut("AH", AH, 24, by_web);
        if family == Family::Ipv6 {
            for number in [HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION] {
                cut("an extension header", number, 8, by_web);
            }
        }
    }
    for length in 1..if family == Family::Ipv6 { 40 } else { 20 } {
        let name = format!("IP cut at {length}");
        cases.push(Case::new(name, (Dropped, Dropped), move |way, from| {
            vec![way.ip(UDP, &way.udp((from, ALLOWED), b"cut"))[..length].to_vec()]
        }));
    }
    cases
}

fn transport(protocol: u8, way: Way, from: u16, port: u16) -> Vec<u8> {
    match protocol {
        TCP => syn(way, from, port),
        UDP => way.udp((from, port), b"cut"),
        SCTP => craft::sctp((from, port), 1, &[1; 16]),
        AH => {
            let (_, mut header) = authentication();
            header[0] = UDP;
            header
        }
        ICMP => way.icmp(8, 0, &[0, 1, 0, 1]).1,
        ICMPV6 => way.icmp(128, 0, &[0, 1, 0, 1]).1,
        _ => vec![UDP, 0, 0, 0, 0, 0, 0, 0],
    }
}

#[test]
fn a_header_cut_at_any_length_opens_nothing() {
    check(truncated);
}

fn ipv4_authentication(family: Family) -> Vec<Case> {
    if family == Family::Ipv6 {
        return Vec::new();
    }
    // conntrack knows no ports of such a packet: what one port is allowed, it would remember for all
    vec![Case::new("AH in IPv4", (Arrives, Dropped), |way, from| {
        let (_, mut packet) = authentication();
        packet[0] = TCP;
        packet.extend(syn(way, from, ALLOWED));
        vec![way.ip(AH, &packet)]
    })]
}

#[test]
fn ports_behind_an_authentication_header_of_ipv4_are_not_believed() {
    check(ipv4_authentication);
}
