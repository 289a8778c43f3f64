//! Manifests as a source: when they are to be read again.

use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// Tells when something under the paths may be different.
///
/// Only finished writes count: an editor's file is empty for a moment, and an empty file has no policies.
pub(crate) struct Watcher {
    inotify: OwnedFd,
    paths: Vec<PathBuf>,
}

const FINISHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);
/// Changes this close together are one.
const QUIET: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 5_000_000,
};

impl Watcher {
    /// Watches from now on. A path that is a file is watched through its directory, as editors replace files.
    pub(crate) fn new(paths: &[PathBuf]) -> std::io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let watcher = Self {
            inotify,
            paths: paths.to_vec(),
        };
        watcher.arm();
        Ok(watcher)
    }

    /// Waits for a change, and for it to be over.
    pub(crate) fn wait(&self) -> std::io::Result<()> {
        self.readable(None)?;
        loop {
            self.drain();
            // A new directory is watched before it is read, so nothing in it is missed.
            self.arm();
            if !self.readable(Some(&QUIET))? {
                return Ok(());
            }
        }
    }

    fn readable(&self, timeout: Option<&Timespec>) -> std::io::Result<bool> {
        let mut fds = [PollFd::new(&self.inotify, PollFlags::IN)];
        match poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn drain(&self) {
        let mut buffer = [0; 4096];
        while rustix::io::read(&self.inotify, &mut buffer).is_ok_and(|count| count > 0) {}
    }

    /// Watches every directory there is; watching one twice is watching it once.
    fn arm(&self) {
        for path in &self.paths {
            if path.is_dir() {
                self.watch_tree(path);
            } else if let Some(parent) = path.parent() {
                let parent = if parent.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    parent
                };
                self.watch(parent);
            }
        }
    }

    fn watch_tree(&self, directory: &Path) {
        self.watch(directory);
        let Ok(entries) = std::fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.watch_tree(&path);
            }
        }
    }

    fn watch(&self, directory: &Path) {
        if let Err(error) = inotify::add_watch(&self.inotify, directory, FINISHED) {
            tracing::warn!(path = %directory.display(), %error, "not watched for changes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_file_written_in_a_new_directory_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let watcher = Watcher::new(&[root.path().to_path_buf()]).unwrap();
        let (notice, noticed) = mpsc::channel();
        std::thread::spawn(
            move || {
                while watcher.wait().is_ok() && notice.send(()).is_ok() {}
            },
        );
        let wait = || noticed.recv_timeout(Duration::from_secs(10)).unwrap();
        fs::create_dir(root.path().join("sub")).unwrap();
        wait();
        fs::write(root.path().join("sub/policy.yaml"), "kind: NetworkPolicy").unwrap();
        wait();
        fs::remove_file(root.path().join("sub/policy.yaml")).unwrap();
        wait();
    }
}
