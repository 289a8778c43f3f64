//! One `sluice agent` as a child process: started, waited for, asked for its status, stopped. What it enforces is its
//! own business.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use sluice_netlink::Netns;

use crate::confine::Confinement;
use crate::counters::{Counters, counters};
use crate::warden::Warden;

/// Where each agent serves its metrics: every node has a loopback of its own.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9080);
/// An agent that is not ready by then has a problem worth reading its log for. Half a second is usual; on an emulated
/// processor, which two tests share, reading the kernel's types alone takes 10 s.
const READY: Duration = Duration::from_mins(2);
/// What an agent that runs may take for its status.
const ANSWER: Duration = Duration::from_secs(30);
/// What SIGTERM may take: what a kubelet gives.
const STOP: Duration = Duration::from_secs(30);
/// So long an agent that gives no answer is asked again: a busy one may take longer than `sluice status` waits.
const AGAIN: Duration = Duration::from_secs(30);
/// What `sluice status` says then.
const LATE: &str = "no answer within";
/// What a page may take.
const PAGE: Duration = Duration::from_secs(30);
/// What an answer may take to whether an agent is ready: it is asked again.
const LOOK: Duration = Duration::from_secs(1);
/// How much of a log is shown.
const LOG_LINES: usize = 20;

/// With or without the eBPF half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Connections of known pairs stay in the kernel.
    #[default]
    Hybrid,
    /// Every new connection of an isolated pod is queued.
    Nfqueue,
}

impl Mode {
    /// As the agent's flag spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Nfqueue => "nfqueue",
        }
    }
}

/// How agents are started.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The `sluice` binary.
    pub binary: PathBuf,
    /// `--mode`.
    pub mode: Mode,
    /// More arguments of `sluice agent`.
    pub arguments: Vec<String>,
    /// What its environment has more than this process's.
    pub environment: Vec<(String, PathBuf)>,
}

/// Why an agent is not ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It ended by itself: by its exit code the machine cannot do what it needs.
    #[error("the agent of {node} cannot run on this machine:\n{log}")]
    Machine {
        /// Whose agent.
        node: Arc<str>,
        /// The end of its log.
        log: String,
    },
    /// Anything else.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// The directories and files that an agent is given.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) manifests: Vec<PathBuf>,
    pub(crate) bpffs: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
}

/// A running agent; killed on drop.
pub struct Agent {
    node: Arc<str>,
    netns: Netns,
    warden: Arc<Warden>,
    options: AgentOptions,
    paths: Paths,
    confinement: Option<Confinement>,
    child: Child,
}

impl Agent {
    /// Starts the agent of `node`, without waiting until it is ready.
    pub(crate) fn start(
        node: Arc<str>,
        netns: Netns,
        warden: Arc<Warden>,
        options: AgentOptions,
        paths: Paths,
        confinement: Option<Confinement>,
    ) -> Result<Self> {
        let command = command(&node, &options, &paths)?;
        let child = warden.spawn(command, &netns, confinement.as_ref())?;
        Ok(Self {
            node,
            netns,
            warden,
            options,
            paths,
            confinement,
            child,
        })
    }

    /// Whose pods it enforces.
    pub fn node(&self) -> &Arc<str> {
        &self.node
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it answers `sluice status`.
    pub fn socket(&self) -> &Path {
        &self.paths.socket
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.paths.log).unwrap_or_default()
    }

    /// Waits until `/readyz` says 200.
    pub fn wait_ready(&mut self) -> Result<(), StartError> {
        let limit = Instant::now() + READY;
        while !self.netns.enter(is_ready).context("ask for readiness")? {
            if let Some(status) = self.child.try_wait().context("wait for the agent")? {
                return Err(self.ended(status));
            }
            if Instant::now() > limit {
                let node = &self.node;
                return Err(anyhow!(
                    "the agent of {node} is not ready after {READY:?}:\n{}",
                    self.log_tail()
                )
                .into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The document of `sluice status -o json`.
    pub fn status(&self) -> Result<serde_json::Value> {
        let last = Instant::now() + AGAIN;
        loop {
            match self.ask_status() {
                Err(error) if format!("{error:#}").contains(LATE) && Instant::now() < last => {}
                answer => return answer,
            }
        }
    }

    fn ask_status(&self) -> Result<serde_json::Value> {
        let mut command = bare_command(&self.options.binary);
        command
            .args(["status", "-o", "json", "--socket"])
            .arg(&self.paths.socket);
        command.arg("--bpffs").arg(&self.paths.bpffs);
        let child = self.spawn(piped(command))?;
        let output = child.wait_with_output().context("sluice status")?;
        if !output.status.success() {
            bail!(
                "sluice status: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        serde_json::from_slice(&output.stdout).context("sluice status: not one JSON document")
    }

    /// The same document, asked of the agent without a process in between; none where it does not listen. For those who
    /// ask again and again.
    pub fn said(&self) -> Result<Option<serde_json::Value>> {
        self.asked("status")
    }

    /// How new a state of the manifests it enforces, in seconds since 1970; none where it does not listen, and 0 where
    /// it enforces none yet. Asked of the agent like [`Self::said`], and costs it next to nothing.
    pub fn enforced_as_of(&self) -> Result<Option<f64>> {
        let answer = self.asked("enforced")?;
        let as_of = answer.map(|answer| answer.as_f64().context("enforced: not a number"));
        as_of.transpose()
    }

    fn asked(&self, request: &str) -> Result<Option<serde_json::Value>> {
        let asked = UnixStream::connect(&self.paths.socket).and_then(|mut stream| {
            stream.set_read_timeout(Some(ANSWER))?;
            writeln!(stream, r#"{{"request":"{request}"}}"#)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        let answer = match asked {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(None),
            answer => answer.with_context(|| self.paths.socket.display().to_string())?,
        };
        let mut answer: serde_json::Value =
            serde_json::from_str(&answer).with_context(|| format!("{request}: {answer}"))?;
        if let Some(refusal) = answer["error"].as_str() {
            bail!("{request}: {refusal}");
        }
        Ok(Some(answer["ok"].take()))
    }

    /// The page of `/metrics`.
    pub fn metrics(&self) -> Result<String> {
        let page = self.netns.enter(|| get("/metrics", PAGE))?;
        page.context("ask for metrics")
    }

    /// Whether packets wait for its verdict; none do where it does not listen.
    pub(crate) fn has_waiting(&self) -> Result<bool> {
        let Some(status) = self.said()? else {
            return Ok(false);
        };
        let queues = status["gate"]["queues"].as_array();
        let mut queues = queues.context("status: no queues")?.iter();
        Ok(queues.any(|queue| queue["waiting"] != 0))
    }

    /// The counters of its status.
    pub fn counters(&self) -> Result<Counters> {
        counters(&self.status()?)
    }

    /// Runs `sluice cleanup` where the agent is or was, and returns what it printed.
    pub fn cleanup(&self) -> Result<String> {
        let (bpffs, socket) = (self.paths.bpffs.as_os_str(), self.paths.socket.as_os_str());
        let output = self.run(&[
            "cleanup".as_ref(),
            "--bpffs".as_ref(),
            bpffs,
            "--socket".as_ref(),
            socket,
        ])?;
        if !output.status.success() {
            bail!(
                "sluice cleanup: {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Ends it with SIGTERM; an error where it takes longer than it promises, or says that something went wrong.
    pub fn stop(&mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).context("stop the agent")?;
        let limit = Instant::now() + STOP;
        loop {
            match self.child.try_wait().context("wait for the agent")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!(
                    "the agent of {} ended with {status}:\n{}",
                    self.node,
                    self.log_tail()
                ),
                None if Instant::now() > limit => {
                    bail!("the agent of {} does not stop within {STOP:?}", self.node)
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).context("signal the agent")
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill the agent")?;
        self.child.wait().context("wait for the agent").map(drop)
    }

    /// Has it start in another mode from now on.
    pub fn set_mode(&mut self, mode: Mode) {
        self.options.mode = mode;
    }

    /// Has it start with other arguments from now on, beside those of the lab.
    pub fn set_arguments(&mut self, arguments: Vec<String>) {
        self.options.arguments = arguments;
    }

    /// Starts it again after it was stopped or killed, and waits until it is ready.
    pub fn restart(&mut self) -> Result<(), StartError> {
        self.start_again()?;
        self.wait_ready()
    }

    /// Starts it again after it was stopped or killed, without waiting until it is ready.
    pub fn start_again(&mut self) -> Result<()> {
        let command = command(&self.node, &self.options, &self.paths)?;
        self.child = self.spawn(command)?;
        Ok(())
    }

    /// The arguments that this agent was started with.
    pub fn arguments(&self) -> Vec<String> {
        let command = command(&self.node, &self.options, &self.paths);
        let arguments = command.iter().flat_map(Command::get_args);
        arguments
            .map(|it| it.to_string_lossy().into_owned())
            .collect()
    }

    /// Runs `sluice` with `arguments` where the agent is or was, until it ends.
    pub fn run(&self, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<Output> {
        let mut command = bare_command(&self.options.binary);
        command.args(arguments);
        let child = self.spawn(piped(command))?;
        child.wait_with_output().context("wait for sluice")
    }

    /// Does `work` in the agent's namespaces, with the path of its pins.
    pub fn visit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Result<T> {
        let pins = self.paths.bpffs.clone();
        self.warden.visit(&self.netns, move || work(&pins))
    }

    fn spawn(&self, command: Command) -> Result<Child> {
        let confinement = self.confinement.as_ref();
        self.warden.spawn(command, &self.netns, confinement)
    }

    fn ended(&self, status: ExitStatus) -> StartError {
        let (node, log) = (Arc::clone(&self.node), self.log_tail());
        match status.code() {
            Some(3) => StartError::Machine { node, log },
            _ => anyhow!("the agent of {node} ended with {status}:\n{log}").into(),
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.kill());
    }
}

fn command(node: &str, options: &AgentOptions, paths: &Paths) -> Result<Command> {
    let log = File::options().create(true).append(true).open(&paths.log);
    let log = log.with_context(|| paths.log.display().to_string())?;
    let mut command = bare_command(&options.binary);
    command.args(["agent", "--node-name", node, "--mode", options.mode.name()]);
    for path in &paths.manifests {
        command.arg("--manifests").arg(path);
    }
    command
        .arg("--bpffs")
        .arg(&paths.bpffs)
        .arg("--socket")
        .arg(&paths.socket);
    command
        .args(["--metrics-bind-address", &METRICS.to_string()])
        .args(&options.arguments)
        .envs(options.environment.iter().cloned());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    Ok(command)
}

/// `sluice` without anything that the caller's environment tells it.
fn bare_command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    let of_sluice = |name: &std::ffi::OsStr| {
        name.to_string_lossy().starts_with("SLUICE_") || name == "NODE_NAME"
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_sluice(name)) {
        command.env_remove(name);
    }
    command
}

fn piped(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Asks `/readyz` in the network namespace of the calling thread.
fn is_ready() -> bool {
    get("/readyz", LOOK).is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// The whole answer, in the network namespace of the calling thread.
fn get(path: &str, timeout: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&METRICS, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
