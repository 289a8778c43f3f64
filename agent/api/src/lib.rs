//! The Kubernetes API as a source: what is listed and watched becomes events for an index.
//!
//! The only crate that knows `kube`, which brings it to the API and proves who it is. Lists, watches and what is made
//! of them are its own: [`reflector`] decides what is there and what is gone, [`follow`] reads the wire, [`discovery`]
//! finds out what is served, [`board`] says what is wrong. It keeps names and no objects, and judges no policy.
//! [`reporter`] writes back what others found out about policies, by the one agent that is elected to.
#![forbid(unsafe_code)]

mod access;
mod backoff;
mod board;
mod discovery;
mod follow;
mod hub;
mod reflector;
mod reporter;
pub mod rollout;
mod source;
mod trouble;
mod wire;

pub use access::AccessError;
pub use board::{KindReport, Refused, Report};
pub use reflector::Batch;
pub use reporter::{
    Counts, Finding, Findings, Known, Leads, Reason, Reporter, ReporterOptions, ReporterState,
    Subject, Terms,
};
pub use source::{Delivery, Options, Source, StartError, Update};
