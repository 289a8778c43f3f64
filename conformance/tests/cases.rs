//! The suite's own cases: every one can be read, and Sluice's evaluator passes all that need no packets.

use std::path::Path;

use sluice_conformance::case::{Case, Origin, read_case};
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::Report;
use sluice_conformance::runner::{EvaluatorRunner, Outcome, Runner as _, Sluice};

#[test]
fn every_file_is_a_case() {
    let catalogue = Catalogue::built_in();
    let said: Vec<String> = catalogue.errors.iter().map(ToString::to_string).collect();
    assert_eq!(said, [""; 0]);
    let is_file = |case: &&Case| matches!(case.origin, Origin::BuiltIn(_));
    assert!(catalogue.cases.iter().filter(is_file).count() >= 800);
}

/// The suite's own cases are not checked each time they are read.
#[test]
fn every_file_would_be_taken_from_others() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let catalogue = Catalogue::from_paths(&[cases]).expect("the directory is there");
    let said: Vec<String> = catalogue.errors.iter().map(ToString::to_string).collect();
    assert_eq!(said, [""; 0]);
}

#[test]
fn the_evaluator_passes_every_static_case() {
    let mut runner = EvaluatorRunner::new(Sluice::default());
    let cases = Catalogue::built_in().cases;
    let all: Vec<&Case> = cases.iter().collect();
    let report = Report::of(&mut runner, &all, Profile::SLUICE);
    let failed: Vec<String> = report.failures().chain(report.not_judged()).collect();
    assert_eq!(failed, [""; 0], "{} passed", report.passed());
    assert!(report.passed() > 0);
}

#[test]
fn every_case_of_upstream_has_a_matrix_of_its_own() {
    let cases = Catalogue::built_in().cases;
    let upstream: Vec<_> = cases
        .iter()
        .filter(|case| case.theme() == "upstream")
        .collect();
    assert_eq!(upstream.len(), 48);
    for case in upstream {
        assert!(
            case.steps.iter().all(|step| !step.matrix.is_empty()),
            "{}",
            case.id
        );
    }
}

#[test]
fn a_matrix_that_is_wrong_fails_its_case() {
    let text = |matrix: &str| {
        format!(
            "id: a/b\nsentence: s\npolicies:\n  - x/p: {{podSelector: {{}}}}\nmatrix: \"{matrix}\"\n"
        )
    };
    let outcome = |matrix: &str| {
        let origin = Origin::File("b.yaml".into());
        let case = read_case(origin, &text(matrix)).unwrap();
        let mut runner = EvaluatorRunner::new(Sluice::default());
        runner.run(&case, Profile::default()).outcome
    };
    assert_eq!(outcome("X * > x/*"), Outcome::Passed);
    for wrong in ["X * > x/*; . y/a > x/a", "X * > y/*", "", "* * > x/*"] {
        assert!(matches!(outcome(wrong), Outcome::Failed(_)), "{wrong}");
    }
}
