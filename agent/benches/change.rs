//! From an event to the kernel being current: index, publication, maps and sets, in a network namespace and on a
//! bpffs of its own. `cargo bench -p sluice --bench change`; needs root.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use sluice::agent::Enforcer;
use sluice::cli::{Cli, Command};
use sluice::config::Config;
use sluice_policy::{
    Event, Labels, NetworkPolicy, Operator, Peer, Peers, Pod, PodName, Port, PortMatch, Ports,
    Protocol, Requirement, Rule, Selector,
};

const NODE: &str = "node-1";
const LOCAL_PODS: u32 = 110;
const APPS: u32 = 1_000;
const ROUNDS: u32 = 400;

fn main() -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let pins = own_namespaces()?;
    println!(
        "{:<8} {:>8} {:>8} {:<15} {:>9} {:>9} {:>9}",
        "mode", "policies", "pods", "event", "p50 µs", "p90 µs", "p99 µs"
    );
    for mode in ["hybrid", "nfqueue"] {
        for (policies, pods) in [(1_000, 10_000), (1_000, 100_000)] {
            let config = config(mode, &pins.to_string_lossy())?;
            let events = (0..pods)
                .map(pod)
                .chain((0..policies).map(|number| policy(number, 80)));
            let mut enforcer =
                Enforcer::open(&config, events).map_err(|failure| anyhow::anyhow!("{failure}"))?;
            let mut print = |event: &str, next: &mut dyn FnMut(u32) -> Event| {
                let mut times: Vec<Duration> = (0..ROUNDS)
                    .map(|round| timed(&mut enforcer, next(round)))
                    .collect();
                times.sort_unstable();
                let at =
                    |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
                println!(
                    "{mode:<8} {policies:>8} {pods:>8} {event:<15} {:>9.1} {:>9.1} {:>9.1}",
                    at(50),
                    at(90),
                    at(99)
                );
            };
            print("policy edited", &mut |round| {
                policy(round % LOCAL_PODS, port(round))
            });
            print("policy gone/new", &mut |round| {
                let number = round / 2 % LOCAL_PODS;
                if round.is_multiple_of(2) {
                    Event::NetworkPolicyGone(namespace(number), name("app", number))
                } else {
                    policy(number, port(round))
                }
            });
            print("remote pod", &mut |round| {
                relabelled(peer(round / 2), round)
            });
            print("local pod", &mut |round| {
                relabelled(round / 2 % LOCAL_PODS, round)
            });
            print("remote gone", &mut |round| {
                Event::PodGone(pod_name(peer(round) + pods / 2))
            });
        }
    }
    Ok(())
}

fn timed(enforcer: &mut Enforcer, event: Event) -> Duration {
    let started = Instant::now();
    let changes = enforcer.apply([event]);
    let took = started.elapsed();
    assert!(
        !changes.is_empty(),
        "an event without a change measures nothing"
    );
    assert!(!enforcer.behind(), "the kernel refused the change");
    // As the agent does, so that the next change puts its addresses under review anew.
    enforcer.reviewed();
    took
}

/// A network and a mount namespace with a bpffs, gone with this process.
fn own_namespaces() -> Result<std::path::PathBuf> {
    // SAFETY: no other thread runs yet, and no file descriptor table is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.context("unshare")?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .context("private mounts")?;
    mount("bpf", "/mnt", "bpf", MountFlags::empty(), None).context("bpffs")?;
    Ok("/mnt/sluice".into())
}

fn config(mode: &str, pins: &str) -> Result<Config> {
    let line = [
        "sluice",
        "agent",
        "--manifests",
        "/dev/null",
        "--node-name",
        NODE,
        "--mode",
        mode,
        "--bpffs",
        pins,
    ];
    match Cli::try_parse_from(line)?.command {
        Command::Agent(args) => {
            Config::resolve(*args).map_err(|failure| anyhow::anyhow!("{failure}"))
        }
        _ => anyhow::bail!("not the agent's command line"),
    }
}

/// Pods of one app in each of a thousand namespaces; the first are local.
fn pod(number: u32) -> Event {
    Event::Pod(facts(number, [("app", number % APPS)]))
}

/// A port that no round has twice, so that each edit is one.
fn port(round: u32) -> u16 {
    81 + u16::try_from(round).unwrap_or_default()
}

/// A remote pod that rules of a local one speak of: of the same namespace.
fn peer(round: u32) -> u32 {
    round % LOCAL_PODS + APPS * (1 + round / LOCAL_PODS)
}

/// Of another app, and of its own again: either way other selectors match it.
fn relabelled(number: u32, round: u32) -> Event {
    let app = if round.is_multiple_of(2) {
        (number + 1) % APPS
    } else {
        number % APPS
    };
    Event::Pod(facts(number, [("app", app)]))
}

fn facts<const N: usize>(number: u32, labels: [(&str, u32); N]) -> Pod {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number);
    let node = if number < LOCAL_PODS {
        NODE.to_owned()
    } else {
        format!("node-{}", 2 + number / LOCAL_PODS)
    };
    Pod {
        name: pod_name(number),
        node: Some(node.into()),
        labels: labels
            .map(|(key, value)| (Arc::from(key), Arc::from(value.to_string())))
            .into_iter()
            .collect::<Labels>(),
        addresses: vec![IpAddr::V4(address)],
        ports: [].into(),
        host_network: false,
        created: 0,
    }
}

fn pod_name(number: u32) -> PodName {
    PodName {
        namespace: namespace(number),
        name: name("pod", number),
    }
}

fn namespace(number: u32) -> Arc<str> {
    name("ns", number % APPS)
}

fn name(kind: &str, number: u32) -> Arc<str> {
    format!("{kind}-{number}").into()
}

/// Lets the app's namespace reach it on one port.
fn policy(number: u32, port: u16) -> Event {
    let selector = |key: &str, value: u32| Selector {
        requirements: vec![Requirement {
            key: key.into(),
            operator: Operator::In(vec![value.to_string().into()]),
        }],
    };
    let peer = Peer::Pods {
        namespaces: sluice_policy::Namespaces::Own,
        pods: selector("app", number % APPS),
    };
    let rule = Rule {
        peers: Peers::Of(vec![peer]),
        ports: Ports::Of(vec![PortMatch {
            protocol: Protocol::Tcp,
            port: Port::Range(port, port),
        }]),
    };
    Event::NetworkPolicy(NetworkPolicy {
        namespace: namespace(number),
        name: name("app", number),
        pods: selector("app", number % APPS),
        ingress: Some(vec![rule]),
        egress: None,
    })
}
