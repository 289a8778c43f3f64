//! A cluster of 100,000 pods and 10,000 policies, served by a real API server: what the agent's source and index cost.
//!
//! `cargo bench -p sluice-api --bench scale` as root. Fills an API server of its own first, which takes minutes;
//! `-- --pods N --policies N` makes it smaller. What is measured is a process of its own that follows the API and keeps
//! the index of one node, as the agent does: all of the agent that grows with the cluster. It shares the machine with
//! the API server and etcd.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and a panic is how it says no"
)]

mod fill;

use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{env, fs};

use sluice_api::{Options, Source, Update};
use sluice_cluster::{ControlOptions, ControlPlane, why_no_control_plane};
use sluice_kubernetes::live::Kind;
use sluice_policy::{Index, Scope};

const KINDS: [Kind; 4] = [Kind::Namespace, Kind::Node, Kind::Pod, Kind::NetworkPolicy];
const MEGABYTE: u64 = 1024 * 1024;
/// How long it is watched doing nothing.
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some(kubeconfig) = after(&arguments, "--follow") {
        follow(Path::new(kubeconfig));
        return;
    }
    if let Some(reason) = why_no_control_plane() {
        println!("cannot run here: {reason}");
        return;
    }
    let number =
        |flag: &str, default| after(&arguments, flag).map_or(default, |it| it.parse().unwrap());
    let (pods, policies) = (number("--pods", 100_000), number("--policies", 10_000));
    let control = ControlPlane::start(ControlOptions::default()).unwrap();
    let started = Instant::now();
    fill::fill(&control, pods, policies);
    println!(
        "filled with {pods} pods and {policies} policies in {:.0?}",
        started.elapsed()
    );
    let status = control
        .enter(env::current_exe().unwrap())
        .arg("--follow")
        .arg(control.kubeconfig())
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// The argument behind a flag.
fn after<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let mut rest = arguments.iter().skip_while(|it| *it != flag);
    rest.nth(1).map(String::as_str)
}

/// Follows the API as an agent does, and says what that costs.
fn follow(kubeconfig: &Path) {
    let options = Options {
        kubeconfig: Some(kubeconfig.to_owned()),
        kinds: KINDS.to_vec(),
    };
    let (sender, told) = channel();
    let empty = resident("VmRSS");
    let started = Instant::now();
    let source = Source::start(options, move |update| drop(sender.send(update))).unwrap();
    let mut index = Index::new(Scope::Node("node-1".into()));
    let (arrived, complete) = take_in(&mut index, &told);
    let now = Instant::now();
    println!("lists arrived after {:.2?}", arrived - started);
    println!(
        "ready {:.2?} later, {:.2?} after the start",
        complete - arrived,
        complete - started
    );
    println!("processor time until then {:.2?}", processor());
    let full = resident("VmRSS");
    println!(
        "resident {} MB, {} MB at most",
        full / MEGABYTE,
        resident("VmHWM") / MEGABYTE
    );
    let before = processor();
    idle(&mut index, &told, now + IDLE);
    let busy = processor().saturating_sub(before).as_secs_f64() / IDLE.as_secs_f64();
    println!(
        "doing nothing: {:.2} % of a core, resident {} MB",
        busy * 100.0,
        resident("VmRSS") / MEGABYTE
    );
    for it in source.report().kinds {
        println!("{:>8} {}", it.objects, it.kind.resource());
        if it.kind == Kind::Pod {
            let each = (full - empty) / u64::try_from(it.objects.max(1)).unwrap();
            println!("         {each} bytes for each pod, all else counted in");
        }
    }
}

/// Takes everything in; when the last of it came, and when it was in the index.
fn take_in(index: &mut Index, told: &Receiver<Update>) -> (Instant, Instant) {
    loop {
        let mut events = Vec::new();
        let mut complete = false;
        let mut next = Some(told.recv().unwrap());
        while let Some(update) = next {
            match update {
                Update::Batch(delivery) => events.extend(delivery.batch.events),
                Update::Complete => complete = true,
            }
            next = told.try_recv().ok().filter(|_| events.len() < 16 * 1024);
        }
        let arrived = Instant::now();
        let _changes = index.apply(events);
        if complete {
            return (arrived, Instant::now());
        }
    }
}

fn idle(index: &mut Index, told: &Receiver<Update>, until: Instant) {
    while let Ok(update) = told.recv_timeout(until.saturating_duration_since(Instant::now())) {
        if let Update::Batch(delivery) = update {
            let _changes = index.apply(delivery.batch.events);
        }
    }
}

/// Processor time of this process so far.
fn processor() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// A line of `/proc/self/status`, in bytes.
fn resident(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
    let kilobytes: u64 = found
        .split_whitespace()
        .find_map(|it| it.parse().ok())
        .unwrap();
    kilobytes * 1024
}
