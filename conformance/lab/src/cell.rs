//! What comes of a probe. Knows neither sockets nor policies.

use std::fmt;

use sluice_prober::Reply;

/// A reply in the light of the cell it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server that was meant answered; for a Service, any of its backends.
    Allowed,
    /// Nothing came back.
    Denied,
    /// Nothing came back, although the request had arrived; told apart where deliveries are watched.
    ReplyLost,
    /// Another pod answered: this one.
    WrongServer(String),
    /// Something said no.
    Refused,
    /// The probe failed.
    Error(String),
}

impl Outcome {
    /// Judges `reply` by the names that may answer.
    pub(crate) fn of(reply: Reply, is_meant: impl FnOnce(&str) -> bool) -> Self {
        match reply {
            Reply::Name(name) if is_meant(&name) => Self::Allowed,
            Reply::Name(name) => Self::WrongServer(name),
            Reply::Silence => Self::Denied,
            Reply::Refused => Self::Refused,
            Reply::Error(error) => Self::Error(error),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allow"),
            Self::Denied => f.write_str("deny"),
            Self::ReplyLost => f.write_str("delivered, and the reply lost"),
            Self::WrongServer(name) => write!(f, "wrong server {name}"),
            Self::Refused => f.write_str("refused"),
            Self::Error(error) => write!(f, "error: {error}"),
        }
    }
}

/// The rows or columns of a table: names in order of their first appearance, each once.
pub fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}
