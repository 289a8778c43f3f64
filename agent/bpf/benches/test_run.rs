//! What the programs cost per packet, by the kernel's own count (`BPF_PROG_TEST_RUN`): nanoseconds of the median
//! round, the fastest and the slowest, over rounds that take turns. Needs root; touches nothing outside namespaces
//! of its own. Run it with `cargo bench --package sluice-bpf --bench test_run`.

#[path = "../tests/support/mod.rs"]
mod support;

use sluice_bpf::{Fastpath, PodIsolation};
use sluice_ebpf::Verdict;
use support::{ACK, Frame, Ground, Programs, Ran, SYN, TCP, UDP, lease};

const ROUNDS: usize = 31;
const REPEAT: u32 = 100_000;

type Run = fn(&Programs, &[u8]) -> Ran;

struct Case {
    name: String,
    run: Run,
    frame: Vec<u8>,
    /// Whether the interface is guarded: with the first two addresses of each family behind it.
    guarded: bool,
    /// What the program returns, and the mark after it.
    expected: (i32, u32),
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
    let started = std::time::Instant::now();
    let mut fastpath = Fastpath::open(&ground.config()).expect("the fast path");
    println!(
        "loading all programs into new maps: {} ms",
        started.elapsed().as_millis()
    );
    let mut cases = cases(&mut fastpath);
    let programs = Programs::open(&ground.pins());
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let behind = if case.guarded { &BEHIND[..] } else { &[] };
            let behind: Vec<_> = behind
                .iter()
                .map(|text| text.parse().expect("an address"))
                .collect();
            fastpath.guard(INTERFACE, &behind).expect("a guard");
            let ran = (case.run)(&programs, &case.frame);
            assert_eq!((ran.value, ran.mark), case.expected, "{}", case.name);
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

/// Where packets come from that never saw a wire: the loopback device.
const INTERFACE: u32 = 1;
/// What is behind it where it is guarded.
const BEHIND: [&str; 4] = [
    "10.244.0.1",
    "10.244.0.2",
    "fd00:10:244::1",
    "fd00:10:244::2",
];

/// The default PASS bit.
const PASS: u32 = 0x20;

/// Addresses of a family: two isolated pods, a pod without policies, and somebody else.
type Addresses = [&'static str; 4];

fn cases(fastpath: &mut Fastpath) -> Vec<Case> {
    fastpath.assume_isolated(false).expect("state");
    let families: [(&str, Addresses); 2] = [
        (
            "IPv4",
            ["10.244.0.1", "10.244.0.2", "10.244.0.3", "192.0.2.1"],
        ),
        (
            "IPv6",
            [
                "fd00:10:244::1",
                "fd00:10:244::2",
                "fd00:10:244::3",
                "2001:db8::1",
            ],
        ),
    ];
    families
        .into_iter()
        .flat_map(|(family, addresses)| family_cases(fastpath, family, addresses))
        .collect()
}

fn family_cases(fastpath: &mut Fastpath, family: &str, addresses: Addresses) -> Vec<Case> {
    fill(fastpath, addresses);
    runs(addresses)
        .into_iter()
        .map(|(name, run, frame, expected)| Case {
            name: format!("{family} {name}"),
            run,
            frame: frame.bytes(),
            guarded: name.ends_with("guarded") || name.ends_with("spoofed"),
            expected,
            nanoseconds: Vec::new(),
        })
        .collect()
}

/// What the maps hold: `a` and `b` isolated, `c` not, and a lease for what the runs say has one.
fn fill(fastpath: &mut Fastpath, [a, b, c, _]: Addresses) {
    let isolated = PodIsolation {
        ingress: true,
        egress: true,
    };
    for (address, isolation) in [(a, isolated), (b, isolated), (c, PodIsolation::default())] {
        fastpath
            .set_pod(address.parse().expect("an address"), isolation)
            .expect("a pod");
    }
    lease(
        fastpath,
        &Frame::new(a, b, TCP, (40_000, 80), ACK),
        Verdict::Allow,
    );
    lease(
        fastpath,
        &Frame::new(a, b, UDP, (40_000, 53), 0),
        Verdict::Allow,
    );
    lease(
        fastpath,
        &Frame::new(b, a, TCP, (40_000, 443), SYN),
        Verdict::Deny,
    );
}

/// Name, program, packet, and what the program returns and marks.
fn runs([a, b, c, other]: Addresses) -> Vec<(&'static str, Run, Frame, (i32, u32))> {
    let tc: Run = |programs, frame| programs.tc(frame, 0, REPEAT);
    let any: Run = |programs, frame| programs.tc_any(frame, 0, REPEAT);
    let gate: Run = |programs, frame| programs.gate_pass(frame, REPEAT);
    let deny: Run = |programs, frame| programs.gate_deny(frame, REPEAT);
    let tcp = Frame::new(a, b, TCP, (40_000, 80), ACK);
    let opening = |frame: &Frame| Frame {
        flags: SYN,
        ..frame.clone()
    };
    let foreign = Frame {
        foreign: true,
        ..tcp.clone()
    };
    let free = Frame::new(other, c, TCP, (40_000, 80), ACK);
    let udp = Frame::new(a, b, UDP, (40_000, 53), 0);
    let cold = Frame::new(a, b, TCP, (40_000, 81), SYN);
    let denied = Frame::new(b, a, TCP, (40_000, 443), SYN);
    vec![
        ("tc: no IP", tc, foreign, (-1, 0)),
        ("tc: lease, TCP", tc, tcp.clone(), (-1, PASS)),
        ("tc: lease, TCP, guarded", tc, tcp.clone(), (-1, PASS)),
        (
            "tc: spoofed",
            tc,
            Frame::new(c, b, TCP, (40_000, 80), ACK),
            (2, 0),
        ),
        ("tc: lease, TCP, not Ethernet", any, tcp.clone(), (-1, PASS)),
        (
            "tc: lease, TCP SYN (new flow)",
            tc,
            opening(&tcp),
            (-1, PASS),
        ),
        // The gate alone makes the entry of the answers, without which TC leaves UDP to it.
        ("gate: lease, UDP", gate, udp.clone(), (1, 0)),
        ("tc: lease, UDP", tc, udp, (-1, PASS)),
        ("tc: flow, TCP", tc, tcp.reply(ACK), (-1, PASS)),
        ("tc: unmatched, TCP", tc, free.clone(), (-1, PASS)),
        ("tc: unmatched, TCP SYN", tc, opening(&free), (-1, PASS)),
        ("tc: nothing known, TCP SYN", tc, cold.clone(), (-1, 0)),
        ("tc: denied, TCP SYN", tc, denied.clone(), (2, 0)),
        ("gate: lease, TCP", gate, tcp.clone(), (1, 0)),
        ("gate: flow, TCP", gate, tcp.reply(ACK), (1, 0)),
        ("gate: unmatched, TCP", gate, free, (1, 0)),
        ("gate: nothing known, TCP SYN", gate, cold, (0, 0)),
        ("gate_deny: denied, TCP SYN", deny, denied, (1, 0)),
    ]
}
