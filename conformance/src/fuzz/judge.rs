//! One case: what the oracle says of it, and what the relations say.

use std::sync::Arc;

use sluice_kubernetes::World;
use sluice_oracle::{Cell, Family};

use super::draw::Draw;
use super::relation::{RELATIONS, Relation};
use super::run::Tally;
use crate::State;
use crate::case::{Case, Step};
use crate::expect;
use crate::judge::Observed;
use crate::profile::Profile;
use crate::runner::{Evaluator, Run, Scene, observed, play};

/// How many relations are tried on each case.
const TRIED: usize = 3;

/// What is wrong with a case.
pub(super) struct Trouble {
    /// The relation that does not hold; none where the oracle disagrees.
    pub(super) relation: Option<&'static Relation>,
    pub(super) reason: String,
}

/// Judges a case of a seed; none where nothing is wrong.
pub(super) fn judge(
    evaluator: &mut impl Evaluator,
    case: &Case,
    seed: u64,
    tally: &mut Tally,
) -> Option<Trouble> {
    let mut run = Run::new(evaluator);
    let played = play(case, Profile::SLUICE, &mut run);
    tally.cells += run.cells;
    tally.denied += run.denied;
    match played {
        Ok(steps) => tally.steps += steps,
        Err(failure) => {
            return Some(Trouble {
                relation: None,
                reason: format!("step {}: {}", failure.step, failure.reason),
            });
        }
    }
    tried(seed).find_map(|relation| {
        let reason = match broken(evaluator, case, seed, relation) {
            Tried::Nothing => return None,
            Tried::Holds => None,
            Tried::Broken(reason) => Some(reason),
        };
        *tally.relations.entry(relation.name).or_default() += 1;
        reason.map(|reason| Trouble {
            relation: Some(relation),
            reason,
        })
    })
}

/// A case with what one of the relations of its seed changes as its last step; none where they have nothing to change.
pub(super) fn related(case: &Case, seed: u64) -> Option<(&'static Relation, Case)> {
    tried(seed).find_map(|relation| {
        let changed = with_change(case, seed, relation);
        (changed.steps.len() > case.steps.len()).then_some((relation, changed))
    })
}

/// The relations that are tried on the case of a seed.
fn tried(seed: u64) -> impl Iterator<Item = &'static Relation> {
    let every: Vec<&Relation> = RELATIONS.iter().collect();
    Draw::of(seed).some(&every, TRIED..=TRIED).into_iter()
}

/// Whether the oracle disagrees about a connection, in a case that is as it is meant to be.
pub(super) fn is_disputed(evaluator: &mut impl Evaluator, case: &Case) -> bool {
    let played = play(case, Profile::SLUICE, &mut Run::new(evaluator));
    played.is_err_and(|failure| !failure.wrong.is_empty())
}

/// What came of a relation.
pub(super) enum Tried {
    /// There is nothing in the case that it is about.
    Nothing,
    Holds,
    Broken(String),
}

/// Changes what there is at the end of a case, and compares what is open.
pub(super) fn broken(
    evaluator: &mut impl Evaluator,
    case: &Case,
    seed: u64,
    relation: &'static Relation,
) -> Tried {
    let Some((before, after)) = changed(case, seed, relation) else {
        return Tried::Nothing;
    };
    let ports = expect::ports(&before.world, &case.ports);
    let cells = expect::cells(&before.world, &ports, &Family::ALL);
    evaluator.begin(&before);
    let first = answers(evaluator, &before.world, &cells);
    evaluator.follow(&after);
    let second = answers(evaluator, &after.world, &cells);
    let mut all = cells.iter().zip(first.iter().zip(&second));
    let wrong =
        all.find(|(cell, (first, second))| !relation.holds.of(&after.world, cell, first, second));
    wrong.map_or(Tried::Holds, |(cell, (first, second))| {
        let sentence = relation.sentence;
        Tried::Broken(format!("{sentence}: {cell} is {first}, then {second}"))
    })
}

fn answers(evaluator: &impl Evaluator, world: &World, cells: &[Cell]) -> Vec<Observed> {
    let probes = expect::probes(world, cells);
    let answers = probes.iter().map(|probe| observed(evaluator, world, probe));
    answers.collect()
}

/// What there is at the end of a case, and when a relation has changed it.
fn changed(case: &Case, seed: u64, relation: &Relation) -> Option<(Arc<Scene>, Arc<Scene>)> {
    let state = end(case)?;
    let events = relation.change(&mut draw(seed, relation), &state)?;
    let mut other = state.clone();
    for event in &events {
        other.apply(event).ok()?;
    }
    Some((scene(case, state), scene(case, other)))
}

/// A case with what a relation changes as its last step.
pub(super) fn with_change(case: &Case, seed: u64, relation: &Relation) -> Case {
    let state = end(case);
    let events = state.and_then(|state| relation.change(&mut draw(seed, relation), &state));
    let mut case = case.clone();
    relation.sentence.clone_into(&mut case.sentence);
    case.steps.extend(events.map(|events| Step {
        title: Some(relation.sentence.to_owned()),
        events,
        ..Step::default()
    }));
    case
}

/// Each relation draws by itself, so that it changes the same whatever others do.
fn draw(seed: u64, relation: &Relation) -> Draw {
    let name = relation.name.bytes();
    Draw::of(name.fold(seed, |all, byte| {
        all.wrapping_mul(31).wrapping_add(byte.into())
    }))
}

fn end(case: &Case) -> Option<State> {
    state_after(case, case.steps.len())
}

/// What there is after so many steps of a case; none where something cannot happen.
pub(super) fn state_after(case: &Case, steps: usize) -> Option<State> {
    let mut state = case.start().ok()?;
    for event in case.steps[..steps].iter().flat_map(|step| &step.events) {
        state.apply(event).ok()?;
    }
    Some(state)
}

fn scene(case: &Case, state: State) -> Arc<Scene> {
    let world = state.load(&case.id).world;
    Arc::new(Scene { state, world })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::case::case;
    use crate::fuzz::relation::named;
    use crate::mutants::Mutant;

    /// Each relation with a fault that it tells without an oracle.
    const TOLD: [(&str, &str); RELATIONS.len()] = [
        ("order", "stack-first"),
        ("rule-added", "rules-first"),
        ("rules-apart", "stack-every"),
        ("peers-apart", "peers-every"),
        ("twice", "stack-even"),
        ("types-written", "types-default-egress-never"),
        ("keys-renamed", "selector-key-prefix-dropped"),
        ("labels-as-expressions", "selector-expressions-ignored"),
        ("priorities-shifted", "tiers-priority-as-text"),
        ("no-policies", "change-keeps-deleted-policies"),
        ("deny-added", "rules-none-allow"),
        ("deny-alone", "types-only-ingress"),
        ("accept-first", "tiers-network-policy-first"),
    ];

    #[test]
    fn relations_tell_faults() {
        for (name, fault) in TOLD {
            let relation = named(Some(name)).unwrap();
            let is_told = (0..200).any(|seed| {
                let mut mutant = Mutant::of(fault).unwrap();
                let tried = broken(&mut mutant, &case(seed), seed, relation);
                matches!(tried, Tried::Broken(_))
            });
            assert!(is_told, "{name} does not tell {fault}");
        }
    }
}
