//! A network namespace with an orchestrator and workers in it.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, geteuid};
use serde_json::Value;
use sluice_netlink::Netns;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sluice-bench");
/// Where the orchestrators listen: each has a namespace of its own.
const PORT: &str = "50051";
/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether a test cannot run here; says so.
pub(crate) fn skipped(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    // Where the launcher looks first.
    let target = Path::new(PROGRAM)
        .ancestors()
        .nth(2)
        .expect("a target directory");
    let built = target.join("kubernetes/bin");
    let places: Vec<_> = path.split(':').map(Path::new).chain([&*built]).collect();
    let is_there = |program: &&&str| places.iter().any(|it| it.join(program).is_file());
    let missing = programs.iter().find(|program| !is_there(program));
    let lacks = if geteuid().is_root() {
        missing.map(|program| format!("{program} is not installed (cargo xtask cluster tools)"))
    } else {
        Some("network namespaces need root".to_owned())
    };
    lacks
        .inspect(|lacks| println!("skipped: {lacks}"))
        .is_some()
}

/// A namespace of its own, and whoever is started in it.
pub(crate) struct Place {
    netns: Netns,
    /// For what a process that is killed can no longer remove.
    temporary: TempDir,
}

/// A process that is killed where a test fails.
pub(crate) struct Process(Option<Child>);

/// What a process said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let netns = Netns::new().expect("a network namespace");
        let temporary = tempfile::tempdir().expect("a directory");
        Self { netns, temporary }
    }

    /// Starts this package's program with the words of `line`.
    pub(crate) fn start(&self, line: &str) -> Process {
        self.start_with(line, None)
    }

    /// The same with another path to look for tools on.
    pub(crate) fn start_with(&self, line: &str, path: Option<&Path>) -> Process {
        let mut command = Command::new(PROGRAM);
        command.args(line.split(' '));
        if let Some(path) = path {
            command.env("PATH", path);
        }
        self.spawn(&mut command)
    }

    pub(crate) fn spawn(&self, command: &mut Command) -> Process {
        command
            .env("TMPDIR", self.temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let spawned = self.netns.enter(|| command.spawn()).expect("a namespace");
        Process(Some(spawned.expect("it starts")))
    }

    pub(crate) fn orchestrator(&self, line: &str) -> Process {
        self.start(&format!(
            "network orchestrator --host 127.0.0.1 --port {PORT} {line}"
        ))
    }

    /// A worker that is reached at an address of the loopback interface.
    pub(crate) fn worker(&self, name: &str, path: Option<&Path>) -> Process {
        let line = format!(
            "network worker --host 127.0.0.1 --port {PORT} --name {name} --ip 127.0.0.1 --vm-hostname node-{name}"
        );
        self.start_with(&line, path)
    }

    /// Does something in it.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.enter(work).expect("a namespace")
    }

    /// The processes in it.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let own = rustix::fs::fstat(self.netns.as_fd()).expect("a namespace");
        in_namespace(own.st_ino)
    }

    /// Waits until a program runs whose command line begins so.
    pub(crate) fn await_program(&self, line: &str) {
        let is_there = || {
            self.processes()
                .iter()
                .any(|id| command_line(*id).starts_with(line))
        };
        await_that(line, is_there);
    }

    /// Nothing of what was started is there any more.
    pub(crate) fn assert_empty(&self) {
        // What was killed may take a moment until it is gone.
        await_that("an empty namespace", || self.processes().is_empty());
    }
}

/// The processes in a network namespace.
pub(crate) fn in_namespace(inode: u64) -> Vec<u32> {
    let mut ids = processes();
    ids.retain(|id| namespace_of(*id) == Some(inode));
    ids
}

/// The processes whose parent a process is.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let parent = |id: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name before it may have brackets in it.
        let rest = stat.rsplit(')').next()?;
        rest.split_whitespace().nth(1)?.parse().ok()
    };
    let mut ids = processes();
    ids.retain(|id| parent(*id) == Some(of));
    ids
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.collect()
}

/// None of a process that is gone.
pub(crate) fn namespace_of(process: u32) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{process}/ns/net")).ok()?;
    let text = link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    text.parse().ok()
}

pub(crate) fn command_line(process: u32) -> String {
    let line = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.replace('\0', " ")
}

/// Waits until something is so.
pub(crate) fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < limit, "in vain: {what}");
        // reason: from one look to the next
        thread::sleep(Duration::from_millis(10));
    }
}

impl Process {
    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(self.0.as_ref().expect("a process"))
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Said {
        let output = self.0.take().expect("a process").wait_with_output();
        let output = output.expect("its output");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said {
            code: output.status.code(),
            output: text(output.stdout),
            errors: text(output.stderr),
        }
    }

    /// Waits until it has said something on standard error, which is lost then.
    pub(crate) fn await_errors(&mut self, what: &str) {
        let child = self.0.as_mut().expect("a process");
        let errors = child.stderr.as_mut().expect("standard error");
        let mut said = String::new();
        let mut byte = [0];
        while !said.contains(what) {
            let read = errors.read(&mut byte).expect("standard error");
            assert!(read > 0, "it ended with: {said}");
            said.push(char::from(byte[0]));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended.
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

impl Said {
    /// The document that it printed.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// What became of each task.
    pub(crate) fn statuses(&self) -> Vec<u64> {
        let document = self.document();
        let results = document["results"].as_array().expect("results");
        let status = |it: &Value| it["task"]["status"].as_u64().expect("a number");
        results.iter().map(status).collect()
    }
}
