//! What came of a run, for people and for machines.

mod conformance;
mod json;
mod junit;
mod markdown;
mod matrix;
mod observer;
mod table;
mod tap;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::profile::Profile;
use crate::runner::{CaseResult, Failure, Outcome, Runner};
use crate::share::share;

pub use conformance::{Implementation, conformance};
pub use json::json;
pub use junit::junit;
pub use markdown::markdown;
pub use matrix::{Judged, tables};
pub use observer::Observer;
pub use table::{comparison, summary};
pub use tap::tap;

/// Why a case was not run that was meant.
const LEFT: &str = "left: the run was interrupted";

/// What came of all cases.
#[derive(Debug, Default)]
pub struct Report {
    /// In order of running.
    pub results: Vec<CaseResult>,
    /// Who judged, as after `--runner`.
    pub runner: &'static str,
    /// By what what the API leaves open was judged.
    pub profile: Profile,
    /// From the first to the last.
    pub took: Duration,
    /// Cases that were meant and not run, as the run was interrupted: skipped, with that as the reason.
    pub left: Vec<CaseResult>,
    /// Failing cases that are known, by id: why they may fail.
    pub waived: BTreeMap<Arc<str>, String>,
    /// What else there is to say: of waivers those that have expired, and those that nothing needs; and that nothing was
    /// denied.
    pub remarks: Vec<String>,
}

/// What a case's result counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'r> {
    /// It passed.
    Passed,
    /// It failed.
    Failed(&'r Failure),
    /// It failed, and may, for this reason.
    Waived(&'r Failure, &'r str),
    /// It could not be judged, for this reason.
    Error(&'r str),
    /// It was not judged, for this reason.
    Skipped(&'r str),
}

/// Who sees how a run goes, and what came of its cases so far, by their place.
struct Course<'o, O> {
    observer: &'o mut O,
    results: BTreeMap<usize, CaseResult>,
}

impl<O: Observer> Course<'_, O> {
    fn begin(&mut self, case: &Case) -> ControlFlow<()> {
        if self.observer.is_stopped() {
            return ControlFlow::Break(());
        }
        self.observer.begins(case);
        ControlFlow::Continue(())
    }

    /// Keeps a result. Who stops a run from a terminal stops the agents as well: only what passed all the same is meant
    /// then.
    fn end(&mut self, place: usize, result: CaseResult) -> ControlFlow<()> {
        let is_spoilt = matches!(result.outcome, Outcome::Failed(_) | Outcome::Error(_));
        if is_spoilt && self.observer.is_stopped() {
            return ControlFlow::Break(());
        }
        self.observer.ended(&result);
        self.results.insert(place, result);
        ControlFlow::Continue(())
    }
}

impl Report {
    /// Has cases judged, one after another.
    pub fn of(runner: &mut (impl Runner + Send), cases: &[&Case], profile: Profile) -> Self {
        Self::observed(std::slice::from_mut(runner), cases, profile, &mut ())
    }

    /// Has cases judged, as many at a time as there are runners, with somebody who sees how it goes and may end it.
    pub fn observed(
        runners: &mut [impl Runner + Send],
        cases: &[&Case],
        profile: Profile,
        observer: &mut (impl Observer + Send),
    ) -> Self {
        let started = Instant::now();
        let runner = runners.first().map_or("", |it| it.name());
        let course = Mutex::new(Course {
            observer,
            results: BTreeMap::new(),
        });
        let now = || course.lock().unwrap_or_else(PoisonError::into_inner);
        share(runners, cases.len(), |runner, place| {
            let case = cases[place];
            now().begin(case)?;
            let result = runner.judge(case, profile);
            now().end(place, result)?;
            if runner.is_over() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        let course = course.into_inner();
        let results = course.unwrap_or_else(PoisonError::into_inner).results;
        let places = cases.iter().enumerate();
        let left = places.filter(|(place, _)| !results.contains_key(place));
        Self {
            left: left
                .map(|(_, case)| CaseResult::skipped(case, LEFT.to_owned()))
                .collect(),
            results: results.into_values().collect(),
            runner,
            profile,
            took: started.elapsed(),
            ..Self::default()
        }
    }

    /// Who judged, and by what, in a few words.
    pub fn judge(&self) -> String {
        format!("runner {}, profile {}", self.runner, self.profile)
    }

    /// What a result counts as.
    pub fn standing<'r>(&'r self, result: &'r CaseResult) -> Standing<'r> {
        match (&result.outcome, self.waived.get(&result.id)) {
            (Outcome::Passed, _) => Standing::Passed,
            (Outcome::Failed(failure), None) => Standing::Failed(failure),
            (Outcome::Failed(failure), Some(reason)) => Standing::Waived(failure, reason),
            (Outcome::Error(reason), _) => Standing::Error(reason),
            (Outcome::Skipped(reason), _) => Standing::Skipped(reason),
        }
    }

    /// All results with what they count as.
    pub fn standings(&self) -> impl Iterator<Item = (&CaseResult, Standing<'_>)> {
        let results = self.results.iter();
        results.map(|result| (result, self.standing(result)))
    }

    /// The same of all that were meant: those that were left behind the others.
    pub fn of_all(&self) -> impl Iterator<Item = (&CaseResult, Standing<'_>)> {
        let left = self.left.iter();
        let left = left.map(|result| (result, self.standing(result)));
        self.standings().chain(left)
    }

    /// A remark where half of what failed, or more, did as nothing whatever was denied, as it is where nobody enforces
    /// policies.
    pub fn want_of_denial(&self) -> Option<String> {
        let failures = self.results.iter().filter_map(|it| match &it.outcome {
            Outcome::Failed(failure) => Some(failure.is_without_denial()),
            _ => None,
        });
        let (failed, without) = failures.fold((0, 0), |(failed, without), is_without| {
            (failed + 1, without + usize::from(is_without))
        });
        (without > 0 && without * 2 >= failed).then(|| format!(
            "{without} of {failed} failures are for want of any denial: is a NetworkPolicy enforcer running?"
        ))
    }

    /// What could not be judged, and why.
    pub fn not_judged(&self) -> impl Iterator<Item = String> {
        self.standings().filter_map(|(result, standing)| {
            let Standing::Error(reason) = standing else {
                return None;
            };
            Some(format!("{}: not judged: {reason}", result.id))
        })
    }

    /// What failed and may not: the case, the step and why.
    pub fn failures(&self) -> impl Iterator<Item = String> {
        self.standings().filter_map(|(result, standing)| {
            let Standing::Failed(failure) = standing else {
                return None;
            };
            Some(format!("{}: {}", result.id, failure.said()))
        })
    }

    /// Cases that passed.
    pub fn passed(&self) -> usize {
        self.count(|standing| matches!(standing, Standing::Passed))
    }

    /// Cases that failed and are not waived.
    pub fn failed(&self) -> usize {
        self.count(|standing| matches!(standing, Standing::Failed(_)))
    }

    /// Cases that failed and may.
    pub fn waived(&self) -> usize {
        self.count(|standing| matches!(standing, Standing::Waived(..)))
    }

    /// Cases that could not be judged to their end, which says nothing about the enforcer.
    pub fn errors(&self) -> usize {
        self.count(|standing| matches!(standing, Standing::Error(_)))
    }

    /// Cases that were not meant to be judged, or whose features are not there.
    pub fn skipped(&self) -> usize {
        self.count(|standing| matches!(standing, Standing::Skipped(_)))
    }

    /// Steps that were judged.
    pub fn steps(&self) -> usize {
        self.results.iter().map(|result| result.steps).sum()
    }

    /// Cells that were compared.
    pub fn cells(&self) -> usize {
        self.results.iter().map(|result| result.cells).sum()
    }

    fn count(&self, is: impl Fn(&Standing<'_>) -> bool) -> usize {
        self.standings()
            .filter(|(_, standing)| is(standing))
            .count()
    }
}

impl Failure {
    /// The step and why, in a line.
    pub fn said(&self) -> String {
        format!("step {}: {}", self.step, self.reason)
    }
}

/// A result and what it counts as.
type Row<'r> = (&'r CaseResult, Standing<'r>);

/// Results by theme, each theme where its first case was.
fn by_theme<'r>(rows: &[Row<'r>]) -> Vec<(&'r str, Vec<Row<'r>>)> {
    let mut themes: Vec<(&str, Vec<Row<'_>>)> = Vec::new();
    for row in rows {
        let theme = theme(&row.0.id);
        match themes.iter_mut().find(|(other, _)| *other == theme) {
            Some((_, rows)) => rows.push(*row),
            None => themes.push((theme, vec![*row])),
        }
    }
    themes
}

/// The first part of a case's id.
fn theme(id: &str) -> &str {
    id.split_once('/').map_or(id, |(theme, _)| theme)
}

#[cfg(test)]
mod examples;

#[cfg(test)]
mod tests {
    use super::*;

    /// Failures for want of any denial, and of another kind.
    fn remark(without: usize, others: usize) -> Option<String> {
        let other = Failure::new(1, "the pod does not start".to_owned());
        let failures = std::iter::repeat_n(examples::failure(), without);
        let failures = failures.chain(std::iter::repeat_n(other, others));
        let results = failures.map(|it| examples::result("a/b", Outcome::Failed(it)));
        let report = Report {
            results: results.collect(),
            ..Report::default()
        };
        report.want_of_denial()
    }

    #[test]
    fn nobody_who_enforces_is_noticed_whatever_else_fails() {
        let said =
            "2 of 3 failures are for want of any denial: is a NetworkPolicy enforcer running?";
        assert_eq!(remark(2, 1).as_deref(), Some(said));
        assert!(remark(1, 0).is_some() && remark(1, 1).is_some());
        assert!(remark(0, 0).is_none() && remark(0, 1).is_none() && remark(1, 2).is_none());
    }
}
