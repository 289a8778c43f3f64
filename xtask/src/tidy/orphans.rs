//! Sources that belong to no crate: a file that no `mod` reaches never compiles, and its tests never run.

use std::collections::BTreeSet;

use super::rust::{self, Token};
use super::tree::{Finding, Tree, directory, file_name};

/// Files that cargo compiles by their place alone, relative to the directory of a manifest.
const ROOTS: [&str; 3] = ["src/lib.rs", "src/main.rs", "build.rs"];

/// Directories each of whose files (and each of whose directories' `main.rs`) is a crate.
const ROOT_DIRECTORIES: [&str; 4] = ["src/bin", "tests", "benches", "examples"];

/// Every `.rs` file that no crate reaches.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let roots: BTreeSet<_> = tree
        .manifests()
        .flat_map(|(path, text)| roots(tree, path, text))
        .collect();
    let mut reached = BTreeSet::new();
    let mut todo: Vec<_> = roots.iter().cloned().collect();
    while let Some(file) = todo.pop() {
        if let Some(text) = tree.get(&file).filter(|_| !reached.contains(&file)) {
            todo.extend(children(tree, &file, text, roots.contains(&file)));
            reached.insert(file);
        }
    }
    let orphans = tree.rust().filter(|(path, _)| !reached.contains(*path));
    orphans
        .map(|(path, _)| {
            Finding::in_file(path, "orphan: no `mod` reaches it, so it is never compiled")
        })
        .collect()
}

/// The crate roots of the package with this manifest.
fn roots(tree: &Tree, manifest: &str, text: &str) -> Vec<String> {
    let package = directory(manifest);
    let mut roots: Vec<_> = ROOTS
        .iter()
        .map(|root| join(package, root))
        .filter(|root| tree.get(root).is_some())
        .collect();
    for place in ROOT_DIRECTORIES {
        let place = join(package, place);
        let crates = tree.rust().map(|(path, _)| path);
        let crates = crates.filter(|path| {
            directory(path) == place
                || (file_name(path) == "main.rs" && directory(directory(path)) == place)
        });
        roots.extend(crates.map(str::to_owned));
    }
    let named = text
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    roots.extend(named.map(|path| join(package, path)));
    roots
}

/// The files that the modules of `file` are in.
fn children(tree: &Tree, file: &str, text: &str, is_root: bool) -> Vec<String> {
    let own = is_root || file_name(file) == "mod.rs";
    let base = if own {
        directory(file).to_owned()
    } else {
        file.trim_end_matches(".rs").to_owned()
    };
    let mut found = included(file, text);
    modules(&rust::tokens(text), text, &mut |parents, name, path| {
        if let Some(path) = path {
            found.push(join(directory(file), path));
            return;
        }
        let place = parents
            .iter()
            .fold(base.clone(), |place, parent| join(&place, parent));
        let flat = join(&place, &format!("{name}.rs"));
        let nested = join(&place, &format!("{name}/mod.rs"));
        found.extend(
            [flat, nested]
                .into_iter()
                .filter(|candidate| tree.get(candidate).is_some()),
        );
    });
    found
}

/// Calls `found` for every `mod name;`: the inline modules around it, its name, its `#[path]`.
fn modules(tokens: &[Token], text: &str, found: &mut impl FnMut(&[String], &str, Option<&str>)) {
    let lines: Vec<_> = text.lines().collect();
    // Names and ends of the inline modules that we are in.
    let mut around: Vec<(String, usize)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        around.retain(|(_, end)| at < *end);
        let (Some(name), Some(sign)) = (tokens.get(at + 1), tokens.get(at + 2)) else {
            return;
        };
        match sign.text.as_str() {
            "{" if token.text == "mod" => {
                around.push((name.text.clone(), rust::closing(tokens, at + 2)));
            }
            ";" if token.text == "mod" => {
                let parents: Vec<_> = around.iter().map(|(name, _)| name.clone()).collect();
                found(&parents, &name.text, path_attribute(&lines, token.line));
            }
            _ => {}
        }
    }
}

/// The path in `#[path = "…"]` among the attributes above `line`.
fn path_attribute<'a>(lines: &[&'a str], line: usize) -> Option<&'a str> {
    let above = lines[..line.saturating_sub(1)]
        .iter()
        .rev()
        .take_while(|line| line.trim_start().starts_with("#["));
    above
        .into_iter()
        .find_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"))
}

/// The sources in `include!("…")`.
fn included(file: &str, text: &str) -> Vec<String> {
    let names = text
        .split("include!(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    names.map(|name| join(directory(file), name)).collect()
}

/// Joins two paths, `..` resolved.
fn join(base: &str, path: &str) -> String {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::{check, join};

    fn orphans(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .into_iter()
            .map(|finding| finding.path)
            .collect()
    }

    #[test]
    fn a_file_that_no_mod_names_is_an_orphan() {
        let files = [
            ("a/Cargo.toml", ""),
            (
                "a/src/lib.rs",
                "//! x\nmod one;\npub mod two;\n// mod five;\n",
            ),
            ("a/src/one.rs", "mod deep;"),
            ("a/src/one/deep.rs", ""),
            ("a/src/two/mod.rs", "mod beside;"),
            ("a/src/two/beside.rs", ""),
            ("a/src/five.rs", ""),
            ("a/src/deep.rs", ""),
        ];
        assert_eq!(orphans(&files), ["a/src/deep.rs", "a/src/five.rs"]);
    }

    #[test]
    fn tests_benches_binaries_and_build_scripts_are_crates() {
        let files = [
            (
                "a/Cargo.toml",
                "[[bin]]\nname = \"x\"\npath = \"programs/x.rs\"\n",
            ),
            ("a/build.rs", ""),
            ("a/programs/x.rs", ""),
            ("a/tests/spec.rs", "mod common;\nmod helper;"),
            ("a/tests/common/mod.rs", "mod inner;"),
            ("a/tests/common/inner.rs", ""),
            ("a/tests/common/forgotten.rs", ""),
            ("a/tests/helper.rs", ""),
            ("a/tests/large/main.rs", "mod part;"),
            ("a/tests/large/part.rs", ""),
            ("a/benches/speed.rs", ""),
            ("a/src/bin/tool.rs", ""),
            ("a/src/other.rs", ""),
        ];
        assert_eq!(
            orphans(&files),
            ["a/src/other.rs", "a/tests/common/forgotten.rs"]
        );
    }

    #[test]
    fn inline_modules_paths_and_includes_are_followed() {
        let lib = "mod outer { mod inner; }\n#[cfg(test)]\n#[path = \"../shared/x.rs\"]\nmod x;\ninclude!(\"gen.rs\");";
        let files = [
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", lib),
            ("a/src/outer/inner.rs", ""),
            ("a/shared/x.rs", ""),
            ("a/src/gen.rs", ""),
            ("a/src/inner.rs", ""),
        ];
        assert_eq!(orphans(&files), ["a/src/inner.rs"]);
    }

    #[test]
    fn paths_are_joined() {
        assert_eq!(join("a/src", "../b.rs"), "a/b.rs");
        assert_eq!(join("", "src/lib.rs"), "src/lib.rs");
    }
}
