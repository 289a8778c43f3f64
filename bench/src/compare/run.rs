//! The run itself: stages up, rounds of slices, what came of each.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::figures::figures;
use super::latencies::Latencies;
use super::report::Found;
use super::{Plan, Report, Row};
use crate::interrupt::{Progress, go_on};
use crate::load::{Span, Workload};
use crate::mode::Mode;
use crate::stage::{Slice, Stage, StageOptions};
use crate::world::Nodes;
use crate::{noise, proof, schedule, stats, void};

/// What of a slice is not counted: the first connections after a pause find cold caches.
const WARM_UP: Duration = Duration::from_millis(50);
/// Slices that the capacity is found out with.
const CAPACITY_SLICES: usize = 5;

/// Runs `plan`.
///
/// # Errors
/// [`crate::stage::NotInForce`] where policies are not in force before or after, [`crate::interrupt::Interrupted`] where
/// `progress` says so; any other where a mode cannot be set up.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Report> {
    let mut run = Run {
        plan,
        progress,
        total: plan.slices(),
        found: Found::default(),
        latencies: Latencies::default(),
    };
    // One after another: each is as many nodes, agents and servers as there are modes.
    for nodes in [Nodes::One, Nodes::Two] {
        run.among(nodes)?;
    }
    Ok(Report::new(plan, run.found).with_latencies(&run.latencies))
}

/// A run that is under way.
struct Run<'a, 'b> {
    plan: &'a Plan,
    progress: Progress<'b>,
    total: usize,
    found: Found,
    latencies: Latencies,
}

impl Run<'_, '_> {
    /// Everything that is sent among these nodes, if anything is.
    fn among(&mut self, nodes: Nodes) -> Result<()> {
        let groups: Vec<_> = groups(&self.plan.workloads)
            .into_iter()
            .filter(|(_, group)| group[0].nodes() == nodes)
            .collect();
        if groups.is_empty() {
            return Ok(());
        }
        let mut stages = self.up(nodes)?;
        if groups.iter().any(|(_, group)| group[0].share().is_some()) {
            self.found.capacity = Some(capacity(self.plan, &mut stages)?);
        }
        for (number, group) in groups {
            self.rounds(&mut stages, &group, number)?;
        }
        for stage in &mut stages {
            stage.check().context("after the run")?;
        }
        if self.found.memory.is_empty() {
            self.found.memory = memory(&stages)?;
        }
        Ok(())
    }

    fn up(&mut self, nodes: Nodes) -> Result<Vec<Stage>> {
        let options = StageOptions {
            agent: self.plan.agent.clone(),
            policies: self.plan.policies,
            every_port: true,
            nodes,
            external: self.plan.external.clone(),
        };
        let mut stages = Vec::new();
        for mode in &self.plan.modes {
            self.go_on(0)?;
            stages.push(Stage::up(*mode, &options).with_context(|| mode.name())?);
        }
        Ok(stages)
    }

    /// All rounds of a group, each of which has one slice of each of its workloads in each mode.
    fn rounds(&mut self, stages: &mut [Stage], group: &[Workload], number: usize) -> Result<()> {
        let slots = slots(stages, group);
        for (workload, stage) in &slots {
            stages[*stage].warm(*workload)?;
        }
        let seed = self.plan.seed.wrapping_add(number as u64);
        let orders = schedule::rounds(slots.len(), self.plan.rounds, seed);
        for (round, order) in orders.into_iter().enumerate() {
            let mut slices = Vec::with_capacity(order.len());
            for number in order {
                self.go_on(slices.len())?;
                let (workload, stage) = slots[number];
                let stage = &mut stages[stage];
                let slice = stage.slice(workload, &self.span(workload));
                let slice = slice.with_context(|| stage.mode().name())?;
                slices.push((workload, stage.mode(), slice));
            }
            self.keep(round, slices);
        }
        Ok(())
    }

    /// Judges the slices of a round.
    fn keep(&mut self, round: usize, slices: Vec<(Workload, Mode, Slice)>) {
        let usual = noise::usual(slices.iter().map(|(.., slice)| slice.spins));
        let noisy = self.plan.noisy;
        for (workload, mode, slice) in slices {
            let void = void::why(&slice, proof::prove(mode, &slice.seen), usual, noisy);
            if void.is_none() {
                self.latencies.add(workload, mode, &slice.sent.latency);
            }
            self.found.rows.push(Row {
                round,
                workload,
                mode,
                void,
                figures: figures(workload, mode, &slice),
            });
        }
    }

    fn span(&self, workload: Workload) -> Span {
        let rate = match workload {
            Workload::Flood => self.plan.flood.into(),
            _ => workload.share().unwrap_or(0.0) * self.found.capacity.unwrap_or(0.0),
        };
        span(self.plan, rate)
    }

    /// Tells how far it is; `more` slices are of a round that is not over.
    fn go_on(&mut self, more: usize) -> Result<()> {
        let done = self.found.rows.len() + more;
        Ok(go_on((self.progress)(done, self.total))?)
    }
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

/// Workloads that are in the same rounds, as one is compared with the other, each group with its number: each of them by
/// itself, or with those that it is the reference of.
fn groups(workloads: &[Workload]) -> Vec<(usize, Vec<Workload>)> {
    let leader = |workload: Workload| {
        let reference = workload.reference();
        reference
            .filter(|it| workloads.contains(it))
            .unwrap_or(workload)
    };
    let leaders = workloads.iter().enumerate();
    let leaders = leaders.filter(|(_, workload)| leader(**workload) == **workload);
    leaders
        .map(|(number, first)| {
            let others = workloads
                .iter()
                .filter(|it| *it != first && leader(**it) == *first);
            (number, [first].into_iter().chain(others).copied().collect())
        })
        .collect()
}

/// What a round has a slice of: a workload, and the number of the stage.
fn slots(stages: &[Stage], group: &[Workload]) -> Vec<(Workload, usize)> {
    let of_workload = |workload: &Workload| {
        let workload = *workload;
        let able = stages.iter().enumerate();
        let able = able.filter(move |(_, stage)| stage.mode().has(workload));
        able.map(move |(number, _)| (workload, number))
    };
    group.iter().flat_map(of_workload).collect()
}

/// Connections per second that the reference opens with 64 at once. All modes get the shares of this one rate.
fn capacity(plan: &Plan, stages: &mut [Stage]) -> Result<f64> {
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
    stats::median(&rates).context("the reference opens no connection")
}

/// What the enforcers hold, of the modes that have one.
fn memory(stages: &[Stage]) -> Result<BTreeMap<Mode, crate::stage::Memory>> {
    let mut found = BTreeMap::new();
    for stage in stages {
        let memory = stage.memory()?;
        if memory.resident > 0 {
            found.insert(stage.mode(), memory);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compared_within_a_mode_shares_its_rounds() {
        use Workload::{Flood, FloodQuiet, TcpCrr, TcpCrrService, TcpRr};
        for (workloads, expected) in [
            (
                &[TcpCrr, FloodQuiet, Flood, TcpRr][..],
                vec![
                    (0, vec![TcpCrr]),
                    (1, vec![FloodQuiet, Flood]),
                    (3, vec![TcpRr]),
                ],
            ),
            (&[Flood, FloodQuiet], vec![(1, vec![FloodQuiet, Flood])]),
            (&[FloodQuiet], vec![(0, vec![FloodQuiet])]),
            (
                &[TcpCrrService, TcpRr, TcpCrr],
                vec![(1, vec![TcpRr]), (2, vec![TcpCrr, TcpCrrService])],
            ),
            (&[TcpCrrService], vec![(0, vec![TcpCrrService])]),
        ] {
            assert_eq!(groups(workloads), expected);
        }
    }
}
