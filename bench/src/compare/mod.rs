//! Modes against each other: every workload, in rounds in which each mode has one slice.

mod figures;
mod latencies;
mod report;
mod table;
mod targets;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::figures::{Figures, figures};
use self::latencies::Latencies;
pub use self::report::{Report, Verdict};
pub use self::targets::{Bound, Target};
use crate::interrupt::{Progress, go_on};
use crate::load::{Span, Workload};
use crate::mode::Mode;
use crate::noise;
use crate::schedule;
use crate::stage::{Stage, StageOptions};
use crate::{proof, stats, void};

/// What of a slice is not counted: the first connections after a pause find cold caches.
const WARM_UP: Duration = Duration::from_millis(50);
/// Slices that the capacity is found out with.
const CAPACITY_SLICES: usize = 5;

/// What is compared, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each once.
    pub modes: Vec<Mode>,
    /// Each once.
    pub workloads: Vec<Workload>,
    /// Slices of each mode and workload.
    pub rounds: usize,
    /// What is counted of each.
    pub slice: Duration,
    /// Of the orders and the intervals.
    pub seed: u64,
    /// Policies of the server.
    pub policies: usize,
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// Slices count on a machine that is not quiet too, and no target is judged.
    pub noisy: bool,
    /// No target is judged: the intervals are too wide.
    pub quick: bool,
}

impl Plan {
    /// What of it makes no sense, if anything does.
    ///
    /// # Errors
    /// Says what.
    pub fn check(&self) -> Result<(), String> {
        if self.slices() == 0 {
            return Err("none of the workloads can be sent in any of the modes".to_owned());
        }
        let is_open = self.workloads.iter().any(|it| it.share().is_some());
        if is_open && !self.modes.contains(&Mode::Conntrack) {
            return Err(
                "tcp_open_*: their rate is a share of what mode conntrack can do, which is not among the modes"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// How many slices there will be.
    pub fn slices(&self) -> usize {
        let pairs = self.modes.iter().flat_map(|mode| {
            let workloads = self.workloads.iter();
            workloads.filter(|workload| mode.has(**workload))
        });
        pairs.count() * self.rounds
    }
}

/// One slice, as it is reported.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// From 0.
    pub round: usize,
    /// What was sent.
    pub workload: Workload,
    /// What was between the pods.
    pub mode: Mode,
    /// Why it does not count.
    pub void: Option<String>,
    /// What it came to.
    pub figures: Figures,
}

/// Runs `plan`.
///
/// # Errors
/// [`crate::stage::NotInForce`] where policies are not in force before or after, [`crate::interrupt::Interrupted`] where
/// `progress` says so; any other where a mode cannot be set up.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Report> {
    let total = plan.slices();
    let mut stages = up(plan, |_| go_on(progress(0, total)).map_err(Into::into))?;
    let capacity = capacity(plan, &mut stages)?;
    let mut rows = Vec::with_capacity(total);
    let mut latencies = Latencies::default();
    for (number, &workload) in plan.workloads.iter().enumerate() {
        let mut able: Vec<_> = stages
            .iter_mut()
            .filter(|stage| stage.mode().has(workload))
            .collect();
        for stage in &mut able {
            stage.warm(workload)?;
        }
        let share = workload.share().unwrap_or_default();
        let span = span(plan, share * capacity.unwrap_or_default());
        let seed = plan.seed.wrapping_add(number as u64);
        let orders = schedule::rounds(able.len(), plan.rounds, seed);
        for (round, order) in orders.into_iter().enumerate() {
            let mut slices = Vec::with_capacity(order.len());
            for number in order {
                go_on(progress(rows.len() + slices.len(), total))?;
                let stage = &mut *able[number];
                let slice = stage.slice(workload, &span);
                let slice = slice.with_context(|| stage.mode().name())?;
                slices.push((stage.mode(), slice));
            }
            let usual = noise::usual(slices.iter().map(|(_, slice)| slice.spins));
            rows.extend(slices.into_iter().map(|(mode, slice)| {
                let proven = proof::prove(mode, &slice.seen);
                let void = void::why(&slice, proven, usual, plan.noisy);
                if void.is_none() {
                    latencies.add(workload, mode, &slice.sent.latency);
                }
                Row {
                    round,
                    workload,
                    mode,
                    void,
                    figures: figures(workload, mode, &slice),
                }
            }));
        }
    }
    for stage in &stages {
        stage.check().context("after the run")?;
    }
    Ok(Report::new(plan, capacity, rows).with_latencies(&latencies))
}

fn span(plan: &Plan, rate: f64) -> Span {
    Span {
        warm_up: WARM_UP,
        warm_connections: 0,
        counted: plan.slice,
        limit: None,
        rate,
    }
}

fn up(plan: &Plan, mut before: impl FnMut(Mode) -> Result<()>) -> Result<Vec<Stage>> {
    let options = StageOptions {
        agent: plan.agent.clone(),
        policies: plan.policies,
        every_port: true,
    };
    let up = |mode: &Mode| {
        before(*mode)?;
        Stage::up(*mode, &options).with_context(|| mode.name())
    };
    plan.modes.iter().map(up).collect()
}

/// Connections per second that the reference opens with 64 at once, where some workload is a share of it. All modes get
/// the shares of this one rate.
fn capacity(plan: &Plan, stages: &mut [Stage]) -> Result<Option<f64>> {
    if plan.workloads.iter().all(|it| it.share().is_none()) {
        return Ok(None);
    }
    let mut stages = stages.iter_mut();
    let reference = stages.find(|stage| stage.mode() == Mode::Conntrack);
    let stage = reference.context("no mode conntrack")?;
    stage.warm(Workload::TcpCrr64)?;
    let mut rates = Vec::new();
    for _ in 0..CAPACITY_SLICES {
        let slice = stage.slice(Workload::TcpCrr64, &span(plan, 0.0))?;
        let figures = figures(Workload::TcpCrr64, stage.mode(), &slice);
        rates.extend(figures.get("per_second").copied());
    }
    let capacity = stats::median(&rates).context("the reference opens no connection")?;
    Ok(Some(capacity))
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// A plan of everything.
    pub(crate) fn plan() -> Plan {
        Plan {
            modes: Mode::value_variants().to_vec(),
            workloads: Workload::value_variants().to_vec(),
            rounds: 30,
            slice: Duration::from_millis(200),
            seed: 1,
            policies: 10,
            agent: PathBuf::new(),
            noisy: false,
            quick: false,
        }
    }

    #[test]
    fn a_plan_says_what_makes_no_sense() {
        for (modes, workloads, said) in [
            (&[Mode::Hybrid][..], &[Workload::TcpCrr][..], None),
            (
                &[Mode::None],
                &[Workload::TcpCrrService],
                Some("none of the workloads"),
            ),
            (
                &[Mode::HybridCold],
                &[Workload::TcpRr, Workload::Http],
                Some("none of the workloads"),
            ),
            (
                &[Mode::HybridStopped],
                &[Workload::TcpOpen50],
                Some("not among the modes"),
            ),
        ] {
            let plan = Plan {
                modes: modes.to_vec(),
                workloads: workloads.to_vec(),
                ..plan()
            };
            let found = plan.check().err();
            let fits = found
                .as_deref()
                .unwrap_or_default()
                .contains(said.unwrap_or_default());
            assert!(found.is_some() == said.is_some() && fits, "{found:?}");
        }
    }

    #[test]
    fn only_slices_that_can_be_are_counted() {
        // Cold: neither Service, page, questions on one connection, nor stream; the chain no IPv6, routing no Service.
        assert_eq!(plan().slices(), 30 * (9 * 13 - 5 - 1 - 1));
    }
}
