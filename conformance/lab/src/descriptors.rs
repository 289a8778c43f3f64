//! How many file descriptors a lab may have, and how many probes at once that is.

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// At most so many probes are under way at once.
const AT_ONCE: usize = 1024;
/// A probe's descriptors in this process: the client's, and the server's for the connection.
const DESCRIPTORS: usize = 2;

/// Servers and probes take many descriptors: all that this process may have are allowed to it.
pub(crate) fn raise_descriptors() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("raise the number of descriptors")
}

/// How many probes at once there are descriptors for; half of what is free is left for whatever else.
pub(crate) fn room() -> usize {
    let limit = getrlimit(Resource::Nofile)
        .current
        .and_then(|limit| usize::try_from(limit).ok());
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let free = limit.unwrap_or(usize::MAX).saturating_sub(open);
    (free / (2 * DESCRIPTORS)).clamp(1, AT_ONCE)
}
