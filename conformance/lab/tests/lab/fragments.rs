//! Fragments. Conntrack puts them together in front of the gate, so that they are judged as what they make; what makes
//! nothing goes nowhere.

use sluice_lab::Family;

use crate::craft::{SYN, Segment, TCP, UDP, Way};
use crate::hostile::Fate::{Arrives, Dropped, Either};
use crate::hostile::{Case, DENIED, FAMILIES, FRIEND, Field, MODES, SERVER, WEB, check};

const ALLOWED: u16 = 80;
const FORBIDDEN: u16 = 81;
/// Bytes of data; the parts are of a third of it or so.
const DATA: usize = 1192;
const PART: usize = 400;

/// A datagram in parts, in an order of one's own.
fn parts(way: Way, ports: (u16, u16), size: usize) -> Vec<Vec<u8>> {
    pieces(way, UDP, &way.udp(ports, &[7; DATA]), size)
}

fn pieces(way: Way, protocol: u8, whole: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = whole.len().div_ceil(size);
    let piece = |(number, part): (usize, &[u8])| {
        way.fragment(protocol, number * size, number + 1 < count, part)
    };
    whole.chunks(size).enumerate().map(piece).collect()
}

fn ordered(order: &'static [usize], port: u16) -> impl Fn(Way, u16) -> Vec<Vec<u8>> {
    move |way, from| {
        let parts = parts(way, (from, port), PART);
        order.iter().map(|number| parts[*number].clone()).collect()
    }
}

fn whole(family: Family) -> Vec<Case> {
    let legal = (Arrives, Arrives);
    // in IPv6 the first fragment has all headers, or none of it is taken (RFC 7112)
    let tiny = match family {
        Family::Ipv4 => legal,
        Family::Ipv6 => (Either, Either),
    };
    let split_syn = |size| {
        move |way: Way, from| {
            let segment = Segment {
                ports: (from, ALLOWED),
                flags: SYN,
                ..Segment::default()
            };
            pieces(way, TCP, &way.tcp(segment, &[]), size)
        }
    };
    vec![
        Case::new("in order", legal, ordered(&[0, 1, 2], ALLOWED)),
        Case::new("backwards", legal, ordered(&[2, 1, 0], ALLOWED)),
        Case::new("last one first", legal, ordered(&[2, 0, 1], ALLOWED)),
        Case::new("first one last", legal, ordered(&[1, 2, 0], ALLOWED)),
        Case::new("one twice", legal, ordered(&[0, 0, 1, 2], ALLOWED)),
        Case::new("of eight bytes", legal, |way, from| {
            parts(way, (from, ALLOWED), 8)
        }),
        Case::new("a SYN of eight bytes each", tiny, split_syn(8)),
        Case::new("a SYN without its flags", tiny, split_syn(16)),
        Case::new(
            "to a port that is not the web's",
            (Arrives, Dropped),
            ordered(&[2, 0, 1], FORBIDDEN),
        ),
    ]
}

fn broken(family: Family) -> Vec<Case> {
    let lost = (Dropped, Dropped);
    let overlap = |first: u16, second: u16| {
        move |way: Way, from| {
            let mut parts = parts(way, (from, first), PART);
            let other = way.udp((from, second), &[8; DATA]);
            parts.insert(1, way.fragment(UDP, 8, true, &other[8..PART]));
            parts.insert(0, way.fragment(UDP, 0, true, &other[..16]));
            parts
        }
    };
    let mut cases = vec![
        Case::new("without an end", lost, ordered(&[0, 1], ALLOWED)),
        Case::new("without a beginning", lost, ordered(&[1, 2], ALLOWED)),
        Case::new("without a middle", lost, ordered(&[0, 2], ALLOWED)),
        Case::new("overlapping", lost, overlap(ALLOWED, ALLOWED)),
        Case::new("overlapping the port", lost, overlap(FORBIDDEN, ALLOWED)),
        Case::new("overlapping it again", lost, overlap(ALLOWED, FORBIDDEN)),
        Case::new("beyond the end of any packet", lost, |way, from| {
            let data = way.udp((from, ALLOWED), &[7; DATA]);
            vec![
                way.fragment(UDP, 0, true, &data[..PART]),
                way.fragment(UDP, 65_528, false, &data[PART..]),
            ]
        }),
    ];
    if family == Family::Ipv6 {
        cases.push(Case::new(
            "the port behind the first",
            (Either, Dropped),
            |way, from| {
                let mut body = vec![UDP, 0, 1, 4, 0, 0, 0, 0];
                body.extend(way.udp((from, FORBIDDEN), b"hidden"));
                pieces(way, crate::craft::DESTINATION, &body, 8)
            },
        ));
    }
    cases
}

#[test]
fn fragments_are_judged_as_the_datagram_that_they_make() {
    check(whole);
}

#[test]
fn fragments_that_make_no_datagram_go_nowhere() {
    check(broken);
}

#[test]
fn fragments_that_nobody_puts_together_are_dropped_where_an_end_is_isolated() {
    for mode in MODES {
        let Some(mut field) = Field::up(mode) else {
            return;
        };
        // in front of the defragmentation (-400), which leaves alone what is not tracked
        let rules = "table inet early { chain c { type filter hook prerouting priority -450; \
                     ip frag-off & 0x3fff != 0 notrack; exthdr frag exists notrack; }; }";
        crate::common::nft(field.lab.node_netns("node-1").unwrap(), rules);
        let mut sent = Vec::new();
        for family in FAMILIES {
            for from in [FRIEND, WEB].into_iter().chain(DENIED) {
                let way = field.way(from, SERVER, family);
                field.send(from, &parts(way, (4000, ALLOWED), PART));
                sent.push(way);
            }
        }
        field.settle();
        for way in sent {
            assert_eq!(field.arrived(SERVER, way), 0, "{mode:?}: {way:?}");
        }
    }
}
