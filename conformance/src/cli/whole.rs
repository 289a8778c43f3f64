//! A file that is written whole or not at all: who reads it never takes a run that was ended early for an empty report.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// A file that can be written.
#[derive(Debug)]
pub(super) enum Whole {
    /// Written beside its place, and put there at the end.
    Beside(Beside),
    /// What is no regular file, as a pipe, and what nothing can be put beside of.
    InPlace(File),
}

/// Gone again where nothing was written.
#[derive(Debug)]
pub(super) struct Beside {
    file: File,
    own: PathBuf,
    place: PathBuf,
}

impl Whole {
    /// Makes sure that a path can be written, and leaves what is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // A link stays one.
        let place = fs::canonicalize(path).unwrap_or_else(|_missing| path.to_owned());
        match OpenOptions::new().write(true).open(&place) {
            Ok(there) if !there.metadata()?.is_file() => Ok(Self::InPlace(there)),
            Ok(there) => Ok(Beside::of(place).map_or(Self::InPlace(there), Self::Beside)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Beside::of(place).map(Self::Beside)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes all of it.
    pub(super) fn write(self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Beside(mut beside) => {
                beside.file.write_all(text)?;
                // What is mounted there by itself cannot be replaced.
                fs::rename(&beside.own, &beside.place)
                    .or_else(|_busy| fs::write(&beside.place, text))
            }
            Self::InPlace(mut file) => {
                if file.metadata()?.is_file() {
                    file.set_len(0)?;
                }
                file.write_all(text)
            }
        }
    }
}

impl Beside {
    fn of(place: PathBuf) -> io::Result<Self> {
        let name = place.file_name().ok_or(ErrorKind::IsADirectory)?;
        let mut own = name.to_owned();
        own.push(format!(".{}.part", std::process::id()));
        let own = place.with_file_name(own);
        let file = OpenOptions::new().write(true).create_new(true).open(&own)?;
        Ok(Self { file, own, place })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Gone already where it was put in its place.
        let _missing = fs::remove_file(&self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of a directory, and what they hold.
    fn files(directory: &Path) -> Vec<(String, String)> {
        let read = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        };
        let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(read).collect();
        files.sort();
        files
    }

    #[test]
    fn what_is_there_stays_until_all_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new, link] = ["old", "new", "link"].map(|it| directory.path().join(it));
        fs::write(&old, "before").unwrap();
        std::os::unix::fs::symlink(&old, &link).unwrap();
        let is = |wanted: &[(&str, &str)]| {
            let files = files(directory.path());
            let files: Vec<_> = files
                .iter()
                .map(|(name, text)| (&**name, &**text))
                .collect();
            assert_eq!(files, wanted);
        };
        for path in [&old, &new] {
            drop(Whole::open(path).unwrap());
        }
        is(&[("link", "before"), ("old", "before")]);
        Whole::open(&link).unwrap().write(b"now").unwrap();
        is(&[("link", "now"), ("old", "now")]);
        assert!(link.is_symlink());
        Whole::open(&new).unwrap().write(b"new").unwrap();
        is(&[("link", "now"), ("new", "new"), ("old", "now")]);
    }

    #[test]
    fn what_cannot_be_written_is_known_at_once() {
        let directory = tempfile::tempdir().unwrap();
        for path in [
            directory.path().join("no/file"),
            directory.path().to_owned(),
        ] {
            assert!(Whole::open(&path).is_err(), "{}", path.display());
        }
        Whole::open(Path::new("/dev/null"))
            .unwrap()
            .write(b"gone")
            .unwrap();
        let full = Whole::open(Path::new("/dev/full")).unwrap();
        assert!(full.write(b"too much").is_err());
    }
}
