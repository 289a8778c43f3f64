//! What can go wrong between this process and the kernel.

use std::io;

use netlink_bindings::utils::ErrorContext;

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
    /// The kernel's answer is not what its specification says.
    #[error("{what}: the kernel's answer has no usable {attribute}")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// The attribute that is missing or malformed.
        attribute: &'static str,
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

    pub(crate) fn answer(what: &'static str) -> impl FnOnce(ErrorContext) -> Self {
        move |context| Self::Answer {
            what,
            attribute: context.attr.unwrap_or(context.attrs),
        }
    }

    /// The kernel's error number, where the kernel gave one.
    pub fn errno(&self) -> Option<rustix::io::Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::System { source, .. } => rustix::io::Errno::from_io_error(source),
            Self::Answer { .. } | Self::Argument { .. } => None,
        }
    }
}

fn detail(message: Option<&String>) -> String {
    message
        .map(|message| format!(" ({message})"))
        .unwrap_or_default()
}
