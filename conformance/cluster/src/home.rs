//! The directory of a cluster: made, found again after its owner's death, taken away with everything that it records.
//!
//! All are below `cluster` of cargo's target directory. An owner holds the lock of its directory for as long as it
//! lives, so whether a cluster has an owner is never guessed from a process id. A kept cluster has none, and stays until
//! it is told to go. What runs in a cluster is not known here, only in which sandboxes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::cgroup;
use crate::sandbox;
use crate::wait;

const LOCK: &str = "lock";
/// In the directory of a cluster that outlives whoever made it.
const KEPT: &str = "kept";
/// Logs of all components.
pub(crate) const LOGS: &str = "logs";
/// Where the logs of clusters that failed are left.
const FAILED: &str = "failed";
/// How long processes may take to end, and the kernel to let go of what they held.
const LIMIT: Duration = Duration::from_mins(2);

/// A cluster's directory. On drop everything that it records ends, unless the cluster is kept.
#[derive(Debug)]
pub(crate) struct Home {
    root: PathBuf,
    name: String,
    /// Held by the owner; none for a kept cluster.
    lock: Option<File>,
}

impl Home {
    /// Makes the directory of a cluster that nobody has, after taking away what dead owners left.
    pub(crate) fn create(root: &Path, name: &str) -> Result<Self> {
        check_name(name)?;
        fs::create_dir_all(root).with_context(|| root.display().to_string())?;
        let _guard = lock(&root.join(LOCK), FlockOperation::LockExclusive)?;
        sweep(root)?;
        let path = root.join(name);
        if path.exists() {
            bail!("there is a cluster `{name}` already");
        }
        fs::create_dir_all(path.join(LOGS)).with_context(|| path.display().to_string())?;
        let lock = lock(&path.join(LOCK), FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self {
            root: root.to_path_buf(),
            name: name.to_owned(),
            lock: Some(lock),
        })
    }

    /// The directory of a kept cluster; none where there is no such cluster.
    pub(crate) fn open(root: &Path, name: &str) -> Result<Option<Self>> {
        check_name(name)?;
        Ok(root.join(name).join(KEPT).exists().then(|| Self {
            root: root.to_path_buf(),
            name: name.to_owned(),
            lock: None,
        }))
    }

    /// The name of the cluster.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its path.
    pub(crate) fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// The log of a component.
    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.path().join(LOGS).join(format!("{component}.log"))
    }

    /// From now on the cluster has no owner.
    pub(crate) fn keep(&mut self) -> Result<()> {
        fs::write(self.path().join(KEPT), "").context("keeping the cluster")?;
        self.lock = None;
        Ok(())
    }

    /// Where the logs go from a cluster that failed and is about to be taken away.
    pub(crate) fn save_logs(&self) -> Result<PathBuf> {
        let saved = self.root.join(FAILED).join(&self.name);
        if saved.exists() {
            fs::remove_dir_all(&saved).with_context(|| saved.display().to_string())?;
        }
        fs::create_dir_all(self.root.join(FAILED)).context("a place for logs")?;
        fs::rename(self.path().join(LOGS), &saved).with_context(|| saved.display().to_string())?;
        Ok(saved)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        if std::thread::panicking() {
            // Whoever looks into the failure wants them; without them it is no worse.
            let _saved = self.save_logs().is_ok();
        }
        // Whoever comes next takes away what could not be taken away now: the lock is gone.
        if let Err(error) = take_away(&self.path()) {
            eprintln!("warning: {error:#}");
        }
    }
}

/// Takes the cluster `name` away, kept or left by a dead owner; whether there was one.
///
/// # Errors
/// Where somebody owns it.
pub(crate) fn down(root: &Path, name: &str) -> Result<bool> {
    check_name(name)?;
    let path = root.join(name);
    if !path.exists() {
        return Ok(false);
    }
    let _guard = lock(&root.join(LOCK), FlockOperation::LockExclusive)?;
    if has_owner(&path) {
        bail!("cluster `{name}` is in use by a process that runs");
    }
    take_away(&path)?;
    Ok(true)
}

/// As [`sweep`], beside others that make clusters.
pub(crate) fn sweep_beside_others(root: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(root).with_context(|| root.display().to_string())?;
    let _guard = lock(&root.join(LOCK), FlockOperation::LockExclusive)?;
    sweep(root)
}

/// Takes away all that dead owners left below `root`: the names of their clusters.
pub(crate) fn sweep(root: &Path) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for name in names(root) {
        let path = root.join(&name);
        if path.join(LOCK).exists() && !path.join(KEPT).exists() && !has_owner(&path) {
            take_away(&path)?;
            gone.push(name);
        }
    }
    Ok(gone)
}

/// The clusters below `root`, in order, whoever owns them.
pub(crate) fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().join(LOCK).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Ends what the directory records, and removes it.
fn take_away(path: &Path) -> Result<()> {
    let cluster = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let sandboxes = sandbox::recorded(path);
    for init in sandboxes.iter().filter_map(|(_, init)| *init) {
        init.kill(LIMIT)
            .with_context(|| format!("taking cluster `{cluster}` away"))?;
    }
    for (sandbox, _) in &sandboxes {
        cgroup::remove(&cgroup::name(&cluster, sandbox), LIMIT)?;
    }
    // Mounts of the namespaces that ended may last a moment longer than their processes.
    let directory = path.display().to_string();
    let mut last = None;
    wait::regardless(&format!("removal of {directory}"), LIMIT, || {
        last = fs::remove_dir_all(path).err();
        Ok((last.is_none() || !path.exists()).then_some(()))
    })
    .with_context(|| format!("{directory}: {last:?}"))
}

fn has_owner(path: &Path) -> bool {
    File::open(path.join(LOCK))
        .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

fn lock(path: &Path, operation: FlockOperation) -> Result<File> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    flock(&file, operation).with_context(|| path.display().to_string())?;
    Ok(file)
}

/// Names become names of directories and control groups.
///
/// # Errors
/// Says what a name consists of.
pub fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        (1..=32).contains(&name.len()) && name.chars().all(plain) && name != FAILED,
        "cluster name `{name}`: up to 32 of a-z, 0-9 and -"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Home, down, names, sweep};
    use crate::wait::until;

    #[test]
    fn a_directory_goes_with_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::create(root.path(), "one").unwrap();
        let path = home.path();
        assert!(path.is_dir());
        assert!(Home::create(root.path(), "one").is_err(), "taken");
        assert!(down(root.path(), "one").is_err(), "in use");
        assert!(sweep(root.path()).unwrap().is_empty(), "its owner lives");
        drop(home);
        assert!(!path.exists());
    }

    #[test]
    fn a_kept_directory_stays_until_it_is_told_to_go() {
        let root = tempfile::tempdir().unwrap();
        let mut home = Home::create(root.path(), "kept").unwrap();
        home.keep().unwrap();
        drop(home);
        assert!(sweep(root.path()).unwrap().is_empty());
        assert_eq!(names(root.path()), ["kept"]);
        assert!(Home::open(root.path(), "kept").unwrap().is_some());
        // A program that another test starts has a copy of the lock until it is executed.
        let gone = until("an end", Duration::from_secs(20), || {
            Ok(down(root.path(), "kept").ok())
        });
        assert!(gone.unwrap());
        assert!(!down(root.path(), "kept").unwrap(), "gone");
    }

    #[test]
    fn what_a_dead_owner_left_is_taken_away_by_the_next() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::create(root.path(), "dead").unwrap();
        let path = home.path();
        // As it is after SIGKILL: the lock is gone, the directory is not.
        let left = root.path().join("left");
        std::fs::create_dir(&left).unwrap();
        std::fs::copy(path.join("lock"), left.join("lock")).unwrap();
        let _other = Home::create(root.path(), "other").unwrap();
        assert!(!left.exists());
        assert!(path.exists(), "its owner lives");
    }

    #[test]
    fn names_are_names_of_directories() {
        let root = tempfile::tempdir().unwrap();
        for name in ["", "a/b", "..", "A", "failed", &"x".repeat(33)] {
            assert!(Home::create(root.path(), name).is_err(), "{name}");
        }
    }
}
