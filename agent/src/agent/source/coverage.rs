//! Which directories are watched: all that the paths reach, and those in which a link on the way may change.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;

/// The watched directories, by watch descriptor.
#[derive(Debug, Default)]
pub(super) struct Coverage(BTreeMap<i32, Watched>);

#[derive(Debug)]
struct Watched {
    /// Without links.
    directory: PathBuf,
    /// What counts in it; None: everything.
    names: Option<BTreeSet<OsString>>,
}

/// Entries come and go.
const ENTRIES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::MASK_ADD);
/// Files are written. One that has left the directory is still heard of by its name: without (`EXCL_UNLINK`), its
/// truncation would be heard of and its end not.
const CONTENT: WatchFlags = ENTRIES
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE);
/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

impl Coverage {
    /// Watches every directory there is now; watching one twice is watching it once.
    pub(super) fn of(inotify: &OwnedFd, paths: &[PathBuf]) -> Self {
        let mut coverage = Self::default();
        for path in paths.iter().filter(|path| *path != Path::new("-")) {
            coverage.watch_way(inotify, path, MOST_LINKS);
            if path.is_dir() {
                coverage.watch_tree(inotify, path);
            }
        }
        coverage
    }

    /// Stops watching what the later coverage does not have.
    pub(super) fn give_way_to(self, inotify: &OwnedFd, later: &Self) {
        for descriptor in self.0.into_keys() {
            if !later.0.contains_key(&descriptor) {
                // It fails where the directory is gone, and the watch with it.
                let _gone = inotify::remove_watch(inotify, descriptor);
            }
        }
    }

    /// Whether an event counts: `name` is of an entry, None of the directory itself.
    pub(super) fn counts(&self, descriptor: i32, name: Option<&OsStr>) -> bool {
        self.0.get(&descriptor).is_some_and(|watched| {
            let names = watched.names.as_ref();
            name.is_none_or(|name| names.is_none_or(|names| names.contains(name)))
        })
    }

    /// An entry's path, without links above it.
    pub(super) fn path(&self, descriptor: i32, name: &OsStr) -> Option<PathBuf> {
        let watched = self.0.get(&descriptor)?;
        Some(watched.directory.join(name))
    }

    /// Watches where the path, and every link on the way to it, may become another one.
    fn watch_way(&mut self, inotify: &OwnedFd, path: &Path, most_links: usize) {
        for step in path.ancestors() {
            let (Some(parent), Some(name)) = (step.parent(), step.file_name()) else {
                continue;
            };
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            let link = step.read_link().ok();
            if step == path || link.is_some() || !step.exists() {
                let flags = if step.is_file() { CONTENT } else { ENTRIES };
                self.watch(inotify, parent, flags, Some(name));
            }
            if let (Some(target), Some(most_links)) = (link, most_links.checked_sub(1)) {
                self.watch_way(inotify, &parent.join(target), most_links);
            }
        }
    }

    fn watch_tree(&mut self, inotify: &OwnedFd, directory: &Path) {
        if !self.watch(inotify, directory, CONTENT, None) {
            return;
        }
        let Ok(entries) = std::fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let is =
                |kind: fn(&FileType) -> bool| entry.file_type().is_ok_and(|found| kind(&found));
            let is_link = is(FileType::is_symlink);
            if is_link {
                self.watch_way(inotify, &path, MOST_LINKS);
            }
            if is(FileType::is_dir) || (is_link && path.is_dir()) {
                self.watch_tree(inotify, &path);
            }
        }
    }

    /// Watches an entry of a directory, or all of it; whether that is new.
    fn watch(
        &mut self,
        inotify: &OwnedFd,
        directory: &Path,
        flags: WatchFlags,
        name: Option<&OsStr>,
    ) -> bool {
        let watched = directory.canonicalize().and_then(|directory| {
            let descriptor = inotify::add_watch(inotify, &directory, flags)?;
            Ok((descriptor, directory))
        });
        match watched {
            Ok((descriptor, directory)) => self.add(descriptor, directory, name),
            // What is above it is watched, and tells when it comes.
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => false,
            Err(error) => {
                tracing::warn!(path = %directory.display(), %error, "not watched for changes");
                false
            }
        }
    }

    fn add(&mut self, descriptor: i32, directory: PathBuf, name: Option<&OsStr>) -> bool {
        let watched = self.0.entry(descriptor).or_insert_with(|| Watched {
            directory,
            names: Some(BTreeSet::new()),
        });
        match (name, &mut watched.names) {
            (_, None) => false,
            (None, names) => names.take().is_some(),
            (Some(name), Some(names)) => names.insert(name.to_owned()),
        }
    }
}
