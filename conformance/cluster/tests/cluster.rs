//! A cluster comes up, works, and goes without leaving anything; also when whoever made it is killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sluice_cluster::{AGNHOST, Cluster, Family, Options, skipped, until, why_no_cluster};

/// What a cluster makes of the machine's, by kind.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    namespaces: BTreeSet<String>,
    groups: BTreeSet<String>,
    mounts: BTreeSet<String>,
    processes: BTreeSet<String>,
}

impl Traces {
    /// What there is of the cluster `name`.
    fn of(name: &str) -> Result<Self> {
        let mark = format!("cluster/{name}/");
        let mut traces = Self {
            namespaces: BTreeSet::new(),
            groups: groups(Path::new("/sys/fs/cgroup"), &format!("sluice-{name}-")),
            mounts: fs::read_to_string("/proc/self/mounts")?
                .lines()
                .filter(|line| line.contains(&mark))
                .map(str::to_owned)
                .collect(),
            processes: BTreeSet::new(),
        };
        for entry in fs::read_dir("/proc")?.flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&mark) {
                let namespace = fs::read_link(entry.path().join("ns/net"));
                let namespace = namespace.map(|it| it.display().to_string());
                traces.namespaces.extend(namespace);
                traces
                    .processes
                    .insert(String::from_utf8_lossy(&line).into_owned());
            }
        }
        Ok(traces)
    }

    fn are_none(&self) -> bool {
        self.namespaces.is_empty()
            && self.groups.is_empty()
            && self.mounts.is_empty()
            && self.processes.is_empty()
    }
}

/// The control groups whose name starts so, two levels deep.
fn groups(top: &Path, start: &str) -> BTreeSet<String> {
    let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let hierarchies = below(top).map(|entry| entry.path());
    std::iter::once(top.to_path_buf())
        .chain(hierarchies)
        .flat_map(|hierarchy| below(&hierarchy).collect::<Vec<_>>())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path().display().to_string())
        .collect()
}

#[test]
fn pods_of_two_nodes_reach_each_other_and_nothing_is_left_afterwards() -> Result<()> {
    if skipped(why_no_cluster()) {
        return Ok(());
    }
    let cluster = Cluster::up(&Options {
        family: Family::Dual,
        ..Options::default()
    })?;
    let name = cluster.name().to_owned();
    let directory = cluster.control().directory();
    let up = Traces::of(&name)?;
    assert_eq!(up.namespaces.len(), 3, "a control plane and two nodes");
    assert!(!up.groups.is_empty() && !up.processes.is_empty(), "{up:?}");
    assert_eq!(up.mounts, BTreeSet::new(), "mounts are the nodes' own");
    serve_and_probe(&cluster)?;
    drop(cluster);
    let left = Traces::of(&name)?;
    assert!(left.are_none(), "{left:#?}");
    assert!(!directory.exists(), "{}", directory.display());
    Ok(())
}

/// A server on each node and a Service of both families in front of one; from the other all are reached.
fn serve_and_probe(cluster: &Cluster) -> Result<()> {
    let control = cluster.control();
    control.apply(&manifests())?;
    let wait = [
        "wait",
        "--for=condition=Ready",
        "pod",
        "--all",
        "--timeout=120s",
    ];
    control.kubectl(&wait)?;
    let pods = control.kubectl(&[
        "get",
        "pod",
        "server",
        "-o",
        "jsonpath={.status.podIPs[*].ip}",
    ])?;
    let service = [
        "get",
        "service",
        "server",
        "-o",
        "jsonpath={.spec.clusterIPs[*]}",
    ];
    let services = control.kubectl(&service)?;
    let addresses: Vec<_> = pods.split(' ').chain(services.split(' ')).collect();
    ensure!(addresses.len() == 4, "two families: {addresses:?}");
    for address in addresses {
        let target = if address.contains(':') {
            format!("[{address}]:8080")
        } else {
            format!("{address}:8080")
        };
        let probe = [
            "exec",
            "client",
            "--",
            "/agnhost",
            "connect",
            &target,
            "--timeout=2s",
        ];
        // kube-proxy writes a Service's rules after its pods are ready.
        until(
            &format!("an answer of {target}"),
            Duration::from_secs(90),
            || Ok(control.try_kubectl(&probe)?.status.success().then_some(())),
        )?;
    }
    Ok(())
}

fn manifests() -> String {
    let pod = |name: &str, node: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\n\
             spec: {{nodeName: {node}, terminationGracePeriodSeconds: 0, containers: \
             [{{name: c, image: \"{AGNHOST}\", args: [netexec, --http-port=8080]}}]}}\n---\n"
        )
    };
    pod("server", "node-1")
        + &pod("client", "node-2")
        + "apiVersion: v1\nkind: Service\nmetadata: {name: server}\nspec: {ipFamilyPolicy: RequireDualStack, \
           selector: {app: server}, ports: [{port: 8080}]}\n"
}

/// Set in the process that makes a cluster and is killed.
const VICTIM: &str = "SLUICE_CLUSTER_VICTIM";

#[test]
fn a_cluster_ends_with_a_killed_owner_and_the_next_takes_its_remains_away() -> Result<()> {
    if skipped(why_no_cluster()) {
        return Ok(());
    }
    if std::env::var_os(VICTIM).is_some() {
        let cluster = Cluster::up(&small())?;
        println!("up {}", cluster.name());
        loop {
            std::thread::park();
        }
    }
    let (mut victim, name) = victim()?;
    assert!(!Traces::of(&name)?.are_none());
    victim.kill()?;
    victim.wait()?;
    until(
        "end of a dead owner's processes",
        Duration::from_mins(2),
        || Ok(Traces::of(&name)?.processes.is_empty().then_some(())),
    )?;
    // Another test's cluster may have done it already.
    sluice_cluster::sweep()?;
    let left = Traces::of(&name)?;
    assert!(left.are_none(), "{left:#?}");
    assert!(!sluice_cluster::names()?.contains(&name));
    Ok(())
}

fn small() -> Options {
    Options {
        nodes: 1,
        ..Options::default()
    }
}

/// This test once more, in a process of its own, once its cluster is up.
fn victim() -> Result<(std::process::Child, String)> {
    use std::io::{BufRead as _, BufReader};

    let test = "a_cluster_ends_with_a_killed_owner_and_the_next_takes_its_remains_away";
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env(VICTIM, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(victim.stdout.take().context("its output")?);
    let name = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("up ")?.1.to_owned()))
        .context("no cluster came up")?;
    Ok((victim, name))
}
