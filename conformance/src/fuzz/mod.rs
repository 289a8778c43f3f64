//! Random cases: pods, policies and events drawn from one seed, few and alike, so that they meet.
//!
//! Each is judged in two ways. What an evaluator says must be what the oracle says, after each event and by an evaluator
//! that begins with what came of it. And there are relations that hold whatever policies mean: the order of policies does
//! not matter, a rule more closes nothing. What fails is made smaller as long as it fails, and written down as a case.

mod admin;
mod case;
mod cluster;
mod draw;
mod judge;
mod network_policy;
mod relation;
mod rewrite;
mod run;
mod shrink;
mod write;

pub use run::{Disagreement, Tally, fuzz, fuzz_with};
pub use write::yaml;
