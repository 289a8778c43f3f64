//! What single steps cost: a packet in the kernel's programs, a verdict, an event in the index, a transaction with the
//! kernel; how many instructions what must not drift takes; how much memory pods need. Each figure proves that the step
//! was the one that is meant.

mod bounds;
mod cases;
mod events;
mod instructions;
pub mod job;
mod kernel;
mod memory;
mod programs;
mod report;
mod table;
mod verdicts;
#[path = "../../../agent/policy/benches/world/mod.rs"]
mod world;

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

pub use self::bounds::{Bounds, BoundsError, DRIFT, PROFILE, RECORDED};
use self::cases::Ticker;
pub use self::cases::Wrong;
pub use self::report::{Report, Row};
use crate::interrupt::Progress;

/// What is measured together, its cases in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The TC and gate programs, by path, a packet each (root)
    Programs,
    /// Verdicts, against the number of policies
    Verdicts,
    /// Events in the index: policies and pods that come, go and change
    Events,
    /// Transactions with the kernel: the gate, its sets, connection tracking (root)
    Kernel,
    /// Instructions of a verdict and of events, by callgrind, against recorded ones
    Instructions,
    /// Resident memory against the number of pods: of the index, and of an agent (root)
    Memory,
}

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each once.
    pub parts: Vec<Part>,
    /// How often each case has its turn.
    pub rounds: usize,
    /// How often a program runs in a turn.
    pub repeat: u32,
    /// Of the orders and the intervals.
    pub seed: u64,
    /// Smaller clusters and tables.
    pub quick: bool,
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// This program, which is run again to be counted.
    pub this: PathBuf,
    /// What instructions are held against.
    pub bounds: Bounds,
}

impl Part {
    /// As flags and documents spell it.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it makes namespaces.
    pub const fn needs_root(self) -> bool {
        matches!(self, Self::Programs | Self::Kernel | Self::Memory)
    }
}

/// Measures `plan`.
///
/// # Errors
/// [`Wrong`] where a step did not do what it is to do, [`crate::interrupt::Interrupted`] where `progress` says so;
/// whatever the machine refuses.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Report> {
    let mut ticker = Ticker::new(plan.parts.len() * plan.rounds, progress);
    let mut rows = Vec::new();
    for (number, part) in plan.parts.iter().enumerate() {
        ticker.at(number * plan.rounds)?;
        rows.extend(match part {
            Part::Programs => programs::measure(plan, &mut ticker)?,
            Part::Verdicts => verdicts::measure(plan, &mut ticker)?,
            Part::Events => events::measure(plan, &mut ticker)?,
            Part::Kernel => kernel::measure(plan, &mut ticker)?,
            Part::Instructions => instructions::measure(plan, &mut ticker)?,
            Part::Memory => memory::measure(plan, &mut ticker)?,
        });
    }
    Ok(Report::new(plan, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five rounds of nothing.
    pub(super) fn plan() -> Plan {
        Plan {
            parts: Vec::new(),
            rounds: 5,
            repeat: 1,
            seed: 1,
            quick: true,
            agent: PathBuf::new(),
            this: PathBuf::new(),
            bounds: Bounds::default(),
        }
    }
}
