//! A smaller case that fails as a large one does: whatever can go without the failure going goes.

use serde_json::Value;
use sluice_kubernetes::Problem;

use super::case::features;
use super::judge::state_after;
use crate::State;
use crate::case::{Case, Event, Object, Step};

/// Something that can go.
#[derive(Clone, Debug)]
enum Part {
    /// What happens in the first so many steps: what comes of it is there from the beginning.
    Past(usize),
    Step(usize),
    Event(usize, usize),
    /// That the events of a step happen in any order.
    Orders(usize),
    Object(usize),
    Port(usize),
    /// That something is meant to be wrong.
    Invalid,
    /// A field of an object, or an entry of a list in it.
    Of(Holder, Vec<Key>),
}

/// Where an object stands in a case.
#[derive(Clone, Copy, Debug)]
enum Holder {
    Object(usize),
    Event(usize, usize),
}

#[derive(Clone, Debug)]
enum Key {
    Field(String),
    Entry(usize),
}

/// What an object of its kind always has.
const KEPT: [&str; 11] = [
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "spec",
    "status",
    "podIPs",
    "ip",
    "nodeName",
    "containers",
];

/// The smallest case that is found in which `fails` still holds.
pub(super) fn shrink(case: &Case, mut fails: impl FnMut(&Case) -> bool) -> Case {
    let mut small = case.clone();
    loop {
        small.features = features(&small.objects, &small.steps);
        let mut has_changed = false;
        let mut at = 0;
        while let Some(part) = parts(&small).get(at) {
            match without(&small, part).filter(&mut fails) {
                Some(smaller) => {
                    small = smaller;
                    has_changed = true;
                }
                None => at += 1,
            }
        }
        if !has_changed {
            return small;
        }
    }
}

/// Whether nothing is wrong with a case but peers of admin policies that are not known, of which the API says what comes.
pub(super) fn is_as_meant(case: &Case) -> bool {
    let Ok(mut state) = case.start() else {
        return false;
    };
    let is_right = |state: &State| {
        let problems = state.load(&case.id).problems;
        let mut wrong = problems.iter().filter(|problem| !problem.harmless);
        wrong.all(is_unknown_peer)
    };
    let mut events = case.steps.iter().flat_map(|step| &step.events);
    is_right(&state) && events.all(|event| state.apply(event).is_ok() && is_right(&state))
}

/// Whether a problem is an entry of `from` or `to` in which no known field is set.
fn is_unknown_peer(problem: &Problem) -> bool {
    let field = problem.field.as_deref().unwrap_or_default();
    let object = problem.object.as_deref().unwrap_or_default();
    let peer = field.rsplit_once("from[").or(field.rsplit_once("to["));
    let rest = peer.and_then(|(_, rest)| rest.split_once(']'));
    !object.starts_with("NetworkPolicy ")
        && rest.is_some_and(|(_, rest)| matches!(rest, "" | ".services"))
}

/// Everything that can go, what holds most first.
fn parts(case: &Case) -> Vec<Part> {
    let mut parts: Vec<Part> = (2..=case.steps.len()).rev().map(Part::Past).collect();
    // The first step is what there is before anything happens.
    parts.extend((1..case.steps.len()).rev().map(Part::Step));
    for (at, step) in case.steps.iter().enumerate() {
        if step.any_order {
            parts.push(Part::Orders(at));
        }
        if step.events.len() > 1 {
            parts.extend((0..step.events.len()).map(|event| Part::Event(at, event)));
        }
    }
    parts.extend((0..case.objects.len()).rev().map(Part::Object));
    parts.extend((0..case.ports.len()).map(Part::Port));
    if case.is_about_problems() {
        parts.push(Part::Invalid);
    }
    for (holder, object) in objects(case) {
        let mut path = Vec::new();
        fields(object.value(), &mut path, &mut |path| {
            parts.push(Part::Of(holder, path.to_vec()));
        });
    }
    parts
}

/// Every object that a case writes down.
fn objects(case: &Case) -> Vec<(Holder, &Object)> {
    let own = case.objects.iter().enumerate();
    let mut all: Vec<(Holder, &Object)> = own.map(|(at, it)| (Holder::Object(at), it)).collect();
    for (at, step) in case.steps.iter().enumerate() {
        for (number, event) in step.events.iter().enumerate() {
            if let Event::Apply(object) = event {
                all.push((Holder::Event(at, number), object));
            }
        }
    }
    all
}

/// Every field and entry below a value that may go, outer ones first.
fn fields(value: &Value, path: &mut Vec<Key>, found: &mut impl FnMut(&[Key])) {
    let keys: Vec<(Key, &Value, bool)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (Key::Field(key.clone()), value, KEPT.contains(&key.as_str())))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| (Key::Entry(at), value, false))
            .collect(),
        _ => return,
    };
    for (key, value, is_kept) in keys {
        path.push(key);
        if !is_kept {
            found(&path[..]);
        }
        fields(value, path, found);
        path.pop();
    }
}

/// A case without a part of it; none where it cannot be without.
fn without(case: &Case, part: &Part) -> Option<Case> {
    let mut small = case.clone();
    match part {
        Part::Past(steps) => return after(case, *steps),
        Part::Step(at) => drop(small.steps.remove(*at)),
        Part::Event(step, at) => drop(small.steps[*step].events.remove(*at)),
        Part::Orders(at) => small.steps[*at].any_order = false,
        Part::Object(at) => drop(small.objects.remove(*at)),
        Part::Port(at) => drop(small.ports.remove(*at)),
        Part::Invalid => small.tags.clear(),
        Part::Of(holder, path) => {
            let object = match holder {
                Holder::Object(at) => &mut small.objects[*at],
                Holder::Event(step, at) => match &mut small.steps[*step].events[*at] {
                    Event::Apply(object) => object,
                    _ => return None,
                },
            };
            remove(object.value_mut(), path)?;
        }
    }
    Some(small)
}

/// A case that begins with what there is after so many steps.
fn after(case: &Case, steps: usize) -> Option<Case> {
    let world = crate::world::world(&case.world).ok()?;
    let state = state_after(case, steps)?;
    let is_own = |object: &&Object| !world.objects().contains(object);
    let own = state.objects().iter().filter(is_own).cloned();
    let (policies, mut objects): (Vec<Object>, Vec<Object>) =
        own.partition(|it| it.name().is_policy());
    objects.extend(policies);
    let first = [Step::default()].into_iter();
    Some(Case {
        objects,
        steps: first.chain(case.steps[steps..].iter().cloned()).collect(),
        ..case.clone()
    })
}

fn remove(value: &mut Value, path: &[Key]) -> Option<()> {
    let (last, above) = path.split_last()?;
    let mut at = value;
    for key in above {
        at = match key {
            Key::Field(name) => at.get_mut(name)?,
            Key::Entry(number) => at.get_mut(number)?,
        };
    }
    match (last, at) {
        (Key::Field(name), Value::Object(map)) => drop(map.remove(name)?),
        // The addresses of a pod are its own, and not what a reader of the case would give it.
        (Key::Entry(_), Value::Array(items)) if items.len() == 1 && is_addresses(above) => {
            return None;
        }
        (Key::Entry(number), Value::Array(items)) => drop(items.remove(*number)),
        _ => return None,
    }
    Some(())
}

fn is_addresses(path: &[Key]) -> bool {
    matches!(path.last(), Some(Key::Field(name)) if name == "podIPs")
}
