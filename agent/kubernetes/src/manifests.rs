//! Files of Kubernetes YAML or JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::World;

/// Where a document stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, or `-`.
    pub file: PathBuf,
    /// One-based line of the document, where known.
    pub line: Option<u32>,
}

/// Something wrong with a manifest. Prints on one line: `FILE:LINE: KIND NAMESPACE/NAME: FIELD: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file and line.
    pub origin: Origin,
    /// `NetworkPolicy x/allow`; none where the document could not be read at all.
    pub object: Option<String>,
    /// `spec.ingress[0].ports[1].port`; none where the whole object is meant.
    pub field: Option<String>,
    /// A lowercase fragment, with the offending value.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// What was read: the world of all that is valid, invalid policies failed closed, and every problem at once.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The world, complete as far as it could be read.
    pub world: World,
    /// Everything that was wrong.
    pub problems: Vec<Problem>,
    /// Kinds that were passed over, and how often.
    pub ignored: BTreeMap<String, usize>,
}

/// The paths themselves could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct LoadError {
    /// The path given.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// Reads files, directories (recursively, `.yaml`, `.yml` and `.json`, in name order) and `-`.
pub fn load(_paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    todo!()
}

/// Placeholder for incremental re-reading.
pub fn load_file(_path: &Path) -> Result<Loaded, LoadError> {
    todo!()
}
