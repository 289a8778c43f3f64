//! How long it takes until a policy is enforced.
//!
//! In a cluster, as a client that perf-tests' own can be replaced by: the same flags, log lines and histograms, and
//! beside each histogram a precise one. Without a cluster, in the laboratory, where the moment that a policy changes is
//! known to the microsecond: with each kind of change, for new connections and open ones.
//!
//! [`config`], [`targets`], [`wire`], [`go`] and [`metrics`] are pure; [`api`] alone knows the API's library.

pub mod api;
pub mod client;
pub mod config;
pub mod go;
mod knock;
pub mod lab;
mod log;
pub mod metrics;
pub mod probe;
pub mod serve;
pub mod targets;
mod timing;
pub mod wire;

pub use log::fatal;
