//! The Kubernetes API as a source: what is listed and watched becomes events for an index.
//!
//! The only crate that knows `kube`, which brings it to the API and proves who it is. Lists, watches and what is made
//! of them are its own: [`reflector`] decides what is there and what is gone, [`follow`] reads the wire, [`discovery`]
//! finds out what is served, [`board`] says what is wrong. It keeps names and no objects, and judges no policy.
#![forbid(unsafe_code)]

mod access;
mod backoff;
mod board;
mod discovery;
mod follow;
mod hub;
mod reflector;
pub mod rollout;
mod source;
mod trouble;
mod wire;

pub use access::AccessError;
pub use board::{KindReport, Report};
pub use reflector::Batch;
pub use source::{Delivery, Options, Source, StartError, Update};
