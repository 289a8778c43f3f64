//! What this program does where it runs itself again: under callgrind, to be counted, or by itself, so that nothing else
//! takes memory.

use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sluice_policy::{Action, Index, Snapshot, Tuple};

use super::world;
use super::world::tuples::{first_namespace_first, tuples};
use super::world::turns::{self, Turn};
use crate::processes;

/// A step whose instructions are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A verdict.
    Verdict,
    /// A policy that is edited.
    Edited,
    /// A pod that is relabelled.
    Relabelled,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// So many of them, in a small cluster.
    Count(Step),
    /// An index of so many pods.
    Index(usize),
}

/// Of the cluster whose verdicts and events are counted.
const PODS: usize = 1_000;
const POLICIES: usize = 100;
/// Steps that are counted.
pub(super) const STEPS: usize = 200;
/// What callgrind counts in: the names of the functions that are counted match it.
pub(super) const COUNTED: &str = "*micro::job::counted*";

impl Step {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Verdict, Self::Edited, Self::Relabelled];

    /// As bounds and tables call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Verdict => "a verdict",
            Self::Edited => "a policy edited",
            Self::Relabelled => "a pod relabelled",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Edited => "edited",
            Self::Relabelled => "relabelled",
        }
    }
}

impl Job {
    /// As the command line has it.
    pub(super) fn argument(self) -> String {
        match self {
            Self::Count(step) => format!("count:{}", step.word()),
            Self::Index(pods) => format!("index:{pods}"),
        }
    }

    /// Does it; what is to be printed.
    ///
    /// # Errors
    /// Where the system does not say how much memory this process has.
    pub fn run(self) -> Result<String> {
        match self {
            Self::Count(Step::Verdict) => Ok(verdicts().to_string()),
            Self::Count(Step::Edited) => Ok(events(turns::edited).to_string()),
            Self::Count(Step::Relabelled) => Ok(events(turns::relabelled).to_string()),
            Self::Index(pods) => index(pods),
        }
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |(kind, what): (&str, &str)| match kind {
            "count" => {
                let mut steps = Step::ALL.into_iter();
                steps.find(|step| step.word() == what).map(Self::Count)
            }
            "index" => what.parse().ok().map(Self::Index),
            _ => None,
        };
        let job = text.split_once(':').and_then(of);
        job.ok_or_else(|| format!("{text} is no job"))
    }
}

/// How many of the verdicts are as expected.
fn verdicts() -> usize {
    let snapshot = first_namespace_first(PODS, POLICIES).snapshot();
    let mut tuples = tuples(&[&snapshot], 1, Action::Allow);
    tuples.truncate(STEPS);
    counted_verdicts(&snapshot, &tuples)
}

/// A plain loop: the name of a closure in here would match as well, and end the counting.
#[inline(never)]
fn counted_verdicts(snapshot: &Snapshot, tuples: &[Tuple]) -> usize {
    let mut allowed = 0;
    for tuple in tuples {
        let verdict = black_box(snapshot.evaluate(black_box(tuple)));
        allowed += usize::from(verdict.action() == Action::Allow);
    }
    allowed
}

/// How many of the events changed something.
fn events(turn: Turn) -> usize {
    let mut index = world::index(world::one_node(), PODS, POLICIES);
    let kept = index.snapshot();
    let changing = (1..=STEPS).map(|number| turn(PODS, number));
    let changing: Vec<_> = changing.collect();
    let mut changed = 0;
    for event in changing {
        changed += usize::from(counted_event(&mut index, event));
    }
    drop(kept);
    changed
}

#[inline(never)]
fn counted_event(index: &mut Index, event: sluice_policy::Event) -> bool {
    let changes = index.apply([event]);
    black_box(Arc::strong_count(&index.snapshot()));
    !changes.is_empty()
}

/// How many pods there are, and by how many bytes the index of them makes this process larger.
fn index(pods: usize) -> Result<String> {
    let before = resident(std::process::id())?;
    let index = world::index(world::one_node(), pods, pods / 10);
    let grown = resident(std::process::id())?.saturating_sub(before);
    Ok(format!("{} {grown}", index.snapshot().counts().pods))
}

/// Resident memory of a process in bytes.
pub(super) fn resident(process: u32) -> Result<u64> {
    let kilobytes = processes::resident(process)?;
    let kilobytes = kilobytes.with_context(|| format!("process {process} has no memory"))?;
    Ok(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_understood_as_it_is_written() {
        let counts = Step::ALL.map(Job::Count);
        for job in counts.into_iter().chain([Job::Index(100)]) {
            assert_eq!(job.argument().parse(), Ok(job));
        }
        for wrong in ["", "count", "count:sheep", "index:many", "x:1"] {
            assert!(wrong.parse::<Job>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_step_is_done_as_often_as_it_is_counted() {
        for step in Step::ALL {
            let said = Job::Count(step).run().unwrap();
            assert_eq!(said, STEPS.to_string(), "{step:?}");
        }
    }

    #[test]
    fn an_index_says_how_many_pods_it_has() {
        let said = Job::Index(100).run().unwrap();
        let (pods, bytes) = said.split_once(' ').unwrap();
        assert_eq!(pods, "100");
        assert!(bytes.parse::<u64>().is_ok(), "{said}");
    }
}
