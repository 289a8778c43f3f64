//! Guarded interfaces in the kernel: what is not behind them neither passes nor leaves a trace. Packets that never saw a
//! wire come from the loopback device, which has number 1.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::IpAddr;

use sluice_bpf::{Config, Fastpath};
use sluice_ebpf::{Counters, Verdict};
use support::bed::{Bed, NEXT, PASS, SHOT, openings};
use support::{Ground, Programs, SYN, TCP, lease};

const INTERFACE: u32 = 1;

fn behind(addresses: [&str; 2]) -> [IpAddr; 2] {
    addresses.map(|text| text.parse().unwrap())
}

#[test]
fn a_lease_is_good_from_behind_its_source_alone() {
    let Some(mut bed) = Bed::new("a_lease_is_good_from_behind_its_source_alone") else {
        return;
    };
    let (own, others) = (
        behind(["10.244.0.1", "fd00:10:244::1"]),
        behind(["10.244.0.7", "fd00:10:244::7"]),
    );
    for opening in openings() {
        lease(&bed.fastpath, &opening, Verdict::Allow);
        // Over UDP only the gate makes the entry of the answers, without which TC lets nothing pass.
        assert_eq!(bed.gate(&opening), (1, 0));
        assert!(bed.fastpath.guard(INTERFACE, &own, false).unwrap());
        assert!(bed.passes(&opening));
        assert!(bed.fastpath.guard(INTERFACE, &others, false).unwrap());
        let flows = bed.fastpath.usage().unwrap().flows.entries;
        let counted = bed.counted(|bed| {
            let ran = bed.programs.tc(&opening.bytes(), 0, 1);
            assert_eq!((ran.value, ran.mark & PASS), (SHOT, 0), "{opening:?}");
            let ran = bed.programs.tc_any(&opening.bytes(), 0, 1);
            assert_eq!(ran.value, SHOT, "{opening:?}");
        });
        let expected = Counters {
            spoofed: 2,
            ..Counters::default()
        };
        assert_eq!(counted, expected);
        assert_eq!(bed.fastpath.usage().unwrap().flows.entries, flows);
        assert!(!bed.fastpath.guard(INTERFACE, &[], false).unwrap());
        assert!(bed.passes(&opening), "the guard is lifted");
    }
    assert!(bed.fastpath.guarded().unwrap().is_empty());
}

#[test]
fn where_nothing_is_dropped_what_is_spoofed_goes_unmarked() {
    let Some(ground) = Ground::new("where_nothing_is_dropped_what_is_spoofed_goes_unmarked") else {
        return;
    };
    let config = Config {
        drop_spoofed: false,
        ..ground.config()
    };
    let mut fastpath = Fastpath::open(&config).unwrap();
    fastpath.assume_isolated(false).unwrap();
    let programs = Programs::open(&ground.pins());
    let opening = support::bed::base(TCP, 4, SYN);
    lease(&fastpath, &opening, Verdict::Allow);
    assert_eq!(programs.tc(&opening.bytes(), 0, 1).mark, PASS);
    fastpath
        .guard(INTERFACE, &behind(["10.244.0.7", "fd00:10:244::7"]), false)
        .unwrap();
    let ran = programs.tc(&opening.bytes(), 0, 1);
    assert_eq!((ran.value, ran.mark), (NEXT, 0));
    assert_eq!(fastpath.counters().unwrap().spoofed, 1);
}

#[test]
fn guards_outlive_the_agent() {
    let Some(ground) = Ground::new("guards_outlive_the_agent") else {
        return;
    };
    let mut first = Fastpath::open(&ground.config()).unwrap();
    first
        .guard(INTERFACE, &behind(["10.244.0.7", "fd00:10:244::7"]), false)
        .unwrap();
    drop(first);
    let second = Fastpath::open(&ground.config()).unwrap();
    assert_eq!(second.guarded().unwrap(), [INTERFACE]);
    assert_eq!(second.usage().unwrap().guards.entries, 1);
}
