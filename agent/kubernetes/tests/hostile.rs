//! No input makes the reader panic, and whatever it reads is consistent.

use std::collections::HashSet;

use proptest::prelude::*;
use sluice_kubernetes::load_text;

/// Every used kind, with most of the fields that are read.
const SEED: &str = include_str!("seed.yaml");

/// What a slip of the keyboard, or malice, puts in.
const BITS: &[&str] = &[
    "",
    "{",
    "}",
    "[",
    "]",
    "- ",
    ": ",
    "\n",
    "  ",
    "\t",
    "'",
    "\"",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "---\n",
    "...\n",
    "0",
    "-1",
    "65536",
    "99999999999999999999",
    "null",
    "yes",
    "\u{0}",
    "ä",
    "\u{feff}",
    "{}",
    "[]",
    "|\n",
    "? ",
    "%YAML 9.9\n",
];

#[derive(Clone, Debug)]
enum Change {
    /// Put a bit in, as if at that per mille of the text.
    Insert(usize, usize),
    /// Take out so many bytes.
    Remove(usize, usize),
    /// Write a line again elsewhere.
    Copy(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..1000_usize, 0..BITS.len()).prop_map(|(at, bit)| Change::Insert(at, bit)),
        (0..1000_usize, 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (0..1000_usize, 0..1000_usize).prop_map(|(from, to)| Change::Copy(from, to)),
    ]
}

/// The byte at that per mille of a text, moved to where a character starts.
fn place(text: &str, per_mille: usize) -> usize {
    text.floor_char_boundary(text.len() * per_mille / 1000)
}

fn apply(text: &mut String, change: &Change) {
    match *change {
        Change::Insert(at, bit) => text.insert_str(place(text, at), BITS[bit]),
        Change::Remove(at, length) => {
            let start = place(text, at);
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, "");
        }
        Change::Copy(from, to) => {
            let line = text[place(text, from)..]
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
                + "\n";
            text.insert_str(place(text, to), &line);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_manifests_are_read_without_a_panic(changes in prop::collection::vec(change(), 1..6)) {
        let mut text = SEED.to_owned();
        for change in &changes {
            apply(&mut text, change);
        }
        let loaded = load_text("f.yaml", &text);
        for problem in &loaded.problems {
            prop_assert_eq!(problem.to_string().lines().count(), 1);
        }
        prop_assert!(loaded.world.api_policies.len() <= loaded.world.policies.len());
        let policies: HashSet<_> = loaded.world.policies.iter().map(|it| (&it.namespace, &it.name)).collect();
        prop_assert_eq!(policies.len(), loaded.world.policies.len());
        let pods: HashSet<_> = loaded.world.pods.iter().map(|it| &it.pod.name).collect();
        prop_assert_eq!(pods.len(), loaded.world.pods.len());
        let namespaces: HashSet<_> = loaded.world.namespaces.iter().map(|it| &it.name).collect();
        prop_assert!(loaded.world.pods.iter().all(|it| namespaces.contains(&it.pod.name.namespace)));
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in "\\PC{0,200}") {
        let _loaded = load_text("f.yaml", &text);
    }
}

#[test]
fn the_seed_itself_is_valid() {
    let loaded = load_text("seed.yaml", SEED);
    let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems, [""; 0]);
    assert_eq!(
        (
            loaded.world.pods.len(),
            loaded.world.policies.len(),
            loaded.world.services.len()
        ),
        (11, 2, 2)
    );
}
