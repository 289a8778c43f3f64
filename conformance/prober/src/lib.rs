//! What serves and what asks in a pod: a listener on every port that tells the pod's name, a client that asks others for
//! theirs, and a count of what came. The laboratory uses it in its own process; in a cluster it is the program
//! `sluice-prober` in a pod, which is asked through [`protocol`]. What ought to come of a question is not known here.
#![deny(unsafe_op_in_unsafe_fn)]

mod client;
mod patience;
pub mod pod;
pub mod protocol;
mod raw;
mod sctp;
mod server;

use std::hash::{BuildHasher as _, RandomState};

use serde::{Deserialize, Serialize};

pub use client::{Client, Conversation, SourcePorts};
pub use patience::Patience;
pub use raw::header_length;
pub use server::{Listener, Visitors};

/// How SCTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sctp {
    /// With the kernel's own sockets.
    Kernel,
    /// The first half of a handshake, over raw sockets: for kernels that have none.
    Raw,
}

/// What came back to a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// A server answered, with the name of its pod.
    Name(String),
    /// Nothing at all, within the time that is allowed for an answer.
    Silence,
    /// A reset, an abort, or an ICMP error.
    Refused,
    /// The probe itself failed, or what came back was no answer.
    Error(String),
}

/// A number that nobody else has, in all likelihood; no secret.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
