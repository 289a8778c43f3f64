//! Processes that are found again after whoever started them is gone: by process id and start time.
//!
//! A process id alone may be somebody else's by now, so nothing here is killed by it alone.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The position of the start time behind the closing parenthesis of `/proc/PID/stat` (field 22 of proc(5)).
const START_TIME: usize = 19;
/// Likewise of the number of threads (field 20).
const THREADS: usize = 17;

/// A process: its id, and its start in clock ticks since the machine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The process id, in the namespace of whichever `/proc` it was read from.
    pub pid: i32,
    /// Clock ticks.
    pub start: u64,
}

impl Identity {
    /// The process that has this id now, as `proc` (a mounted procfs) knows it; none where there is none.
    pub(crate) fn of(proc: &Path, pid: i32) -> Option<Self> {
        let text = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
        let start = start_time(&text)?;
        Some(Self { pid, start })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self, proc: &Path) -> bool {
        Self::of(proc, self.pid) == Some(self)
    }

    /// Ends it with SIGKILL and waits until it is gone; one that is gone already is as good.
    pub(crate) fn kill(self, limit: Duration) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("process id 0")?;
        let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        // Looked at once the handle is held: from here on the id cannot become another's.
        if !self.is_alive(Path::new("/proc")) {
            return Ok(());
        }
        // It may have ended by itself by now.
        let _gone = pidfd_send_signal(&handle, Signal::KILL).is_err();
        let limit = Timespec::try_from(limit).context("time limit")?;
        let mut ended = [PollFd::new(&handle, PollFlags::IN)];
        if poll(&mut ended, Some(&limit)).context("waiting for a process to end")? == 0 {
            bail!("process {} does not end", self.pid);
        }
        Ok(())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.start)
    }
}

impl FromStr for Identity {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace().map(str::parse);
        match (words.next(), words.next()) {
            (Some(Ok(pid)), Some(Ok(start))) => Ok(Self {
                pid: i32::try_from(pid).context("process id")?,
                start,
            }),
            _ => bail!("`{}` is no process id and start time", text.trim()),
        }
    }
}

/// The start time in `/proc/PID/stat`; none for a process that has ended and only waits for its parent. While one of its
/// threads is still ending, its ports are taken, and it has not ended.
fn start_time(stat: &str) -> Option<u64> {
    let (_name, rest) = stat.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let is_alone = fields
        .get(THREADS)
        .is_none_or(|count| matches!(*count, "0" | "1"));
    let has_ended = matches!(fields.first(), Some(&("Z" | "X"))) && is_alone;
    fields.get(START_TIME).filter(|_| !has_ended)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::{Identity, start_time};

    const PROC: &str = "/proc";

    #[test]
    fn start_times_are_read_whatever_a_program_is_called() {
        let stat = |state, threads| {
            format!(
                "7 (a) (b) {state} 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 12345 8 9"
            )
        };
        assert_eq!(start_time(&stat("S", 1)), Some(12345));
        assert_eq!(start_time(&stat("Z", 1)), None, "ended");
        assert_eq!(start_time(&stat("Z", 2)), Some(12345), "a thread is left");
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let this = Identity {
            pid: 7,
            start: 12345,
        };
        assert_eq!(this.to_string().parse::<Identity>().unwrap(), this);
        assert!("7".parse::<Identity>().is_err());
        assert!("".parse::<Identity>().is_err());
    }

    #[test]
    fn only_the_process_that_was_meant_is_killed() {
        let mut child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let identity = Identity::of(Path::new(PROC), pid).unwrap();
        let other = Identity {
            start: identity.start + 1,
            ..identity
        };
        other.kill(Duration::from_secs(5)).unwrap();
        assert!(identity.is_alive(Path::new(PROC)), "another's start time");
        identity.kill(Duration::from_secs(5)).unwrap();
        assert!(!identity.is_alive(Path::new(PROC)));
        child.wait().unwrap();
    }
}
