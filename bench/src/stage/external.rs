//! An enforcer that is none of ours: a command that is started on a node and ended with all that it started. What it
//! does there is its own business; what it is told, and how it says that it is ready, is in `bench/README.md`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::Serialize;
use sluice_lab::Lab;

use crate::processes::{self, Memory};

/// What the variables of its environment begin with.
const PREFIX: &str = "SLUICE_BENCH";
/// The first line of its standard output where it says so there.
const SAYS_READY: &str = "ready";
/// What SIGTERM may take.
const ENDS: Duration = Duration::from_secs(5);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(2);
/// How much of what it said is shown.
const SHOWN_LINES: usize = 20;

/// A program and its arguments; no shell reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

impl CommandLine {
    /// The first of `words` is the program; none of no words.
    pub fn new(words: &[String]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
        })
    }
}

/// A pod, as the command is told of it.
#[derive(Debug, Serialize)]
struct PodFacts {
    name: String,
    namespace: String,
    node: String,
    addresses: Vec<String>,
    /// Its link on its node.
    interface: String,
}

/// A command that runs on a node; it ends with this value.
#[derive(Debug)]
pub(super) struct External {
    node: &'static str,
    child: Child,
    /// It has said so on its standard output.
    said: Arc<AtomicBool>,
    /// It may make this file instead.
    ready: PathBuf,
    errors: PathBuf,
}

impl External {
    /// Starts `line` on `node`; what it says is kept in `directory`.
    pub(super) fn start(
        lab: &Lab,
        node: &'static str,
        line: &CommandLine,
        directory: &Path,
    ) -> Result<Self> {
        let at = |name: &str| directory.join(format!("{node}.{name}"));
        let (ready, errors, pods) = (at("ready"), at("stderr"), at("pods.json"));
        fs::write(&pods, serde_json::to_vec_pretty(&facts(lab)?)?)?;
        let mut command = Command::new(&line.program);
        command
            .args(&line.arguments)
            .env(format!("{PREFIX}_NODE"), node)
            .env(format!("{PREFIX}_NETNS"), netns_path(lab, node)?)
            .env(format!("{PREFIX}_MANIFESTS"), manifests(lab)?)
            .env(format!("{PREFIX}_PODS"), pods)
            .env(format!("{PREFIX}_READY"), &ready)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors)?)
            .process_group(0);
        let mut child = lab.spawn_on_node(node, command)?;
        let said = Arc::new(AtomicBool::new(false));
        if let Some(output) = child.stdout.take() {
            let said = Arc::clone(&said);
            // It ends with the last that has this output open.
            thread::spawn(move || listen(output, &said));
        }
        Ok(Self {
            node,
            child,
            said,
            ready,
            errors,
        })
    }

    /// Whether it has said that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.said.load(Ordering::Relaxed) || self.ready.exists()
    }

    /// Makes sure that it has not ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait().context("the external command")? else {
            return Ok(());
        };
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        bail!(
            "the external command on {} ended by itself: {status}\n{last}",
            self.node
        )
    }

    fn members(&self) -> Result<BTreeSet<u32>> {
        Ok(processes::of(self.child.id(), &processes::all()?))
    }

    /// What its processes that live have run.
    pub(super) fn time(&self) -> Result<Duration> {
        // One may end at any time.
        let times = self.members()?.into_iter().map(processes::time_of);
        Ok(times.map(Result::unwrap_or_default).sum())
    }

    pub(super) fn memory(&self) -> Result<Memory> {
        processes::memory_of(self.members()?)
    }

    /// SIGTERM for its group, and SIGKILL for all of it that is there after a while.
    fn end(&mut self) -> Result<()> {
        let mut members = self.members()?;
        // Where nobody is left in it there is nothing to tell.
        let _gone = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
        let limit = Instant::now() + ENDS;
        loop {
            // Also what its processes start while they end, and those whose parent has ended.
            let all = processes::all()?;
            let so_far: Vec<u32> = members.iter().copied().collect();
            members = so_far
                .into_iter()
                .chain([self.child.id()])
                .flat_map(|id| processes::of(id, &all))
                .collect();
            if members.is_empty() {
                return Ok(());
            }
            if Instant::now() > limit {
                for id in &members {
                    kill(*id);
                }
            }
            thread::sleep(LOOK);
        }
    }
}

fn kill(id: u32) {
    if let Some(id) = processes::pid(id) {
        // Gone already is as good.
        let _gone = kill_process(id, Signal::KILL);
    }
}

impl Drop for External {
    fn drop(&mut self) {
        if self.end().is_err() {
            kill(self.child.id());
        }
        // It is our child, and the kernel keeps its number until it is waited for.
        drop(self.child.wait());
    }
}

fn listen(output: ChildStdout, said: &AtomicBool) {
    let mut output = BufReader::new(output);
    let mut first = String::new();
    if output.read_line(&mut first).is_ok() && first.trim_end() == SAYS_READY {
        said.store(true, Ordering::Relaxed);
    }
    // Whoever prints more goes on.
    drop(io::copy(&mut output, &mut io::sink()));
}

fn netns_path(lab: &Lab, node: &str) -> Result<String> {
    let descriptor = lab.node_netns(node)?.as_fd().as_raw_fd();
    Ok(format!("/proc/{}/fd/{descriptor}", std::process::id()))
}

fn manifests(lab: &Lab) -> Result<PathBuf> {
    let mut paths = lab.manifests().paths().into_iter();
    paths.next().context("no directory of manifests")
}

fn facts(lab: &Lab) -> Result<Vec<PodFacts>> {
    let plan = lab.plan();
    let fact = |pod: &sluice_lab::PodPlan| -> Result<PodFacts> {
        Ok(PodFacts {
            name: pod.name.name.to_string(),
            namespace: pod.name.namespace.to_string(),
            node: plan.nodes[pod.node].name.to_string(),
            addresses: pod.addresses.iter().map(ToString::to_string).collect(),
            interface: lab.interface(&pod.name)?,
        })
    };
    plan.pods.iter().map(fact).collect()
}
