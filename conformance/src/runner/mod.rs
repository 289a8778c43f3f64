//! Who judges cases: an evaluator without packets, a laboratory, a cluster.

mod evaluator;
mod lab;

use std::time::Duration;

use crate::case::Case;
use sluice_oracle::Cell;

use crate::expect::Expected;
use crate::judge::{self, Observed, Seen};
use crate::profile::Profile;

pub use evaluator::{Evaluator, EvaluatorRunner, Sluice};
pub use lab::{LabOptions, LabRunner};

/// What became of a case.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// Which.
    pub id: std::sync::Arc<str>,
    /// Whether it passed.
    pub outcome: Outcome,
    /// Steps that were judged.
    pub steps: usize,
    /// Cells that were compared, over all steps and orders.
    pub cells: usize,
    /// How long it took.
    pub took: Duration,
}

impl CaseResult {
    /// One that was not judged.
    pub fn skipped(case: &Case, reason: String) -> Self {
        Self {
            id: std::sync::Arc::clone(&case.id),
            outcome: Outcome::Skipped(reason),
            steps: 0,
            cells: 0,
            took: Duration::ZERO,
        }
    }
}

/// Whether a case passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was as expected.
    Passed,
    /// Something was not.
    Failed(Failure),
    /// It was not judged, for this reason.
    Skipped(String),
}

/// Where a case failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step, from 1.
    pub step: usize,
    /// Why, in a sentence.
    pub reason: String,
    /// Cells that were not as expected.
    pub wrong: Vec<Seen>,
    /// What was expected and seen of all cells, for tables.
    pub seen: Vec<Seen>,
}

impl Failure {
    /// One that is not about cells.
    pub(crate) fn new(step: usize, reason: String) -> Self {
        Self {
            step,
            reason,
            wrong: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// One about cells that did not come out right; none where all did.
    pub(crate) fn of_cells(
        step: usize,
        cells: &[Cell],
        expected: &[Expected],
        observed: &[Observed],
        is_right: impl Fn(&Expected, &Observed) -> bool,
    ) -> Option<Self> {
        let mut pairs = expected.iter().zip(observed);
        if pairs.all(|(expected, observed)| is_right(expected, observed)) {
            return None;
        }
        let seen = judge::seen(cells, expected, observed);
        let is_wrong = |it: &&Seen| !is_right(&it.expected, &it.observed);
        let wrong: Vec<Seen> = seen.iter().filter(is_wrong).cloned().collect();
        let (count, all, first) = (wrong.len(), cells.len(), wrong.first()?);
        Some(Self {
            step,
            reason: format!("{count} of {all} cells are wrong, the first: {first}"),
            wrong,
            seen,
        })
    }
}

/// Someone who judges cases.
pub trait Runner {
    /// Judges a case, or says why it cannot.
    fn judge(&mut self, case: &Case, profile: Profile) -> CaseResult {
        match self.unable(case) {
            None => self.run(case, profile),
            Some(reason) => CaseResult::skipped(case, reason),
        }
    }

    /// Why a case cannot be judged by this one, if it cannot.
    fn unable(&self, case: &Case) -> Option<String>;

    /// Judges a case that it can judge.
    fn run(&mut self, case: &Case, profile: Profile) -> CaseResult;
}
