//! Connections whose verdict is known.

use sluice_policy::{Action, Decision, Event, Index, Scope, Snapshot, Tier, Tuple};

use super::{APPS, PODS, events, policy, tuple};

/// Tuples that a measurement goes through, again and again.
pub(crate) const TUPLES: usize = 512;

/// Tuples between isolated pods of the first namespaces, with the same outcome in all snapshots.
pub(crate) fn tuples(snapshots: &[&Snapshot], namespaces: usize, action: Action) -> Vec<Tuple> {
    let pairs = (0..namespaces * PODS)
        .flat_map(|source| (0..PODS).map(move |other| (source, source / PODS * PODS + other)));
    let port = if action == Action::Allow { 8080 } else { 8085 };
    let all = pairs.map(|(source, destination)| tuple(source, destination, port));
    let is_wanted = |tuple: &Tuple| {
        snapshots.iter().all(|snapshot| {
            let verdict = snapshot.evaluate(tuple);
            let is_judged = |decision: Decision<'_>| decision.tier == Tier::NetworkPolicy;
            is_judged(verdict.egress) && is_judged(verdict.ingress) && verdict.action() == action
        })
    };
    let found: Vec<_> = all.filter(is_wanted).collect();
    let step = found.len() / TUPLES;
    assert!(step > 0, "too few tuples with {action:?}: {}", found.len());
    found.into_iter().step_by(step).take(TUPLES).collect()
}

/// A cluster of `pods` pods in which the first policies are one for each app of the first namespace, so that few
/// policies and many judge the same connections.
pub(crate) fn first_namespace_first(pods: usize, policies: usize) -> Index {
    let namespaces = pods / PODS;
    let first = (0..APPS).map(|app| app * namespaces);
    let others = (0..).filter(|number| number % namespaces != 0 || number / namespaces >= APPS);
    let all = first.chain(others).take(policies);
    let mut index = Index::new(Scope::Cluster);
    let made = all.map(|number| Event::NetworkPolicy(policy(number, namespaces)));
    let _changes = index.apply(events(pods, 0).chain(made));
    index
}
