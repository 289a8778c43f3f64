//! One run of a program on a worker: started without a shell, watched, and ended with everything that it started. What
//! may be run is decided before.

use std::future;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process_group, set_parent_process_death_signal,
};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep};

use super::allow::Invocation;
use super::benchmark::origin;
use super::conductor::{Ended, Outcome};
use super::listening::is_listening;

/// How much of what a program prints is kept: more than any of ours prints, and less than a message may be.
const KEPT: u64 = 1 << 20;
/// From one look at whether a server listens to the next.
const LOOK: Duration = Duration::from_millis(10);

/// Why a run is over.
enum Over {
    Exited(io::Result<ExitStatus>),
    TimedOut(Duration),
    Stopped,
}

/// Runs a client to its end, for `limit` at most, or until it is told to stop.
pub(crate) async fn measure(
    invocation: &Invocation,
    limit: Duration,
    stop: oneshot::Receiver<()>,
) -> Ended {
    let mut running = match Running::start(invocation) {
        Ok(running) => running,
        Err(ended) => return ended,
    };
    let over = tokio::select! {
        status = running.child.wait() => Over::Exited(status),
        () = sleep(limit) => Over::TimedOut(limit),
        _ = stop => Over::Stopped,
    };
    running.end(over).await
}

/// Runs a server until it is told to stop; once it listens on `port`, it is `ready`.
pub(crate) async fn serve(
    invocation: &Invocation,
    port: u16,
    ready: impl AsyncFnOnce(),
    stop: oneshot::Receiver<()>,
) -> Ended {
    match is_listening(port) {
        Ok(false) => {}
        Ok(true) => return failed(format!("something listens on port {port} already")),
        Err(error) => return failed(format!("sockets of this worker: {error}")),
    }
    let mut running = match Running::start(invocation) {
        Ok(running) => running,
        Err(ended) => return ended,
    };
    let tell = async {
        let mut looks = interval(LOOK);
        // Where it cannot be told any more, the orchestrator's patience ends it.
        while !is_listening(port).unwrap_or(false) {
            looks.tick().await;
        }
        ready().await;
        future::pending::<()>().await;
    };
    let over = tokio::select! {
        status = running.child.wait() => Over::Exited(status),
        () = tell => Over::Stopped,
        _ = stop => Over::Stopped,
    };
    running.end(over).await
}

/// A program that was started, in a process group of its own, which ends with this value.
struct Running {
    child: Child,
    group: Option<Pid>,
    output: JoinHandle<String>,
    errors: JoinHandle<String>,
}

impl Running {
    fn start(invocation: &Invocation) -> Result<Self, Ended> {
        let mut command = Command::new(invocation.command());
        command
            .args(invocation.args())
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let worker = getpid();
        let die_with_worker = move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // A worker that died before that sends no signal.
            if getppid() == Some(worker) {
                Ok(())
            } else {
                Err(Errno::SRCH.into())
            }
        };
        // SAFETY: between fork and exec only system calls are made, which allocate nothing and take no lock.
        unsafe { command.pre_exec(die_with_worker) };
        let mut child = command
            .spawn()
            .map_err(|error| not_started(invocation.command(), &error))?;
        Ok(Self {
            group: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            output: tokio::spawn(read(child.stdout.take())),
            errors: tokio::spawn(read(child.stderr.take())),
            child,
        })
    }

    /// Ends whatever is left of it.
    async fn end(mut self, over: Over) -> Ended {
        // Also where the program itself is gone: servers fork for their clients, and a group's number is not given to
        // another one so soon.
        self.kill();
        let _status = self.child.wait().await;
        let output = (&mut self.output).await.unwrap_or_default();
        let errors = (&mut self.errors).await.unwrap_or_default();
        let (outcome, why) = match over {
            Over::Exited(Ok(status)) if status.success() => {
                let outcome = Outcome::Done;
                return Ended { outcome, output };
            }
            Over::Exited(Ok(status)) => (Outcome::Failed, status.to_string()),
            Over::Exited(Err(error)) => (Outcome::Failed, error.to_string()),
            Over::TimedOut(limit) => (
                Outcome::TimedOut,
                format!("killed after {} s", limit.as_secs()),
            ),
            Over::Stopped => (Outcome::Stopped, "told to stop".to_owned()),
        };
        let parts = [output.trim_end(), errors.trim_end(), &why];
        let said: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Ended {
            outcome,
            output: said.join("\n"),
        }
    }

    fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            // Where nobody is left in it there is nothing to do.
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn failed(output: String) -> Ended {
    let outcome = Outcome::Failed;
    Ended { outcome, output }
}

fn not_started(program: &str, error: &io::Error) -> Ended {
    if error.kind() == io::ErrorKind::NotFound {
        let outcome = Outcome::NotInstalled;
        let output = format!("{program} is not installed: {}", origin(program));
        Ended { outcome, output }
    } else {
        failed(format!("{program} does not start: {error}"))
    }
}

/// The beginning of what is printed; the rest is read as well, so that whoever prints it goes on.
async fn read(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(from) = from else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut limited = from.take(KEPT);
    // What was read until something failed is what there is.
    let _failed = limited.read_to_end(&mut kept).await;
    let _failed = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}
