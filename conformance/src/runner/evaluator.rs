//! Cases against an evaluator: no packets, all static cases in seconds.

use std::sync::Arc;
use std::time::Instant;

use sluice_kubernetes::{Problem, World};
use sluice_oracle::{Cell, Family};
use sluice_policy::{Action, Index, Pod, Scope, Tuple};

use super::{CaseResult, Failure, Outcome, Runner};
use crate::State;
use crate::case::{Case, Event, Object, Step};
use crate::expect::{self, End, Expected};
use crate::judge::{self, Observed};
use crate::profile::Profile;

/// As many orders of events as are tried; of more, so many spread evenly over all.
const MOST_ORDERS: usize = 720;

/// Something that says which connections policies allow.
pub trait Evaluator {
    /// Sees a world that has nothing to do with the one before.
    fn begin(&mut self, world: &World);

    /// Sees what became of the world.
    fn follow(&mut self, world: &World);

    /// Whether a connection between two pods of the world is allowed.
    fn allows(&self, world: &World, from: &Pod, to: &Pod, family: Family, end: &End) -> bool;
}

/// The evaluator that is Sluice's own.
pub struct Sluice {
    index: Index,
    seen: World,
}

impl Default for Sluice {
    fn default() -> Self {
        Self {
            index: Index::new(Scope::Cluster),
            seen: World::default(),
        }
    }
}

impl Evaluator for Sluice {
    fn begin(&mut self, world: &World) {
        *self = Self::default();
        self.follow(world);
    }

    fn follow(&mut self, world: &World) {
        let _changes = self.index.apply(world.events_since(&self.seen));
        self.seen = world.clone();
    }

    fn allows(&self, _world: &World, from: &Pod, to: &Pod, family: Family, end: &End) -> bool {
        let (Some(source), Some(destination)) = (family.address(from), family.address(to)) else {
            return false;
        };
        let tuple = Tuple {
            source,
            destination,
            protocol: end.port.protocol,
            port: end.port.number,
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
    fn unable(&self, case: &Case) -> Option<String> {
        (!case.is_static()).then(|| "needs packets".to_owned())
    }

    fn run(&mut self, case: &Case, profile: Profile) -> CaseResult {
        let started = Instant::now();
        let mut run = Run {
            evaluator: &mut self.evaluator,
            case,
            profile,
            cells: 0,
        };
        let (steps, outcome) = match run.case() {
            Ok(steps) => (steps, Outcome::Passed),
            Err(failure) => (failure.step, Outcome::from(failure)),
        };
        CaseResult {
            id: Arc::clone(&case.id),
            outcome,
            steps,
            cells: run.cells,
            took: started.elapsed(),
        }
    }
}

/// What is asked of a world, and what ought to come of it.
struct Scene {
    cells: Vec<Cell>,
    expected: Vec<Expected>,
}

/// One case under way.
struct Run<'r, E> {
    evaluator: &'r mut E,
    case: &'r Case,
    profile: Profile,
    cells: usize,
}

impl<E: Evaluator> Run<'_, E> {
    fn case(&mut self) -> Result<usize, Failure> {
        let state = self.case.start();
        let mut state = state.map_err(|error| Failure::new(0, error.to_string()))?;
        let mut world = self.load(&state, 0)?;
        self.evaluator.begin(&world);
        for (number, step) in self.case.steps.iter().enumerate() {
            let number = number + 1;
            if step.any_order {
                self.orders(&state, &world, number, step)?;
            }
            for event in &step.events {
                let applied = state.apply(event);
                applied.map_err(|error| Failure::new(number, error.to_string()))?;
                // Each event is seen by itself, as it would be in a cluster.
                world = self.load(&state, number)?;
                self.evaluator.follow(&world);
            }
            validated(&state, number, step)?;
            let scene = self.scene(&world, number, step)?;
            self.judge(&world, &scene, number)?;
            // Who begins with this world says the same.
            self.evaluator.begin(&world);
            self.judge(&world, &scene, number)?;
        }
        Ok(self.case.steps.len())
    }

    fn load(&self, state: &State, step: usize) -> Result<World, Failure> {
        let loaded = state.load(&self.case.id);
        match loaded.problems.iter().find(|problem| !problem.harmless) {
            Some(problem) if !self.case.is_about_problems() => {
                Err(Failure::new(step, format!("not what was meant: {problem}")))
            }
            _ => Ok(loaded.world),
        }
    }

    /// Whatever the order of a step's events, what comes of them is the same. Orders in which an event has nothing to
    /// happen to are none.
    fn orders(
        &mut self,
        before: &State,
        earlier: &World,
        number: usize,
        step: &Step,
    ) -> Result<(), Failure> {
        for order in orders(step.events.len(), MOST_ORDERS) {
            self.evaluator.begin(earlier);
            let events: Vec<&Event> = order.iter().map(|at| &step.events[*at]).collect();
            let Some(world) = self.all(before, earlier, &events, number)? else {
                continue;
            };
            let scene = self.scene(&world, number, step);
            let judged = scene.and_then(|scene| self.judge(&world, &scene, number));
            judged.map_err(|failure| Failure {
                reason: format!("in the order {order:?}: {}", failure.reason),
                ..failure
            })?;
        }
        self.evaluator.begin(earlier);
        Ok(())
    }

    /// The world that comes of events; none where they cannot all happen.
    fn all(
        &mut self,
        before: &State,
        earlier: &World,
        events: &[&Event],
        number: usize,
    ) -> Result<Option<World>, Failure> {
        let (mut state, mut world) = (before.clone(), earlier.clone());
        for event in events {
            if state.apply(event).is_err() {
                return Ok(None);
            }
            world = self.load(&state, number)?;
            self.evaluator.follow(&world);
        }
        Ok(Some(world))
    }

    /// What is asked of a world, and what is expected; what a person wrote down must agree.
    fn scene(&self, world: &World, number: usize, step: &Step) -> Result<Scene, Failure> {
        let ports = expect::ports(world, &self.case.ports);
        let cells = expect::cells(world, &ports, &Family::ALL);
        if let Some(first) = judge::disagreements(step, world, &Family::ALL, &cells).first() {
            return Err(Failure::new(number, first.clone()));
        }
        let expected = expect::expected(world, &self.profile.readings(), &cells);
        Ok(Scene { cells, expected })
    }

    fn judge(&mut self, world: &World, scene: &Scene, number: usize) -> Result<(), Failure> {
        let Scene { cells, expected } = scene;
        self.cells += cells.len();
        let ask = |cell: &Cell| observed(self.evaluator, world, cell);
        let observed: Vec<Observed> = cells.iter().map(ask).collect();
        let failure = Failure::of_cells(number, cells, expected, &observed, is_right);
        failure.map_or(Ok(()), Err)
    }
}

/// Who answers without a Service's choice knows that it depends on it.
fn is_right(expected: &Expected, observed: &Observed) -> bool {
    observed.meets(expected) && (*expected != Expected::Either || *observed == Observed::Mixed)
}

fn observed(evaluator: &impl Evaluator, world: &World, cell: &Cell) -> Observed {
    let Some(from) = world.pod(&cell.from) else {
        return Observed::Error("no such pod".to_owned());
    };
    let ends = expect::ends(world, cell);
    let allowed = ends
        .iter()
        .filter_map(|end| Some((world.pod(&end.pod)?, end)))
        .map(|(to, end)| evaluator.allows(world, from, to, cell.family, end));
    let (yes, no): (Vec<bool>, Vec<bool>) = allowed.partition(|it| *it);
    match (yes.is_empty(), no.is_empty()) {
        (true, _) => Observed::Denied,
        (_, true) => Observed::Allowed,
        (false, false) => Observed::Mixed,
    }
}

/// Objects that a step says are taken or refused: the rules of the API server, which the offline tools follow too. Of
/// what an API server refuses, a remark is enough: an object that is there all the same may be enforced as it stands.
fn validated(state: &State, number: usize, step: &Step) -> Result<(), Failure> {
    for object in &step.accepted {
        let problems = problems_with(state, object).map_err(|error| Failure::new(number, error))?;
        if let Some(problem) = problems.iter().find(|problem| !problem.harmless) {
            return Err(Failure::new(
                number,
                format!("ought to be taken: {problem}"),
            ));
        }
    }
    for (object, field) in &step.rejected {
        let problems = problems_with(state, object).map_err(|error| Failure::new(number, error))?;
        let title = object.name().to_string();
        let own = problems
            .iter()
            .filter(|problem| problem.object.as_ref() == Some(&title));
        let said: Vec<String> = own.map(ToString::to_string).collect();
        if !said.iter().any(|problem| problem.contains(field.as_str())) {
            let (name, said) = (object.name(), said.join("; "));
            let reason = format!("{name} ought to be refused for {field}, and is said: {said:?}");
            return Err(Failure::new(number, reason));
        }
    }
    Ok(())
}

fn problems_with(state: &State, object: &Object) -> Result<Vec<Problem>, String> {
    let mut state = state.clone();
    state.put(object).map_err(|error| error.to_string())?;
    Ok(state.load("object").problems)
}

/// Every order of so many things, or `most` of them, spread evenly.
fn orders(count: usize, most: usize) -> Vec<Vec<usize>> {
    let all = factorial(count);
    let number = all.min(most);
    // Orders are numbered in the factorial system; one in so many is taken.
    (0..number)
        .map(|at| order(count, at * (all / number)))
        .collect()
}

/// How many orders so many things have; as many as can be counted, at most.
fn factorial(count: usize) -> usize {
    (1..=count)
        .try_fold(1_usize, usize::checked_mul)
        .unwrap_or(usize::MAX)
}

/// The order of a number in the factorial system.
fn order(count: usize, mut number: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut order = Vec::with_capacity(count);
    for remaining in (1..=count).rev() {
        let below = factorial(remaining - 1);
        order.push(left.remove((number / below).min(left.len() - 1)));
        number %= below;
    }
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_order_comes_once() {
        let all: BTreeSet<_> = orders(4, MOST_ORDERS).into_iter().collect();
        assert_eq!(all.len(), 24);
        let some: BTreeSet<_> = orders(8, MOST_ORDERS).into_iter().collect();
        assert_eq!(some.len(), MOST_ORDERS);
        assert_eq!(orders(0, MOST_ORDERS), [Vec::<usize>::new()]);
        let many: BTreeSet<_> = orders(70, MOST_ORDERS).into_iter().collect();
        assert!(many.len() > 1 && many.iter().all(|order| order.len() == 70));
    }
}
