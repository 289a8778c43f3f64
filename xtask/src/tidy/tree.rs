//! The files of the repository as text, and what can be found wrong with them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::repo;

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    /// Relative to the root, with slashes.
    pub path: String,
    /// From 1; none where it is about the file as a whole.
    pub line: Option<usize>,
    /// A lowercase fragment.
    pub message: String,
}

/// All text files by path. In memory, so that checks are pure and their tests need no disk.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, String>,
}

impl Finding {
    /// About a line.
    pub(super) fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: Some(line),
            message: message.into(),
        }
    }

    /// About a file.
    pub(super) fn in_file(path: &str, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

impl Tree {
    /// Reads the repository; files that are not text are left out.
    pub(super) fn read(root: &Path) -> anyhow::Result<Self> {
        let files = repo::files(root)?;
        let read = files.iter().filter_map(|path| {
            let text = String::from_utf8(std::fs::read(root.join(path)).ok()?).ok()?;
            Some((path.to_str()?.to_owned(), text))
        });
        Ok(Self {
            files: read.collect(),
        })
    }

    /// A repository made of samples.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
        }
    }

    /// How many files there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The text of a file.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether this is a file, or a directory with files.
    pub(super) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.contains_key(path) || self.files.keys().any(|file| is_below(file, path))
    }

    /// Paths and texts, in order of path.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust sources.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| {
            Path::new(path)
                .extension()
                .is_some_and(|extension| extension == "rs")
        })
    }

    /// The manifests of packages and workspace.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter(|(path, _)| file_name(path) == "Cargo.toml")
    }
}

/// The last component.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The directory of a file; empty at the root.
pub(super) fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// Whether `path` is `room` or inside of it.
pub(super) fn is_below(path: &str, room: &str) -> bool {
    path.strip_prefix(room)
        .is_some_and(|rest| room.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{Finding, Tree, directory, file_name, is_below};

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(
            (directory("a/b/c.rs"), file_name("a/b/c.rs")),
            ("a/b", "c.rs")
        );
        assert_eq!((directory("c.rs"), file_name("c.rs")), ("", "c.rs"));
        assert!(
            is_below("agent/bpf/x.rs", "agent/bpf")
                && is_below("agent/bpf", "agent/bpf")
                && is_below("x", "")
        );
        assert!(!is_below("agent/bpf2/x.rs", "agent/bpf"));
    }

    #[test]
    fn a_directory_exists_through_its_files() {
        let tree = Tree::of(&[("agent/src/lib.rs", "")]);
        assert!(tree.has("agent/src") && tree.has("agent/src/") && tree.has("agent/src/lib.rs"));
        assert!(!tree.has("agent/sr"));
    }

    #[test]
    fn findings_are_one_line() {
        assert_eq!(Finding::at("a.rs", 3, "wrong").to_string(), "a.rs:3: wrong");
        assert_eq!(Finding::in_file("a.rs", "wrong").to_string(), "a.rs: wrong");
    }
}
