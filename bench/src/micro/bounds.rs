//! Instructions that were recorded, which others are held against. They are of one kind of build: another compiler makes
//! other ones.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// By how much a count may be above or below the recorded one, of 1.
pub const DRIFT: f64 = 0.1;
/// Where they are in the repository.
pub const RECORDED: &str = "bench/micro/instructions.json";
/// The kind of this build.
pub const PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

/// By kind of build and processor (`release-x86_64`), then by step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bounds(BTreeMap<String, BTreeMap<String, u64>>);

/// Bounds that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BoundsError {
    /// The file.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is in it.
    #[error("{}: no counts of instructions by build and step: {source}", path.display())]
    Content {
        /// Of which file.
        path: PathBuf,
        /// What was expected.
        source: serde_json::Error,
    },
}

impl Bounds {
    /// Those that were recorded when this program was built.
    ///
    /// # Errors
    /// Where they are none.
    pub fn recorded() -> Result<Self, BoundsError> {
        Self::parse(
            include_str!("../../micro/instructions.json"),
            Path::new(RECORDED),
        )
    }

    /// Those of a file.
    ///
    /// # Errors
    /// Where it has none.
    pub fn read(path: &Path) -> Result<Self, BoundsError> {
        let text = fs::read_to_string(path).map_err(|source| BoundsError::File {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, BoundsError> {
        serde_json::from_str(text).map_err(|source| BoundsError::Content {
            path: path.to_owned(),
            source,
        })
    }

    /// What this build's step is held against.
    pub fn of(&self, step: &str) -> Option<u64> {
        self.0.get(&build())?.get(step).copied()
    }

    /// Records a count of this build.
    pub fn record(&mut self, step: &str, count: u64) {
        let of_build = self.0.entry(build()).or_default();
        of_build.insert(step.to_owned(), count);
    }

    /// Writes all of them.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, path: &Path) -> Result<(), BoundsError> {
        let text = serde_json::to_string_pretty(self).map(|text| text + "\n");
        let written = text.map_err(io::Error::from);
        let written = written.and_then(|text| fs::write(path, text));
        written.map_err(|source| BoundsError::File {
            path: path.to_owned(),
            source,
        })
    }
}

fn build() -> String {
    format!("{PROFILE}-{}", std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bounds.json");
        let mut bounds = Bounds::recorded().unwrap();
        bounds.record("a step", 7);
        bounds.write(&path).unwrap();
        let again = Bounds::read(&path).unwrap();
        assert_eq!((again.of("a step"), again.of("none")), (Some(7), None));
        assert_eq!(again, bounds);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bounds.json");
        let said = || Bounds::read(&path).unwrap_err().to_string();
        assert!(said().ends_with("No such file or directory (os error 2)"));
        fs::write(&path, "{\"release-x86_64\": [1]}").unwrap();
        assert!(said().contains("no counts of instructions"), "{}", said());
    }
}
