//! Scans and floods from one pod: others keep their leases, and the log stays short.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use sluice_lab::{Cell, Counters, Family, Forged, Forger, Lab, Mode, Segment, builtin};
use sluice_policy::Protocol;

use crate::common::{address, assert_allowed, cell, eventually, pod, under_agents};

/// What a denied pod sends.
const DENIED: u32 = 200_000;
/// What a pod sends at once that is to be judged, every packet: there is room for it in a queue.
const SLICE: u32 = 3_000;

fn up() -> Option<Lab> {
    under_agents(&builtin::default_world(), &[Family::Ipv4], Mode::Hybrid)
}

/// Once nothing waits for a verdict.
fn counters(lab: &Lab) -> Counters {
    lab.counters().unwrap()
}

/// What others have leases for: over TCP, so that TC alone decides.
fn leased() -> [Cell; 3] {
    let ask = |from, to, port| cell(from, to, port, Protocol::Tcp, Family::Ipv4);
    [
        ask("x/b", "x/a", 80),
        ask("x/c", "x/a", 80),
        ask("y/b", "y/a", 81),
    ]
}

/// Connects where there are leases; how many packets were passed on for them, and whether none was judged.
fn assert_leased(lab: &Lab) {
    let before = counters(lab);
    assert_allowed(lab, &leased());
    let counted = counters(lab).since(before);
    assert_eq!(
        (counted.allowed, counted.gate_lease_hits),
        (0, 0),
        "{counted:?}"
    );
    assert!(
        counted.lease_hits >= 3 * leased().len() as u64,
        "{counted:?}"
    );
}

/// Sends from a pod, with its own address, to what `to` says for each number.
fn send(lab: &Lab, from: &str, segment: Segment, count: u32, to: impl Fn(u32) -> (IpAddr, u16)) {
    let forger = Forger::open(lab.pod_netns(&pod(from)).unwrap(), Family::Ipv4).unwrap();
    let source = address(lab, from, Family::Ipv4);
    for number in 0..count {
        let (address, port) = to(number);
        let ports = 20_000 + u16::try_from(number % 10_000).unwrap();
        // A packet that does not get out of the pod is one the less.
        drop(forger.send(&Forged {
            from: SocketAddr::new(source, ports),
            to: SocketAddr::new(address, port),
            segment,
        }));
    }
}

/// All ports of an address, and then those of the next.
fn scan(first: IpAddr) -> impl Fn(u32) -> (IpAddr, u16) {
    let IpAddr::V4(first) = first else {
        panic!("{first} is no IPv4 address");
    };
    move |number| {
        let [.., high, low] = number.to_be_bytes();
        let address = Ipv4Addr::from_bits(first.to_bits() + (number >> 16));
        (address.into(), u16::from_be_bytes([high, low]))
    }
}

#[test]
fn denied_floods_and_scans_push_no_lease_out() {
    let Some(lab) = up() else {
        return;
    };
    assert_allowed(&lab, &leased());
    assert_leased(&lab);
    let started = Instant::now();
    let lines = lab.agents()[0].log().lines().count();
    let before = counters(&lab);
    // y may not ask z: over and over the same, then all ports of three pods.
    let z = address(&lab, "z/a", Family::Ipv4);
    send(&lab, "y/c", Segment::SYN, 1, |_| (z, 80));
    eventually("the first is denied", || {
        counters(&lab).since(before).denied > 0
    });
    send(&lab, "y/c", Segment::SYN, DENIED / 2, |_| (z, 80));
    eventually("what is sent over and over ends in the kernel", || {
        counters(&lab).since(before).deny_lease_hits > u64::from(DENIED / 3)
    });
    send(&lab, "y/c", Segment::SYN, DENIED / 2, scan(z));
    let counted = counters(&lab).since(before);
    assert_eq!(counted.spoofed, 0);
    assert_eq!(counted.allowed, 0, "{counted:?}");
    assert!(counted.denied > 1_000, "{counted:?}");
    assert_leased(&lab);
    let status = lab.agents()[0].status().unwrap();
    let denials = status["maps"]["denials"].clone();
    assert!(
        denials["entries"].as_u64() <= denials["max"].as_u64(),
        "{denials}"
    );
    let lines = lab.agents()[0].log().lines().count() - lines;
    let allowed = 30 + usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(lines <= allowed, "{lines} lines in {:?}", started.elapsed());
}

#[test]
fn a_scan_that_is_allowed_displaces_the_leases_of_the_scanner_alone() {
    let Some(lab) = up() else {
        return;
    };
    assert_allowed(&lab, &leased());
    assert_leased(&lab);
    let max = lab.agents()[0].status().unwrap()["maps"]["leases"]["max"].clone();
    let max = max.as_u64().unwrap();
    // y may ask y, on any port; no port but two is served.
    let before = counters(&lab);
    let target = scan(address(&lab, "y/a", Family::Ipv4));
    let mut sent = 0;
    while u64::from(sent) <= max {
        send(&lab, "y/c", Segment::Udp, SLICE, |number| {
            target(sent + number)
        });
        sent += SLICE;
        eventually("what is asked is answered", || {
            counters(&lab).since(before).allowed >= u64::from(sent / 10 * 9)
        });
    }
    assert_leased(&lab);
    let status = lab.agents()[0].status().unwrap();
    let entries = status["maps"]["leases"]["entries"].as_u64().unwrap();
    assert!(entries <= max / 4 * 3, "{entries} of {max}");
    assert!(entries > max / 2, "{entries} of {max}: it was not full");
}
