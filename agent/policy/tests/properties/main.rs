//! The index against the transcription of the specification, on random worlds: verdicts, the order of events,
//! updates against building anew, and what a batch says it changed.

#[path = "../support/mod.rs"]
mod support;

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use objects::{a_scope, an_event, an_object};
use proptest::prelude::*;
use proptest::sample::Index as Pick;
use sluice_policy::{
    Action, AdminKind, Changes, Decision, Direction, Isolation, PodName, Protocol, Scope, Snapshot,
    Tuple,
};
use support::build::{built, ip};
use support::naive::{Outcome, World};

/// Addresses that tuples have, outside ones among them.
const ENDS: [&str; 12] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.1.1",
    "10.0.1.2",
    "fd00::1",
    "fd00::2",
    "::ffff:10.0.0.2",
    "192.168.0.1",
    "192.168.0.2",
    "8.8.8.8",
    "2001:db8::1",
];
/// Every pair of ends with every service worth asking about.
fn tuples() -> impl Iterator<Item = Tuple> {
    let services = [
        (Protocol::Tcp, 1),
        (Protocol::Tcp, 80),
        (Protocol::Tcp, 81),
        (Protocol::Tcp, 90),
        (Protocol::Udp, 1),
        (Protocol::Udp, 53),
        (Protocol::Other(1), 0),
    ];
    let pairs = ENDS.iter().flat_map(|source| {
        ENDS.iter()
            .map(move |destination| (ip(source), ip(destination)))
    });
    pairs.flat_map(move |(source, destination)| {
        services.map(|(protocol, port)| Tuple {
            source,
            destination,
            protocol,
            port,
        })
    })
}

fn by_value(decision: Decision<'_>) -> Outcome {
    (
        decision.action,
        decision.tier,
        decision.policy.map(ToString::to_string),
        decision.rule,
    )
}

/// Holds a snapshot against the specification in everything that can be asked.
fn check(world: &World, scope: &Scope, snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let mut denied: BTreeMap<IpAddr, Isolation> = BTreeMap::new();
    for tuple in tuples() {
        let verdict = snapshot.evaluate(&tuple);
        let is_denied = |decision: Decision<'_>| decision.action == Action::Deny;
        let source = denied.entry(tuple.source.to_canonical()).or_default();
        source.egress |= is_denied(verdict.egress);
        let destination = denied.entry(tuple.destination.to_canonical()).or_default();
        destination.ingress |= is_denied(verdict.ingress);
        let expected = world.decide(scope, &tuple, Direction::Egress);
        prop_assert_eq!(by_value(verdict.egress), expected, "egress of {}", tuple);
        let expected = world.decide(scope, &tuple, Direction::Ingress);
        prop_assert_eq!(by_value(verdict.ingress), expected, "ingress of {}", tuple);
    }
    let ends: BTreeSet<IpAddr> = ENDS.iter().map(|end| ip(end).to_canonical()).collect();
    let mut local = Vec::new();
    for end in &ends {
        prop_assert_eq!(snapshot.pod_at(*end), world.pod_at(*end));
        let isolation = snapshot.isolation(*end);
        let can_deny = world.can_deny(scope, *end);
        prop_assert_eq!(isolation.is_some(), can_deny.is_some());
        if let Some((isolation, can_deny)) = isolation.zip(can_deny) {
            check_isolation(*end, isolation, denied[end], can_deny)?;
        }
        local.extend(isolation.map(|isolation| (*end, isolation)));
    }
    let mut found: Vec<_> = snapshot.local_addresses().collect();
    found.sort_unstable_by_key(|(address, _)| *address);
    prop_assert_eq!(&found, &local);
    check_counts(world, scope, snapshot, &local)
}

/// A pod is isolated where something is denied to it, and only where something can be.
fn check_isolation(
    address: IpAddr,
    isolation: Isolation,
    denied: Isolation,
    can_deny: Isolation,
) -> Result<(), TestCaseError> {
    let within = |one: Isolation, other: Isolation| {
        one.ingress <= other.ingress && one.egress <= other.egress
    };
    prop_assert!(
        within(denied, isolation) && within(isolation, can_deny),
        "{:?} of {}, of which {:?} is denied and {:?} can be",
        isolation,
        address,
        denied,
        can_deny
    );
    Ok(())
}

fn check_counts(
    world: &World,
    scope: &Scope,
    snapshot: &Snapshot,
    local: &[(IpAddr, Isolation)],
) -> Result<(), TestCaseError> {
    let name = |address: &IpAddr| world.subject_at(scope, *address).map(|pod| &pod.name);
    let pods: BTreeSet<_> = local.iter().map(|(address, _)| name(address)).collect();
    let is_isolated = |isolation: &Isolation| isolation.ingress || isolation.egress;
    let isolated: BTreeSet<_> = local
        .iter()
        .filter(|(_, i)| is_isolated(i))
        .map(|(address, _)| name(address))
        .collect();
    let counts = snapshot.counts();
    prop_assert_eq!(
        (counts.local, counts.isolated),
        (pods.len(), isolated.len())
    );
    prop_assert_eq!(
        (counts.pods, counts.network_policies),
        (world.pods.len(), world.policies.len())
    );
    let of_kind = |kind| world.admin.keys().filter(|name| name.kind == kind).count();
    prop_assert_eq!(
        counts.admin_network_policies,
        of_kind(AdminKind::AdminNetworkPolicy)
    );
    prop_assert_eq!(
        counts.baseline_admin_network_policies,
        of_kind(AdminKind::BaselineAdminNetworkPolicy)
    );
    prop_assert_eq!(
        counts.cluster_network_policies,
        of_kind(AdminKind::ClusterNetworkPolicy)
    );
    Ok(())
}

/// Every verdict that differs is announced, and so is every isolation.
fn check_changes(
    worlds: (&World, &World),
    scope: &Scope,
    snapshots: (&Snapshot, &Snapshot),
    changes: &Changes,
) -> Result<(), TestCaseError> {
    let subject = |address| {
        [worlds.0, worlds.1].map(|world| world.subject_at(scope, address).map(|pod| &pod.name))
    };
    let is_announced = |address| {
        subject(address)
            .iter()
            .flatten()
            .any(|name| changes.pods.contains(*name))
    };
    for tuple in tuples() {
        let (before, after) = (snapshots.0.evaluate(&tuple), snapshots.1.evaluate(&tuple));
        if before == after {
            continue;
        }
        let closes = (before.action(), after.action()) == (Action::Allow, Action::Deny);
        prop_assert!(
            !(closes && changes.only_allows),
            "{} is denied by {:?}",
            tuple,
            changes
        );
        let ends = [
            tuple.source.to_canonical(),
            tuple.destination.to_canonical(),
        ];
        prop_assert!(
            ends.iter().any(|end| changes.addresses.contains(end)),
            "no end of {} in {:?}",
            tuple,
            changes
        );
        let egress = before.egress == after.egress || is_announced(tuple.source);
        let ingress = before.ingress == after.ingress || is_announced(tuple.destination);
        prop_assert!(
            egress && ingress,
            "no subject of {} in {:?}",
            tuple,
            changes
        );
    }
    let ends: BTreeSet<IpAddr> = ENDS.iter().map(|end| ip(end).to_canonical()).collect();
    let differing = ends
        .into_iter()
        .filter(|end| snapshots.0.isolation(*end) != snapshots.1.isolation(*end));
    let expected: Vec<_> = differing
        .map(|end| (end, snapshots.1.isolation(end)))
        .collect();
    prop_assert_eq!(&changes.isolation, &expected);
    Ok(())
}

/// A pod is in the changes only if it came, went, or some verdict about it differs, as far as this small universe of
/// tuples can tell.
fn check_precision(
    worlds: (&World, &World),
    scope: &Scope,
    snapshots: (&Snapshot, &Snapshot),
    changes: &Changes,
) -> Result<(), TestCaseError> {
    let own = |world: &World, name: &PodName| -> Vec<IpAddr> {
        let ends = ENDS.iter().map(|end| ip(end).to_canonical());
        ends.filter(|end| {
            world
                .subject_at(scope, *end)
                .is_some_and(|pod| pod.name == *name)
        })
        .collect()
    };
    for name in &changes.pods {
        let addresses = (own(worlds.0, name), own(worlds.1, name));
        let differs = addresses.0 != addresses.1
            || tuples().any(|tuple| {
                let (before, after) = (snapshots.0.evaluate(&tuple), snapshots.1.evaluate(&tuple));
                let is_own = |end: IpAddr| addresses.1.contains(&end.to_canonical());
                (before.egress != after.egress && is_own(tuple.source))
                    || (before.ingress != after.ingress && is_own(tuple.destination))
            });
        let rules = |world: &World| {
            let policies = world.policies.values();
            let own: Vec<_> = policies
                .filter(|policy| policy.namespace == name.namespace)
                .cloned()
                .collect();
            let pod = world.pods.get(name);
            let admin = pod.map_or_else(Vec::new, |pod| world.admin_of(pod));
            (own, admin.into_iter().cloned().collect::<Vec<_>>())
        };
        // A pod on another node is another pod.
        let node = |world: &World| world.pods.get(name).map(|pod| pod.node.clone());
        let differs = differs || node(worlds.0) != node(worlds.1);
        // Whether a source is the pod's own node, which it cannot refuse, is not looked into.
        let is_node = |world: &World| {
            let mut addresses = world.nodes.values().flat_map(|node| &node.addresses);
            addresses.any(|address| changes.addresses.contains(address))
        };
        let differs = differs || is_node(worlds.0) || is_node(worlds.1);
        // Of ports and addresses outside the universe, only an edited policy can speak.
        prop_assert!(
            differs || rules(worlds.0) != rules(worlds.1),
            "{} is in {:?} for nothing",
            name,
            changes
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, max_shrink_iters: 4096, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_those_of_the_specification(objects in prop::collection::vec(an_object(), 0..24), scope in a_scope()) {
        let index = built(scope.clone(), objects.clone());
        check(&World::of(objects), &scope, &index.snapshot())?;
    }

    #[test]
    fn the_order_of_events_does_not_matter(
        objects in prop::collection::vec(an_object(), 0..16),
        keys in prop::collection::vec(any_key(), 32),
        cut in a_pick(),
        scope in a_scope(),
    ) {
        // One event per object, so that the order among objects is all there is; some come twice.
        let events = World::of(objects).events();
        let mut shuffled: Vec<_> = events.iter().chain(events.iter().take(5)).cloned().zip(keys.iter().cycle()).collect();
        shuffled.sort_by_key(|(_, key)| **key);
        let shuffled: Vec<_> = shuffled.into_iter().map(|(event, _)| event).collect();
        let mut index = built(scope.clone(), []);
        for batch in shuffled.chunks(1 + cut.index(4)) {
            let _changes = index.apply(batch.to_vec());
        }
        prop_assert!(*index.snapshot() == *built(scope, events).snapshot());
    }

    #[test]
    fn updates_end_where_building_anew_does(
        batches in prop::collection::vec(prop::collection::vec(an_event(), 1..6), 1..12),
        scope in a_scope(),
    ) {
        let mut index = built(scope.clone(), []);
        let mut world = World::default();
        for batch in batches {
            let (before, world_before) = (index.snapshot(), world.clone());
            batch.iter().cloned().for_each(|event| world.take(event));
            let changes = index.apply(batch);
            let after = index.snapshot();
            prop_assert!(*after == *built(scope.clone(), world.events()).snapshot());
            check_changes((&world_before, &world), &scope, (&before, &after), &changes)?;
            check_precision((&world_before, &world), &scope, (&before, &after), &changes)?;
            prop_assert_eq!(index.apply(world.events()), Changes::default());
        }
        check(&world, &scope, &index.snapshot())?;
    }
}

fn a_pick() -> impl Strategy<Value = Pick> {
    any::<Pick>()
}

fn any_key() -> impl Strategy<Value = u32> {
    any::<u32>()
}
