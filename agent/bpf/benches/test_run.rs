//! What the programs cost per packet, by the kernel's own count (`BPF_PROG_TEST_RUN`): nanoseconds of the median
//! round, the fastest and the slowest, over rounds that take turns. Needs root; touches nothing outside namespaces
//! of its own. Run it with `cargo bench --package sluice-bpf --bench test_run`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::IpAddr;

use sluice_bpf::{Fastpath, PodIsolation};
use sluice_ebpf::Verdict;
use support::{ACK, Frame, Ground, Programs, Ran, SYN, TCP, UDP, lease};

const ROUNDS: usize = 31;
const REPEAT: u32 = 100_000;

type Run = fn(&Programs, &[u8]) -> Ran;

struct Case {
    name: &'static str,
    run: Run,
    frame: Vec<u8>,
    expected: Ran,
    nanoseconds: Vec<u128>,
}

fn main() {
    // `cargo test` builds and runs benches as well; it has no use for figures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(ground) = Ground::new("test_run") else {
        return;
    };
    let mut fastpath = Fastpath::open(&ground.config()).expect("the fast path");
    let mut cases = cases(&mut fastpath);
    let programs = Programs::open(&ground.pins());
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let ran = (case.run)(&programs, &case.frame);
            assert_eq!(
                (ran.value, ran.mark),
                (case.expected.value, case.expected.mark),
                "{}",
                case.name
            );
            case.nanoseconds.push(ran.each.as_nanos());
        }
    }
    println!(
        "{:<34} {:>8} {:>8} {:>8}   ns per packet, {ROUNDS} rounds of {REPEAT}",
        "", "median", "min", "max"
    );
    for case in &mut cases {
        case.nanoseconds.sort_unstable();
        let at = |index: usize| case.nanoseconds[index];
        println!(
            "{:<34} {:>8} {:>8} {:>8}",
            case.name,
            at(ROUNDS / 2),
            at(0),
            at(ROUNDS - 1)
        );
    }
}

fn cases(fastpath: &mut Fastpath) -> Vec<Case> {
    const PASS: u32 = 0x20;
    let tc: Run = |programs, frame| programs.tc(frame, 0, REPEAT);
    let any: Run = |programs, frame| programs.tc_any(frame, 0, REPEAT);
    let gate: Run = |programs, frame| programs.gate_pass(frame, REPEAT);
    let deny: Run = |programs, frame| programs.gate_deny(frame, REPEAT);
    let marked = |value, mark| Ran {
        value,
        mark,
        each: std::time::Duration::ZERO,
    };
    let mut cases = Vec::new();
    let mut add = |name, run, frame: &Frame, expected| {
        cases.push(Case {
            name,
            run,
            frame: frame.bytes(),
            expected,
            nanoseconds: Vec::new(),
        });
    };
    fastpath.assume_isolated(false).expect("state");
    let isolated = PodIsolation {
        ingress: true,
        egress: true,
    };
    for (family, a, b, c) in [
        ("4", "10.244.0.1", "10.244.0.2", "10.244.0.3"),
        ("6", "fd00:10:244::1", "fd00:10:244::2", "fd00:10:244::3"),
    ] {
        let name = |text: &str| -> &'static str {
            Box::leak(format!("IPv{family} {text}").into_boxed_str())
        };
        let tcp = Frame::new(a, b, TCP, (40_000, 80), ACK);
        let udp = Frame::new(a, b, UDP, (40_000, 53), 0);
        lease(fastpath, &tcp, Verdict::Allow);
        lease(fastpath, &udp, Verdict::Allow);
        let denied = Frame::new(b, a, TCP, (40_000, 443), SYN);
        lease(fastpath, &denied, Verdict::Deny);
        for (address, isolation) in [(a, isolated), (b, isolated), (c, PodIsolation::default())] {
            fastpath
                .set_pod(address.parse::<IpAddr>().expect("an address"), isolation)
                .expect("a pod");
        }
        let syn = Frame {
            flags: SYN,
            ..tcp.clone()
        };
        let free = Frame::new("192.0.2.1", "192.0.2.2", TCP, (40_000, 80), ACK);
        let free = Frame {
            source: if family == "4" {
                free.source
            } else {
                "2001:db8::1".parse().expect("an address")
            },
            destination: c.parse().expect("an address"),
            ..free
        };
        let cold = Frame::new(a, b, TCP, (40_000, 81), SYN);
        add(
            name("tc: lease, TCP, not Ethernet"),
            any,
            &tcp,
            marked(-1, PASS),
        );
        add(name("tc: lease, TCP"), tc, &tcp, marked(-1, PASS));
        add(
            name("tc: lease, TCP SYN (new flow)"),
            tc,
            &syn,
            marked(-1, PASS),
        );
        add(name("tc: lease, UDP"), tc, &udp, marked(-1, PASS));
        add(name("tc: flow, TCP"), tc, &tcp.reply(ACK), marked(-1, PASS));
        add(name("tc: unmatched, TCP"), tc, &free, marked(-1, PASS));
        add(
            name("tc: unmatched, TCP SYN"),
            tc,
            &Frame {
                flags: SYN,
                ..free.clone()
            },
            marked(-1, PASS),
        );
        add(name("tc: nothing known, TCP SYN"), tc, &cold, marked(-1, 0));
        add(name("gate: lease, TCP"), gate, &tcp, marked(1, 0));
        add(name("gate: flow, TCP"), gate, &tcp.reply(ACK), marked(1, 0));
        add(name("gate: unmatched, TCP"), gate, &free, marked(1, 0));
        add(
            name("gate: nothing known, TCP SYN"),
            gate,
            &cold,
            marked(0, 0),
        );
        add(
            name("gate_deny: denied, TCP SYN"),
            deny,
            &denied,
            marked(1, 0),
        );
    }
    cases
}
