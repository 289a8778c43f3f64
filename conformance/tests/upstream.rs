//! The oracle says what Kubernetes' own suite writes down, in both families.

use std::collections::BTreeSet;

use sluice_conformance::{Case, Expectation, Family, Oracle, Step, upstream};
use sluice_kubernetes::World;

fn check(case: &Case) {
    for (number, step) in case.steps.iter().enumerate() {
        let loaded = step.load();
        assert_eq!(
            loaded.problems,
            [],
            "{} step {number}: {}",
            case.id,
            step.manifests()
        );
        assert_eq!(
            loaded.world.api_policies.len(),
            step.policies.len(),
            "{} step {number}",
            case.id
        );
        check_step(case, step, &loaded.world);
    }
}

fn check_step(case: &Case, step: &Step, world: &World) {
    for expectation in step.expect {
        for family in Family::ALL {
            let wrong = wrong_cells(world, expectation, family);
            let Expectation { port, protocol, .. } = expectation;
            assert!(
                wrong.is_empty(),
                "{} ({}), {port}/{protocol} {family}: {wrong:#?}",
                case.id,
                case.title
            );
        }
    }
}

/// The cells in which the oracle and what is written differ.
fn wrong_cells(world: &World, expectation: &Expectation, family: Family) -> Vec<String> {
    let oracle = Oracle::new(world);
    let pods = || world.pods.iter().map(|facts| &facts.pod);
    let mut wrong = Vec::new();
    for (source, destination) in
        pods().flat_map(|source| pods().map(move |destination| (source, destination)))
    {
        let said = oracle.allowed(
            source,
            destination,
            family,
            expectation.protocol,
            expectation.port,
        );
        if said == expectation.is_denied(source, destination) {
            wrong.push(format!(
                "{} > {}: the oracle says {said}",
                source.name, destination.name
            ));
        }
    }
    wrong
}

#[test]
fn the_oracle_says_what_upstream_expects() {
    upstream::CASES.iter().for_each(check);
}

#[test]
fn all_of_upstream_is_there_once() {
    let ids: BTreeSet<_> = upstream::CASES.iter().map(|case| case.id).collect();
    assert_eq!((upstream::CASES.len(), ids.len()), (48, 48));
    assert_eq!(
        ids.iter()
            .filter(|id| id.starts_with("np-udp") || id.starts_with("np-sctp"))
            .count(),
        6
    );
}

#[test]
fn every_world_has_nine_pods_with_both_families() {
    let world = upstream::CASES[0].steps[0].load().world;
    let addresses: Vec<_> = world
        .pods
        .iter()
        .map(|facts| {
            facts
                .pod
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(addresses.len(), 9);
    assert_eq!(addresses[0], ["10.244.0.1", "fd00:10:244::1"]);
    assert_eq!(addresses[4], ["10.244.0.5", "fd00:10:244::5"]);
}
