//! Words that shall not be in the repository; which ones is said on the command line.

use super::tree::{Finding, Tree};

/// Lines with one of `words`, in any case.
pub(super) fn check(tree: &Tree, words: &[String]) -> Vec<Finding> {
    let words: Vec<_> = words.iter().map(|word| word.to_lowercase()).collect();
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            let line = line.to_lowercase();
            let found = words.iter().filter(|word| line.contains(*word));
            findings.extend(
                found.map(|word| Finding::at(path, number + 1, format!("the word `{word}`"))),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    #[test]
    fn words_are_found_in_any_case() {
        let tree = Tree::of(&[("a.md", "fine\nA Secret thing"), ("b.rs", "// nothing")]);
        let findings = check(&tree, &["secret".into()]);
        assert_eq!(
            findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a.md:2: the word `secret`"]
        );
        assert!(check(&tree, &[]).is_empty());
    }
}
