//! The debug lines of the kernel programs, in builds with the feature `ebpf-log`.

use rustix::event::{PollFd, PollFlags, poll};
use sluice_bpf::ProgramLog;

use crate::exit::Failure;

/// Hands lines to the agent's log as they come.
pub(super) fn follow(mut log: ProgramLog) -> Result<(), Failure> {
    super::spawn("program-log", move || {
        loop {
            let waited =
                rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&log, PollFlags::IN)], None));
            if let Err(error) = waited {
                tracing::error!(%error, "the kernel programs' log is no longer read");
                return;
            }
            log.flush();
        }
    })
}
