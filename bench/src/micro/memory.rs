//! Resident memory against the number of pods: of an index in a process of its own, and of a real agent that reads
//! manifests.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use sluice_netlink::Netns;

use super::cases::{Ticker, Wrong};
use super::job::{Job, resident};
use super::report::{Row, Unit};
use super::{Part, Plan, world};

const PODS: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Those of a quick run.
const FEW: usize = 2;
/// Pods of a file.
const FILE: usize = 1_000;
/// An agent that is not ready by then has a problem worth reading its log for.
const READY: Duration = Duration::from_mins(5);
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9080);

pub(super) fn measure(plan: &Plan, ticker: &mut Ticker<'_>) -> Result<Vec<Row>> {
    let sizes = if plan.quick { &PODS[..FEW] } else { &PODS[..] };
    let mut rows = Vec::new();
    for pods in sizes {
        ticker.stay()?;
        let bytes = index(*pods, plan)?;
        rows.push(row(
            ["the index, pods", "it knows all pods"],
            *pods,
            bytes,
            plan,
        ));
    }
    for pods in sizes {
        ticker.stay()?;
        let bytes = agent(*pods, plan).with_context(|| format!("an agent of {pods} pods"))?;
        let name = "an agent, mode nfqueue, pods";
        let proof = "it knows all policies and its own 100 pods";
        rows.push(row([name, proof], *pods, bytes, plan));
    }
    Ok(rows)
}

fn row([name, proof]: [&str; 2], pods: usize, bytes: u64, plan: &Plan) -> Row {
    #[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
    let megabytes = bytes as f64 / 1e6;
    let samples = vec![megabytes];
    let measured = Row::of(
        Part::Memory,
        name.to_owned(),
        Unit::Megabytes,
        samples,
        plan.seed,
    );
    Row {
        size: Some(pods as u64),
        proof: proof.to_owned(),
        ..measured
    }
}

/// By how much a process grows.
fn index(pods: usize, plan: &Plan) -> Result<u64> {
    let mut command = Command::new(&plan.this);
    command.args(["micro", "--job", &Job::Index(pods).argument()]);
    let output = command.output().context("this program again")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut words = said.split_whitespace().map(str::parse::<u64>);
    let (Some(Ok(known)), Some(Ok(grown))) = (words.next(), words.next()) else {
        bail!("this program again: {}", output.status);
    };
    expect("pods", pods, known)?;
    Ok(grown)
}

fn expect(what: &str, expected: usize, known: u64) -> Result<(), Wrong> {
    if known == expected as u64 {
        return Ok(());
    }
    Err(Wrong {
        case: "memory".to_owned(),
        what: format!("{known} {what} are known instead of {expected}"),
    })
}

/// What an agent has once it is ready.
fn agent(pods: usize, plan: &Plan) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    write_manifests(pods, &directory.path().join("manifests"))?;
    let netns = Netns::new()?;
    let mut agent = Agent::start(&plan.agent, &netns, directory.path())?;
    agent.wait_ready(&netns)?;
    let status = agent.status()?;
    let number = |path| status.pointer(path).and_then(serde_json::Value::as_u64);
    // It does not say how many pods of other nodes it knows; each file is read whole or not at all.
    let local = number("/pods/local").context("sluice status: no local pods")?;
    let policies = number("/policies/NetworkPolicy").context("sluice status: no policies")?;
    expect("local pods", world::PODS, local)?;
    expect("policies", pods / 10, policies)?;
    resident(agent.child.id())
}

/// A running agent; it ends with this, and what it put into its namespace with that.
struct Agent<'a> {
    child: Child,
    binary: &'a Path,
    directory: &'a Path,
}

impl<'a> Agent<'a> {
    fn start(binary: &'a Path, netns: &Netns, directory: &'a Path) -> Result<Self> {
        let log = File::create(directory.join("log"))?;
        let mut command = Command::new(binary);
        command
            .env_clear()
            .args(["agent", "--mode", "nfqueue", "--node-name", "node-0"])
            .args(["--metrics-bind-address", &METRICS.to_string()])
            .args([
                "--manifests".as_ref(),
                directory.join("manifests").as_os_str(),
            ])
            .args(["--socket".as_ref(), directory.join("socket").as_os_str()])
            .args(["--bpffs".as_ref(), directory.join("bpf/sluice").as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = netns.enter(|| command.spawn())?;
        let child = child.with_context(|| binary.display().to_string())?;
        Ok(Self {
            child,
            binary,
            directory,
        })
    }

    fn wait_ready(&mut self, netns: &Netns) -> Result<()> {
        let limit = Instant::now() + READY;
        while !netns.enter(is_ready)? {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > limit {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or_default();
                bail!("it is not ready: {last}");
            }
            // reason: from one look to the next; the processor is left to what is waited for
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn status(&self) -> Result<serde_json::Value> {
        let mut command = Command::new(self.binary);
        command
            .env_clear()
            .args(["status", "-o", "json", "--socket"]);
        command.arg(self.directory.join("socket"));
        let output = command.output().context("sluice status")?;
        ensure!(
            output.status.success(),
            "sluice status: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout).context("sluice status: no JSON document")
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn is_ready() -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&METRICS, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    ask().is_ok_and(|answer: String| answer.split(' ').nth(1) == Some("200"))
}

/// The cluster of the index, as manifests.
fn write_manifests(pods: usize, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let namespaces = pods / world::PODS;
    let mut text = String::new();
    for number in 0..namespaces {
        let _infallible = writeln!(
            text,
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: ns-{number}, labels: {{team: t{}}}}}",
            number % 20
        );
    }
    for number in 0..pods / 10 {
        text.push_str(&policy(number, namespaces));
    }
    fs::write(directory.join("policies.yaml"), text)?;
    for first in (0..pods).step_by(FILE) {
        let of_file = first..pods.min(first + FILE);
        let text: String = of_file.map(|number| pod(number, namespaces)).collect();
        fs::write(directory.join(format!("pods-{first}.yaml")), text)?;
    }
    Ok(())
}

fn pod(number: usize, nodes: usize) -> String {
    let pod = world::pod(number, nodes);
    let labels: Vec<String> = pod
        .labels
        .iter()
        .map(|(key, value)| format!("{key}: \"{value}\""))
        .collect();
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {}, namespace: {}, labels: {{{}}}}}\n\
         spec: {{nodeName: {}, containers: [{{name: c, image: c, ports: [{{name: http, containerPort: 8080}}]}}]}}\n\
         status: {{podIPs: [{{ip: {}}}]}}\n",
        pod.name.name,
        pod.name.namespace,
        labels.join(", "),
        pod.node.as_deref().unwrap_or_default(),
        world::address(number)
    )
}

fn policy(number: usize, namespaces: usize) -> String {
    let (namespace, round) = (number % namespaces, number / namespaces);
    let app = |more: usize| (round + more) % world::APPS;
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
         metadata: {{name: np-{round}, namespace: ns-{namespace}}}\n\
         spec:\n  podSelector: {{matchLabels: {{app: a{}}}}}\n  policyTypes: [Ingress, Egress]\n\
         \x20 ingress: [{{from: [{{podSelector: {{matchLabels: {{app: a{}}}}}}}], ports: [{{port: 8080}}]}}]\n\
         \x20 egress: [{{to: [{{podSelector: {{matchLabels: {{app: a{}}}}}}}], ports: [{{port: 8080}}]}}]\n",
        app(0),
        app(1),
        app(9)
    )
}
