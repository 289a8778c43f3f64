//! Runs that outlive their command, and what signals do. A kept run is a process of its own from the start: it builds,
//! probes and prints, tells its starter the exit code through a pipe, and then holds everything until it is told to end.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Signal, WaitOptions, set_parent_process_death_signal, setsid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Lab, run_dir, warden};

/// The exit code after SIGINT and SIGTERM.
const INTERRUPTED: u8 = 130;

/// Starts this command again as the process that holds the run, and returns its exit code once it is up or has failed.
pub(crate) fn supervise() -> Result<u8> {
    exit_on_signal(|| ())?;
    let (code, child_end) = pipe().context("a pipe")?;
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command
        .args(std::env::args_os().skip(1))
        .arg("--holder")
        .arg(child_end.as_raw_fd().to_string());
    let descriptor = child_end.as_raw_fd();
    let prepare = move || {
        // SAFETY: the descriptor is open: the parent keeps it until after the child was started.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        fcntl_setfd(descriptor, FdFlags::empty())?;
        // Until it holds the run it has no life of its own.
        Ok(set_parent_process_death_signal(Some(Signal::TERM))?)
    };
    // SAFETY: between fork and exec only system calls are made, which allocate nothing and take no lock.
    unsafe { command.pre_exec(prepare) };
    let child = command
        .spawn()
        .context("start the process that keeps the run")?;
    drop(child_end);
    outcome(code, child)
}

fn outcome(mut code: PipeReader, mut child: Child) -> Result<u8> {
    let mut byte = [0];
    if code.read_exact(&mut byte).is_ok() {
        return Ok(byte[0]);
    }
    let status = child
        .wait()
        .context("the process that was to keep the run")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1))
}

/// The way back to the command that started this process.
pub(crate) struct Starter(File);

impl Starter {
    /// Takes over the descriptor that [`supervise`] has passed on, so that no child of this process gets it.
    pub(crate) fn take(descriptor: i32) -> Result<Self> {
        let path = format!("/proc/self/fd/{descriptor}");
        let pipe = File::options()
            .write(true)
            .open(path)
            .context("the way back to the starter")?;
        // SAFETY: the starter opened this descriptor for this process, and nobody here uses it but by its name.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
        Ok(Self(pipe))
    }

    fn tell(mut self, code: u8) -> Result<()> {
        self.0.write_all(&[code]).context("tell the starter")
    }
}

/// Holds `lab` until a signal ends this process; see [`remove_and_exit_on_signal`].
pub(crate) fn hold(lab: &Lab, starter: Starter, code: u8) -> Result<()> {
    lab.run().keep()?;
    eprint!("{}", how_to_enter(lab));
    set_parent_process_death_signal(None).context("outlive the starter")?;
    setsid().context("leave the terminal")?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("/dev/null")?;
    dup2_stdin(&null)
        .and_then(|()| dup2_stdout(&null))
        .and_then(|()| dup2_stderr(&null))
        .context("close stdio")?;
    starter.tell(code)?;
    loop {
        thread::park();
    }
}

fn how_to_enter(lab: &Lab) -> String {
    use std::fmt::Write as _;
    use std::os::fd::AsFd as _;

    let pid = std::process::id();
    let mut text = format!(
        "\nkept: {}, until `demo --down` or `kill {pid}`\n",
        lab.run().path().display()
    );
    for agent in lab.agents() {
        let (node, agent_pid) = (agent.node(), agent.pid());
        let _ = writeln!(
            text,
            "  node {node}: nsenter --target {agent_pid} --net --mount"
        );
        let _ = writeln!(
            text,
            "    status: sluice status --socket {}",
            agent.socket().display()
        );
    }
    for pod in &lab.plan().pods {
        if let Ok(netns) = lab.pod_netns(&pod.name) {
            let descriptor = netns.as_fd().as_raw_fd();
            let _ = writeln!(
                text,
                "  pod {}: nsenter --net=/proc/{pid}/fd/{descriptor}",
                pod.name
            );
        }
    }
    for path in lab.manifests().paths() {
        let _ = writeln!(text, "  manifests, re-read when edited: {}", path.display());
    }
    text
}

/// From now on SIGINT and SIGTERM end this process with 130, after its directories were removed. Everything else that a
/// lab has made ends with it by itself.
///
/// The process is replaced by a [`sweep`] first: agents are killed by that, and can no longer write what is being
/// removed.
pub(crate) fn remove_and_exit_on_signal(runs: PathBuf) -> Result<()> {
    exit_on_signal(move || {
        // One that has not yet said that it dies with us would be waited for by the sweep for ever.
        let _none = warden::no_more_starts();
        let mut sweeper = Command::new("/proc/self/exe");
        let error = sweeper.args(["demo", "--sweep", "--runs"]).arg(runs).exec();
        eprintln!("error: remove the directory of this run: {error}");
    })
}

/// Waits for the end of all children, which were killed, and removes what the process had made until then.
pub(crate) fn sweep(runs: &Path) -> u8 {
    while rustix::process::wait(WaitOptions::empty()).is_ok() {}
    run_dir::remove_own(runs);
    INTERRUPTED
}

fn exit_on_signal(last: impl FnOnce() + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let (mut interrupt, mut terminate) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        last();
        std::process::exit(INTERRUPTED.into());
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(wait)
        .context("start a thread")?;
    Ok(())
}
