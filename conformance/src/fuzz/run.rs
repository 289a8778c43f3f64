//! Many cases, and what became of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::case::case;
use super::judge::{self, Trouble, judge};
use super::shrink::{is_as_meant, shrink};
use crate::case::Case;
use crate::profile::Profile;
use crate::runner::{Evaluator, Failure, Outcome, Runner};
use crate::share::{per_core, share};

/// As many of those that fail are made smaller, which takes a while.
const SHRUNK: usize = 5;

/// What became of random cases.
#[derive(Debug, Default)]
pub struct Tally {
    /// Cases that were drawn.
    pub cases: usize,
    /// Cases that could not be judged, by the reason.
    pub skipped: BTreeMap<String, usize>,
    /// Cases that could not be judged to their end, which says nothing about who is judged: the seed and why.
    pub errors: Vec<(u64, String)>,
    /// Steps that passed.
    pub steps: usize,
    /// Cells that were compared with the oracle.
    pub cells: usize,
    /// Those of them that were denied, where that was counted.
    pub denied: usize,
    /// How often each relation was tried.
    pub relations: BTreeMap<&'static str, usize>,
    /// What did not come out right, in order of seeds.
    pub found: Vec<Disagreement>,
}

/// A case that did not come out right.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// The case's own seed: it alone is drawn by it.
    pub seed: u64,
    /// The relation that does not hold, by name; none where the oracle disagrees.
    pub relation: Option<&'static str>,
    /// What is wrong with the case as it was drawn.
    pub reason: String,
    /// The case; of the first few, what is left of it when everything is gone that does not matter.
    pub case: Case,
}

/// Judges the cases of so many seeds by evaluators, several at a time. `progress` hears how many are done, and may end it.
pub fn fuzz<E: Evaluator + Send>(
    make: impl Fn() -> E,
    seed: u64,
    cases: usize,
    progress: impl Fn(usize) -> ControlFlow<()> + Sync,
) -> Tally {
    let worker = || (make(), Tally::default());
    let mut workers: Vec<_> = (0..per_core(1)).map(|_| worker()).collect();
    share(&mut workers, cases, |(evaluator, tally), number| {
        one(evaluator, seed.wrapping_add(number as u64), tally);
        progress(number + 1)
    });
    let tallies = workers.into_iter().map(|(_, tally)| tally);
    let mut all = tallies.fold(Tally::default(), Tally::and);
    all.found.sort_by_key(|it| it.seed.wrapping_sub(seed));
    let mut evaluator = make();
    for found in all.found.iter_mut().take(SHRUNK) {
        if progress(cases).is_break() {
            break;
        }
        found.case = smaller(&mut evaluator, found);
    }
    all
}

/// The same by a runner of cases, one after another. What a relation changes is the last step of a case, and judged by
/// the oracle as the others are, which holds to the relation. Making one case smaller takes `limit` at most.
pub fn fuzz_with(
    runner: &mut impl Runner,
    seed: u64,
    cases: usize,
    limit: Duration,
    progress: impl Fn(usize) -> ControlFlow<()>,
) -> Tally {
    let mut tally = Tally::default();
    for number in 0..cases {
        let mut one = Tally::default();
        one_with(runner, seed.wrapping_add(number as u64), &mut one);
        let flow = progress(number + 1);
        // Who stops it from a terminal stops the agents as well: only what passed all the same is meant then.
        if flow.is_break() && one.is_spoilt() {
            break;
        }
        tally = tally.and(one);
        if flow.is_break() {
            break;
        }
    }
    for found in tally.found.iter_mut().take(SHRUNK) {
        if progress(cases).is_break() {
            break;
        }
        found.case = smaller_with(runner, &found.case, limit);
    }
    tally
}

fn one_with(runner: &mut impl Runner, seed: u64, tally: &mut Tally) {
    let case = case(seed);
    let is_able = |(_, changed): &(_, Case)| runner.unable(changed).is_none();
    let related = judge::related(&case, seed).filter(is_able);
    let played = related.as_ref().map_or(&case, |(_, changed)| changed);
    let result = runner.judge(played, Profile::SLUICE);
    tally.cases += 1;
    tally.steps += result.steps;
    tally.cells += result.cells;
    match result.outcome {
        Outcome::Passed => {
            if let Some((relation, _)) = related {
                *tally.relations.entry(relation.name).or_default() += 1;
            }
        }
        Outcome::Error(reason) => tally.errors.push((seed, reason)),
        Outcome::Skipped(reason) => *tally.skipped.entry(reason).or_default() += 1,
        // Not about connections: nobody listens on a port that a pod has by now, for one.
        Outcome::Failed(Failure { wrong, reason, .. }) if wrong.is_empty() => {
            *tally.skipped.entry(reason).or_default() += 1;
        }
        Outcome::Failed(Failure { step, reason, .. }) => {
            let broken = related.filter(|_| step > case.steps.len());
            let (relation, case) = broken.map_or((None, case), |(relation, changed)| {
                (Some(relation.name), changed)
            });
            let reason = format!("step {step}: {reason}");
            tally.found.push(Disagreement {
                seed,
                relation,
                reason,
                case,
            });
        }
    }
}

fn smaller_with(runner: &mut impl Runner, case: &Case, limit: Duration) -> Case {
    let started = Instant::now();
    shrink(case, |case| {
        let is_worth_it = || is_as_meant(case) && runner.unable(case).is_none();
        started.elapsed() < limit
            && is_worth_it()
            && match runner.run(case, Profile::SLUICE).outcome {
                Outcome::Failed(failure) => !failure.wrong.is_empty(),
                _ => false,
            }
    })
}

fn one(evaluator: &mut impl Evaluator, seed: u64, tally: &mut Tally) {
    let case = case(seed);
    tally.cases += 1;
    if let Some(Trouble { relation, reason }) = judge(evaluator, &case, seed, tally) {
        tally.found.push(Disagreement {
            seed,
            relation: relation.map(|it| it.name),
            reason,
            case,
        });
    }
}

fn smaller(evaluator: &mut impl Evaluator, found: &Disagreement) -> Case {
    let Disagreement { seed, case, .. } = found;
    let relation = super::relation::named(found.relation);
    let Some(relation) = relation else {
        return shrink(case, |case| {
            is_as_meant(case) && judge::is_disputed(evaluator, case)
        });
    };
    let small = shrink(case, |case| {
        is_as_meant(case)
            && matches!(
                judge::broken(evaluator, case, *seed, relation),
                judge::Tried::Broken(_)
            )
    });
    judge::with_change(&small, *seed, relation)
}

impl Tally {
    fn is_spoilt(&self) -> bool {
        !self.found.is_empty() || !self.errors.is_empty()
    }

    fn and(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.steps += other.steps;
        self.cells += other.cells;
        self.denied += other.denied;
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        for (name, count) in other.relations {
            *self.relations.entry(name).or_default() += count;
        }
        self.found.extend(other.found);
        self.errors.extend(other.errors);
        self
    }
}
