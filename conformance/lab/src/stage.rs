//! The manifests of a run: copies that the agents read, so that a test can edit them while agents run. What is in them
//! is read by `sluice-kubernetes` alone.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sluice_kubernetes::{Loaded, Origin, Place, Problem};

/// Extensions of files that are read from directories.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Where the manifests of a lab come from.
#[derive(Clone, Debug)]
pub enum Manifests {
    /// Files, directories, and `-` for stdin.
    Paths(Vec<PathBuf>),
    /// Files of one directory: their relative paths and texts.
    Texts(Vec<(String, String)>),
}

impl Manifests {
    /// One file or directory.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::Paths(vec![path.into()])
    }
}

/// Copied manifests.
#[derive(Debug)]
pub struct Staged {
    /// Where each path that was given has its copy, in the order given.
    copies: Vec<Copy>,
}

#[derive(Debug)]
struct Copy {
    given: PathBuf,
    copy: PathBuf,
}

/// A path that was given and cannot be read; prints as the offline tools say it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct StageError {
    path: PathBuf,
    source: io::Error,
}

/// A file that is written, and not in its place yet.
#[must_use = "nobody reads it before it is put in its place"]
pub struct Draft {
    written: PathBuf,
    place: PathBuf,
    /// Open, so that it is not removed from the disk by whoever replaces it.
    replaced: Option<File>,
}

impl Draft {
    /// Leaves the disk as little to do as can be while it is put in its place, which takes up to a millisecond else.
    ///
    /// # Errors
    /// Where it cannot be written out.
    pub fn settled(mut self) -> Result<Self> {
        let synced = File::open(&self.written).and_then(|written| written.sync_all());
        synced.with_context(|| self.written.display().to_string())?;
        self.replaced = File::open(&self.place).ok();
        Ok(self)
    }

    /// Puts it in its place, in one step.
    ///
    /// # Errors
    /// Where it cannot be there.
    pub fn put(self) -> Result<()> {
        fs::rename(&self.written, &self.place).with_context(|| self.place.display().to_string())
    }
}

impl Staged {
    /// Copies `manifests` to the empty `directory`. All that cannot be read is reported.
    pub(crate) fn new(manifests: &Manifests, directory: &Path) -> Result<Self, Vec<StageError>> {
        match manifests {
            Manifests::Paths(paths) => Self::copy(paths, directory),
            Manifests::Texts(files) => {
                Self::write_all(files, directory).map_err(|error| vec![error])
            }
        }
    }

    fn copy(paths: &[PathBuf], directory: &Path) -> Result<Self, Vec<StageError>> {
        let mut copies = Vec::new();
        let mut errors = Vec::new();
        for (number, given) in paths.iter().enumerate() {
            match stage(given, directory, number) {
                Ok(copy) => copies.push(Copy {
                    given: given.clone(),
                    copy,
                }),
                Err(source) => errors.push(StageError {
                    path: given.clone(),
                    source,
                }),
            }
        }
        if errors.is_empty() {
            Ok(Self { copies })
        } else {
            Err(errors)
        }
    }

    fn write_all(files: &[(String, String)], directory: &Path) -> Result<Self, StageError> {
        for (file, text) in files {
            let path = directory.join(file);
            let made = path.parent().map_or(Ok(()), fs::create_dir_all);
            made.and_then(|()| fs::write(&path, text))
                .map_err(|source| StageError { path, source })?;
        }
        Ok(Self {
            copies: vec![Copy {
                given: PathBuf::new(),
                copy: directory.to_owned(),
            }],
        })
    }

    /// The copies, for `--manifests`.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.copies.iter().map(|copy| copy.copy.clone()).collect()
    }

    /// Reads the copies. Problems name the files that were given.
    pub fn load(&self) -> Result<Loaded> {
        let mut loaded = sluice_kubernetes::load(&self.paths())?;
        for problem in &mut loaded.problems {
            self.name_original(problem);
        }
        Ok(loaded)
    }

    /// Writes a file of a directory that was given first, in one step: whoever reads it sees the old or the new text.
    /// `file` is relative to that directory.
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        self.draft(file, text)?.put()
    }

    /// The first half of [`Self::write`]: what is yet to be put in its place.
    pub fn draft(&self, file: &str, text: &str) -> Result<Draft> {
        let place = self.resolve(file)?;
        let parent = place.parent().context("a file name")?;
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        // Beside the directory, whose readers would take its coming for a change.
        let outside = self.copies.first().and_then(|first| first.copy.parent());
        let name = format!("draft-{}", file.replace('/', "-"));
        let draft = outside.context("a directory")?.join(name);
        fs::write(&draft, text).with_context(|| draft.display().to_string())?;
        Ok(Draft {
            written: draft,
            place,
            replaced: None,
        })
    }

    /// The text of a file of the directory that was given first.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.resolve(file)?;
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Removes a file of the directory that was given first.
    pub fn remove(&self, file: &str) -> Result<()> {
        let path = self.resolve(file)?;
        fs::remove_file(&path).with_context(|| path.display().to_string())
    }

    fn resolve(&self, file: &str) -> Result<PathBuf> {
        let path = Path::new(file);
        ensure!(
            path.components()
                .all(|part| matches!(part, Component::Normal(_))),
            "{file} is no path inside the manifests"
        );
        let first = self.copies.first().context("no manifests were given")?;
        ensure!(
            first.copy.is_dir(),
            "{} is not a directory",
            first.given.display()
        );
        Ok(first.copy.join(path))
    }

    fn name_original(&self, problem: &mut Problem) {
        let Origin::File(Place { file, .. }) = &mut problem.origin else {
            return;
        };
        let original = self.copies.iter().find_map(|copy| {
            let rest = file.strip_prefix(&copy.copy).ok()?;
            Some(if rest.as_os_str().is_empty() {
                copy.given.clone()
            } else {
                copy.given.join(rest)
            })
        });
        if let Some(original) = original {
            *file = original.into();
        }
    }
}

fn stage(given: &Path, directory: &Path, number: usize) -> io::Result<PathBuf> {
    let place = directory.join(number.to_string());
    if given == Path::new("-") {
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text)?;
        fs::create_dir_all(&place)?;
        let copy = place.join("stdin.yaml");
        fs::write(&copy, text)?;
        return Ok(copy);
    }
    if fs::metadata(given)?.is_dir() {
        copy_directory(given, &place)?;
        return Ok(place);
    }
    fs::create_dir_all(&place)?;
    let copy = place.join(given.file_name().unwrap_or_default());
    fs::copy(given, &copy)?;
    Ok(copy)
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_directory(&path, &copy)?;
        } else if is_manifest(&path) && fs::metadata(&path)?.is_file() {
            fs::copy(&path, &copy)?;
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_that_cannot_be_read_is_reported() {
        let room = tempfile::tempdir().unwrap();
        let paths = ["no/such/file.yaml", "nor/this"].map(PathBuf::from);
        let errors = Staged::new(&Manifests::Paths(paths.to_vec()), room.path()).unwrap_err();
        let text: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(text.len(), 2);
        assert!(text[0].starts_with("no/such/file.yaml: "), "{text:?}");
    }

    #[test]
    fn copies_can_be_edited_and_originals_stay() {
        let (given, room) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(given.path().join("deep")).unwrap();
        fs::write(given.path().join("deep/a.yaml"), "a: 1").unwrap();
        fs::write(given.path().join("notes.txt"), "not a manifest").unwrap();
        let staged = Staged::new(&Manifests::path(given.path()), room.path()).unwrap();
        staged.write("deep/a.yaml", "a: 2").unwrap();
        assert_eq!(staged.read("deep/a.yaml").unwrap(), "a: 2");
        assert_eq!(
            fs::read_to_string(given.path().join("deep/a.yaml")).unwrap(),
            "a: 1"
        );
        assert!(staged.read("notes.txt").is_err());
        assert!(staged.write("../escape.yaml", "").is_err());
    }
}
