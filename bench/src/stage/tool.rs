//! A server that is a program of others.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::network::listening::is_listening_beside;

/// What it may take until it listens.
const LISTENS: Duration = Duration::from_secs(10);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(2);

/// A program that runs; it ends with this value.
#[derive(Debug)]
pub(super) struct Tool(Child);

impl Tool {
    /// One that was started just now, once it listens on `port` of TCP.
    pub(super) fn listening(server: Child, port: u16) -> Result<Self> {
        let mut tool = Self(server);
        let limit = Instant::now() + LISTENS;
        let process = tool.0.id().to_string();
        while !is_listening_beside(&process, port).context("sockets of a server")? {
            if let Some(status) = tool.0.try_wait()? {
                bail!("a server for port {port} ended by itself: {status}");
            }
            ensure!(Instant::now() < limit, "nobody listens on port {port}");
            thread::sleep(LOOK);
        }
        Ok(tool)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
