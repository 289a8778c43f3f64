//! A cluster of 100,000 pods and 10,000 policies, served by a real API server: what the agent's source and index cost,
//! and what a whole agent does.
//!
//! `cargo bench -p sluice-api --bench scale` as root. Fills an API server of its own first, which takes minutes;
//! `-- --pods N --policies N` makes it smaller, and `--replicas N` (10) says how many pods have the same labels. What is
//! measured is a process of its own that follows the API and keeps the index of one node, as the agent does: all of the
//! agent that grows with the cluster. With `--agent PATH`, that binary is started as the agent of one of the nodes, too.
//! All of it shares the machine with the API server and etcd.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and a panic is how it says no"
)]

mod agent;
mod fill;
mod process;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fill::Size;
use process::Process;
use sluice_api::{Options, Source, Update};
use sluice_cluster::{ControlOptions, ControlPlane, why_no_control_plane};
use sluice_kubernetes::live::Kind;
use sluice_policy::{Index, Scope};

const KINDS: [Kind; 4] = [Kind::Namespace, Kind::Node, Kind::Pod, Kind::NetworkPolicy];
/// The node that is asked for.
const NODE: &str = "node-1";
/// How long something is watched doing nothing.
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let size = Size::asked_for(&arguments);
    if let Some(kubeconfig) = after(&arguments, "--follow") {
        follow(Path::new(kubeconfig), size);
        return;
    }
    if let Some(reason) = why_no_control_plane() {
        println!("cannot run here: {reason}");
        return;
    }
    // Cargo runs benches in their package's directory, and paths are given from the workspace's.
    let agent = after(&arguments, "--agent").map(|path| root().join(path));
    if let Some(missing) = agent.as_ref().filter(|it| !it.is_file()) {
        println!("cannot run here: no {}", missing.display());
        return;
    }
    let control = ControlPlane::start(ControlOptions::default()).unwrap();
    let started = Instant::now();
    fill::fill(&control, size);
    println!(
        "filled with {} pods, {} of each workload, and {} policies in {:.0?}",
        size.pods,
        size.replicas,
        size.policies,
        started.elapsed()
    );
    let status = control
        .enter(env::current_exe().unwrap())
        .arg("--follow")
        .arg(control.kubeconfig())
        .args(&arguments)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    if let Some(binary) = agent {
        agent::run(&control, &binary, size);
    }
}

impl Size {
    fn asked_for(arguments: &[String]) -> Self {
        let number =
            |flag, default| after(arguments, flag).map_or(default, |it| it.parse().unwrap());
        Self {
            pods: number("--pods", 100_000),
            replicas: number("--replicas", 10),
            policies: number("--policies", 10_000),
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The argument behind a flag.
fn after<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let mut rest = arguments.iter().skip_while(|it| *it != flag);
    rest.nth(1).map(String::as_str)
}

/// Follows the API as an agent does, and says what that costs.
fn follow(kubeconfig: &Path, size: Size) {
    let options = Options {
        kubeconfig: Some(kubeconfig.to_owned()),
        kinds: KINDS.to_vec(),
    };
    let (sender, told) = channel();
    let process = Process::this();
    let empty = process.resident();
    let started = Instant::now();
    let source = Source::start(options, move |update| drop(sender.send(update))).unwrap();
    let mut index = Index::new(Scope::Node(NODE.into()));
    let (arrived, complete) = take_in(&mut index, &told);
    let now = Instant::now();
    println!("source and index");
    println!("  lists arrived after {:.2?}", arrived - started);
    println!(
        "  ready {:.2?} later, {:.2?} after the start",
        complete - arrived,
        complete - started
    );
    let full = process.resident();
    process.tell_until_ready();
    process.tell_idle(|| idle(&mut index, &told, now + IDLE));
    let pods = u64::try_from(size.pods).unwrap();
    println!(
        "  {} bytes for each pod, all else counted in",
        (full - empty) / pods.max(1)
    );
    for it in source.report().kinds {
        println!("  {:>8} {}", it.objects, it.kind.resource());
    }
    let counts = index.snapshot().counts();
    assert_eq!(
        (counts.pods, counts.network_policies),
        (size.pods, size.policies)
    );
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
