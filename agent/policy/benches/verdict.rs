//! What a verdict costs, and that it does not grow with the number of policies.

mod world;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use sluice_policy::{
    Action, Event, Index, Labels, Namespaces, NetworkPolicy, Peer, Scope, Snapshot, Tuple,
};
use world::tuples::{TUPLES, first_namespace_first, tuples};

const PODS: usize = 10_000;
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: String,
    snapshot: &Snapshot,
    tuples: &[Tuple],
) {
    let mut cycle = tuples.iter().cycle();
    group.bench_function(name, |b| {
        b.iter(|| {
            black_box(snapshot.evaluate(black_box(cycle.next().expect("an endless iterator"))))
        });
    });
}

fn by_policies(c: &mut Criterion) {
    let mut group = c.benchmark_group("verdict, 10000 pods");
    let (few, many) = (
        first_namespace_first(PODS, world::APPS).snapshot(),
        world::index(Scope::Cluster, PODS, 10_000).snapshot(),
    );
    for action in [Action::Allow, Action::Deny] {
        let both = tuples(&[&few, &many], 1, action);
        measure(
            &mut group,
            format!("10 policies, {action:?}").to_lowercase(),
            &few,
            &both,
        );
        measure(
            &mut group,
            format!("10000 policies, {action:?}").to_lowercase(),
            &many,
            &both,
        );
        let everywhere = tuples(&[&many], PODS / world::PODS, action);
        measure(
            &mut group,
            format!("10000 policies, {action:?}, all namespaces").to_lowercase(),
            &many,
            &everywhere,
        );
        let name = format!("verdict, 10000 pods, {action:?}").to_lowercase();
        compare(&name, [&few, &many], &[both.clone(), both]);
        compare(
            &format!("{name}, all namespaces"),
            [&many, &many],
            &[everywhere.clone(), everywhere],
        );
    }
}

/// The cluster with 10,000 NetworkPolicies between the tiers of that many ClusterNetworkPolicies.
fn snapshot_with_tiers(policies: usize) -> Arc<Snapshot> {
    let mut index = world::index(Scope::Cluster, PODS, 10_000);
    let namespaces = PODS / world::PODS;
    let admin = (0..policies).map(|number| world::admin_policy(number, namespaces));
    let _changes = index.apply(admin.map(Event::AdminPolicy));
    index.snapshot()
}

fn by_admin_policies(c: &mut Criterion) {
    let mut group = c.benchmark_group("verdict, admin tiers");
    let snapshots = [10, 10_000].map(snapshot_with_tiers);
    for action in [Action::Allow, Action::Deny] {
        let both = tuples(&[&snapshots[0], &snapshots[1]], 1, action);
        for (snapshot, policies) in snapshots.iter().zip([10, 10_000]) {
            let name = format!("{policies} admin policies, {action:?}").to_lowercase();
            measure(&mut group, name, snapshot, &both);
        }
        let name = format!("verdict, admin tiers, {action:?}").to_lowercase();
        compare(&name, [&snapshots[0], &snapshots[1]], &[both.clone(), both]);
    }
}

/// A policy for pod 0 alone, from peers of its own.
fn policy_for_one(number: usize) -> Event {
    let peer = Peer::Pods {
        namespaces: Namespaces::Own,
        pods: world::labelled("peer", &format!("p{number}")),
    };
    Event::NetworkPolicy(NetworkPolicy {
        namespace: "ns-0".into(),
        name: format!("one-{number:05}").into(),
        pods: world::labelled("app", "the-one"),
        ingress: Some(vec![world::rule(vec![peer], vec![world::tcp(8080, 8080)])]),
        egress: None,
    })
}

/// One pod that all policies select, and pods that one policy each lets in.
fn snapshot_for_one(policies: usize) -> Arc<Snapshot> {
    let mut index = Index::new(Scope::Cluster);
    let pods = (0..PODS).map(|number| {
        let mut pod = world::pod(number, 100);
        pod.name.namespace = "ns-0".into();
        let peer = format!("p{}", number % policies);
        let label = if number == 0 {
            ("app", "the-one".to_owned())
        } else {
            ("peer", peer)
        };
        // As many identities with few policies as with many.
        pod.labels = Labels::from([
            (label.0.into(), label.1.into()),
            ("pod".into(), number.to_string().into()),
        ]);
        Event::Pod(pod)
    });
    let _changes = index.apply(pods.chain((0..policies).map(policy_for_one)));
    index.snapshot()
}

fn one_pod(c: &mut Criterion) {
    let mut group = c.benchmark_group("verdict, one pod");
    let snapshots = [10, 10_000].map(snapshot_for_one);
    for (action, port) in [(Action::Allow, 8080), (Action::Deny, 81)] {
        let spread = (0..TUPLES).map(|number| 1 + number * (PODS - 1) / TUPLES);
        let tuples: Vec<_> = spread.map(|peer| world::tuple(peer, 0, port)).collect();
        for (snapshot, policies) in snapshots.iter().zip([10, 10_000]) {
            assert!(
                tuples
                    .iter()
                    .all(|tuple| snapshot.evaluate(tuple).action() == action)
            );
            measure(
                &mut group,
                format!("{policies} policies, {action:?}").to_lowercase(),
                snapshot,
                &tuples,
            );
        }
        let name = format!("verdict, one pod, {action:?}").to_lowercase();
        compare(
            &name,
            [&snapshots[0], &snapshots[1]],
            &[tuples.clone(), tuples],
        );
    }
}

/// The same two figures in turns, each turn shorter than a time slice, which other work on the machine disturbs less;
/// medians, and the ratio that is promised.
fn compare(name: &str, snapshots: [&Snapshot; 2], tuples: &[Vec<Tuple>; 2]) {
    let turn = |which: usize| {
        let start = Instant::now();
        for tuple in &tuples[which] {
            let _verdict = black_box(snapshots[which].evaluate(black_box(tuple)));
        }
        start.elapsed().as_secs_f64() * 1e9
            / f64::from(u32::try_from(tuples[which].len()).expect("few tuples"))
    };
    let mut turns = [Vec::new(), Vec::new()];
    for _ in 0..4000 {
        turns[0].push(turn(0));
        turns[1].push(turn(1));
    }
    let [few, many] = turns.map(|mut turns| {
        turns.sort_by(f64::total_cmp);
        turns[turns.len() / 2]
    });
    println!(
        "{name}: 10 policies {few:.0} ns, 10000 policies {many:.0} ns, ratio {:.2}",
        many / few
    );
}

criterion_group!(benches, by_policies, by_admin_policies, one_pod);
criterion_main!(benches);
