//! ICMP and `ICMPv6`: messages are judged by peers, and errors go where the connection went that they are about.

use sluice_lab::Family;

use crate::craft::{ICMPV6, UDP, Way};
use crate::hostile::Fate::{Arrives, Dropped};
use crate::hostile::{Case, Fate, check};

/// By one who may do anything, and by one who may do what ports say.
const BY_PEERS: (Fate, Fate) = (Arrives, Dropped);

fn message(name: &str, kind: u8, code: u8, rest: &'static [u8]) -> Case {
    Case::new(name, BY_PEERS, move |way: Way, _| {
        let (protocol, message) = way.icmp(kind, code, rest);
        vec![way.ip(protocol, &message)]
    })
}

fn messages(family: Family) -> Vec<Case> {
    match family {
        Family::Ipv4 => vec![
            message("echo request", 8, 0, &[0, 1, 0, 1, 9, 9]),
            message("echo reply that nobody asked for", 0, 0, &[0, 2, 0, 1]),
            message("timestamp request", 13, 0, &[0, 3, 0, 1, 0, 0, 0, 0]),
            message("timestamp reply", 14, 0, &[0, 3, 0, 1, 0, 0, 0, 0]),
            message("address mask request", 17, 0, &[0, 4, 0, 1, 0, 0, 0, 0]),
            message("router advertisement", 9, 0, &[0, 0, 0, 9]),
            message("redirect of nothing", 5, 0, &[10, 0, 0, 1]),
            message("unknown type", 200, 0, &[0, 0, 0, 0]),
        ],
        Family::Ipv6 => vec![
            message("echo request", 128, 0, &[0, 1, 0, 1, 9, 9]),
            message("echo reply that nobody asked for", 129, 0, &[0, 2, 0, 1]),
            message("multicast listener report", 131, 0, &[0; 20]),
            message("node information query", 139, 1, &[0; 12]),
            message("unknown type", 200, 0, &[0, 0, 0, 0]),
        ],
    }
}

#[test]
fn messages_are_judged_by_peers() {
    check(messages);
}

/// An error about a datagram that the receiver is to have sent.
fn error(way: Way, (kind, code): (u8, u8), about: &[u8]) -> Vec<u8> {
    let (protocol, message) = way.icmp(kind, code, &[&[0, 0, 5, 0][..], about].concat());
    way.ip(protocol, &message)
}

fn unrelated(family: Family) -> Vec<Case> {
    let kinds = match family {
        Family::Ipv4 => [(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)],
        Family::Ipv6 => [(1, 0), (1, 4), (2, 0), (3, 0), (4, 0)],
    };
    let mut cases = Vec::new();
    for kind in kinds {
        let name = format!("{kind:?} about nothing");
        cases.push(Case::new(name, BY_PEERS, move |way: Way, port| {
            let back = way.back();
            let about = back.ip(UDP, &back.udp((80, port), b"never sent"));
            vec![error(way, kind, &about)]
        }));
        let name = format!("{kind:?} about less than a header");
        cases.push(Case::new(name, BY_PEERS, move |way: Way, _| {
            vec![error(way, kind, &[0x45, 0, 0])]
        }));
    }
    cases
}

#[test]
fn errors_about_no_connection_are_judged_by_peers() {
    check(unrelated);
}

fn forwarded_discovery(family: Family) -> Vec<Case> {
    if family == Family::Ipv4 {
        return Vec::new();
    }
    // neighbours alone are told, and a router is between these
    let types = (133..=137).map(|kind| {
        Case::new(format!("discovery {kind}"), BY_PEERS, move |way: Way, _| {
            let (_, message) = way.icmp(kind, 0, &[&[0; 4][..], b"anything at all."].concat());
            let packet = way.ip(ICMPV6, &message);
            vec![packet]
        })
    });
    types.collect()
}

#[test]
fn discovery_that_was_forwarded_is_judged_like_any_message() {
    check(forwarded_discovery);
}
