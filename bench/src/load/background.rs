//! A thread that serves until its value goes.

use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use rustix::event::{EventfdFlags, eventfd};

/// A thread; told to end, and waited for, when this value goes.
#[derive(Debug)]
pub(super) struct Background {
    /// Written to when it is to end.
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

/// What the thread waits for beside its work: readable when it is to end.
pub(super) type Stop = OwnedFd;

impl Background {
    /// Starts what `serve` makes of the sign to end.
    pub(super) fn start<W: FnOnce() + Send + 'static>(
        name: &str,
        serve: impl FnOnce(Stop) -> Result<W>,
    ) -> Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC).context("eventfd")?;
        let work = serve(stop.try_clone().context("eventfd")?)?;
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
        Ok(Self {
            stop,
            thread: Some(thread.context("starting a thread")?),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let told = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let (Ok(_eight), Some(thread)) = (told, self.thread.take()) {
            // A panic in it has been printed.
            drop(thread.join());
        }
    }
}
