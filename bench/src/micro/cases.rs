//! Cases that take turns, in rounds of a random order each.

use anyhow::Result;

use super::report::{Row, Unit};
use super::{Part, Plan};
use crate::interrupt::{Interrupted, Progress, go_on};
use crate::schedule;

/// A step that did not do what it is to do, so that its figure would be of something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{case}: {what}")]
pub struct Wrong {
    /// Which one.
    pub case: String,
    /// What it did.
    pub what: String,
}

/// What a turn comes to: what one step took, in nanoseconds; or what it did instead of what it is to do.
pub(super) type Turn<'a> = Box<dyn FnMut() -> Result<Result<f64, String>> + 'a>;

/// A step that is measured.
pub(super) struct Case<'a> {
    pub(super) name: String,
    /// How many policies or pods there are, where that makes the case.
    pub(super) size: Option<u64>,
    /// What every turn makes sure of.
    pub(super) proof: String,
    pub(super) turn: Turn<'a>,
}

/// How far a run is.
pub(super) struct Ticker<'a> {
    total: usize,
    done: usize,
    progress: Progress<'a>,
}

impl<'a> Ticker<'a> {
    pub(super) fn new(total: usize, progress: Progress<'a>) -> Self {
        Self {
            total,
            done: 0,
            progress,
        }
    }

    /// So much is done.
    pub(super) fn at(&mut self, done: usize) -> Result<(), Interrupted> {
        self.done = done;
        go_on((self.progress)(self.done, self.total))
    }

    /// Nothing more is done; whether to go on is asked.
    pub(super) fn stay(&mut self) -> Result<(), Interrupted> {
        self.at(self.done)
    }

    fn tick(&mut self) -> Result<(), Interrupted> {
        self.at(self.done + 1)
    }
}

/// Gives each case its turn in every round.
pub(super) fn in_turns(
    part: Part,
    mut cases: Vec<Case<'_>>,
    plan: &Plan,
    ticker: &mut Ticker<'_>,
) -> Result<Vec<Row>> {
    let mut samples = vec![Vec::new(); cases.len()];
    for order in schedule::rounds(cases.len(), plan.rounds, plan.seed) {
        for number in order {
            let case = &mut cases[number];
            let took = (case.turn)()?.map_err(|what| Wrong {
                case: format!("{}: {}", part.name(), case.name),
                what,
            })?;
            samples[number].push(took);
        }
        ticker.tick()?;
    }
    let rows = cases.into_iter().zip(samples).map(|(case, samples)| {
        let measured = Row::of(part, case.name, Unit::Nanoseconds, samples, plan.seed);
        Row {
            size: case.size,
            proof: case.proof,
            ..measured
        }
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::*;

    fn case(
        name: &str,
        turn: impl FnMut() -> Result<Result<f64, String>> + 'static,
    ) -> Case<'static> {
        Case {
            name: name.to_owned(),
            size: None,
            proof: "it counts".to_owned(),
            turn: Box::new(turn),
        }
    }

    #[test]
    fn every_case_has_its_turn_in_every_round() {
        let mut told = Vec::new();
        let mut progress = |done: usize, _: usize| {
            told.push(done);
            true
        };
        let mut ticker = Ticker::new(5, &mut progress);
        let mut turns = 0.0;
        let counting = move || {
            turns += 1.0;
            Ok(Ok(turns))
        };
        let cases = vec![case("a", counting), case("b", || Ok(Ok(7.0)))];
        let rows = in_turns(Part::Events, cases, &plan(), &mut ticker).unwrap();
        assert_eq!(rows[0].samples, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!((rows[0].median, rows[1].median), (Some(3.0), Some(7.0)));
        assert_eq!(told, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_step_that_is_not_the_one_that_is_meant_ends_the_run() {
        let mut progress = |_: usize, _: usize| true;
        let mut ticker = Ticker::new(5, &mut progress);
        let cases = vec![case("a", || Ok(Err("it slept".to_owned())))];
        let error = in_turns(Part::Events, cases, &plan(), &mut ticker).unwrap_err();
        assert_eq!(
            error.downcast::<Wrong>().unwrap().to_string(),
            "events: a: it slept"
        );
    }

    #[test]
    fn whoever_says_stop_is_heard() {
        let mut progress = |_: usize, _: usize| false;
        let mut ticker = Ticker::new(5, &mut progress);
        let cases = vec![case("a", || Ok(Ok(1.0)))];
        let error = in_turns(Part::Events, cases, &plan(), &mut ticker).unwrap_err();
        assert!(error.is::<Interrupted>());
    }
}
