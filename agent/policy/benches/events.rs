//! What one event costs, from `apply` to the published snapshot.

mod world;

use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sluice_policy::{Event, Index, NetworkPolicy, Pod, Scope};

/// A policy that changes its mind about a port with every event.
fn other_policy(number: usize, turn: usize) -> Event {
    let mut policy: NetworkPolicy = world::policy(number, 100);
    let port = 9000 + u16::try_from(turn % 1000).expect("a port");
    policy
        .ingress
        .get_or_insert_default()
        .push(world::rule(Vec::new(), vec![world::tcp(port, port)]));
    if let Some(rule) = policy.ingress.iter_mut().flatten().next() {
        rule.ports = sluice_policy::Ports::Of(vec![world::tcp(port, port)]);
    }
    Event::NetworkPolicy(policy)
}

/// The event of a turn in a cluster of so many pods.
type PodEvent = fn(usize, usize) -> Event;

/// A pod of the node that moves to another app with every event, so that its rules and its peers' view change.
fn relabelled(pods: usize, turn: usize) -> Event {
    let mut pod: Pod = world::pod(0, pods / world::PODS);
    pod.labels = world::pod(1 + turn % (world::APPS - 1), pods / world::PODS).labels;
    Event::Pod(pod)
}

/// A pod of another node that goes and comes.
fn coming_and_going(pods: usize, turn: usize) -> Event {
    let pod = world::pod(7, pods / world::PODS);
    if turn.is_multiple_of(2) {
        Event::Pod(pod)
    } else {
        Event::PodGone(pod.name)
    }
}

fn measure(c: &mut Criterion, name: &str, mut index: Index, event: impl Fn(usize) -> Event) {
    let mut turn = 0;
    c.bench_function(name, |b| {
        b.iter_batched(
            || {
                turn += 1;
                event(turn)
            },
            |event| {
                let changes = index.apply([event]);
                assert!(!changes.is_empty(), "the event changes something");
                (changes, index.snapshot())
            },
            BatchSize::PerIteration,
        );
    });
}

fn policy_events(c: &mut Criterion) {
    for (scope, name) in [(world::one_node(), "node"), (Scope::Cluster, "cluster")] {
        let index = world::index(scope, 10_000, 1000);
        measure(
            c,
            &format!("policy event, 1000 policies, 10000 pods, scope {name}"),
            index,
            |turn| other_policy(0, turn),
        );
    }
}

fn pod_events(c: &mut Criterion) {
    for (scope, name) in [(world::one_node(), "node"), (Scope::Cluster, "cluster")] {
        for pods in [10_000, 100_000] {
            let kinds = [
                ("relabel", relabelled as PodEvent),
                ("churn", coming_and_going),
            ];
            for (kind, event) in kinds {
                let index = world::index(scope.clone(), pods, pods / 10);
                let name = format!(
                    "pod {kind} event, {} policies, {pods} pods, scope {name}",
                    pods / 10
                );
                measure(c, &name, index, |turn| event(pods, turn));
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3));
    targets = policy_events, pod_events
}
criterion_main!(benches);
