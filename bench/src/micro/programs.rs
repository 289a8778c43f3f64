//! What the TC and gate programs cost per packet, by the kernel's own count.

use std::cell::RefCell;
use std::net::IpAddr;
use std::thread;

use anyhow::{Context as _, Result};
use sluice_bpf::test_run::{ACK, Frame, Ground, INIT, Programs, Ran, SCTP, SYN, TCP, UDP, lease};
use sluice_bpf::{Fastpath, PodIsolation};
use sluice_ebpf::Verdict;

use super::cases::{Case, Ticker, Turn, in_turns};
use super::report::Row;
use super::{Part, Plan};

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
/// What a classifier returns: the packet goes on, or is dropped.
const NEXT: i32 = -1;
const SHOT: i32 = 2;

/// Addresses of a family: two isolated pods, a pod without policies, and somebody else.
type Addresses = [&'static str; 4];

const FAMILIES: [(&str, Addresses); 2] = [
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Tc,
    TcAny,
    GatePass,
    GateDeny,
}

/// A packet on a way through a program.
#[derive(Clone, Debug)]
struct Probe {
    name: &'static str,
    which: Which,
    frame: Frame,
    /// Bytes that are missing at its end.
    cut: usize,
    /// Whether the interface is guarded: with the first two addresses of each family behind it.
    guarded: bool,
    /// What is seen before, so that there is what the packet is about.
    before: Option<(Which, Frame)>,
    /// What the program returns, and the mark after it.
    expected: (i32, u32),
}

/// Measures on a thread whose mounts and interfaces are its own.
pub(super) fn measure(plan: &Plan, ticker: &mut Ticker<'_>) -> Result<Vec<Row>> {
    let measured = thread::scope(|scope| scope.spawn(|| on_ground(plan, ticker)).join());
    measured.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn on_ground(plan: &Plan, ticker: &mut Ticker<'_>) -> Result<Vec<Row>> {
    let ground = Ground::new().context("namespaces")?;
    let mut fastpath = Fastpath::open(&ground.config()).context("the fast path")?;
    fastpath.assume_isolated(false)?;
    for (_, addresses) in FAMILIES {
        fill(&mut fastpath, addresses)?;
    }
    let programs = Programs::open(&ground.pins()).context("the programs")?;
    let fastpath = RefCell::new(fastpath);
    let probes = FAMILIES.into_iter().flat_map(|(family, addresses)| {
        let probes = probes(family, addresses).into_iter();
        probes.map(move |probe| (family, probe))
    });
    let cases = probes.map(|(family, probe)| {
        let (value, mark) = probe.expected;
        Case {
            name: format!("{family} {}", probe.name),
            size: None,
            proof: format!("returned {value}, mark {mark:#x}"),
            turn: turn(&programs, &fastpath, probe, plan.repeat),
        }
    });
    in_turns(Part::Programs, cases.collect(), plan, ticker)
}

fn turn<'a>(
    programs: &'a Programs,
    fastpath: &'a RefCell<Fastpath>,
    probe: Probe,
    repeat: u32,
) -> Turn<'a> {
    let mut bytes = probe.frame.bytes();
    bytes.truncate(bytes.len() - probe.cut);
    let behind: Vec<IpAddr> = BEHIND
        .iter()
        .filter(|_| probe.guarded)
        .filter_map(|text| text.parse().ok())
        .collect();
    Box::new(move || {
        fastpath.borrow_mut().guard(INTERFACE, &behind, false)?;
        if let Some((which, frame)) = &probe.before {
            run(programs, *which, &frame.bytes(), 1)?;
        }
        let ran = run(programs, probe.which, &bytes, repeat)?;
        Ok(if (ran.value, ran.mark) == probe.expected {
            Ok(ran.each.as_secs_f64() * 1e9)
        } else {
            Err(format!("returned {}, mark {:#x}", ran.value, ran.mark))
        })
    })
}

fn run(programs: &Programs, which: Which, frame: &[u8], repeat: u32) -> Result<Ran> {
    let ran = match which {
        Which::Tc => programs.tc(frame, 0, repeat),
        Which::TcAny => programs.tc_any(frame, 0, repeat),
        Which::GatePass => programs.gate_pass(frame, 0, repeat),
        Which::GateDeny => programs.gate_deny(frame, 0, repeat),
    };
    ran.context("a run of a program")
}

/// What the maps hold: `a` and `b` isolated, `c` not, and a lease for what the probes say has one.
fn fill(fastpath: &mut Fastpath, [a, b, c, _]: Addresses) -> Result<()> {
    let isolated = PodIsolation {
        ingress: true,
        egress: true,
    };
    for (address, isolation) in [(a, isolated), (b, isolated), (c, PodIsolation::default())] {
        fastpath.set_pod(address.parse()?, isolation)?;
    }
    for (protocol, port, flags) in [(TCP, 80, ACK), (UDP, 53, 0), (SCTP, 80, INIT)] {
        let frame = Frame::new(a, b, protocol, (40_000, port), flags);
        lease(fastpath, &frame, Verdict::Allow, 0)?;
    }
    let ended = Frame::new(a, b, TCP, (40_000, 82), SYN);
    lease(fastpath, &ended, Verdict::Allow, 1)?;
    let denied = Frame::new(b, a, TCP, (40_000, 443), SYN);
    lease(fastpath, &denied, Verdict::Deny, 0)?;
    Ok(())
}

impl Probe {
    fn new(name: &'static str, which: Which, frame: Frame, expected: (i32, u32)) -> Self {
        Self {
            name,
            which,
            frame,
            cut: 0,
            guarded: false,
            before: None,
            expected,
        }
    }

    fn guarded(self) -> Self {
        Self {
            guarded: true,
            ..self
        }
    }

    fn cut(self, cut: usize) -> Self {
        Self { cut, ..self }
    }

    fn after(self, which: Which, frame: &Frame) -> Self {
        Self {
            before: Some((which, frame.clone())),
            ..self
        }
    }
}

fn probes(family: &str, addresses: Addresses) -> Vec<Probe> {
    let mut probes = classified(addresses);
    probes.extend(at_the_gate(addresses));
    probes.extend(unreadable(family, addresses));
    probes
}

fn opening(frame: &Frame) -> Frame {
    Frame {
        flags: SYN,
        ..frame.clone()
    }
}

fn classified([a, b, c, other]: Addresses) -> Vec<Probe> {
    use Which::{GatePass, Tc, TcAny};
    let tcp = Frame::new(a, b, TCP, (40_000, 80), ACK);
    let foreign = Frame {
        foreign: true,
        ..tcp.clone()
    };
    let spoofed = Frame::new(c, b, TCP, (40_000, 80), ACK);
    let free = Frame::new(other, c, TCP, (40_000, 80), ACK);
    let udp = Frame::new(a, b, UDP, (40_000, 53), 0);
    let sctp = Frame::new(a, b, SCTP, (40_000, 80), INIT);
    let cold = Frame::new(a, b, TCP, (40_000, 81), SYN);
    let ended = Frame::new(a, b, TCP, (40_000, 82), SYN);
    let denied = Frame::new(b, a, TCP, (40_000, 443), SYN);
    let opened = opening(&tcp);
    vec![
        Probe::new("tc: no IP", Tc, foreign, (NEXT, 0)),
        Probe::new("tc: lease, TCP", Tc, tcp.clone(), (NEXT, PASS)),
        Probe::new("tc: lease, TCP, guarded", Tc, tcp.clone(), (NEXT, PASS)).guarded(),
        Probe::new("tc: spoofed", Tc, spoofed, (SHOT, 0)).guarded(),
        Probe::new(
            "tc: lease, TCP, not Ethernet",
            TcAny,
            tcp.clone(),
            (NEXT, PASS),
        ),
        Probe::new(
            "tc: lease, TCP SYN (new flow)",
            Tc,
            opened.clone(),
            (NEXT, PASS),
        ),
        // The gate alone makes the entry of the answers, without which TC leaves UDP to it.
        Probe::new("tc: lease, UDP", Tc, udp.clone(), (NEXT, PASS)).after(GatePass, &udp),
        Probe::new("tc: lease, SCTP INIT", Tc, sctp, (NEXT, PASS)),
        Probe::new("tc: flow, TCP", Tc, tcp.reply(ACK), (NEXT, PASS)).after(Tc, &opened),
        Probe::new("tc: unmatched, TCP", Tc, free.clone(), (NEXT, PASS)),
        Probe::new("tc: unmatched, TCP SYN", Tc, opening(&free), (NEXT, PASS)),
        Probe::new("tc: nothing known, TCP SYN", Tc, cold, (NEXT, 0)),
        Probe::new("tc: a lease that has ended, TCP SYN", Tc, ended, (NEXT, 0)),
        Probe::new("tc: denied, TCP SYN", Tc, denied, (SHOT, 0)),
    ]
}

fn at_the_gate([a, b, c, other]: Addresses) -> Vec<Probe> {
    use Which::{GateDeny, GatePass, Tc};
    let tcp = Frame::new(a, b, TCP, (40_000, 80), ACK);
    let free = Frame::new(other, c, TCP, (40_000, 80), ACK);
    let udp = Frame::new(a, b, UDP, (40_000, 53), 0);
    let cold = Frame::new(a, b, TCP, (40_000, 81), SYN);
    let ended = Frame::new(a, b, TCP, (40_000, 82), SYN);
    let denied = Frame::new(b, a, TCP, (40_000, 443), SYN);
    let reply = tcp.reply(ACK);
    let opened = opening(&tcp);
    vec![
        Probe::new("gate: lease, TCP", GatePass, tcp, (1, 0)),
        Probe::new("gate: lease, UDP", GatePass, udp, (1, 0)),
        Probe::new("gate: flow, TCP", GatePass, reply, (1, 0)).after(Tc, &opened),
        Probe::new("gate: unmatched, TCP", GatePass, free, (1, 0)),
        Probe::new(
            "gate: nothing known, TCP SYN",
            GatePass,
            cold.clone(),
            (0, 0),
        ),
        Probe::new(
            "gate: a lease that has ended, TCP SYN",
            GatePass,
            ended,
            (0, 0),
        ),
        Probe::new("gate: denied, TCP SYN", GatePass, denied.clone(), (0, 0)),
        Probe::new("gate_deny: denied, TCP SYN", GateDeny, denied, (1, 0)),
        Probe::new("gate_deny: nothing known, TCP SYN", GateDeny, cold, (0, 0)),
    ]
}

/// What the programs do not read for sure, and leave to the agent, lease or not.
fn unreadable(family: &str, [a, b, ..]: Addresses) -> Vec<Probe> {
    use Which::{GatePass, Tc};
    let tcp = Frame::new(a, b, TCP, (40_000, 80), ACK);
    let both = |names: [&'static str; 2], frame: &Frame| {
        let [tc, gate] = names;
        [
            Probe::new(tc, Tc, frame.clone(), (NEXT, 0)),
            Probe::new(gate, GatePass, frame.clone(), (0, 0)),
        ]
    };
    let cut = Frame {
        payload: 0,
        ..tcp.clone()
    };
    let mut probes: Vec<_> = both(
        ["tc: a header that is cut", "gate: a header that is cut"],
        &cut,
    )
    .map(|probe| probe.cut(10))
    .into();
    if family == "IPv4" {
        let fragment = |fragment| Frame {
            fragment,
            ..tcp.clone()
        };
        let options = Frame {
            options: 1,
            ..tcp.clone()
        };
        probes.extend(both(
            ["tc: first fragment", "gate: first fragment"],
            &fragment(0x2000),
        ));
        probes.extend(both(
            ["tc: later fragment", "gate: later fragment"],
            &fragment(1),
        ));
        probes.extend(both(["tc: options", "gate: options"], &options));
    } else {
        let behind = |kind| Frame {
            extension: Some((kind, vec![TCP, 0, 0, 0, 0, 0, 0, 0])),
            ..tcp.clone()
        };
        probes.extend(both(["tc: fragment", "gate: fragment"], &behind(44)));
        probes.extend(both(
            ["tc: hop-by-hop options", "gate: hop-by-hop options"],
            &behind(0),
        ));
        probes.extend(both(
            ["tc: destination options", "gate: destination options"],
            &behind(60),
        ));
    }
    probes
}
