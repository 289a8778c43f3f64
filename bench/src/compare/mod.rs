//! Modes against each other: every workload, in rounds in which each mode has one slice.

mod figures;
mod report;
mod targets;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::figures::{Figures, figures};
pub use self::report::Report;
pub use self::targets::Target;
use crate::load::{Span, Workload};
use crate::mode::Mode;
use crate::noise::{self, Guard};
use crate::proof;
use crate::schedule;
use crate::stage::{Slice, Stage, StageOptions};

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
    /// Slices count on a machine that is not quiet too.
    pub noisy: bool,
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

/// Runs `plan`; `progress` is told of every slice, with how many there are.
///
/// # Errors
/// Where a mode cannot be set up, or its policies are not in force before or after.
pub fn run(plan: &Plan, mut progress: impl FnMut(usize, usize)) -> Result<Report> {
    let guard = Guard::calibrate();
    let mut stages = up(plan)?;
    let capacity = capacity(plan, &mut stages)?;
    let total = plan.workloads.len() * plan.rounds * stages.len();
    let mut rows = Vec::with_capacity(total);
    for &workload in &plan.workloads {
        for stage in stages.iter_mut().filter(|stage| stage.has(workload)) {
            stage.warm(workload)?;
        }
        let span = Span {
            warm_up: WARM_UP,
            counted: plan.slice,
            limit: None,
            rate: workload.share().unwrap_or_default() * capacity,
        };
        let orders = schedule::rounds(stages.len(), plan.rounds, plan.seed);
        for (round, order) in orders.into_iter().enumerate() {
            for number in order {
                let stage = &mut stages[number];
                if stage.has(workload) {
                    let slice = stage.slice(workload, &span, &guard);
                    let slice = slice.with_context(|| stage.mode().name())?;
                    rows.push(row(plan, stage.mode(), workload, round, &slice));
                }
                progress(rows.len(), total);
            }
        }
    }
    for stage in &stages {
        stage.check().context("after the run")?;
    }
    Ok(Report::new(plan, rows))
}

fn up(plan: &Plan) -> Result<Vec<Stage>> {
    let options = StageOptions {
        agent: plan.agent.clone(),
        policies: plan.policies,
        every_port: true,
    };
    let up = |mode: &Mode| Stage::up(*mode, &options).with_context(|| mode.name());
    plan.modes.iter().map(up).collect()
}

/// Connections per second that the reference, or the first mode where it is not among them, opens with 64 at once. All
/// modes get the shares of this one rate.
fn capacity(plan: &Plan, stages: &mut [Stage]) -> Result<f64> {
    if plan.workloads.iter().all(|it| it.share().is_none()) {
        return Ok(0.0);
    }
    let reference = stages
        .iter()
        .position(|stage| stage.mode() == Mode::Conntrack);
    let stage = &mut stages[reference.unwrap_or(0)];
    let guard = Guard::calibrate();
    let span = Span {
        warm_up: WARM_UP,
        counted: plan.slice,
        limit: None,
        rate: 0.0,
    };
    let mut rates = Vec::new();
    for _ in 0..CAPACITY_SLICES {
        let slice = stage.slice(Workload::TcpCrr64, &span, &guard)?;
        rates.extend(
            figures(Workload::TcpCrr64, &slice)
                .get("per_second")
                .copied(),
        );
    }
    crate::stats::median(&rates).context("the reference opens no connection")
}

fn row(plan: &Plan, mode: Mode, workload: Workload, round: usize, slice: &Slice) -> Row {
    let noise = noise::judge(slice.machine, slice.drifts).filter(|_| !plan.noisy);
    let doubt = proof::prove(mode, &slice.seen).err();
    let void = slice
        .sent
        .failed
        .clone()
        .or_else(|| doubt.map(|doubt| doubt.to_string()))
        .or_else(|| noise.map(|noise| noise.to_string()));
    Row {
        round,
        workload,
        mode,
        void,
        figures: figures(workload, slice),
    }
}
