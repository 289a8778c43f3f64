//! What README.md counts and lists is what there is.

use std::collections::BTreeMap;

use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::lint::RULES;

const README: &str = include_str!("../README.md");

/// The rows of tables that begin with a word in backticks: the word and the second column.
fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    README.lines().filter_map(|line| {
        let (word, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((word, rest.split(" | ").next()?.trim_end_matches(" |")))
    })
}

#[test]
fn every_theme_is_there_with_its_count() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for case in Catalogue::built_in().cases {
        *counts.entry(case.theme().to_owned()).or_default() += 1;
    }
    let written: BTreeMap<String, usize> = rows()
        .filter_map(|(word, second)| Some((word.to_owned(), second.parse().ok()?)))
        .collect();
    assert_eq!(written, counts);
}

#[test]
fn every_rule_of_lint_is_there_with_its_sentence() {
    let rows: Vec<(&str, &str)> = rows().collect();
    for rule in RULES {
        assert!(rows.contains(&(rule.name, rule.sentence)), "{}", rule.name);
    }
}
