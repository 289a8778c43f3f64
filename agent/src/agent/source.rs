//! Manifests as a source: when they are to be read again, and which are not to be read yet.

mod coverage;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coverage::Coverage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::SeekFrom;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader};

/// Tells when something under the paths may be different.
///
/// Only finished writes count: a file is empty for a moment while it is written, and an empty file has no policies.
/// One thread waits, another reads; whichever comes first takes in what happened, for both.
pub(crate) struct Watcher {
    inotify: OwnedFd,
    paths: Vec<PathBuf>,
    state: Mutex<State>,
}

/// What the events so far say.
#[derive(Default)]
struct State {
    coverage: Coverage,
    /// Files that were modified and not closed since. A writer's end closes its files; only truncation by path, which
    /// opens nothing, leaves a file here until it is next written.
    open: BTreeSet<Entry>,
    /// These, and those that were among them at any time since the reading began.
    disturbed: BTreeSet<Entry>,
    /// Whether there is something to read.
    changed: bool,
    /// When the first of it was seen.
    changed_at: Option<Instant>,
    /// When a change was last told of.
    told: Option<Instant>,
}

/// A directory's watch descriptor, and a name in it: they stay the same when the directory is moved.
type Entry = (i32, OsString);

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file is being written.
    Modified,
    /// It is not any more.
    Written,
    /// There are other directories, links or files.
    Entries,
    /// There are fewer.
    Gone,
}

/// What became of all events there were.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finished {
    /// No change.
    Nothing,
    /// Something is gone, whatever else has come: it may yet be replaced.
    Gone,
    /// Something is there to be read.
    Change,
}

/// Changes this close together are one, in a row of changes: the first of them is told of at once, unless something is
/// merely gone, as a file is for a moment when it is replaced in two steps.
const QUIET: Duration = Duration::from_millis(5);
/// A change is not held back for longer, however many follow. After as long without any, the next is a first one.
const MOST_DELAY: Duration = Duration::from_millis(100);
/// How long after a file became empty its truncation is told of, where it cannot be awaited.
const TRUNCATION: Duration = Duration::from_millis(50);

impl Watcher {
    /// Watches from now on. Every path is watched through its directory too, as editors replace files and deployers
    /// links.
    pub(crate) fn new(paths: &[PathBuf]) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let state = State {
            coverage: Coverage::of(&inotify, paths),
            ..State::default()
        };
        Ok(Self {
            inotify,
            paths: paths.to_vec(),
            state: Mutex::new(state),
        })
    }

    /// Waits for a finished change that nobody has read; in a row of changes, for those that follow it closely, too.
    pub(crate) fn wait(&self) -> io::Result<()> {
        loop {
            self.readable(None)?;
            let finished = self.catch_up();
            if finished != Finished::Nothing {
                if finished == Finished::Gone || self.is_in_a_row() {
                    self.settle()?;
                }
                if self.take_changed() {
                    self.state().told = Some(Instant::now());
                    return Ok(());
                }
            }
        }
    }

    fn is_in_a_row(&self) -> bool {
        let told = self.state().told;
        told.is_some_and(|told| told.elapsed() < MOST_DELAY)
    }

    /// From here on the files are read: all that was finished before is in them. Since when there was something to
    /// read: since now, where that is not known.
    pub(crate) fn begin_reading(&self) -> Instant {
        let _reading_finds_it = self.catch_up();
        let mut state = self.state();
        state.changed = false;
        let State {
            open, disturbed, ..
        } = &mut *state;
        disturbed.clone_from(open);
        state.changed_at.take().unwrap_or_else(Instant::now)
    }

    /// The files that somebody was writing at any time since the reading began, by their paths without links: what was
    /// read of them may be half of it. Each is told of as a change when it is finished. `emptied` are those
    /// found empty that were not: a truncation is seen before it is told of, so that is waited for.
    pub(crate) fn disturbed(&self, emptied: &[Arc<Path>]) -> BTreeSet<PathBuf> {
        for file in emptied {
            await_truncation(file);
        }
        let grace = if emptied.is_empty() {
            Duration::ZERO
        } else {
            TRUNCATION
        };
        let until = Instant::now() + grace;
        self.catch_up_until(until);
        let state = self.state();
        let paths = state.disturbed.iter();
        paths
            .filter_map(|(descriptor, name)| state.coverage.path(*descriptor, name))
            .collect()
    }

    /// Whether something was finished since the reading began that nobody else will tell of.
    #[must_use]
    pub(crate) fn take_changed(&self) -> bool {
        std::mem::take(&mut self.state().changed)
    }

    fn catch_up_until(&self, until: Instant) {
        loop {
            let _told_as_changed = self.catch_up();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.readable(Some(left)).is_err() {
                return;
            }
        }
    }

    fn settle(&self) -> io::Result<()> {
        let latest = Instant::now() + MOST_DELAY;
        let mut until = Instant::now() + QUIET;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // Of a file that is written all the time nothing is finished, and nothing waits for it.
            if self.readable(Some(left))? && self.catch_up() != Finished::Nothing {
                until = latest.min(Instant::now() + QUIET);
            }
        }
    }

    fn readable(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: 0,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in every event there is.
    fn catch_up(&self) -> Finished {
        let mut state = self.state();
        let (mut gone, mut come, mut entries) = (false, false, false);
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            let name = event
                .file_name()
                .map(|name| OsStr::from_bytes(name.to_bytes()));
            let kind = state.take_in(event.wd(), event.events(), name);
            gone |= kind == Some(Kind::Gone);
            come |= matches!(kind, Some(Kind::Written | Kind::Entries));
            entries |= matches!(kind, Some(Kind::Entries | Kind::Gone));
        }
        if entries {
            // A new directory is watched before it is read, so nothing in it is missed.
            let coverage = Coverage::of(&self.inotify, &self.paths);
            std::mem::take(&mut state.coverage).give_way_to(&self.inotify, &coverage);
            state.coverage = coverage;
        }
        if gone || come {
            state.changed = true;
            state.changed_at.get_or_insert_with(Instant::now);
        }
        match (come, gone) {
            (_, true) => Finished::Gone,
            (true, false) => Finished::Change,
            (false, false) => Finished::Nothing,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until no truncation of the file is under way: it holds the file's lock until it has been told of, while it
/// waits for the disk, and most file systems take that lock to look for holes.
fn await_truncation(file: &Path) {
    if let Ok(file) = File::open(file) {
        // An empty file has none.
        let _none = rustix::fs::seek(&file, SeekFrom::Hole(0));
    }
}

impl State {
    /// What an event means; None if it is of nothing that counts.
    fn take_in(&mut self, wd: i32, events: ReadFlags, name: Option<&OsStr>) -> Option<Kind> {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            // Some writers' ends may be lost.
            self.open.clear();
            return Some(Kind::Entries);
        }
        if !self.coverage.counts(wd, name) {
            return None;
        }
        let Some(name) = name else {
            if events.contains(ReadFlags::IGNORED) {
                self.open.retain(|(descriptor, _)| *descriptor != wd);
            }
            return Some(Kind::Entries);
        };
        let entry = (wd, name.to_owned());
        if events.contains(ReadFlags::MODIFY) {
            self.disturbed.insert(entry.clone());
            self.open.insert(entry);
            return Some(Kind::Modified);
        }
        // Written to the end, gone, or another file of that name.
        self.open.remove(&entry);
        Some(if events.contains(ReadFlags::CLOSE_WRITE) {
            Kind::Written
        } else if events.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            Kind::Gone
        } else {
            Kind::Entries
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;

    const NONE: [PathBuf; 0] = [];

    /// A directory, and what a watcher of a path in it tells.
    struct Watched {
        root: tempfile::TempDir,
        watcher: Arc<Watcher>,
        noticed: mpsc::Receiver<()>,
    }

    impl Watched {
        fn new(path: &str, prepare: impl FnOnce(&Path)) -> Self {
            let root = tempfile::tempdir().unwrap();
            prepare(root.path());
            let watcher = Arc::new(Watcher::new(&[root.path().join(path)]).unwrap());
            let (notice, noticed) = mpsc::channel();
            let waiting = Arc::clone(&watcher);
            std::thread::spawn(
                move || {
                    while waiting.wait().is_ok() && notice.send(()).is_ok() {}
                },
            );
            Self {
                root,
                watcher,
                noticed,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn notices(&self) {
            self.noticed.recv_timeout(Duration::from_mins(1)).unwrap();
        }

        /// What a reading that begins and ends now is not to take.
        fn disturbed(&self) -> Vec<PathBuf> {
            self.watcher.begin_reading();
            self.watcher.disturbed(&[]).into_iter().collect()
        }

        fn real(&self, name: &str) -> PathBuf {
            self.root.path().canonicalize().unwrap().join(name)
        }
    }

    #[test]
    fn a_file_written_in_a_new_directory_is_noticed() {
        let watched = Watched::new("", |_| {});
        fs::create_dir(watched.path("sub")).unwrap();
        watched.notices();
        fs::write(watched.path("sub/policy.yaml"), "kind: NetworkPolicy").unwrap();
        watched.notices();
        fs::remove_file(watched.path("sub/policy.yaml")).unwrap();
        watched.notices();
    }

    #[test]
    fn a_change_is_timed_from_when_it_was_seen() {
        let watched = Watched::new("", |_| {});
        fs::write(watched.path("policy.yaml"), "kind: NetworkPolicy").unwrap();
        watched.notices();
        let noticed = Instant::now();
        assert!(watched.watcher.begin_reading() < noticed);
        let nothing_new = Instant::now();
        assert!(watched.watcher.begin_reading() >= nothing_new);
    }

    #[test]
    fn a_file_is_disturbed_from_its_truncation_until_it_is_closed() {
        let watched = Watched::new("", |root| fs::write(root.join("p.yaml"), "a: b").unwrap());
        assert_eq!(watched.disturbed(), NONE);
        let open = File::create(watched.path("p.yaml")).unwrap();
        fs::write(watched.path("other.yaml"), "a: b").unwrap();
        watched.notices();
        assert_eq!(watched.disturbed(), [watched.real("p.yaml")]);
        assert_eq!(watched.disturbed(), [watched.real("p.yaml")]);
        drop(open);
        watched.notices();
        assert_eq!(watched.disturbed(), NONE);
    }

    #[test]
    fn a_file_that_is_finished_while_it_is_read_is_disturbed_and_changed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap().join("p.yaml");
        let watcher = Watcher::new(&[root.path().to_path_buf()]).unwrap();
        watcher.begin_reading();
        fs::write(&path, "a: b").unwrap();
        assert_eq!(watcher.disturbed(&[]), BTreeSet::from([path]));
        assert!(watcher.take_changed());
        watcher.begin_reading();
        assert_eq!(watcher.disturbed(&[]), BTreeSet::new());
        assert!(!watcher.take_changed());
    }

    #[test]
    fn a_file_that_is_written_without_end_holds_up_no_other() {
        let watched = Watched::new("", |_| {});
        let mut open = File::create(watched.path("p.yaml")).unwrap();
        watched.notices();
        let (stop, stopped) = mpsc::channel::<()>();
        let writer = std::thread::spawn(move || {
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                open.write_all(b"#").unwrap();
            }
        });
        fs::write(watched.path("other.yaml"), "a: b").unwrap();
        watched.notices();
        drop(stop);
        writer.join().unwrap();
    }

    #[test]
    fn a_file_that_is_gone_or_replaced_is_not_disturbed() {
        let watched = Watched::new("", |root| fs::write(root.join("new"), "a: b").unwrap());
        let gone = File::create(watched.path("gone.yaml")).unwrap();
        gone.set_len(1).unwrap();
        let replaced = File::create(watched.path("replaced.yaml")).unwrap();
        replaced.set_len(1).unwrap();
        assert_eq!(watched.disturbed().len(), 2);
        fs::remove_file(watched.path("gone.yaml")).unwrap();
        fs::rename(watched.path("new"), watched.path("replaced.yaml")).unwrap();
        assert_eq!(watched.disturbed(), NONE);
        // Whoever goes on with the former file disturbs the new one, but not for longer.
        replaced.set_len(2).unwrap();
        assert_eq!(watched.disturbed(), [watched.real("replaced.yaml")]);
        drop(replaced);
        assert_eq!(watched.disturbed(), NONE);
    }

    #[test]
    fn an_overflow_disturbs_nothing_and_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        let watcher = Watcher::new(&[root.path().to_path_buf()]).unwrap();
        let open = File::create(root.path().join("p.yaml")).unwrap();
        open.set_len(1).unwrap();
        watcher.begin_reading();
        assert_eq!(watcher.disturbed(&[]).len(), 1);
        let kind = watcher.state().take_in(-1, ReadFlags::QUEUE_OVERFLOW, None);
        assert!(kind == Some(Kind::Entries));
        watcher.begin_reading();
        assert_eq!(watcher.disturbed(&[]), BTreeSet::new());
    }

    #[test]
    fn a_link_to_a_directory_is_followed_when_it_changes() {
        let revisions = |root: &Path| {
            for revision in ["rev1", "rev2"] {
                fs::create_dir_all(root.join(revision).join("deploy")).unwrap();
            }
            symlink("rev1", root.join("current")).unwrap();
        };
        for given in ["current", "current/deploy"] {
            let watched = Watched::new(given, revisions);
            symlink("rev2", watched.path("next")).unwrap();
            fs::rename(watched.path("next"), watched.path("current")).unwrap();
            watched.notices();
            fs::write(watched.path("rev2/deploy/p.yaml"), "a: b").unwrap();
            watched.notices();
            // The former one is none of its business any more.
            let open = File::create(watched.path("rev1/deploy/p.yaml")).unwrap();
            open.set_len(1).unwrap();
            assert_eq!(watched.disturbed(), NONE, "{given}");
        }
    }

    #[test]
    fn a_directory_that_goes_and_comes_again_is_watched_again() {
        let watched = Watched::new("a/b", |root| fs::create_dir_all(root.join("a/b")).unwrap());
        fs::remove_dir(watched.path("a/b")).unwrap();
        watched.notices();
        fs::remove_dir(watched.path("a")).unwrap();
        watched.notices();
        fs::create_dir(watched.path("a")).unwrap();
        watched.notices();
        fs::create_dir(watched.path("a/b")).unwrap();
        watched.notices();
        fs::write(watched.path("a/b/p.yaml"), "a: b").unwrap();
        watched.notices();
    }

    #[test]
    fn a_linked_file_is_watched_where_it_is() {
        let watched = Watched::new("m", |root| {
            fs::create_dir(root.join("m")).unwrap();
            fs::write(root.join("real.yaml"), "a: b").unwrap();
            symlink("../real.yaml", root.join("m/p.yaml")).unwrap();
            symlink(".", root.join("m/loop")).unwrap();
            symlink("..", root.join("m/outer")).unwrap();
        });
        let open = File::create(watched.path("real.yaml")).unwrap();
        assert_eq!(watched.disturbed(), [watched.real("real.yaml")]);
        drop(open);
        watched.notices();
    }
}
