//! The truth-table suite for network policies: cases as data, an oracle that says what ought to come of them, and
//! runners that see what does.
//!
//! A [`case::Case`] is a world, policies and events. Which connections it leaves open is derived: [`sluice_oracle`] is a
//! literal reading of the API text, which shares no code with the evaluator of Sluice. What a person wrote down beside a
//! case must agree with it.
#![forbid(unsafe_code)]

pub mod case;
pub mod catalogue;
pub mod expect;
pub mod features;
pub mod fuzz;
pub mod generate;
pub mod judge;
pub mod mutants;
pub mod profile;
pub mod report;
pub mod runner;
pub mod selection;
mod state;
pub mod world;

pub use state::{State, StateError};
