//! What policy costs, measured on this machine.
//!
//! Every figure comes from one run in which the modes that it compares take turns, slice by slice in random order, so
//! that what the machine does besides is shared out among them. A slice counts only where the enforcer's own counters
//! show that its packets went the way that the mode is about, and where the machine was quiet enough. What is reported
//! is the ratio of two modes within a round, its median over all rounds, and the interval that a bootstrap gives it.

pub mod compare;
pub mod env;
pub mod interrupt;
pub mod latency;
pub mod load;
pub mod micro;
pub mod mode;
pub mod network;
pub mod noise;
pub mod policies;
mod processes;
pub mod proof;
pub mod report;
pub mod schedule;
pub mod stage;
pub mod stats;
mod void;
pub mod world;
