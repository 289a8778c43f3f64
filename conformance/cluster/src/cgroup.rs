//! Control groups of a node's pods, one below the top of every hierarchy; both versions of control groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::wait;

const MOUNTS: &str = "/sys/fs/cgroup";
/// A group takes no process before these have values.
const CPUSET: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];
/// What the kubelet wants of version 2.
const CONTROLLERS: [&str; 6] = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

/// What the group of a sandbox is called.
pub(crate) fn name(cluster: &str, sandbox: &str) -> String {
    format!("sluice-{cluster}-{sandbox}")
}

/// Makes the group in every hierarchy. One that is there and empty is replaced.
pub(crate) fn create(name: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        remove_tree(&group).with_context(|| format!("{}: in use", group.display()))?;
        delegate(&hierarchy);
        fs::create_dir(&group).with_context(|| group.display().to_string())?;
        for file in CPUSET
            .iter()
            .filter(|file| hierarchy.join(file).exists() && group.join(file).exists())
        {
            let values = fs::read(hierarchy.join(file))
                .with_context(|| format!("{}/{file}", hierarchy.display()))?;
            fs::write(group.join(file), values)
                .with_context(|| format!("{}/{file}", group.display()))?;
        }
    }
    Ok(())
}

/// Removes the group and those below it from every hierarchy, once its processes have ended.
pub(crate) fn remove(name: &str, limit: Duration) -> Result<()> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        wait::regardless(&format!("removal of {}", group.display()), limit, || {
            Ok(remove_tree(&group).ok())
        })?;
    }
    Ok(())
}

/// The directories at the tops of the hierarchies.
fn hierarchies() -> Vec<PathBuf> {
    let top = Path::new(MOUNTS);
    if top.join("cgroup.procs").exists() {
        return vec![top.to_path_buf()];
    }
    directories(top)
        .into_iter()
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// Hands controllers on to the groups below, in version 2; those that are not there, or handed on already, are left.
fn delegate(hierarchy: &Path) {
    let control = hierarchy.join("cgroup.subtree_control");
    for controller in CONTROLLERS.iter().filter(|_| control.exists()) {
        let _refused = fs::write(&control, format!("+{controller}")).is_err();
    }
}

/// Deepest first: a group can be removed once it has no others.
fn remove_tree(group: &Path) -> io::Result<()> {
    for below in directories(group) {
        remove_tree(&below)?;
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The directories in one, links left out: cgroup v1 names hierarchies twice.
fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}
