//! Paths, crates and links that the documents name: each has to be there, and each package has to be on the map.

use std::path::Path;

use super::markdown;
use super::tree::{Finding, Tree, directory};

const MAP: &str = "ARCHITECTURE.md";

/// Paths, links and crates that do not exist, and packages that are not on the map.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree
        .files()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|it| it == "md"))
    {
        findings.extend(paths(tree, path, text));
        findings.extend(links(tree, path, text));
    }
    match tree.get(MAP) {
        Some(map) => findings.extend(rows(tree, map)),
        None => findings.push(Finding::in_file(MAP, "missing")),
    }
    findings
}

/// Inline code that looks like a path from the root.
fn paths(tree: &Tree, document: &str, text: &str) -> Vec<Finding> {
    let spans = markdown::code(text).into_iter().filter(|code| code.inline);
    let missing = spans.filter(|code| looks_like_path(tree, code.text) && !tree.has(code.text));
    missing
        .map(|code| {
            Finding::at(
                document,
                code.line,
                format!("`{}`: there is no such path", code.text),
            )
        })
        .collect()
}

/// Some words joined by slashes, the first of them a directory here.
fn looks_like_path(tree: &Tree, text: &str) -> bool {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    plain
        && text
            .split_once('/')
            .is_some_and(|(first, _)| !first.is_empty() && tree.has(first))
}

/// Links to files of this repository.
fn links(tree: &Tree, document: &str, text: &str) -> Vec<Finding> {
    let targets = markdown::links(text)
        .into_iter()
        .map(|(line, link)| (line, link.split('#').next().unwrap_or_default()));
    let local = targets.filter(|(_, target)| !target.is_empty() && !target.contains(':'));
    let missing = local.filter(|(_, target)| {
        let beside = format!("{}/{target}", directory(document));
        !tree.has(beside.trim_start_matches('/').trim_start_matches("./"))
    });
    missing
        .map(|(line, target)| {
            Finding::at(
                document,
                line,
                format!("link to `{target}`, which is not there"),
            )
        })
        .collect()
}

/// The rows `| path | crate | … |` of the map against the packages, both ways.
fn rows(tree: &Tree, map: &str) -> Vec<Finding> {
    let rows: Vec<_> = map
        .lines()
        .enumerate()
        .filter_map(|(number, line)| Some((number + 1, row(line)?)))
        .collect();
    let mut findings = Vec::new();
    for (line, (path, name)) in &rows {
        let manifest = tree.get(&format!("{path}/Cargo.toml"));
        if manifest.and_then(package_name) != Some(name) {
            findings.push(Finding::at(
                MAP,
                *line,
                format!("`{path}` holds no package `{name}`"),
            ));
        }
    }
    for (manifest, text) in tree.manifests() {
        let path = directory(manifest);
        if package_name(text).is_some() && !rows.iter().any(|(_, (mapped, _))| *mapped == path) {
            findings.push(Finding::in_file(
                manifest,
                format!("`{path}` is not on the code map in {MAP}"),
            ));
        }
    }
    findings
}

/// Path and crate of a row whose first two cells are code.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let mut code = || cells.next()?.strip_prefix('`')?.strip_suffix('`');
    Some((code()?, code()?))
}

fn package_name(manifest: &str) -> Option<&str> {
    let (_, package) = manifest.split_once("[package]")?;
    package
        .lines()
        .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::check;

    fn found(map: &str) -> Vec<String> {
        let files = [
            ("ARCHITECTURE.md", map),
            ("agent/Cargo.toml", "[package]\nname = \"sluice\"\n"),
            ("agent/src/lib.rs", ""),
            ("Cargo.toml", "[workspace]\n"),
        ];
        check(&Tree::of(&files))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const ROW: &str =
        "| path | crate | what |\n| --- | --- | --- |\n| `agent` | `sluice` | the agent |\n";

    #[test]
    fn the_map_and_the_packages_agree() {
        assert_eq!(found(ROW), Vec::<String>::new());
        assert_eq!(
            found(""),
            ["agent/Cargo.toml: `agent` is not on the code map in ARCHITECTURE.md"]
        );
        let renamed =
            format!("{ROW}| `agent` | `slouch` | x |\n| `bench` | `sluice-bench` | x |\n");
        assert_eq!(
            found(&renamed),
            [
                "ARCHITECTURE.md:4: `agent` holds no package `slouch`",
                "ARCHITECTURE.md:5: `bench` holds no package `sluice-bench`"
            ]
        );
    }

    #[test]
    fn paths_and_links_have_to_be_there() {
        let good = format!(
            "{ROW}`agent/src`, `agent/src/lib.rs`, `allow/deny`, `agent`, [a](agent/src/lib.rs#x), [w](https://x.y)"
        );
        assert_eq!(found(&good), Vec::<String>::new());
        let bad = format!("{ROW}`agent/src/queue`\n[a](agent/README.md)");
        assert_eq!(
            found(&bad),
            [
                "ARCHITECTURE.md:4: `agent/src/queue`: there is no such path",
                "ARCHITECTURE.md:5: link to `agent/README.md`, which is not there"
            ]
        );
    }

    #[test]
    fn there_is_a_map() {
        assert_eq!(
            check(&Tree::default())[0].to_string(),
            "ARCHITECTURE.md: missing"
        );
    }
}
