//! A node for one test: network and mount namespaces of its own, with a bpffs, that go when the test does.
#![allow(dead_code, reason = "each test binary uses its part")]
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a module of a test: what it offers is for that, and a panic is how a test says no"
)]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use serde_json::Value;
use sluice_netlink::{Netns, Rtnetlink};

/// How long a condition is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether the test can run; says why not.
pub fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root for network namespaces, netfilter and eBPF");
    }
    root
}

/// Namespaces, held by a process that does nothing, and a directory of manifests.
pub struct Node {
    holder: Child,
    dir: tempfile::TempDir,
}

/// A running agent; killed if the test forgets it.
pub struct Agent {
    child: Child,
}

impl Node {
    pub fn new() -> Self {
        let node = Self::hold(None);
        let netns = node.netns();
        netns.set_sysctl("ipv4/ip_forward", "1").unwrap();
        netns
            .enter(|| Rtnetlink::open()?.set_up("lo"))
            .unwrap()
            .unwrap();
        node
    }

    /// A node in a network namespace that is there.
    pub fn within(netns: &Path) -> Self {
        Self::hold(Some(fs::File::open(netns).unwrap().into()))
    }

    fn hold(netns: Option<OwnedFd>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("manifests")).unwrap();
        fs::create_dir(dir.path().join("bpf")).unwrap();
        let bpffs = dir.path().join("bpf");
        let mut holder = Command::new("sleep");
        holder.arg("infinity").stdout(Stdio::piped());
        // SAFETY: system calls alone, between fork and exec.
        unsafe { holder.pre_exec(move || own_namespaces(netns.as_ref(), &bpffs)) };
        Self {
            holder: holder.spawn().unwrap(),
            dir,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a manifest as a person's editor does.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path("manifests").join(name), text).unwrap();
    }

    pub fn netns(&self) -> Netns {
        Netns::open(Path::new(&format!("/proc/{}/ns/net", self.holder.id()))).unwrap()
    }

    /// The agent, not waited for.
    pub fn spawn(&self, arguments: &[&str]) -> Agent {
        let arguments = [&["--metrics-bind-address", "127.0.0.1:9080"], arguments].concat();
        self.spawn_elsewhere(&arguments)
    }

    /// The agent, with an address for its metrics among its arguments.
    pub fn spawn_elsewhere(&self, arguments: &[&str]) -> Agent {
        let mut command = self.sluice("agent");
        command.args(["--node-name", "node-1"]).args(arguments);
        self.start(command.env("SLUICE_MANIFESTS", self.path("manifests")))
    }

    /// The agent, with a source among its arguments.
    pub fn spawn_with(&self, arguments: &[&str]) -> Agent {
        let mut command = self.sluice("agent");
        self.start(command.args(["--node-name", "node-1"]).args(arguments))
    }

    /// The agent as in a pod, or out of one: with these variables, and without a home.
    pub fn spawn_under(&self, environment: &[(&str, &str)]) -> Agent {
        let mut command = self.sluice("agent");
        command.args([
            "--node-name",
            "node-1",
            "--metrics-bind-address",
            "127.0.0.1:9080",
        ]);
        command
            .env("HOME", self.path("nowhere"))
            .env_remove("KUBECONFIG");
        self.start(command.envs(environment.iter().copied()))
    }

    /// The agent, with a source and its node's name among its arguments and few rights.
    pub fn spawn_confined(&self, confine: impl Fn(&mut Command), arguments: &[&str]) -> Agent {
        let mut command = self.sluice("agent");
        command.args(arguments);
        confine(&mut command);
        self.start(&mut command)
    }

    /// The binary with these arguments alone, as a container would start it.
    pub fn spawn_as(&self, arguments: &[&str]) -> Agent {
        let (verb, flags) = arguments.split_first().unwrap();
        let mut command = self.sluice(verb);
        command.args(flags);
        self.start(command.env("SLUICE_MANIFESTS", self.path("manifests")))
    }

    /// The same, where the kernel refuses every call of eBPF, as container runtimes have it for those without its
    /// capability.
    pub fn spawn_without_bpf(&self, arguments: &[&str]) -> Agent {
        let (verb, flags) = arguments.split_first().unwrap();
        let mut command = self.sluice(verb);
        let filter = SeccompFilter::new(
            [(libc::SYS_bpf, Vec::new())].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM.cast_unsigned()),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let filter = BpfProgram::try_from(filter.unwrap()).unwrap();
        // SAFETY: system calls alone, between fork and exec.
        unsafe { command.pre_exec(move || apply_filter(&filter).map_err(io::Error::other)) };
        command.args(flags);
        self.start(command.env("SLUICE_MANIFESTS", self.path("manifests")))
    }

    fn start(&self, command: &mut Command) -> Agent {
        let mut log = fs::File::options();
        let log = log
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        Agent {
            child: command.stderr(log).stdout(Stdio::null()).spawn().unwrap(),
        }
    }

    /// The agent, ready.
    pub fn agent(&self, arguments: &[&str]) -> Agent {
        let agent = self.spawn(arguments);
        self.eventually("the agent is ready", |status| {
            status["agent"]["ready"] == true
        });
        agent
    }

    /// A command of the binary in this node.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Output {
        self.sluice(command).args(arguments).output().unwrap()
    }

    /// What the agent says of itself, or the pins; null if there is neither.
    pub fn status(&self) -> Value {
        serde_json::from_slice(&self.run("status", &["-o", "json"]).stdout).unwrap_or_default()
    }

    /// Waits until status shows what is wanted.
    pub fn eventually(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: not seen in {status:#}\n{}",
                self.log()
            );
            // reason: from one look to the next; the processor is left to what is waited for
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Whether anything is pinned, as seen by this node's processes.
    pub fn pinned(&self) -> bool {
        let pins = self.path("bpf/sluice");
        let seen = format!("/proc/{}/root{}", self.holder.id(), pins.display());
        Path::new(&seen).exists()
    }

    /// Whether the gate's table is there.
    pub fn gate(&self) -> bool {
        self.netns()
            .enter(sluice_netlink::Gate::is_installed)
            .unwrap()
            .unwrap()
    }

    /// What a program that is not ours prints, run in this node; it must succeed.
    pub fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Does to the ruleset what a line of `nft` says.
    pub fn nft(&self, line: &str) -> String {
        self.tool("nft", &[line])
    }

    /// The agent's metrics.
    pub fn metrics(&self) -> String {
        self.get("/metrics")
    }

    /// What the agent answers over HTTP.
    pub fn get(&self, path: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect("127.0.0.1:9080").unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        self.netns().enter(ask).unwrap()
    }

    /// Waits until something is so.
    pub fn await_that(&self, what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so() {
            assert!(Instant::now() < deadline, "{what}: never\n{}", self.log());
            // reason: from one look to the next; the processor is left to what is waited for
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A link that leads nowhere.
    pub fn add_link(&self, name: &str) {
        self.tool(
            "ip",
            &[
                "link", "add", name, "type", "veth", "peer", "name", "nowhere",
            ],
        );
    }

    fn sluice(&self, verb: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_sluice"));
        command.arg(verb).env_remove("NODE_NAME");
        command
            .env("SLUICE_SOCKET", self.path("agent.sock"))
            .env("SLUICE_BPFFS", self.path("bpf/sluice"));
        command
    }

    fn command(&self, program: &str) -> Command {
        let open = |kind: &str| {
            OwnedFd::from(fs::File::open(format!("/proc/{}/ns/{kind}", self.holder.id())).unwrap())
        };
        let namespaces = [
            (open("net"), LinkNameSpaceType::Network),
            (open("mnt"), LinkNameSpaceType::Mount),
        ];
        let mut command = Command::new(program);
        // SAFETY: system calls alone, between fork and exec.
        unsafe {
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::KILL))?;
                for (namespace, kind) in &namespaces {
                    move_into_link_name_space(namespace.as_fd(), Some(*kind))?;
                }
                Ok(())
            });
        }
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.holder
            .kill()
            .and_then(|()| self.holder.wait())
            .unwrap();
    }
}

impl Agent {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop; its exit code and how long that took.
    pub fn stop(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .unwrap();
        kill_process(id, Signal::TERM).unwrap();
        (self.child.wait().unwrap().code(), started.elapsed())
    }

    /// Whether it has a handler for SIGTERM (`SigCgt` of `proc_pid_status(5)`).
    pub fn listens(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let caught = status.lines().find_map(|it| it.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & (1 << (Signal::TERM.as_raw() - 1)) != 0
    }

    /// Its exit code, once it has ended by itself.
    pub fn ended(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

/// With a network namespace that is there, or one of its own.
fn own_namespaces(netns: Option<&OwnedFd>, bpffs: &Path) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let own = match netns {
        Some(netns) => {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
            UnshareFlags::NEWNS
        }
        None => UnshareFlags::NEWNET | UnshareFlags::NEWNS,
    };
    // SAFETY: the process has this thread alone, and shares no descriptors that it would lose.
    unsafe { unshare_unsafe(own) }?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    mount("bpf", bpffs, "bpf", MountFlags::empty(), None)?;
    Ok(())
}
