//! Random cases: they meet, nobody disagrees about them, and a fault that is planted comes out as a small case.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use sluice_conformance::case::{Case, Origin, read_case};
use sluice_conformance::fuzz::{Disagreement, fuzz, fuzz_with, yaml};
use sluice_conformance::mutants::{Mutant, trial};
use sluice_conformance::profile::Profile;
use sluice_conformance::runner::{EvaluatorRunner, Sluice};

#[test]
fn nobody_disagrees_about_random_cases() {
    let tally = fuzz(Sluice::default, 1, 400, |_| ControlFlow::Continue(()));
    let found = tally.found.iter();
    let found: Vec<String> = found
        .map(|it| format!("{}\n{}", it.reason, yaml(&it.case)))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(tally.cases, 400);
    let denied = tally.denied * 100 / tally.cells;
    assert!((20..80).contains(&denied), "{denied} % denied");
    assert!(tally.relations.len() >= 13, "{:?}", tally.relations);
}

#[test]
fn the_evaluator_that_mutants_are_made_of_agrees_too() {
    let tally = fuzz(Mutant::default, 1_000, 200, |_| ControlFlow::Continue(()));
    let found = tally.found.first();
    assert!(found.is_none(), "{:?}", found.map(|it| &it.reason));
}

/// What is left of the first case that tells an evaluator with a fault from the oracle.
fn told(fault: &str) -> Disagreement {
    let make = || Mutant::of(fault).expect("a fault of that name");
    let tally = fuzz(make, 1, 200, |_| ControlFlow::Continue(()));
    let mut found = tally.found.into_iter();
    found
        .find(|it| it.relation.is_none())
        .expect("a random case tells it")
}

fn read(case: &Case) -> Case {
    let text = yaml(case);
    let read = read_case(Origin::File("seed.yaml".into()), &text);
    let read = read.and_then(|case| case.check().map(|()| case));
    read.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A runner of cases, such as a laboratory, finds the same.
#[test]
fn what_a_runner_gets_wrong_is_made_smaller_for_as_long_as_is_allowed() {
    let fuzzed = |limit| {
        let mutant = Mutant::of("stack-even").expect("a fault of that name");
        fuzz_with(&mut EvaluatorRunner::new(mutant), 1, 60, limit, |_| {
            ControlFlow::Continue(())
        })
    };
    let drawn = fuzzed(Duration::ZERO);
    assert_eq!(drawn.cases, 60);
    assert!(drawn.relations.len() > 5, "{:?}", drawn.relations);
    assert!(
        drawn.found.iter().any(|it| it.relation.is_some()),
        "what a relation changes is judged"
    );
    let small = fuzzed(Duration::from_mins(10));
    let [drawn, small] = [&drawn, &small].map(|it| it.found.first().expect("it is told"));
    assert_eq!(drawn.seed, small.seed);
    read(&drawn.case);
    assert!(policies(&small.case) <= 2, "{}", yaml(&small.case));
    assert!(yaml(&small.case).len() < yaml(&drawn.case).len());
}

fn policies(case: &Case) -> usize {
    let objects = case.objects.iter();
    objects.filter(|it| it.name().is_policy()).count()
}

/// Every fault that a case tells, by name.
fn kills(case: &Case) -> Vec<&'static str> {
    let tried = trial(&[case], Profile::SLUICE, |_| {});
    let tried = tried.unwrap_or_else(|error| panic!("{error}"));
    let killed = tried.iter().filter(|it| it.killed.is_some());
    killed.map(|it| it.id).collect()
}

#[test]
fn a_fault_that_is_planted_comes_out_as_a_small_case_of_its_own() {
    for (fault, others) in [
        (
            "blocks-except-ignored",
            [
                "blocks-except-first",
                "ports-end-ignored",
                "tiers-last-rule",
            ],
        ),
        (
            "ports-end-exclusive",
            [
                "ports-start-exclusive",
                "blocks-except-ignored",
                "names-nothing",
            ],
        ),
        (
            "names-without-protocol",
            ["names-nothing", "blocks-except-ignored", "peers-or-for-and"],
        ),
    ] {
        let found = told(fault);
        let small = read(&found.case);
        let text = yaml(&found.case);
        assert_eq!((policies(&small), small.steps.len()), (1, 1), "{text}");
        assert!(small.objects.len() <= 5, "{text}");
        let killed = kills(&small);
        assert!(killed.contains(&fault), "{fault}: {killed:?}\n{text}");
        for other in others {
            assert!(!killed.contains(&other), "{fault}, not {other}\n{text}");
        }
    }
}

#[test]
fn a_fault_of_changes_keeps_the_change() {
    let found = told("change-keeps-deleted-policies");
    let small = read(&found.case);
    let text = yaml(&found.case);
    let events = small.steps.iter().flat_map(|step| &step.events);
    assert_eq!(events.count(), 1, "{text}");
    assert!(
        kills(&small).contains(&"change-keeps-deleted-policies"),
        "{text}"
    );
}

fn run(arguments: &[&str]) -> Output {
    let command = env!("CARGO_BIN_EXE_sluice-conformance");
    let run = Command::new(command).arg("fuzz").args(arguments).output();
    run.expect("it runs")
}

#[test]
fn a_seed_makes_the_same_case_again() {
    let report = |arguments: &[&str]| -> serde_json::Value {
        let run = run(arguments);
        assert_eq!(run.status.code(), Some(0));
        let mut report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        report["seconds"] = serde_json::Value::Null;
        report
    };
    let seven = ["--seed", "7", "--cases", "3", "-o", "json"];
    assert_eq!(report(&seven), report(&seven));
    let drawn = report(&["--cases", "1", "-o", "json"]);
    let seed = drawn["seed"].to_string();
    assert_eq!(
        drawn,
        report(&["--seed", &seed, "--cases", "1", "-o", "json"])
    );
}

#[test]
fn bad_usage_is_said_to_be_such() {
    let file: PathBuf = std::env::current_exe().unwrap();
    let file = file.to_str().unwrap();
    for (arguments, said) in [
        (["--cases", "0"], "--cases"),
        (["--seed", "first"], "--seed"),
        (["--runner", "nobody"], "--runner"),
        (["--write", file], "--write"),
    ] {
        let run = run(&arguments);
        assert_eq!(run.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&run.stderr);
        assert!(error.contains(said), "{error}");
    }
}
