//! Pods and Services that are not there from the beginning: without any policy they must be reached as well, so that what
//! is denied of them is denied by policy. Pure.

use anyhow::Result;

use crate::State;
use crate::case::{Case, Event, Object, Step};

/// The events of a step in an order in which a cluster takes them: of those that may come in any, namespaces come before
/// what is in them.
pub(super) fn events(step: &Step) -> Vec<&Event> {
    let is_namespace =
        |event: &&Event| matches!(event, Event::Apply(it) if it.name().kind == "Namespace");
    let mut events: Vec<&Event> = step.events.iter().collect();
    if step.any_order {
        events.sort_by_key(|event| !is_namespace(event));
    }
    events
}

/// What the cluster makes in order that there is somebody to be asked.
fn is_made(object: &Object) -> bool {
    matches!(object.name().kind.as_str(), "Namespace" | "Pod" | "Service")
}

fn made(case: &Case) -> impl Iterator<Item = &Object> {
    let events = case.steps.iter().flat_map(|step| &step.events);
    let applied = events.filter_map(|event| match event {
        Event::Apply(object) => Some(object),
        _ => None,
    });
    applied.filter(|it| is_made(it))
}

/// Whether steps make or change any of it.
pub(super) fn makes_anything(case: &Case) -> bool {
    made(case).next().is_some()
}

/// Of what steps make, what is not there at the end, and not at the beginning; each once, as it is made first.
pub(super) fn passing(case: &Case) -> Result<Vec<&Object>> {
    let start = case.start()?;
    let mut end = start.clone();
    for event in case.steps.iter().flat_map(|step| &step.events) {
        end.apply(event)?;
    }
    let is_passing = |it: &Object| !start.has(it.name()) && !end.has(it.name());
    let mut known = State::default();
    let mut passing = Vec::new();
    for object in made(case) {
        if is_passing(object) && !known.has(object.name()) {
            known.put(object)?;
            passing.push(object);
        }
    }
    Ok(passing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn a_namespace_comes_before_its_pod_where_the_order_does_not_matter() {
        let cases = Catalogue::built_in().cases;
        let case = cases
            .iter()
            .find(|it| &*it.id == "regressions/azure-npm-865");
        let kinds = |events: Vec<&Event>| {
            let kind = |event: &&Event| match event {
                Event::Apply(object) => object.name().kind.clone(),
                other => format!("{other:?}"),
            };
            events.iter().map(kind).collect::<Vec<_>>()
        };
        let step = case.unwrap().steps.last().unwrap();
        assert_eq!(kinds(step.events.iter().collect()), ["Pod", "Namespace"]);
        assert_eq!(kinds(events(step)), ["Namespace", "Pod"]);
    }

    #[test]
    fn what_comes_and_goes_is_known() {
        let cases = Catalogue::built_in().cases;
        let of = |id: &str| {
            let case = cases.iter().find(|case| &*case.id == id);
            let case = case.unwrap_or_else(|| panic!("{id}"));
            let names = passing(case).unwrap().into_iter();
            let names: Vec<String> = names.map(|it| it.name().to_string()).collect();
            (makes_anything(case), names.join(", "))
        };
        assert_eq!(of("upstream/np-01"), (false, String::new()));
        assert_eq!(
            of("orders/pod-made-and-deleted"),
            (true, "Pod x/d".to_owned())
        );
        assert_eq!(of("temporal/new-pods-old-policies"), (true, String::new()));
    }
}
