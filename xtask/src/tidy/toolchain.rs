//! One version of Rust: what the workspace says, the documents and continuous integration say as well.

use super::tree::{Finding, Tree};

const MANIFEST: &str = "Cargo.toml";

/// Where the version has to be said.
const SAID_IN: [&str; 2] = ["README.md", ".github/workflows/ci.yml"];

/// Where it may be said.
const MAY_BE_SAID_IN: [&str; 1] = ["CONTRIBUTING.md"];

/// Words before a version of Rust, in prose and in workflows.
const MARKS: [&str; 3] = ["Rust ", "rustup toolchain install ", "rustup default "];

/// Versions that differ from the workspace's, and places that name none.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifest = tree.get(MANIFEST).unwrap_or_default();
    let Some(wanted) = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
    else {
        return vec![Finding::in_file(MANIFEST, "has no `rust-version`")];
    };
    let mut findings = Vec::new();
    for path in SAID_IN.iter().chain(&MAY_BE_SAID_IN) {
        let versions = versions(tree.get(path).unwrap_or_default());
        if versions.is_empty() && SAID_IN.contains(path) {
            findings.push(Finding::in_file(
                path,
                format!("does not say that it takes Rust {wanted}"),
            ));
        }
        let other = versions
            .into_iter()
            .filter(|(_, version)| *version != wanted);
        findings.extend(other.map(|(line, version)| {
            Finding::at(
                path,
                line,
                format!("says Rust {version}, the workspace says {wanted}"),
            )
        }));
    }
    findings
}

/// Every version of Rust in a text, with its line.
fn versions(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let after = MARKS.iter().flat_map(|mark| line.split(mark).skip(1));
        found.extend(
            after
                .filter_map(leading_version)
                .map(|version| (number + 1, version)),
        );
    }
    found
}

/// `1.95` at the start of `1.95, …`.
fn leading_version(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let version = text[..end].trim_end_matches('.');
    version.starts_with("1.").then_some(version)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn found(readme: &str, ci: &str) -> Vec<String> {
        let manifest = "[workspace.package]\nrust-version = \"1.95\"\n";
        let files = [
            ("Cargo.toml", manifest),
            ("README.md", readme),
            (".github/workflows/ci.yml", ci),
        ];
        check(&Tree::of(&files))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn one_version_everywhere() {
        let ci =
            "- run: rustup toolchain install 1.95 --profile minimal\n- run: rustup default 1.95\n";
        assert_eq!(found("Rust 1.95.", ci), Vec::<String>::new());
        assert_eq!(
            found("It is Rust.\nRust 1.94 or newer.", ci),
            ["README.md:2: says Rust 1.94, the workspace says 1.95"]
        );
        assert_eq!(
            found("", ci),
            ["README.md: does not say that it takes Rust 1.95"]
        );
        assert_eq!(found("Rust 1.95", "rustup default 1.90").len(), 1);
        assert_eq!(check(&Tree::default()).len(), 1, "no manifest");
    }
}
