//! Cases that are made by rules, not written: each generator is a list of dimensions and what varies in them.
//!
//! An id says by what its case was made, so that it means the same case in all releases: what is added here has new
//! names, and what is there keeps its own.

mod admin;
mod blocks;
mod covering;
mod draft;
mod labels;
mod names;
mod pairwise;
mod peers;
mod pool;
mod ports;
mod stacks;
mod sweep;

use crate::case::Case;

pub(crate) use draft::features;

/// Every generated case.
pub fn all() -> Vec<Case> {
    [
        sweep::cases(),
        pairwise::cases(),
        labels::cases(),
        blocks::cases(),
        names::cases(),
        stacks::pairs(),
        stacks::tens(),
        admin::cases(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_id_is_a_path_and_comes_once() {
        let cases = all();
        let ids: BTreeSet<&str> = cases.iter().map(|case| &*case.id).collect();
        assert_eq!(ids.len(), cases.len());
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_word = |word: &str| !word.is_empty() && word.chars().all(is_plain);
        for id in ids {
            let words = id.split_once('/');
            assert!(
                words.is_some_and(|(theme, name)| is_word(theme) && is_word(name)),
                "{id}"
            );
        }
    }

    #[test]
    fn the_same_cases_come_every_time() {
        let text = |cases: Vec<Case>| -> Vec<String> {
            cases.iter().map(|case| format!("{case:?}")).collect()
        };
        assert_eq!(text(all()), text(all()));
    }

    /// A case with the objects and events of another one would say nothing new.
    #[test]
    fn no_case_is_made_twice_within_a_theme() {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        for case in all() {
            let theme = case.theme().to_owned();
            let events: Vec<_> = case.steps.iter().map(|step| &step.events).collect();
            let made = format!("{theme} {} {:?} {events:?}", case.world, case.objects);
            let id = case.id.to_string();
            assert_eq!(seen.insert(made, id.clone()), None, "{id}");
        }
    }

    #[test]
    fn there_are_as_many_as_the_readme_says() {
        let mut themes: BTreeMap<String, usize> = BTreeMap::new();
        let cases = all();
        for case in &cases {
            *themes.entry(case.theme().to_owned()).or_default() += 1;
            assert!(
                case.is_static() && case.tags.contains("generated"),
                "{}",
                case.id
            );
            for feature in &case.features {
                assert!(crate::features::is_known(feature), "{}: {feature}", case.id);
            }
        }
        let readme = include_str!("../../README.md");
        let rows = themes.iter();
        let rows = rows.map(|(theme, count)| format!("| `{theme}` | {count} |"));
        let missing: Vec<String> = rows.filter(|row| !readme.contains(row)).collect();
        assert_eq!(missing, [""; 0], "rows that the README lacks");
        assert!(cases.len() >= 1_000);
    }
}
