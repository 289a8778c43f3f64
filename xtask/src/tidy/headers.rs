//! Every source opens by saying what it owns.

use super::tree::{Finding, Tree};

/// Sources whose first line is no `//!`.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let bare = tree.rust().filter(|(_, text)| !has_header(text));
    bare.map(|(path, _)| Finding::in_file(path, "does not open with `//!` and what it owns"))
        .collect()
}

fn has_header(text: &str) -> bool {
    text.lines()
        .next()
        .and_then(|line| line.strip_prefix("//!"))
        .is_some_and(|words| !words.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    #[test]
    fn a_source_without_a_header_is_found() {
        let tree = Tree::of(&[
            ("good.rs", "//! Owns this.\n"),
            ("bad.rs", "use std::io;\n//! too late\n"),
            ("empty.rs", ""),
            ("silent.rs", "//!\nfn f() {}\n"),
            ("notes.md", "# no source"),
        ]);
        let paths: Vec<_> = check(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(paths, ["bad.rs", "empty.rs", "silent.rs"]);
    }
}
