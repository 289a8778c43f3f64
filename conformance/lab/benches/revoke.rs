//! How long what is denied goes on: a policy is narrowed while two streams run, and conntrack holds ten thousand
//! connections of the same server. From the moment before the manifest is written to the last packet that arrives.
//! `cargo build --release -p sluice && cargo bench -p sluice-lab --bench revoke`; needs root.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sluice_lab::stream::{Direction, Pace, Stream};
use sluice_lab::{AgentOptions, Cell, Family, Lab, Manifests, Mode, Options, Port, Target};
use sluice_netlink::{Conntrack, Filter};
use sluice_policy::{PodName, Protocol};

const ROUNDS: usize = 100;
const ENTRIES: u16 = 10_000;
const PACE: Pace = Pace {
    interval: Duration::from_micros(200),
    answered: true,
};
/// When nothing has arrived for so long, nothing will.
const SILENCE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(20);
const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
const CLIENT: &str = "client.yaml";

const WORLD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec: {nodeName: node-1, containers: [{name: s, image: s, ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {role: client}}
spec: {nodeName: node-1, containers: [{name: s, image: s}]}
---
apiVersion: v1
kind: Pod
metadata: {name: friend, labels: {role: friend}}
spec: {nodeName: node-1, containers: [{name: s, image: s}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
";

fn client_policy(role: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: client}}\nspec:\n  \
         podSelector: {{matchLabels: {{app: server}}}}\n  \
         ingress: [{{from: [{{podSelector: {{matchLabels: {{role: {role}}}}}}}]}}]\n"
    )
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
    println!(
        "{:<9}{:>9}{:>9}{:>8}{:>10}{:>10}{:>10}{:>10}",
        "mode", "entries", "protocol", "rounds", "p50 ms", "p90 ms", "p99 ms", "max ms"
    );
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        measure(mode, &binary)?;
    }
    Ok(())
}

fn measure(mode: Mode, binary: &Path) -> Result<()> {
    let texts = [
        ("world.yaml", WORLD.to_owned()),
        (CLIENT, client_policy("client")),
    ];
    let texts = texts.map(|(file, text)| (file.to_owned(), text));
    let mut lab = Lab::up(&Manifests::Texts(texts.to_vec()), &Options::default())?;
    lab.start_agents(&AgentOptions {
        binary: binary.to_owned(),
        mode,
        arguments: Vec::new(),
        environment: Vec::new(),
    })?;
    let _connections = fill(&lab)?;
    let mut times = PROTOCOLS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (times, took) in times.iter_mut().zip(round(&lab)?) {
            times.push(took);
        }
    }
    let entries = entries(&lab)?;
    ensure!(
        entries >= usize::from(ENTRIES),
        "conntrack has forgotten: {entries} entries"
    );
    for (protocol, times) in PROTOCOLS.iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        println!(
            "{:<9}{entries:>9}{:>9}{:>8}{:>10.2}{:>10.2}{:>10.2}{:>10.2}",
            mode.name(),
            protocol.to_string(),
            times.len(),
            at(50),
            at(90),
            at(99),
            at(100)
        );
    }
    Ok(())
}

/// Opens a stream of each protocol, narrows the policy, and says how long each went on; then allows it again.
fn round(lab: &Lab) -> Result<Vec<Duration>> {
    let open = |protocol| lab.stream(&cell(protocol), PACE);
    let streams = PROTOCOLS
        .into_iter()
        .map(open)
        .collect::<Result<Vec<_>>>()?;
    await_that("the streams flow", || {
        streams
            .iter()
            .all(|stream| stream.delivered(Direction::Backward) > 100)
    })?;
    let before = Instant::now();
    lab.manifests().write(CLIENT, &client_policy("nobody"))?;
    let last = |stream: &Stream| stream.last_delivery(Direction::Forward).unwrap_or(before);
    await_that("the streams end", || {
        streams
            .iter()
            .all(|stream| last(stream).elapsed() > SILENCE)
    })?;
    let took = streams
        .iter()
        .map(|stream| last(stream).saturating_duration_since(before));
    let took = took.collect();
    let narrowed = enforced_as_of(lab);
    lab.manifests().write(CLIENT, &client_policy("client"))?;
    await_that("it is allowed again", || enforced_as_of(lab) > narrowed)?;
    Ok(took)
}

fn enforced_as_of(lab: &Lab) -> Option<f64> {
    lab.agents()[0].enforced_as_of().ok()?
}

/// Connections of the friend, each with an answer, that conntrack remembers for as long as this takes.
fn fill(lab: &Lab) -> Result<Vec<UdpSocket>> {
    let node = lab.node_netns("node-1")?;
    for timeout in [
        "nf_conntrack_udp_timeout",
        "nf_conntrack_udp_timeout_stream",
    ] {
        node.set_sysctl(&format!("netfilter/{timeout}"), "3600")?;
    }
    let (from, to) = (address(lab, "friend")?, address(lab, "server")?);
    let to = SocketAddr::new(to, 80);
    let open = || -> Result<Vec<UdpSocket>> {
        (0..ENTRIES)
            .map(|number| {
                let socket = UdpSocket::bind((from, 20_000 + number))?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.send_to(b"?", to)?;
                socket.recv(&mut [0; 64]).context("no answer")?;
                Ok(socket)
            })
            .collect()
    };
    lab.pod_netns(&pod("friend"))?.enter(open)?
}

fn entries(lab: &Lab) -> Result<usize> {
    let count = || -> Result<usize> {
        let mut count = 0;
        Conntrack::open()?.dump(&Filter::default(), |_| count += 1)?;
        Ok(count)
    };
    lab.node_netns("node-1")?.enter(count)?
}

fn cell(protocol: Protocol) -> Cell {
    Cell {
        from: pod("client"),
        to: Target::Pod(pod("server")),
        port: Port {
            number: 80,
            protocol,
        },
        family: Family::Ipv4,
    }
}

fn pod(name: &str) -> PodName {
    PodName {
        namespace: "default".into(),
        name: name.into(),
    }
}

fn address(lab: &Lab, name: &str) -> Result<IpAddr> {
    let index = lab.plan().pod(&pod(name)).context("no such pod")?;
    let address = lab.plan().pods[index].address(Family::Ipv4);
    address.context("no address")
}

fn await_that(what: &str, so: impl Fn() -> bool) -> Result<()> {
    let limit = Instant::now() + PATIENCE;
    while !so() {
        ensure!(Instant::now() < limit, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
