//! The suite, tested: it tells every evaluator with a fault from one without.

use std::collections::BTreeSet;

use sluice_conformance::case::{Case, Origin, read_case};
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::mutants::{Tried, trial};
use sluice_conformance::profile::Profile;

fn tried(cases: &[Case]) -> Result<Vec<Tried>, String> {
    let cases: Vec<&Case> = cases.iter().collect();
    trial(&cases, Profile::SLUICE, |_| {}).map_err(|error| error.to_string())
}

#[test]
fn every_mutant_is_killed_by_hand_and_an_evaluator_without_a_fault_passes_every_case() {
    let cases = Catalogue::built_in().cases;
    let is_written = |case: &&Case| matches!(case.origin, Origin::BuiltIn(_));
    let written: BTreeSet<&str> = cases.iter().filter(is_written).map(|it| &*it.id).collect();
    let tried = tried(&cases).unwrap();
    let is_killed = |it: &&Tried| {
        let kill = it.killed.as_ref();
        kill.is_some_and(|kill| written.contains(&*kill.case))
    };
    let living = tried.iter().filter(|it| !is_killed(it));
    let living: Vec<&str> = living.map(|it| it.id).collect();
    assert_eq!(living, [""; 0], "of {}", tried.len());
    let ids: BTreeSet<&str> = tried.iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), tried.len(), "a name twice");
    let readme = include_str!("../README.md");
    let score = format!("{0} of {0} mutants killed", tried.len());
    assert!(readme.contains(&score), "the README says: {score}");
}

#[test]
fn a_case_kills_those_that_it_can_tell_and_no_others() {
    let case = "id: a/b\nsentence: s\npolicies:\n  - x/p: {podSelector: {}, ingress: [{ports: [{port: 80, endPort: 81}]}]}\n";
    let case = read_case(Origin::File("b.yaml".into()), case).unwrap();
    let tried = tried(&[case]).unwrap();
    let is_killed = |id: &str| {
        let found = tried.iter().find(|it| it.id == id);
        found.is_some_and(|it| it.killed.is_some())
    };
    assert!(is_killed("ports-end-ignored") && is_killed("ports-end-exclusive"));
    assert!(!is_killed("blocks-except-ignored") && !is_killed("tiers-pass-accepts"));
}

#[test]
fn every_case_of_an_invalid_network_policy_fails_where_it_is_not_looked_at() {
    let is_about_one = |case: &&Case| {
        let mut objects = case.objects.iter();
        case.tags.contains("invalid") && objects.all(|it| it.name().kind == "NetworkPolicy")
    };
    let cases = Catalogue::built_in().cases;
    let cases: Vec<&Case> = cases.iter().filter(is_about_one).collect();
    assert!(cases.len() > 20);
    for case in cases {
        let tried = trial(&[case], Profile::SLUICE, |_| {}).unwrap();
        let ignored = tried.iter().find(|it| it.id == "invalid-ignored").unwrap();
        assert!(ignored.killed.is_some(), "{}", case.id);
    }
}

#[test]
fn a_case_that_is_wrong_itself_kills_nobody() {
    let case = "id: a/b\nsentence: s\npolicies:\n  - x/p: {podSelector: {}}\nmatrix: \"\"\n";
    let case = read_case(Origin::File("b.yaml".into()), case).unwrap();
    let error = tried(&[case]).unwrap_err();
    assert!(error.starts_with("a/b, step 1: "), "{error}");
}
