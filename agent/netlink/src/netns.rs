//! Network namespaces without names: made, entered and forgotten by file descriptor. What is in them is not known here.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::{Error, Rtnetlink};

/// A network namespace. It lives as long as this value, a process or a socket in it, or a mount of it lives.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
}

impl Netns {
    /// A new, empty namespace with loopback up. Needs `CAP_SYS_ADMIN`. The calling thread stays where it is.
    ///
    /// IPv6 addresses in it are not checked for duplicates (`accept_dad`): as long as that takes, a second or two, a
    /// router has no link-local address to look for its neighbours with.
    pub fn new() -> Result<Self, Error> {
        let make = || {
            // SAFETY: only this thread's network namespace is unshared, not its table of file descriptors.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
                .map_err(|errno| Error::system("make a network namespace", errno))?;
            let netns = Self::current()?;
            Rtnetlink::open()?.set_up("lo")?;
            for scope in ["all", "default"] {
                disable_duplicate_detection(scope)?;
            }
            Ok(netns)
        };
        on_own_thread(make)?
    }

    /// The namespace of the calling thread.
    pub fn current() -> Result<Self, Error> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The namespace that is mounted or linked at `path`, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file =
            File::open(path).map_err(|source| Error::system("open a network namespace", source))?;
        Ok(Self { fd: file.into() })
    }

    /// Runs `work` inside the namespace, on a thread of its own that ends with it; a panic in it comes out here.
    /// Sockets that it opens, and processes that it starts, stay in the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        on_own_thread(|| {
            rustix::thread::move_into_link_name_space(
                self.fd.as_fd(),
                Some(LinkNameSpaceType::Network),
            )
            .map_err(|errno| Error::system("enter a network namespace", errno))?;
            Ok(work())
        })?
    }

    /// Writes `value` to `/proc/sys/net/KEY` of the namespace; `key` with slashes, such as `ipv4/ip_forward`.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<(), Error> {
        self.enter(|| {
            std::fs::write(sysctl_path(key)?, value)
                .map_err(|source| Error::system("write a sysctl", source))
        })?
    }

    /// The value of `/proc/sys/net/KEY` in the namespace, without the newline at its end.
    pub fn sysctl(&self, key: &str) -> Result<String, Error> {
        self.enter(|| {
            let text = std::fs::read_to_string(sysctl_path(key)?);
            text.map(|text| text.trim_end().to_owned())
                .map_err(|source| Error::system("read a sysctl", source))
        })?
    }

    /// Another handle of the same namespace.
    pub fn try_clone(&self) -> Result<Self, Error> {
        let fd = self
            .fd
            .try_clone()
            .map_err(|source| Error::system("clone a network namespace", source))?;
        Ok(Self { fd })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Netns {
    /// `fd` is an open `/proc/…/ns/net`.
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

/// The file of a sysctl. `/proc/sys/net` shows the network namespace of the task that opens a file in it, so the path
/// is the same in all of them.
fn sysctl_path(key: &str) -> Result<String, Error> {
    if key.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(Error::Argument {
            what: "sysctl",
            why: format!("{key} is no path below net"),
        });
    }
    Ok(format!("/proc/sys/net/{key}"))
}

/// Detection is off where both the setting of all links and that of the link are 0; a link starts with the default.
fn disable_duplicate_detection(scope: &str) -> Result<(), Error> {
    match std::fs::write(sysctl_path(&format!("ipv6/conf/{scope}/accept_dad"))?, "0") {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::system("write a sysctl", source))
        }
        // a kernel without IPv6 has no such setting, and nothing to detect
        _ => Ok(()),
    }
}

/// Runs `work` on a thread that ends with it, so that the namespace of the caller's thread never changes.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    thread::scope(|scope| {
        let spawned = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work);
        let handle =
            spawned.map_err(|source: io::Error| Error::system("start a thread", source))?;
        handle
            .join()
            .map_or_else(|panic| std::panic::resume_unwind(panic), Ok)
    })
}
