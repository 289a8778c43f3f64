//! Maps at their bounds: what does not fit is slower, and never open.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::{IpAddr, Ipv4Addr};

use sluice_bpf::{Config, Fastpath, PodIsolation, Sizes};
use sluice_ebpf::{Epochs, Lease, Verdict};
use support::bed::{ISOLATED, PASS};
use support::{ACK, Frame, Ground, Programs, SYN, TCP, lease};

fn small(ground: &Ground, sizes: Sizes) -> Fastpath {
    let config = Config {
        sizes,
        ..ground.config()
    };
    Fastpath::open(&config).unwrap()
}

#[test]
fn an_address_that_does_not_fit_is_refused_and_all_can_be_taken_for_isolated() {
    let Some(ground) =
        Ground::new("an_address_that_does_not_fit_is_refused_and_all_can_be_taken_for_isolated")
    else {
        return;
    };
    let sizes = Sizes {
        pods: 4,
        ..Sizes::default()
    };
    let mut fastpath = small(&ground, sizes);
    let address = |number: u8| IpAddr::V4(Ipv4Addr::new(10, 244, 0, number));
    for number in 1..=4 {
        fastpath
            .set_pod(address(number), PodIsolation::default())
            .unwrap();
    }
    fastpath.assume_isolated(false).unwrap();
    let programs = Programs::open(&ground.pins());
    let open = Frame::new("10.244.0.1", "10.244.0.2", TCP, (40_000, 80), SYN);
    assert_eq!(programs.tc(&open.bytes(), 0, 1).mark, PASS);
    assert!(fastpath.set_pod(address(5), ISOLATED).is_err());
    fastpath.assume_isolated(true).unwrap();
    let refused = Frame::new("10.244.0.1", "10.244.0.5", TCP, (40_000, 80), SYN);
    for frame in [open, refused] {
        assert_eq!(programs.tc(&frame.bytes(), 0, 1).mark, 0, "{frame:?}");
        assert_eq!(programs.gate_pass(&frame.bytes(), 1).value, 0, "{frame:?}");
    }
}

/// More than there is room for, with room for what the kernel holds back for each CPU.
const MANY: u16 = 20_000;

#[test]
fn a_flow_that_was_pushed_out_is_asked_about() {
    let Some(ground) = Ground::new("a_flow_that_was_pushed_out_is_asked_about") else {
        return;
    };
    let sizes = Sizes {
        flows: 1024,
        ..Sizes::default()
    };
    let mut fastpath = small(&ground, sizes);
    let frame = |port| Frame::new("10.244.0.1", "10.244.0.2", TCP, (port, 80), SYN);
    for address in [frame(1).source, frame(1).destination] {
        fastpath.set_pod(address, ISOLATED).unwrap();
    }
    fastpath.assume_isolated(false).unwrap();
    lease(&fastpath, &frame(1), Verdict::Allow);
    let programs = Programs::open(&ground.pins());
    for port in 1..MANY {
        assert_eq!(programs.tc(&frame(port).bytes(), 0, 1).mark, PASS);
    }
    let flows = fastpath.usage().unwrap().flows;
    assert!(flows.entries <= flows.max, "{flows:?}");
    let answered = |port: u16| {
        let answer = frame(port).reply(SYN | ACK).bytes();
        let at_tc = programs.tc(&answer, 0, 1).mark == PASS;
        assert_eq!(at_tc, programs.gate_pass(&answer, 1).value == 1);
        at_tc
    };
    let passed = (1..MANY).filter(|&port| answered(port)).count();
    assert!(passed > 0, "the last ones are there");
    assert!(passed <= flows.max as usize, "{passed} of {flows:?}");
}

#[test]
fn a_full_map_of_denials_pushes_no_lease_out() {
    let Some(ground) = Ground::new("a_full_map_of_denials_pushes_no_lease_out") else {
        return;
    };
    let sizes = Sizes {
        leases: 1024,
        denials: 1024,
        ..Sizes::default()
    };
    let mut fastpath = small(&ground, sizes);
    let frame = |port| Frame::new("10.244.0.1", "10.244.0.2", TCP, (40_000, port), SYN);
    for address in [frame(1).source, frame(1).destination] {
        fastpath.set_pod(address, ISOLATED).unwrap();
    }
    fastpath.assume_isolated(false).unwrap();
    let leases = fastpath.leases();
    let remember = |port, verdict| {
        let key = frame(port).lease_key();
        let lease = Lease::new(&key, verdict, Epochs::default(), 0);
        leases.insert(&key, &lease).unwrap();
    };
    (1..=100).for_each(|port| remember(port, Verdict::Allow));
    (1_000..MANY).for_each(|port| remember(port, Verdict::Deny));
    let usage = fastpath.usage().unwrap();
    assert_eq!(usage.leases.entries, 100);
    assert!(usage.denials.entries <= usage.denials.max, "{usage:?}");
    let programs = Programs::open(&ground.pins());
    for port in 1..=100 {
        assert_eq!(programs.tc(&frame(port).bytes(), 0, 1).mark, PASS, "{port}");
    }
}
