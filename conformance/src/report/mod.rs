//! What came of a run, for people and for machines.

mod json;
mod table;

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::profile::Profile;
use crate::runner::{CaseResult, Failure, Outcome, Runner};

pub use json::json;
pub use table::{comparison, summary};

/// What came of all cases.
#[derive(Debug, Default)]
pub struct Report {
    /// In order of running.
    pub results: Vec<CaseResult>,
    /// From the first to the last.
    pub took: Duration,
}

impl Report {
    /// Has cases judged, one after another.
    pub fn of(runner: &mut impl Runner, cases: &[&Case], profile: Profile) -> Self {
        let started = Instant::now();
        let cases = cases.iter();
        let results = cases.map(|case| runner.judge(case, profile)).collect();
        Self {
            results,
            took: started.elapsed(),
        }
    }

    /// What could not be judged, and why.
    pub fn not_judged(&self) -> impl Iterator<Item = String> {
        self.results
            .iter()
            .filter_map(|result| match &result.outcome {
                Outcome::Error(reason) => Some(format!("{}: not judged: {reason}", result.id)),
                _ => None,
            })
    }

    /// What failed: the case, the step and why.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.results
            .iter()
            .filter_map(|result| match &result.outcome {
                Outcome::Failed(Failure { step, reason, .. }) => {
                    Some(format!("{}: step {step}: {reason}", result.id))
                }
                _ => None,
            })
    }

    /// Cases that passed.
    pub fn passed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Passed))
    }

    /// Cases that failed.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    /// Cases that could not be judged to their end, which says nothing about the enforcer.
    pub fn errors(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Error(_)))
    }

    /// Cases that were not meant to be judged, or whose features are not there.
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    }

    /// Steps that were judged.
    pub fn steps(&self) -> usize {
        self.results.iter().map(|result| result.steps).sum()
    }

    /// Cells that were compared.
    pub fn cells(&self) -> usize {
        self.results.iter().map(|result| result.cells).sum()
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.results
            .iter()
            .filter(|result| is(&result.outcome))
            .count()
    }
}
