//! What one event costs, from `apply` to the published snapshot.

mod world;

use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sluice_policy::{Event, Index, Scope};
use world::turns::{self, Turn};

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
            |turn| turns::edited(10_000, turn),
        );
    }
}

fn pod_events(c: &mut Criterion) {
    for (scope, name) in [(world::one_node(), "node"), (Scope::Cluster, "cluster")] {
        for pods in [10_000, 100_000] {
            let kinds = [
                ("relabel", turns::relabelled as Turn),
                ("churn", turns::coming_and_going),
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
