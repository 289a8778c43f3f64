//! One agent per socket: the second one says so and leaves the first alone.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::exit::Failure;

/// Held for as long as the agent runs; the kernel releases it whatever ends the process.
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock beside `socket`.
    pub(super) fn take(socket: &Path) -> Result<Self, Failure> {
        let path = beside(socket);
        let file = open(&path)
            .with_context(|| path.display().to_string())
            .map_err(Failure::Unable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(Errno::WOULDBLOCK) => Err(Failure::unable(format!(
                "another agent runs on this node: it holds {}",
                path.display()
            ))),
            Err(error) => Err(Failure::unable(format!("{}: {error}", path.display()))),
        }
    }

    /// Removes the socket and the lock's file: a clean stop leaves neither.
    pub(super) fn release(self, socket: &Path) {
        for path in [socket.to_path_buf(), beside(socket)] {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "not removed");
            }
        }
        // Only now: whoever waits for the lock must not find these removed under it.
        drop(self.file);
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

fn beside(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        let first = Lock::take(&socket).unwrap();
        let refusal = Lock::take(&socket).err().unwrap();
        assert!(
            matches!(refusal, Failure::Unable(_)) && refusal.to_string().contains("another agent"),
            "{refusal}"
        );
        first.release(&socket);
        assert!(Lock::take(&socket).is_ok());
        assert!(std::fs::read_dir(directory.path()).unwrap().count() == 1);
    }
}
