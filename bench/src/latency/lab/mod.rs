//! The latencies in the laboratory: between pods on this machine, with the real agent, which reads manifests. A change is
//! a file that takes the place of another; it is timed from right before that.

mod churn;
mod flow;
mod kind;
mod pods;
mod policies;
mod report;
mod room;
mod table;
mod world;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use sluice_lab::Mode;

use crate::interrupt::{Progress, go_on};
use crate::noise::CpuTimes;
use churn::Churned;
use room::Room;

pub use kind::{Bounds, Kind};
pub use report::{Figure, Report, Row, Summary, Verdict};

/// Whose latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcer {
    /// With the fast path in the kernel
    Hybrid,
    /// Without
    Nfqueue,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Policies come and go, and labels change.
    Policy,
    /// Pods come and go.
    Pod,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What changes.
    pub what: What,
    /// Measured one after another.
    pub enforcers: Vec<Enforcer>,
    /// How often each change is made.
    pub repetitions: usize,
    /// Policies of the client that are there besides.
    pub policies: usize,
    /// Policies that are made and deleted at once; 0: none are. Of policies alone, as is `churn`.
    pub burst: usize,
    /// Pods that come in a second, and as many that go, while a policy changes; 0: none do.
    pub churn: u32,
    /// From one connection that is tried to the next: what a latency may be off by.
    pub interval: Duration,
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// Whether targets are judged on a machine that is not quiet; a quick run judges none either.
    pub noisy: bool,
    /// See `noisy`.
    pub quick: bool,
}

impl Enforcer {
    /// As flags and documents spell it.
    pub const fn name(self) -> &'static str {
        self.mode().name()
    }

    const fn mode(self) -> Mode {
        match self {
            Self::Hybrid => Mode::Hybrid,
            Self::Nfqueue => Mode::Nfqueue,
        }
    }
}

impl Plan {
    fn bursts(&self) -> bool {
        self.what == What::Policy && self.burst > 0
    }

    fn churns(&self) -> bool {
        self.what == What::Policy && self.churn > 0
    }
}

/// Measures. `progress` is told before each repetition.
///
/// # Errors
/// [`Interrupted`](crate::interrupt::Interrupted) where `progress` says no; whatever the machine refuses.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Report> {
    let before = CpuTimes::now()?;
    let total = plan.enforcers.len() * plan.repetitions;
    let mut modes = Vec::new();
    let mut churned = Churned::default();
    for (number, enforcer) in plan.enforcers.iter().enumerate() {
        let mut room = Room::up(plan, *enforcer)?;
        let mut figures = plan.figures();
        for repetition in 0..plan.repetitions {
            go_on(progress(number * plan.repetitions + repetition, total))?;
            room.refresh(repetition)?;
            match plan.what {
                What::Policy => policies::repeat(&room, plan, &mut figures)?,
                What::Pod => pods::repeat(&room, &mut figures)?,
            }
        }
        churned = churned + room.churned();
        modes.push((*enforcer, figures));
    }
    let stolen = CpuTimes::now()?.since(before).stolen();
    Ok(Report::new(plan, modes, stolen, churned))
}
