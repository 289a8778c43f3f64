//! A launch without a cluster: nodes are network namespaces of this machine, each with a worker's pod behind it, and
//! orchestrator and workers are the processes that a cluster's pods would have.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use sluice_lab::{Family, Lab, Manifests, Options};
use sluice_policy::PodName;
use tempfile::TempDir;

use super::{Ending, Launched, Plan};
use crate::network::duration;
use crate::network::task::Results;
use crate::processes;

/// The pods' namespace.
const NAMESPACE: &str = "network";
const ORCHESTRATOR: &str = "orchestrator";
/// Where the orchestrator listens.
const PORT: u16 = 50_051;
/// From one look at whether the orchestrator is done to the next.
const LOOK: Duration = Duration::from_millis(20);
/// What processes may take past their own patience.
const MARGIN: Duration = Duration::from_secs(5);

/// A laboratory with an orchestrator and workers in it.
struct Site {
    // Dropped first: every process is killed with its lab.
    lab: Lab,
    orchestrator: Child,
    workers: Vec<Child>,
    directory: TempDir,
}

/// Launches between `nodes` namespaces; `path` is where workers find their tools, and `stop` somebody's wish that it
/// ends. Every process that this one still has afterwards is killed, so it is for a process of its own.
pub fn run(plan: &Plan, nodes: u8, path: &OsString, stop: &AtomicBool) -> Result<Launched> {
    // What a worker that is killed leaves behind comes here.
    set_child_subreaper(Some(getpid())).context("becoming the parent of orphans")?;
    let launched = Site::up(plan, nodes, path).and_then(|mut site| {
        let ending = site.wait(plan, stop)?;
        let results = site.results()?;
        Ok(Launched { results, ending })
    });
    let swept = sweep();
    let launched = launched?;
    swept.context("ending what was left")?;
    Ok(launched)
}

impl Site {
    fn up(plan: &Plan, nodes: u8, path: &OsString) -> Result<Self> {
        let options = Options {
            families: vec![Family::Ipv4],
            ..Options::default()
        };
        let lab = Lab::up(&Manifests::Texts(vec![manifests(nodes)]), &options)?;
        let directory = tempfile::tempdir().context("a directory for results")?;
        let orchestrator = orchestrator(&lab, plan, nodes, directory.path())?;
        let mut site = Self {
            lab,
            orchestrator,
            workers: Vec::new(),
            directory,
        };
        for number in 1..=nodes {
            let worker = site.worker(number, plan, path)?;
            site.workers.push(worker);
        }
        Ok(site)
    }

    fn worker(&self, number: u8, plan: &Plan, path: &OsString) -> Result<Child> {
        let name = format!("worker-{number}");
        let mut command = command("worker")?;
        command
            .args(["--host", &address(&self.lab, ORCHESTRATOR)?.to_string()])
            .args(["--port", &PORT.to_string()])
            // They are told to go before that.
            .args([
                "--deadline",
                &duration::shown(plan.deadline + plan.timeout + MARGIN),
            ])
            .args(["--name", &name])
            .args(["--ip", &address(&self.lab, &name)?.to_string()])
            .args(["--vm-hostname", &format!("node-{number}")])
            .args(["--availability-zone", "lab"])
            .env("PATH", path)
            .stdout(Stdio::null());
        self.lab.spawn(&pod(&name), command)
    }

    /// Waits until the orchestrator is done, or has to be; then it may still write what there is.
    fn wait(&mut self, plan: &Plan, stop: &AtomicBool) -> Result<Ending> {
        let limit = Instant::now() + plan.deadline;
        let ending = loop {
            if let Some(status) = self.orchestrator.try_wait()? {
                break Ending::Over(status.code());
            }
            if stop.load(Ordering::Relaxed) {
                break Ending::Interrupted;
            }
            if Instant::now() >= limit {
                break Ending::Deadline;
            }
            thread::sleep(LOOK);
        };
        let limit = Instant::now() + plan.timeout + MARGIN;
        if !matches!(ending, Ending::Over(_)) {
            terminate(&self.orchestrator)?;
            await_exit(&mut self.orchestrator, limit)?;
        }
        for worker in &mut self.workers {
            await_exit(worker, limit)?;
        }
        Ok(ending)
    }

    fn results(&self) -> Result<Results> {
        let text = fs::read_to_string(results_file(self.directory.path()))?;
        if text.is_empty() {
            return Ok(Results::default());
        }
        serde_json::from_str(&text).context("the orchestrator's results")
    }
}

/// A world of as many nodes, each with a worker, and the orchestrator on the first.
fn manifests(nodes: u8) -> (String, String) {
    let mut text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    let mut pod = |name: &str, node: u8| {
        let _infallible = write!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\n\
             spec: {{nodeName: node-{node}, containers: [{{name: {name}, image: {name}}}]}}\n"
        );
    };
    pod(ORCHESTRATOR, 1);
    for number in 1..=nodes {
        pod(&format!("worker-{number}"), number);
    }
    for number in 1..=nodes {
        let _infallible = write!(
            text,
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{number}}}\n"
        );
    }
    ("network.yaml".to_owned(), text)
}

fn pod(name: &str) -> PodName {
    PodName {
        namespace: NAMESPACE.into(),
        name: name.into(),
    }
}

fn address(lab: &Lab, name: &str) -> Result<IpAddr> {
    let plan = lab.plan();
    let index = plan.pod(&pod(name)).context("no such pod")?;
    let address = plan.pods[index].address(Family::Ipv4);
    address.context("a pod without an address")
}

/// This program again, in another part.
fn command(part: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program's path")?);
    // Ctrl-C is for the launcher, which tells the others.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.args(["network", part]).stdin(Stdio::null());
    Ok(command)
}

fn orchestrator(lab: &Lab, plan: &Plan, nodes: u8, directory: &Path) -> Result<Child> {
    let benchmarks: Vec<_> = plan.benchmarks.iter().map(|it| it.name()).collect();
    let mut command = command("orchestrator")?;
    command
        .args(["--benchmark", &benchmarks.join(",")])
        .args(["--host", &address(lab, ORCHESTRATOR)?.to_string()])
        .args(["--port", &PORT.to_string()])
        .args(["--timeout", &duration::shown(plan.timeout)])
        .args(["--seconds", &plan.seconds.to_string()])
        .args(["--workers", &nodes.to_string()])
        .arg("--results")
        .arg(results_file(directory))
        .stdout(Stdio::null());
    lab.spawn(&pod(ORCHESTRATOR), command)
}

fn results_file(directory: &Path) -> std::path::PathBuf {
    directory.join("results.json")
}

fn terminate(child: &Child) -> Result<()> {
    kill_process(Pid::from_child(child), Signal::TERM).context("ending the orchestrator")
}

/// Waits for a process until `limit`, and kills it then.
fn await_exit(child: &mut Child, limit: Instant) -> Result<()> {
    while child.try_wait()?.is_none() {
        if Instant::now() >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Ends every process that this one has.
fn sweep() -> Result<()> {
    loop {
        for child in children()? {
            // It may have ended since.
            let _gone = kill_process(child, Signal::KILL);
        }
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The processes whose parent this one is.
fn children() -> Result<Vec<Pid>> {
    let own = std::process::id();
    let all = processes::all()?.into_iter();
    let children = all.filter(|it| it.parent == own);
    Ok(children.filter_map(|it| processes::pid(it.id)).collect())
}
