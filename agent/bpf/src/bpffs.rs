//! The file system that pins live in: finding or mounting it, and pinning without a moment in between.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use crate::{LoadError, sys};

/// `BPF_FS_MAGIC`.
const MAGIC: u64 = 0xcafe_4a11;

/// Makes `pins` a directory on a bpffs. Where none is mounted above it, one is mounted on its parent, if that is empty:
/// what is in it would be hidden from the whole machine.
pub(crate) fn prepare(pins: &Path) -> Result<(), LoadError> {
    let failed = |source| LoadError::NotBpffs {
        path: pins.to_path_buf(),
        source,
    };
    if !is_bpffs(pins).map_err(failed)? {
        let root = pins
            .parent()
            .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        fs::create_dir_all(root).map_err(failed)?;
        if fs::read_dir(root).map_err(failed)?.next().is_some() {
            let root = root.display();
            let hides = format!("{root} is not empty, and what is in it would be hidden");
            return Err(failed(io::Error::other(hides)));
        }
        mount(
            "bpffs",
            root,
            "bpf",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            c"mode=0700",
        )
        .map_err(|error| failed(error.into()))?;
    }
    fs::create_dir_all(pins).map_err(failed)
}

/// Whether a path is on a bpffs, or will be once it is created.
pub(crate) fn is_bpffs(path: &Path) -> io::Result<bool> {
    let there = path.ancestors().find(|ancestor| ancestor.exists());
    let there = there.ok_or(io::ErrorKind::NotFound)?;
    let kind = rustix::fs::statfs(there)?.f_type;
    Ok(u64::try_from(kind).is_ok_and(|kind| kind & 0xffff_ffff == MAGIC))
}

/// Pins an object at `path`; who opens it finds the old one or the new one.
pub(crate) fn pin_over(object: impl AsFd, path: &Path) -> io::Result<()> {
    let next = &next_to(path);
    remove(next)?;
    sys::pin(object.as_fd(), next)?;
    fs::rename(next, path)
}

/// Where a new pin waits until it takes the place of the old one.
pub(crate) fn next_to(path: &Path) -> PathBuf {
    // Dots are reserved on a bpffs.
    let mut next = path.as_os_str().to_owned();
    next.push("_next");
    next.into()
}

/// Unpins; whether there was something.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Names in a directory; none where there is no directory.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
