//! What a flood from one pod costs its neighbours: 100,000 denied SYNs a second, all the same, then all different, against
//! a quiet node; how long another pod's connections take meanwhile, what the agent spends, and how much it logs.
//! `cargo build --release -p sluice && cargo bench -p sluice-lab --bench flood`; needs root.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sluice_lab::{AgentOptions, Family, Forged, Forger, Lab, Mode, Options, Segment, builtin};
use sluice_policy::PodName;

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const PER_SECOND: u32 = 100_000;
/// As often as the flood is made up for: it comes in bursts of a hundred.
const BEAT: Duration = Duration::from_millis(1);
/// `USER_HZ`, the unit of `/proc/PID/stat`.
const TICKS: u32 = 100;
/// From one connection to the next: a pod has 28,000 ports, and each rests for a minute.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Quiet,
    /// One destination and port.
    Flood,
    /// Every packet to another port or address.
    Scan,
}

#[derive(Default)]
struct Figures {
    connects: Vec<Duration>,
    failed: u64,
    sent: u64,
    judged: u64,
    lines: usize,
    cpu: Duration,
    wall: Duration,
}

fn main() -> Result<()> {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_sluice-lab")).with_file_name("sluice");
    if !is_bench || !rustix::process::geteuid().is_root() || !binary.is_file() {
        println!(
            "skipped: needs root, --bench, and an agent at {}",
            binary.display()
        );
        return Ok(());
    }
    let mut lab = Lab::up(&builtin::default_world(), &Options::default())?;
    lab.start_agents(&AgentOptions {
        binary,
        mode: Mode::Hybrid,
        arguments: Vec::new(),
        environment: Vec::new(),
    })?;
    let phases = [Phase::Quiet, Phase::Flood, Phase::Scan];
    let mut figures = phases.map(|_| Figures::default());
    for _ in 0..ROUNDS {
        for (phase, figures) in phases.into_iter().zip(&mut figures) {
            round(&lab, phase, figures)?;
        }
    }
    print(&phases, &mut figures);
    Ok(())
}

fn print(phases: &[Phase], figures: &mut [Figures]) {
    println!(
        "{:<8}{:>10}{:>10}{:>9}{:>9}{:>8}{:>8}{:>10}{:>12}{:>9}",
        "",
        "SYN/s",
        "judged/s",
        "p50 µs",
        "p99 µs",
        "× p50",
        "× p99",
        "failed",
        "agent CPU %",
        "lines/s"
    );
    let mut quiet = None;
    for (phase, figures) in phases.iter().zip(figures) {
        figures.connects.sort_unstable();
        let at = |percent: usize| {
            figures.connects[(figures.connects.len() - 1) * percent / 100].as_secs_f64() * 1e6
        };
        let (p50, p99) = (at(50), at(99));
        let (base50, base99) = *quiet.get_or_insert((p50, p99));
        let seconds = figures.wall.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
        let rate = |count: u64| count as f64 / seconds;
        println!(
            "{:<8}{:>10.0}{:>10.0}{p50:>9.0}{p99:>9.0}{:>8.2}{:>8.2}{:>10}{:>12.1}{:>9.1}",
            format!("{phase:?}").to_lowercase(),
            rate(figures.sent),
            rate(figures.judged),
            p50 / base50,
            p99 / base99,
            format!("{} of {}", figures.failed, figures.connects.len()),
            100.0 * figures.cpu.as_secs_f64() / seconds,
            rate(figures.lines as u64),
        );
    }
}

fn round(lab: &Lab, phase: Phase, figures: &mut Figures) -> Result<()> {
    let agent = &lab.agents()[0];
    let (cpu, judged, lines) = (
        cpu(agent.pid())?,
        agent.counters()?.denied,
        agent.log().lines().count(),
    );
    let started = Instant::now();
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| -> Result<()> {
        if phase != Phase::Quiet {
            scope.spawn(|| flood(lab, phase, &stop, &sent));
        }
        let measured = connect(lab, started + ROUND, figures);
        stop.store(true, Ordering::Relaxed);
        measured
    })?;
    figures.wall += started.elapsed();
    figures.sent += sent.into_inner();
    figures.cpu += self::cpu(agent.pid())?.saturating_sub(cpu);
    figures.judged += agent.counters()?.denied - judged;
    figures.lines += agent.log().lines().count() - lines;
    Ok(())
}

/// Connects from a pod that may, and has a lease, until `end`; a connection counts once the server has said its name.
fn connect(lab: &Lab, end: Instant, figures: &mut Figures) -> Result<()> {
    let to = SocketAddr::new(address(lab, "x", "a")?, 80);
    let connect = || {
        while Instant::now() < end {
            let started = Instant::now();
            let answered = TcpStream::connect_timeout(&to, ROUND)
                .and_then(|mut stream| stream.read(&mut [0; 64]));
            figures.connects.push(started.elapsed());
            figures.failed += u64::from(answered.is_err());
            thread::sleep(PAUSE);
        }
    };
    lab.pod_netns(&name("x", "b"))?.enter(connect)?;
    Ok(())
}

/// Sends from a pod that may not.
fn flood(lab: &Lab, phase: Phase, stop: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let forger = Forger::open(lab.pod_netns(&name("y", "c"))?, Family::Ipv4)?;
    let (source, target) = (address(lab, "y", "c")?, address(lab, "z", "a")?);
    let started = Instant::now();
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let due = started.elapsed().as_secs_f64() * f64::from(PER_SECOND);
        while f64::from(number) < due && !stop.load(Ordering::Relaxed) {
            let [.., high, low] = number.to_be_bytes();
            let low = u16::from_be_bytes([high, low]);
            let (from, to) = match phase {
                Phase::Scan => (30_000, low.max(1)),
                Phase::Quiet | Phase::Flood => (low.max(1024), 80),
            };
            // What the pod's own stack has no room for is not sent.
            drop(forger.send(&Forged {
                from: SocketAddr::new(source, from),
                to: SocketAddr::new(target, to),
                segment: Segment::SYN,
            }));
            number += 1;
        }
        sent.store(number.into(), Ordering::Relaxed);
        thread::sleep(BEAT);
    }
    Ok(())
}

fn name(namespace: &str, name: &str) -> PodName {
    PodName {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn address(lab: &Lab, namespace: &str, pod: &str) -> Result<IpAddr> {
    let plan = lab.plan();
    let pod = plan.pod(&name(namespace, pod)).context("no such pod")?;
    Ok(plan.pods[pod].addresses[0])
}

/// The time that a process has spent on the processor, by `/proc/PID/stat`, in user mode and in the kernel.
fn cpu(pid: u32) -> Result<Duration> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let (_, rest) = text.rsplit_once(')').context("no command in stat")?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map_while(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_secs(ticks) / TICKS)
}
