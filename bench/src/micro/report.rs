//! What came of a run.

use serde::Serialize;

use super::{Part, Plan, table};
use crate::env::Env;
use crate::stats;

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// By part, in the order of its cases.
    pub micro: Vec<Row>,
    /// How often each case had its turn.
    pub rounds: usize,
    /// How often a program ran in a turn.
    pub repeat: u32,
    /// Of the orders and the intervals.
    pub seed: u64,
    /// Whether it was a quick one.
    pub quick: bool,
    /// What it was measured on.
    pub env: Env,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it was measured with.
    pub part: Part,
    /// Of which step.
    pub name: String,
    /// How many policies or pods there were, where that makes the figure.
    pub size: Option<u64>,
    /// Of the figure.
    pub unit: Unit,
    /// Over the turns; none where it was skipped.
    pub median: Option<f64>,
    /// Its 95 % interval; none where there were too few turns.
    pub ci: Option<[f64; 2]>,
    /// What was made sure of.
    pub proof: String,
    /// Why there is no figure.
    pub skipped: Option<String>,
    /// What was recorded, where that is held on to.
    pub bound: Option<f64>,
    /// By how much the figure is above or below that, of 1.
    pub drift: Option<f64>,
    /// Of each turn, in their order.
    pub samples: Vec<f64>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Of a step.
    Nanoseconds,
    /// The same.
    Instructions,
    /// 10^6 bytes that are resident.
    Megabytes,
}

impl Unit {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Instructions => "instructions",
            Self::Megabytes => "MB",
        }
    }
}

impl Row {
    /// The figure of so many turns.
    pub(super) fn of(part: Part, name: String, unit: Unit, samples: Vec<f64>, seed: u64) -> Self {
        let middle = stats::middle(&samples, seed);
        Self {
            part,
            name,
            size: None,
            unit,
            median: middle.map(|it| it.median),
            ci: middle.and_then(|it| it.ci),
            proof: String::new(),
            skipped: None,
            bound: None,
            drift: None,
            samples,
        }
    }

    /// No figure.
    pub(super) fn skipped(part: Part, name: String, unit: Unit, why: String) -> Self {
        Self {
            skipped: Some(why),
            ..Self::of(part, name, unit, Vec::new(), 0)
        }
    }
}

impl Report {
    pub(super) fn new(plan: &Plan, rows: Vec<Row>) -> Self {
        Self {
            micro: rows,
            rounds: plan.rounds,
            repeat: plan.repeat,
            seed: plan.seed,
            quick: plan.quick,
            env: Env::read(),
        }
    }

    /// What drifted, a line each.
    pub fn drifted(&self) -> Vec<String> {
        let rows = self.micro.iter();
        rows.filter_map(Row::drifted).collect()
    }

    /// What was counted: steps, and the instructions of each.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count that was divided"
    )]
    pub fn instructions(&self) -> impl Iterator<Item = (&str, u64)> {
        let rows = self
            .micro
            .iter()
            .filter(|row| row.unit == Unit::Instructions);
        rows.filter_map(|row| Some((&*row.name, row.median?.round() as u64)))
    }

    /// For people.
    pub fn table(&self) -> String {
        table::table(self)
    }
}

impl Row {
    fn drifted(&self) -> Option<String> {
        let (drift, bound) = (self.drift?, self.bound?);
        let median = self.median?;
        (drift.abs() > super::DRIFT).then(|| {
            let percent = drift * 100.0;
            format!(
                "{}: {median:.0} instructions are {percent:+.1} % against the recorded {bound:.0}",
                self.name
            )
        })
    }
}
