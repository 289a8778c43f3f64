//! A process that is stopped in the middle of what it does, and goes on later.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::processes;

/// What a stop may take, on a machine that does other things besides.
const STOPS: Duration = Duration::from_secs(30);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(1);

/// A process that stands still for as long as this value lives.
#[derive(Debug)]
pub(super) struct Stopped(Pid);

impl Stopped {
    /// Stops it, and waits until it stands still.
    pub(super) fn stop(pid: u32) -> Result<Self> {
        let pid = processes::pid(pid).context("the agent's process id")?;
        kill_process(pid, Signal::STOP).context("stopping the agent")?;
        let stopped = Self(pid);
        // Each thread stops by itself, and runs for some microseconds until it has.
        let limit = Instant::now() + STOPS;
        while !all_stand_still(pid)? {
            ensure!(Instant::now() < limit, "the agent does not stop");
            thread::sleep(LOOK);
        }
        Ok(stopped)
    }
}

/// Whether every thread of a process is stopped (`T` in its `stat`, proc(5)).
fn all_stand_still(pid: Pid) -> Result<bool> {
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
        // A thread may have ended since: others are looked at once more.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
            return Ok(false);
        };
        if processes::fields(&stat).next() != Some("T") {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Where it is gone, whoever asks it next will say so.
        let _gone = kill_process(self.0, Signal::CONT);
    }
}
