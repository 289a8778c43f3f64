//! Directories of runs, by default below `/run/sluice-lab`: made, found again after their owner's death, removed. What a run keeps
//! in them is not known here.
//!
//! The owner holds a lock on the directory's `lock` file for as long as it lives, so whether a run is alive is never
//! guessed from a process id. All who make or remove directories hold the root's lock meanwhile.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};

/// Where the directories of all runs are, unless told otherwise.
pub(crate) const ROOT: &str = "/run/sluice-lab";
/// The owner's process id, in the directory of a run that is kept.
const PID: &str = "pid";
const LOCK: &str = "lock";
/// The number of this process's next directory.
static NEXT: AtomicU32 = AtomicU32::new(0);
/// How long a kept run has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// A run's directory; removed on drop.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes a directory that nobody else has, and removes those whose owners are dead.
    pub(crate) fn create(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| root.display().to_string())?;
        let _guard = lock_root(root)?;
        for orphan in orphans(root)? {
            remove(&orphan)?;
        }
        let process = std::process::id();
        loop {
            // No name twice: one that ends may still take its directory away.
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = root.join(format!("{process}-{number}"));
            match fs::create_dir(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    made.with_context(|| path.display().to_string())?;
                    let lock = File::create(path.join(LOCK))
                        .with_context(|| path.display().to_string())?;
                    flock(&lock, FlockOperation::NonBlockingLockExclusive)
                        .context("lock a new directory")?;
                    return Ok(Self { path, _lock: lock });
                }
            }
        }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it.
    pub(crate) fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Says that this process keeps the run until it is told to end.
    pub(crate) fn keep(&self) -> Result<()> {
        fs::write(self.path.join(PID), format!("{}\n", std::process::id()))
            .context("write the process id")
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // Whoever comes next removes what could not be removed now: the lock is gone.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Removes the directories of this process, whose labs have ended.
pub(crate) fn remove_own(root: &Path) {
    let prefix = format!("{}-", std::process::id());
    for path in directories(root).unwrap_or_default() {
        // What cannot be removed now is removed by the next run.
        let _gone = name_of(&path).starts_with(&prefix) && remove(&path).is_ok();
    }
}

/// A run that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The name of its directory.
    pub run: String,
    /// Whether it was alive until then.
    pub was_alive: bool,
}

/// Ends all kept runs below `root` and removes what dead ones left. Runs that are alive and not kept stay.
pub fn down(root: &Path) -> Result<Vec<Removed>> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let _guard = lock_root(root)?;
    let mut removed = Vec::new();
    for path in directories(root)? {
        let was_alive = is_alive(&path);
        if was_alive && !end_kept(&path)? {
            continue;
        }
        remove(&path)?;
        removed.push(Removed {
            run: name_of(&path),
            was_alive,
        });
    }
    Ok(removed)
}

/// Ends the owner of a kept run, gently at first; false where the run is not kept.
fn end_kept(path: &Path) -> Result<bool> {
    let Some(owner) = kept_by(path) else {
        return Ok(false);
    };
    for signal in [Signal::TERM, Signal::KILL] {
        // Gone already is as good.
        let _gone = kill_process(owner, signal).is_err();
        let limit = Instant::now() + GRACE;
        while Instant::now() < limit {
            if !is_alive(path) {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    anyhow::bail!("process {} does not end", owner.as_raw_nonzero())
}

/// Removes a directory that its owner may be removing too.
fn remove(path: &Path) -> Result<()> {
    let mut removed = Ok(());
    for _ in 0..3 {
        removed = fs::remove_dir_all(path);
        match &removed {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            _ => break,
        }
    }
    removed.with_context(|| path.display().to_string())
}

fn kept_by(path: &Path) -> Option<Pid> {
    Pid::from_raw(
        fs::read_to_string(path.join(PID))
            .ok()?
            .trim()
            .parse()
            .ok()?,
    )
}

fn lock_root(root: &Path) -> Result<File> {
    let lock = File::create(root.join(LOCK)).with_context(|| root.display().to_string())?;
    flock(&lock, FlockOperation::LockExclusive).with_context(|| root.display().to_string())?;
    Ok(lock)
}

fn orphans(root: &Path) -> Result<Vec<PathBuf>> {
    Ok(directories(root)?
        .into_iter()
        .filter(|path| !is_alive(path))
        .collect())
}

fn directories(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(root)
        .with_context(|| root.display().to_string())?
        .collect::<io::Result<Vec<_>>>()?;
    Ok(entries
        .iter()
        .map(fs::DirEntry::path)
        .filter(|path| path.is_dir())
        .collect())
}

fn is_alive(path: &Path) -> bool {
    File::open(path.join(LOCK))
        .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
