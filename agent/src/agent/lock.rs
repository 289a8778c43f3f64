//! One agent per node: the second one says so and leaves the first alone, and so does whoever would clean up after it.
//!
//! Two agents in one network namespace would take the gate from each other, whatever else is different about them, so
//! the lock is a name of that namespace. A file beside the socket is locked too, for the socket's sake.

use std::fs::File;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::exit::Failure;

/// Held for as long as the agent runs; the kernel releases it whatever ends the process.
pub(crate) struct Lock {
    /// Closed after the removal of both files: whoever waits for the lock must not lose its own.
    _held: File,
    _name: UnixListener,
    socket: PathBuf,
}

/// The abstract address that an agent has in its network namespace (unix(7)). Nobody is answered there.
const NAME: &str = "sluice-agent";

impl Lock {
    /// Takes the lock of this network namespace, and that beside `socket`.
    pub(super) fn take(socket: &Path) -> Result<Self, Failure> {
        let holder = || Failure::unable("another agent runs on this node");
        Self::take_free(socket)?.ok_or_else(holder)
    }

    /// Takes the locks unless an agent, or whoever else, holds one.
    pub(crate) fn take_free(socket: &Path) -> Result<Option<Self>, Failure> {
        let address =
            SocketAddr::from_abstract_name(NAME).and_then(|it| UnixListener::bind_addr(&it));
        let name = match address {
            Ok(name) => name,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => return Ok(None),
            Err(error) => return Err(Failure::unable(format!("socket @{NAME}: {error}"))),
        };
        let path = beside(socket);
        let file = open(&path)
            .with_context(|| path.display().to_string())
            .map_err(Failure::Unable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self {
                _held: file,
                _name: name,
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
