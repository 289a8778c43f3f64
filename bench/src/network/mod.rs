//! What the network between nodes gives, measured by the tools that others know: one worker per node, every ordered
//! pair of them, strictly one at a time.
//!
//! A *launcher* makes the place, in a cluster or between namespaces of this machine; an *orchestrator* decides who
//! measures when; *workers* run the tools. Orchestrator and workers go on without the launcher.

pub mod allow;
pub mod benchmark;
pub mod cli;
pub mod conductor;
mod duration;
pub mod figures;
pub mod handover;
pub mod launcher;
pub(crate) mod listening;
pub mod orchestrator;
pub mod parse;
pub mod push;
pub mod task;
mod tool;
mod wire;
pub mod worker;
