//! A static case as an evaluator lives through it: worlds, one after another, and questions about some of them.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_kubernetes::Problem;
use sluice_oracle::{Cell, Family};

use super::{Failure, Scene};
use crate::State;
use crate::case::{Case, Event, Object, Step};
use crate::expect::{self, Expected, Probe};
use crate::judge;
use crate::profile::Profile;

/// As many orders of events as are tried; of more, so many spread evenly over all.
const MOST_ORDERS: usize = 720;

/// Who lives through a case.
pub(crate) trait Player {
    /// Sees a world that has nothing to do with the one before.
    fn begin(&mut self, scene: &Arc<Scene>);

    /// Sees what became of the world.
    fn follow(&mut self, scene: &Arc<Scene>);

    /// Is asked about the world that it saw last. An error ends the case.
    fn answer(&mut self, step: usize, questions: &Questions) -> Result<(), Failure>;
}

/// Everything that is asked about a world, and what ought to be answered: cell by cell, in one order.
pub(crate) struct Questions {
    pub(crate) scene: Arc<Scene>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) probes: Vec<Probe>,
    pub(crate) expected: Vec<Expected>,
}

/// Plays a case from beginning to end; the number of its steps, where nobody objects.
pub(crate) fn play(
    case: &Case,
    profile: Profile,
    player: &mut impl Player,
) -> Result<usize, Failure> {
    let mut stage = Stage {
        case,
        profile,
        player,
        scenes: HashMap::new(),
        asked: None,
        is_fresh: true,
    };
    stage.case()?;
    Ok(case.steps.len())
}

/// One case under way.
struct Stage<'p, P> {
    case: &'p Case,
    profile: Profile,
    player: &'p mut P,
    /// Scenes of the case by what they are made of, as several orders of events lead to one.
    scenes: HashMap<Vec<Arc<str>>, Arc<Scene>>,
    /// What was asked last, and in which step.
    asked: Option<(usize, Arc<Questions>)>,
    /// Whether the player knows nothing but the present world.
    is_fresh: bool,
}

impl<P: Player> Stage<'_, P> {
    fn case(&mut self) -> Result<(), Failure> {
        let case = self.case;
        let state = case.start();
        let mut state = state.map_err(|error| Failure::new(0, error.to_string()))?;
        let scene = self.scene(&state, 0)?;
        self.begin(&scene);
        for (number, step) in (1..).zip(&case.steps) {
            if step.any_order {
                self.orders(&state, number, step)?;
            }
            for event in &step.events {
                let happened = state.apply(event);
                happened.map_err(|error| Failure::new(number, error.to_string()))?;
                // Each event is seen by itself, as it would be in a cluster.
                self.follow(&state, number)?;
            }
            validated(&state, number, step)?;
            let scene = self.scene(&state, number)?;
            self.ask(&scene, number, step)?;
            if !self.is_fresh {
                // Who begins with this world says the same.
                self.begin(&scene);
                self.ask(&scene, number, step)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, scene: &Arc<Scene>) {
        self.player.begin(scene);
        self.is_fresh = true;
    }

    fn follow(&mut self, state: &State, step: usize) -> Result<(), Failure> {
        let scene = self.scene(state, step)?;
        self.player.follow(&scene);
        self.is_fresh = false;
        Ok(())
    }

    fn scene(&mut self, state: &State, step: usize) -> Result<Arc<Scene>, Failure> {
        let fingerprint = state.fingerprint();
        if let Some(scene) = self.scenes.get(&fingerprint) {
            return Ok(Arc::clone(scene));
        }
        let loaded = state.load(&self.case.id);
        let mut problems = loaded.problems.iter();
        let problem = problems.find(|problem| !problem.harmless);
        if let Some(problem) = problem.filter(|_| !self.case.is_about_problems()) {
            let reason = format!("not what was meant: {problem}");
            return Err(Failure::new(step, reason));
        }
        let scene = Arc::new(Scene {
            state: state.clone(),
            world: loaded.world,
        });
        self.scenes.insert(fingerprint, Arc::clone(&scene));
        Ok(scene)
    }

    /// Whatever the order of a step's events, what comes of them is the same. Orders in which an event has nothing to
    /// happen to are none.
    fn orders(&mut self, before: &State, number: usize, step: &Step) -> Result<(), Failure> {
        let earlier = self.scene(before, number)?;
        for order in orders(step.events.len(), MOST_ORDERS) {
            self.begin(&earlier);
            let events: Vec<&Event> = order.iter().map(|at| &step.events[*at]).collect();
            let Some(after) = self.all(before, &events, number)? else {
                continue;
            };
            let scene = self.scene(&after, number)?;
            let asked = self.ask(&scene, number, step);
            asked.map_err(|failure| Failure {
                reason: format!("in the order {order:?}: {}", failure.reason),
                ..failure
            })?;
        }
        self.begin(&earlier);
        Ok(())
    }

    /// What there is when all events have happened; none where they cannot.
    fn all(
        &mut self,
        before: &State,
        events: &[&Event],
        number: usize,
    ) -> Result<Option<State>, Failure> {
        let mut state = before.clone();
        for event in events {
            if state.apply(event).is_err() {
                return Ok(None);
            }
            self.follow(&state, number)?;
        }
        Ok(Some(state))
    }

    fn ask(&mut self, scene: &Arc<Scene>, number: usize, step: &Step) -> Result<(), Failure> {
        let asked = self.asked.take();
        let is_same = |(asked, questions): &(usize, Arc<Questions>)| {
            *asked == number && Arc::ptr_eq(&questions.scene, scene)
        };
        let questions = match asked.filter(is_same) {
            Some((_, questions)) => questions,
            None => Arc::new(self.questions(scene, number, step)?),
        };
        self.asked = Some((number, Arc::clone(&questions)));
        self.player.answer(number, &questions)
    }

    fn questions(
        &self,
        scene: &Arc<Scene>,
        number: usize,
        step: &Step,
    ) -> Result<Questions, Failure> {
        let world = &scene.world;
        let ports = expect::ports(world, &self.case.ports);
        let cells = expect::cells(world, &ports, &Family::ALL);
        if let Some(first) = judge::disagreements(step, world, &Family::ALL, &cells).first() {
            return Err(Failure::new(number, first.clone()));
        }
        let probes = expect::probes(world, &cells);
        let expected = expect::expected_of(world, &self.profile.readings(), &probes);
        Ok(Questions {
            scene: Arc::clone(scene),
            cells,
            probes,
            expected,
        })
    }
}

/// Objects that a step says are taken or refused: the rules of the API server, which the offline tools follow too. Of
/// what an API server refuses, a remark is enough: an object that is there all the same may be enforced as it stands.
fn validated(state: &State, number: usize, step: &Step) -> Result<(), Failure> {
    let wrong = |error: String| Failure::new(number, error);
    for object in &step.accepted {
        let problems = problems_with(state, object).map_err(wrong)?;
        if let Some(problem) = problems.iter().find(|problem| !problem.harmless) {
            return Err(wrong(format!("ought to be taken: {problem}")));
        }
    }
    for (object, field) in &step.rejected {
        let problems = problems_with(state, object).map_err(wrong)?;
        let title = object.name().to_string();
        let own = problems
            .iter()
            .filter(|problem| problem.object.as_ref() == Some(&title));
        let said: Vec<String> = own.map(ToString::to_string).collect();
        if !said.iter().any(|problem| problem.contains(field.as_str())) {
            let (name, said) = (object.name(), said.join("; "));
            return Err(wrong(format!(
                "{name} ought to be refused for {field}, and is said: {said:?}"
            )));
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
