//! The suite, tested: evaluators that are right but for one fault each, of which a case must tell every one.
//!
//! They are all one evaluator with points at which a fault can be. It shares no code with Sluice's own nor with the
//! oracle, and reads the objects of a case as they are written. Without a fault it must pass every case, which is a third
//! opinion on each.

mod closed;
mod fault;
mod memory;
mod mutant;
mod network_policy;
mod policy;
mod selector;
mod tier;
mod trial;

pub use mutant::Mutant;
pub use trial::{Kill, Progress, TrialError, Tried, trial};
