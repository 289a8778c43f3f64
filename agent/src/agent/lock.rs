//! One agent per socket: the second one says so and leaves the first alone, and so does whoever would clean up after it.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::exit::Failure;

/// Held for as long as the agent runs; the kernel releases it whatever ends the process.
pub(crate) struct Lock {
    /// Closed after the removal of both files: whoever waits for the lock must not lose its own.
    _held: File,
    socket: PathBuf,
}

impl Lock {
    /// Takes the lock beside `socket`.
    pub(super) fn take(socket: &Path) -> Result<Self, Failure> {
        let holder = || {
            let path = beside(socket);
            let path = path.display();
            Failure::unable(format!("another agent runs on this node: it holds {path}"))
        };
        Self::take_free(socket)?.ok_or_else(holder)
    }

    /// Takes the lock beside `socket` unless an agent, or whoever else, holds it.
    pub(crate) fn take_free(socket: &Path) -> Result<Option<Self>, Failure> {
        let path = beside(socket);
        let file = open(&path)
            .with_context(|| path.display().to_string())
            .map_err(Failure::Unable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self {
                _held: file,
                socket: socket.to_path_buf(),
            })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(Failure::unable(format!("{}: {error}", path.display()))),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let socket = crate::socket::remove(&self.socket).map(drop);
        for removed in [socket, std::fs::remove_file(beside(&self.socket))] {
            if let Err(error) = removed {
                tracing::debug!(socket = %self.socket.display(), %error, "not removed");
            }
        }
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
        drop(first);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(Lock::take(&socket).is_ok());
    }
}
