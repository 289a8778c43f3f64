//! Rules of `lint`, each by an example that it speaks of and one that it does not: `tests/lint/RULE/wrong.yaml` says at
//! which lines, `right.yaml` is how it is meant.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sluice_conformance::lint::{Finding, RULES, lint};
use sluice_kubernetes::{load, written};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn findings(file: &Path) -> Vec<Finding> {
    let all = [directory().join("world.yaml"), file.to_owned()];
    let loaded = load(&all).unwrap();
    let said: Vec<String> = loaded
        .problems
        .iter()
        .filter(|it| !it.harmless)
        .map(ToString::to_string)
        .collect();
    assert_eq!(said, [""; 0], "{}", file.display());
    lint(&loaded.world, &written(&all).unwrap())
}

#[test]
fn every_rule_speaks_of_its_example_and_is_silent_where_it_is_mended() {
    for rule in RULES {
        let directory = directory().join(rule.name);
        let wrong = directory.join("wrong.yaml");
        let text = fs::read_to_string(&wrong).unwrap();
        let lines = text.lines().zip(1..);
        let wanted: Vec<(&str, u32)> = lines
            .filter(|(line, _)| line.ends_with("# here"))
            .map(|(_, number)| (rule.name, number))
            .collect();
        assert!(!wanted.is_empty(), "{}", rule.name);
        let found = findings(&wrong);
        let said: Vec<(&str, u32)> = found
            .iter()
            .map(|it| (it.rule, it.place.line.unwrap()))
            .collect();
        assert_eq!(said, wanted, "{found:#?}");
        let right = findings(&directory.join("right.yaml"));
        assert_eq!(right, [], "{}", rule.name);
    }
}

#[test]
fn every_example_is_of_a_rule() {
    let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len(), "names are unique");
    for entry in fs::read_dir(directory()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "world.yaml" || names.contains(&*name), "{name}");
    }
}

#[test]
fn manifests_without_pods_are_not_blamed_for_it() {
    let file = directory().join("selects-no-pod/wrong.yaml");
    let all = [file];
    let loaded = load(&all).unwrap();
    assert_eq!(lint(&loaded.world, &written(&all).unwrap()), []);
}
