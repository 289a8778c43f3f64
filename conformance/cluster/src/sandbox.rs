//! A set of namespaces (mounts, names, processes, network) with a process 1 of our own: one for the control plane, one
//! for each node. It ends with that process, and everything in it too.
//!
//! What it takes to make one is in `sandbox.sh`; what runs in one is recorded beside it, so that it is found again.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::home::Home;
use crate::identity::Identity;
use crate::wait;

const SCRIPT: &str = include_str!("sandbox.sh");
/// The record of process 1.
const INIT: &str = "init";
/// The directory with a record for each component.
const PROCESSES: &str = "process";
/// What the components see of the environment: nothing of ours.
pub(crate) const ENVIRONMENT: [&str; 4] = [
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
];
/// Runs a program in the background, its output appended to a log, and says which process it is.
const START: &str = r#"log=$1; shift; { exec "$@"; } </dev/null >>"$log" 2>&1 & echo $!"#;
/// How long a component may take to end.
const LIMIT: Duration = Duration::from_secs(20);

/// What a sandbox is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Processes of its own, and a network.
    Control,
    /// A machine: its own `/etc`, `/var`, `/run`, `/sys` besides.
    Node,
}

/// A set of namespaces.
#[derive(Debug)]
pub(crate) struct Sandbox {
    name: String,
    directory: PathBuf,
    logs: PathBuf,
    init: Identity,
    /// The sandbox ends when this closes. None where it is to outlive us.
    alive: Option<ChildStdin>,
}

impl Sandbox {
    /// Makes the sandbox `name` of a cluster; inside, the machine is called `name`.
    pub(crate) fn create(home: &Home, name: &str, role: Role) -> Result<Self> {
        let directory = home.path().join(name);
        fs::create_dir_all(directory.join(PROCESSES))
            .with_context(|| directory.display().to_string())?;
        let script = directory.join("sandbox.sh");
        fs::write(&script, SCRIPT).with_context(|| script.display().to_string())?;
        let log = home.log(name);
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        let mut unshare = Command::new("setsid");
        unshare
            .args(["--fork", "unshare"])
            .args(["--mount", "--uts", "--pid", "--net", "--fork"])
            .args(["--kill-child", "env"])
            .args(ENVIRONMENT)
            .arg("bash")
            .arg(script)
            .args([role.word(), name])
            .arg(&directory);
        let mut child = unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()
            .context("running setsid")?;
        let mut alive = child.stdin.take().context("a pipe to process 1")?;
        let mut said = BufReader::new(child.stdout.take().context("a pipe from process 1")?);
        child.wait().context("setsid")?;
        let init = greet(&mut said, &mut alive, &directory)
            .with_context(|| format!("sandbox {name}: see {}", log.display()))?;
        Ok(Self {
            name: name.to_owned(),
            directory,
            logs: home.path().join(crate::home::LOGS),
            init,
            alive: Some(alive),
        })
    }

    /// A sandbox that another process made and kept.
    pub(crate) fn open(home: &Home, name: &str) -> Result<Self> {
        let directory = home.path().join(name);
        Ok(Self {
            name: name.to_owned(),
            init: read(&directory.join(INIT))?,
            directory,
            logs: home.path().join(crate::home::LOGS),
            alive: None,
        })
    }

    /// Lets it outlive us.
    pub(crate) fn keep(&mut self) -> Result<()> {
        if let Some(mut alive) = self.alive.take() {
            writeln!(alive, "keep").context("process 1")?;
        }
        Ok(())
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it keeps what is its own.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The process id of its process 1, as the machine counts.
    pub(crate) fn pid(&self) -> i32 {
        self.init.pid
    }

    /// Whether its process 1 runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.init.is_alive(Path::new("/proc"))
    }

    /// Its network namespace, as a file.
    pub(crate) fn netns(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.init.pid))
    }

    /// A path inside, as seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init.pid))
    }

    /// `program` inside all of its namespaces, with a plain environment.
    pub(crate) fn enter(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.init.pid.to_string()])
            .args(["-m", "-u", "-p", "-n", "--", "env"])
            .args(ENVIRONMENT)
            .arg(program);
        command
    }

    /// `program` in its network namespace, and otherwise as if it were started here.
    pub(crate) fn enter_network(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.init.pid.to_string(), "-n", "--"])
            .arg(program);
        command
    }

    /// Starts a component, its output appended to its log. It ends with the sandbox, or when it is stopped.
    pub(crate) fn start(&self, component: &str, line: &[String]) -> Result<()> {
        let output = self
            .enter("setsid")
            .args(["sh", "-c", START, "sh"])
            .arg(self.log(component))
            .args(line)
            .output()
            .with_context(|| format!("starting {component}"))?;
        let pid = String::from_utf8_lossy(&output.stdout).trim().parse();
        let process = pid.ok().and_then(|pid| Identity::of(&self.proc(), pid));
        let Some(process) = process else {
            bail!("{component} did not start: {}", self.last_words(component));
        };
        fs::write(self.record(component), process.to_string())
            .with_context(|| self.record(component).display().to_string())
    }

    /// Stops a component with SIGTERM, and SIGKILL where that does not end it.
    pub(crate) fn stop(&self, component: &str) -> Result<()> {
        self.signal(component, "TERM")?;
        let ended = || Ok((!self.runs(component)).then_some(()));
        if wait::until(&format!("end of {component}"), LIMIT, ended).is_err() {
            self.kill(component)?;
        }
        Ok(())
    }

    /// Ends a component with SIGKILL.
    pub(crate) fn kill(&self, component: &str) -> Result<()> {
        self.signal(component, "KILL")?;
        wait::until(&format!("end of {component}"), LIMIT, || {
            Ok((!self.runs(component)).then_some(()))
        })
    }

    /// Sends a signal, by name, to a component that runs.
    pub(crate) fn signal(&self, component: &str, signal: &str) -> Result<()> {
        if !self.runs(component) {
            return Ok(());
        }
        let process = read(&self.record(component))?;
        // It may have ended meanwhile.
        let _sent = self
            .enter("sh")
            .args(["-c", &format!("kill -{signal} {}", process.pid)])
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("stopping {component}"))?;
        Ok(())
    }

    /// Whether a component runs.
    pub(crate) fn runs(&self, component: &str) -> bool {
        read(&self.record(component)).is_ok_and(|process| process.is_alive(&self.proc()))
    }

    /// The components that were started, and whether they run; in order of name.
    pub(crate) fn components(&self) -> Vec<(String, bool)> {
        let records = fs::read_dir(self.directory.join(PROCESSES));
        let mut names: Vec<_> = records
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        let state = |name: String| {
            let runs = self.runs(&name);
            (name, runs)
        };
        names.into_iter().map(state).collect()
    }

    /// Waits until `look` finds something; where a component ends meanwhile, its last words are the error.
    pub(crate) fn wait<T>(
        &self,
        component: &str,
        what: &str,
        limit: Duration,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let found = wait::until(what, limit, || match look()? {
            None if !self.runs(component) => bail!("{component} has ended"),
            found => Ok(found),
        });
        found.with_context(|| self.last_words(component))
    }

    /// The log of a component.
    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.logs.join(format!("{}-{component}.log", self.name))
    }

    /// Where its log is, and how it ends.
    pub(crate) fn last_words(&self, component: &str) -> String {
        let log = self.log(component);
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(5)..];
        format!("{}:\n  {}", log.display(), last.join("\n  "))
    }

    fn record(&self, component: &str) -> PathBuf {
        self.directory.join(PROCESSES).join(component)
    }

    fn proc(&self) -> PathBuf {
        self.path("/proc")
    }
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Node => "node",
        }
    }
}

/// The sandboxes that the directory of a cluster records, with their process 1.
pub(crate) fn recorded(cluster: &Path) -> Vec<(String, Option<Identity>)> {
    let entries = fs::read_dir(cluster).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().join(PROCESSES).is_dir())
        .filter_map(|entry| {
            let init = read(&entry.path().join(INIT)).ok();
            Some((entry.file_name().into_string().ok()?, init))
        })
        .collect()
}

/// Writes down who process 1 is before it does anything, and waits until it has done it.
fn greet(
    said: &mut impl std::io::BufRead,
    alive: &mut ChildStdin,
    directory: &Path,
) -> Result<Identity> {
    let mut line = String::new();
    said.read_line(&mut line).context("reading")?;
    let init: Identity = line.parse().context("no process 1")?;
    fs::write(directory.join(INIT), init.to_string()).context("writing the record")?;
    writeln!(alive, "go").context("process 1")?;
    let mut word = String::new();
    said.read_line(&mut word).context("reading")?;
    if word.trim() != "ready" {
        bail!("process 1 has ended");
    }
    Ok(init)
}

fn read(record: &Path) -> Result<Identity> {
    fs::read_to_string(record)
        .with_context(|| record.display().to_string())?
        .parse()
        .with_context(|| record.display().to_string())
}
