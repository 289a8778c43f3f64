//! Cases against an evaluator: no packets, all static cases in seconds.

use std::sync::Arc;
use std::time::Instant;

use sluice_kubernetes::World;
use sluice_oracle::{Family, Port};
use sluice_policy::{Action, Index, Pod, Scope, Tuple};

use super::script::{Player, Questions, play};
use super::{CaseResult, Failure, Outcome, Runner, Tally};
use crate::State;
use crate::case::Case;
use crate::expect::{Expected, Probe};
use crate::judge::Observed;
use crate::profile::Profile;

/// One moment of a case.
#[derive(Debug, Default)]
pub struct Scene {
    /// The objects as they are written.
    pub state: State,
    /// The world that they make.
    pub world: World,
}

/// Something that says which connections policies allow.
pub trait Evaluator {
    /// Sees a world that has nothing to do with the one before.
    fn begin(&mut self, scene: &Arc<Scene>);

    /// Sees what became of the world.
    fn follow(&mut self, scene: &Arc<Scene>);

    /// Whether a connection between two pods of the world is allowed, to a port of the destination's own.
    fn allows(&self, from: &Pod, to: &Pod, family: Family, port: Port) -> bool;
}

/// The evaluator that is Sluice's own.
pub struct Sluice {
    index: Index,
    seen: Arc<Scene>,
}

impl Default for Sluice {
    fn default() -> Self {
        Self {
            index: Index::new(Scope::Cluster),
            seen: Arc::default(),
        }
    }
}

impl Evaluator for Sluice {
    fn begin(&mut self, scene: &Arc<Scene>) {
        *self = Self::default();
        self.follow(scene);
    }

    fn follow(&mut self, scene: &Arc<Scene>) {
        let _changes = self.index.apply(scene.world.events_since(&self.seen.world));
        self.seen = Arc::clone(scene);
    }

    fn allows(&self, from: &Pod, to: &Pod, family: Family, port: Port) -> bool {
        let (Some(source), Some(destination)) = (family.address(from), family.address(to)) else {
            return false;
        };
        let tuple = Tuple {
            source,
            destination,
            protocol: port.protocol,
            port: port.number,
        };
        self.index.snapshot().evaluate(&tuple).action() == Action::Allow
    }
}

/// Judges static cases by an evaluator.
pub struct EvaluatorRunner<E> {
    evaluator: E,
}

impl<E: Evaluator> EvaluatorRunner<E> {
    /// A runner of this evaluator.
    pub fn new(evaluator: E) -> Self {
        Self { evaluator }
    }
}

impl<E: Evaluator> Runner for EvaluatorRunner<E> {
    fn name(&self) -> &'static str {
        "evaluator"
    }

    fn unable(&self, case: &Case) -> Option<String> {
        (!case.is_static()).then(|| "needs packets".to_owned())
    }

    fn run(&mut self, case: &Case, profile: Profile) -> CaseResult {
        let started = Instant::now();
        let mut run = Run::new(&mut self.evaluator);
        let ended = match play(case, profile, &mut run) {
            Ok(steps) => (steps, Outcome::Passed),
            Err(failure) => (failure.step, Outcome::from(failure)),
        };
        let tally = Tally {
            cells: run.cells,
            ..Tally::default()
        };
        CaseResult::of(case, started, &tally, ended)
    }
}

/// One evaluator in one case.
pub(crate) struct Run<'r, E> {
    evaluator: &'r mut E,
    /// Cells that it was asked about.
    pub(crate) cells: usize,
    /// Those of them that it denied.
    pub(crate) denied: usize,
}

impl<'r, E> Run<'r, E> {
    pub(crate) fn new(evaluator: &'r mut E) -> Self {
        Self {
            evaluator,
            cells: 0,
            denied: 0,
        }
    }
}

impl<E: Evaluator> Player for Run<'_, E> {
    fn begin(&mut self, scene: &Arc<Scene>) {
        self.evaluator.begin(scene);
    }

    fn follow(&mut self, scene: &Arc<Scene>) {
        self.evaluator.follow(scene);
    }

    fn answer(&mut self, step: usize, questions: &Questions) -> Result<(), Failure> {
        let Questions {
            scene,
            cells,
            probes,
            expected,
        } = questions;
        self.cells += cells.len();
        let observed = probes
            .iter()
            .map(|probe| observed(self.evaluator, &scene.world, probe));
        let observed: Vec<Observed> = observed.collect();
        let denied = observed.iter().filter(|it| **it == Observed::Denied);
        self.denied += denied.count();
        let failure = Failure::of_cells(step, cells, expected, &observed, is_right);
        failure.map_or(Ok(()), Err)
    }
}

/// Who answers without a Service's choice knows that it depends on it.
pub(crate) fn is_right(expected: &Expected, observed: &Observed) -> bool {
    observed.meets(expected) && (*expected != Expected::Either || *observed == Observed::Mixed)
}

/// What an evaluator says of a cell.
pub(crate) fn observed(evaluator: &impl Evaluator, world: &World, probe: &Probe) -> Observed {
    let from = &world.pods[probe.from].pod;
    let (mut yes, mut no) = (false, false);
    for (to, port) in &probe.ends {
        let to = &world.pods[*to].pod;
        if evaluator.allows(from, to, probe.family, *port) {
            yes = true;
        } else {
            no = true;
        }
    }
    match (yes, no) {
        (false, _) => Observed::Denied,
        (true, false) => Observed::Allowed,
        (true, true) => Observed::Mixed,
    }
}
