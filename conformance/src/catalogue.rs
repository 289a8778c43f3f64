//! All cases: the suite's own files, those of a directory, and the generated ones.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::sync::Arc;

use include_dir::{Dir, DirEntry, include_dir};

use crate::case::{Case, CaseError, Origin, read_case};
use crate::generate;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/cases");

/// Cases in order of their ids, and every file that is none.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Right ones.
    pub cases: Vec<Case>,
    /// What is wrong with others.
    pub errors: Vec<CaseError>,
}

impl Catalogue {
    /// The suite's own: files and generated.
    pub fn built_in() -> Self {
        let mut read = Vec::new();
        read_own(&FILES, &mut read);
        read.extend(generate::all().into_iter().map(Ok));
        Self::of(read)
    }

    /// The files of directories, searched to the bottom, and single files. Others' cases are checked further than the
    /// suite's own, of which a test says the same.
    pub fn from_paths(paths: &[PathBuf]) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            let before = files.len();
            find(path, &mut files)?;
            if files.len() == before {
                let message = format!("{}: no *.yaml or *.yml in it", path.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
        }
        let mut read = Vec::new();
        for path in files {
            let bytes = fs::read(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
            read.push(checked(Origin::File(path), &bytes));
        }
        Ok(Self::of(read))
    }

    fn of(read: Vec<Result<Case, CaseError>>) -> Self {
        let mut catalogue = Self::default();
        let mut seen: BTreeMap<Arc<str>, Case> = BTreeMap::new();
        for one in read {
            match one {
                Ok(case) => {
                    if let Some(earlier) = seen.get(&case.id) {
                        catalogue.errors.push(twice(&case, earlier));
                    } else {
                        seen.insert(Arc::clone(&case.id), case);
                    }
                }
                Err(error) => catalogue.errors.push(error),
            }
        }
        catalogue.cases = seen.into_values().collect();
        catalogue
    }
}

fn checked(origin: Origin, bytes: &[u8]) -> Result<Case, CaseError> {
    let text = str::from_utf8(bytes).map_err(|error| no_text(&origin, bytes, error))?;
    let case = read_case(origin, text)?;
    case.check()?;
    Ok(case)
}

fn no_text(origin: &Origin, bytes: &[u8], error: Utf8Error) -> CaseError {
    let before = bytes.iter().take(error.valid_up_to());
    let lines = before.filter(|byte| **byte == b'\n').count();
    CaseError {
        origin: origin.to_string(),
        line: u64::try_from(lines).map_or(1, |lines| lines + 1),
        field: "case".to_owned(),
        message: "no UTF-8".to_owned(),
    }
}

fn twice(case: &Case, earlier: &Case) -> CaseError {
    CaseError {
        origin: case.origin.to_string(),
        line: 1,
        field: "id".to_owned(),
        message: format!("{} is the id of {} too", case.id, earlier.origin),
    }
}

fn read_own(dir: &Dir<'_>, read: &mut Vec<Result<Case, CaseError>>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => read_own(dir, read),
            DirEntry::File(file) => {
                let origin = Origin::BuiltIn(file.path().to_owned());
                read.push(read_case(origin, file.contents_utf8().unwrap_or_default()));
            }
        }
    }
}

/// In order of names, so that errors come in the same order everywhere.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)?
        .map(|it| it.map(|it| it.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for entry in entries {
        let is_yaml = entry
            .extension()
            .is_some_and(|it| it == "yaml" || it == "yml");
        if entry.is_dir() || is_yaml {
            find(&entry, files)?;
        }
    }
    Ok(())
}
