//! What can go wrong between this process and the kernel.

use std::io;

/// A failed exchange over netlink.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a request.
    #[error("{what}: {errno}{}", detail(message.as_ref()))]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        errno: rustix::io::Errno,
        /// The kernel's own words, where it has any.
        message: Option<String>,
    },
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// An argument cannot be expressed in the protocol.
    #[error("{what}: {why}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    pub(crate) fn system(what: &'static str, source: impl Into<io::Error>) -> Self {
        Self::System {
            what,
            source: source.into(),
        }
    }

    /// The kernel's error number, where the kernel gave one.
    pub fn errno(&self) -> Option<rustix::io::Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::System { source, .. } => rustix::io::Errno::from_io_error(source),
            Self::Argument { .. } => None,
        }
    }
}

fn detail(message: Option<&String>) -> String {
    message
        .map(|message| format!(" ({message})"))
        .unwrap_or_default()
}
