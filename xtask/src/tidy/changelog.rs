//! The changelog has a section for what is not released yet.

use super::tree::{Finding, Tree};

const FILE: &str = "CHANGELOG.md";

/// A changelog that has no such section, or none at all.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let has_section = |text: &str| text.lines().any(|line| line.trim_end() == "## Unreleased");
    match tree.get(FILE) {
        None => vec![Finding::in_file(FILE, "missing")],
        Some(text) if has_section(text) => Vec::new(),
        Some(_) => vec![Finding::in_file(FILE, "has no section `## Unreleased`")],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    #[test]
    fn the_section_is_asked_for() {
        assert!(
            check(&Tree::of(&[(
                "CHANGELOG.md",
                "# Changelog\n\n## Unreleased\n"
            )]))
            .is_empty()
        );
        assert_eq!(
            check(&Tree::of(&[("CHANGELOG.md", "# Changelog\n\n## 0.1.0\n")])).len(),
            1
        );
        assert_eq!(
            check(&Tree::default())[0].to_string(),
            "CHANGELOG.md: missing"
        );
    }
}
