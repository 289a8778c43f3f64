//! Who judges cases: an evaluator without packets, a laboratory, a cluster.

mod asked;
mod cluster;
mod evaluator;
mod lab;
mod script;
mod silence;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::case::Case;
use sluice_oracle::Cell;

use crate::expect::Expected;
use crate::judge::{self, Observed, Seen};
use crate::profile::Profile;

pub use cluster::{ClusterError, ClusterOptions, ClusterRunner};
pub use evaluator::{Evaluator, EvaluatorRunner, Scene, Sluice};
pub(crate) use evaluator::{Run, is_right, observed};
pub use lab::{LabOptions, LabRunner};
pub(crate) use script::{Player, Questions, play};

/// What became of a case.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// Which.
    pub id: Arc<str>,
    /// Whether it passed.
    pub outcome: Outcome,
    /// Steps that were judged.
    pub steps: usize,
    /// Cells that were compared, over all steps and orders.
    pub cells: usize,
    /// How long it took.
    pub took: Duration,
    /// How long the slowest of its changes took to come into force, where somebody waited for that.
    pub convergence: Option<Duration>,
}

/// What is counted of a case while it is judged.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Cells that were compared.
    pub(crate) cells: usize,
    /// The longest that a change took, of those that came into force.
    pub(crate) convergence: Option<Duration>,
}

impl Tally {
    /// A change came into force.
    pub(crate) fn came_into_force(&mut self, took: Duration) {
        self.convergence = self.convergence.max(Some(took));
    }
}

impl CaseResult {
    /// One that was begun at some time, and how it ended: steps that were judged, and the outcome.
    pub(crate) fn of(
        case: &Case,
        started: Instant,
        tally: &Tally,
        (steps, outcome): (usize, Outcome),
    ) -> Self {
        Self {
            id: Arc::clone(&case.id),
            outcome,
            steps,
            cells: tally.cells,
            took: started.elapsed(),
            convergence: tally.convergence,
        }
    }

    /// One that was not judged.
    pub fn skipped(case: &Case, reason: String) -> Self {
        Self {
            id: Arc::clone(&case.id),
            outcome: Outcome::Skipped(reason),
            steps: 0,
            cells: 0,
            took: Duration::ZERO,
            convergence: None,
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
    /// It could not be judged to its end, for this reason, which says nothing about the enforcer: a machine that cannot
    /// make a namespace, a cluster that cannot be reached, a probe that could not be sent.
    Error(String),
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
    /// Cells that were not as expected. A cell whose probe failed is none of them.
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

    /// One about cells that did not come out right, or were not probed; none where all came out right.
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
        let (unprobed, wrong): (Vec<Seen>, Vec<Seen>) = seen
            .iter()
            .filter(is_wrong)
            .cloned()
            .partition(|it| it.observed.is_error());
        let (said, of_these) = if wrong.is_empty() {
            ("were not probed", &unprobed)
        } else {
            ("are wrong", &wrong)
        };
        let (count, all, first) = (of_these.len(), cells.len(), of_these.first()?);
        let reason = format!("{count} of {all} cells {said}, the first: {first}");
        Some(Self {
            step,
            reason,
            wrong,
            seen,
        })
    }
}

impl Failure {
    /// Whether all that is wrong is that something got through that must be denied.
    pub fn is_want_of_denial(&self) -> bool {
        !self.wrong.is_empty() && self.wrong.iter().all(is_leak)
    }

    /// Whether something got through that must be denied.
    pub fn has_leak(&self) -> bool {
        self.wrong.iter().any(is_leak)
    }

    /// Whether not one connection was denied, although some must be.
    pub fn is_without_denial(&self) -> bool {
        let denials = self
            .seen
            .iter()
            .filter(|it| it.expected == Expected::Denied);
        self.is_want_of_denial() && denials.count() == self.wrong.len()
    }
}

impl From<Failure> for Outcome {
    /// Where nothing is wrong but that probes failed, nothing was found out.
    fn from(failure: Failure) -> Self {
        let is_unprobed = |it: &Seen| it.observed.is_error();
        if failure.wrong.is_empty() && failure.seen.iter().any(is_unprobed) {
            Self::Error(format!("step {}: {}", failure.step, failure.reason))
        } else {
            Self::Failed(failure)
        }
    }
}

/// Someone who judges cases.
pub trait Runner {
    /// What it is called, as after `--runner`.
    fn name(&self) -> &'static str;

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

    /// Whether it would be pointless to judge any other case.
    fn is_over(&self) -> bool {
        false
    }
}

fn is_leak(seen: &Seen) -> bool {
    let got_through = matches!(seen.observed, Observed::Allowed | Observed::ReplyLost);
    seen.expected == Expected::Denied && got_through
}

#[cfg(test)]
mod tests {
    use sluice_oracle::{Family, Target};
    use sluice_policy::PodName;

    use super::*;

    fn outcome(observed: &[Observed]) -> Outcome {
        let pod = |name: &str| PodName {
            namespace: "x".into(),
            name: name.into(),
        };
        let cell = Cell {
            from: pod("a"),
            to: Target::Pod(pod("b")),
            port: "80/TCP".parse().unwrap(),
            family: Family::Ipv4,
        };
        let cells = vec![cell; observed.len()];
        let expected = vec![Expected::Denied; observed.len()];
        let is_right = |expected: &Expected, observed: &Observed| observed.meets(expected);
        Failure::of_cells(1, &cells, &expected, observed, is_right)
            .map_or(Outcome::Passed, Outcome::from)
    }

    #[test]
    fn a_probe_that_failed_is_neither_a_denial_nor_a_wrong_cell() {
        let error = || Observed::Error("no socket".to_owned());
        assert_eq!(outcome(&[Observed::Denied]), Outcome::Passed);
        let Outcome::Error(reason) = outcome(&[Observed::Denied, error()]) else {
            panic!("an error");
        };
        assert!(reason.contains("1 of 2 cells were not probed"), "{reason}");
        let Outcome::Failed(failure) = outcome(&[Observed::Allowed, error()]) else {
            panic!("a failure");
        };
        assert_eq!(failure.wrong.len(), 1);
        assert!(failure.reason.contains("1 of 2 cells are wrong"));
    }
}
