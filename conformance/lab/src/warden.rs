//! The thread that starts a lab's processes. They end with it, and it sees a bpffs per node that nobody else sees: it
//! has a mount namespace of its own, and what it starts is in there too. What is started is not known here.

use std::any::Any;
use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use sluice_netlink::Netns;

use crate::confine::Confinement;

type Work = Box<dyn FnOnce() + Send>;

/// Read by whoever starts a process, from before there is one until it has said with whom it dies: it is not told of a
/// death before that.
static STARTING: RwLock<()> = RwLock::new(());

/// From now on until the guard is dropped no warden starts a process, and all that were started die with their warden.
/// For who is about to take the place of this process, whose children they stay.
pub(crate) fn no_more_starts() -> RwLockWriteGuard<'static, ()> {
    STARTING.write().unwrap_or_else(PoisonError::into_inner)
}

/// A handle of the thread, which ends with the handle.
pub(crate) struct Warden {
    work: Option<Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Warden {
    /// Starts the thread and mounts a bpffs at each of `mount_points`, for its own processes alone.
    pub(crate) fn start(mount_points: Vec<PathBuf>) -> Result<Self> {
        let (work, queue) = mpsc::channel::<Work>();
        let run = move || queue.into_iter().for_each(|work| work());
        let thread = thread::Builder::new()
            .name("warden".into())
            .spawn(run)
            .context("start a thread")?;
        let warden = Self {
            work: Some(work),
            thread: Some(thread),
        };
        warden.run(move || make_room(&mount_points))??;
        Ok(warden)
    }

    /// Starts `command` in `netns`, with the rights that are left to it. The kernel kills it when this warden is gone.
    pub(crate) fn spawn(
        &self,
        mut command: Command,
        netns: &Netns,
        confinement: Option<&Confinement>,
    ) -> Result<Child> {
        let netns = netns.try_clone()?;
        let parent = getpid();
        let die_with_parent = move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // A parent that died before that sends no signal, and `no_more_starts` keeps it from becoming another.
            if getppid() == Some(parent) {
                Ok(())
            } else {
                Err(Errno::SRCH.into())
            }
        };
        // SAFETY: between fork and exec only system calls are made, which allocate nothing and take no lock.
        unsafe { command.pre_exec(die_with_parent) };
        // The last thing before the program, as in a container.
        if let Some(confinement) = confinement {
            confinement.impose(&mut command);
        }
        let spawn = move || {
            // Where the thread is in between matters to nobody: every process is started from here, each after a move.
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
                .context("enter the namespace")?;
            let program = command.get_program().to_string_lossy().into_owned();
            // Spawning ends when the program has begun, or failed to.
            let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
            command.spawn().with_context(|| program)
        };
        self.run(spawn)?
    }

    /// Does `work` in `netns` and among the mounts of this warden's processes.
    pub(crate) fn visit<T: Send + 'static>(
        &self,
        netns: &Netns,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let netns = netns.try_clone()?;
        let visit = move || -> Result<T> {
            move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
                .context("enter the namespace")?;
            Ok(work())
        };
        self.run(visit)?
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, result) = mpsc::sync_channel(1);
        let work: Work = Box::new(move || drop(answer.send(work())));
        let sent = self
            .work
            .as_ref()
            .is_some_and(|queue| queue.send(work).is_ok());
        if !sent {
            return Err(anyhow!("the thread that starts processes is gone"));
        }
        result
            .recv()
            .context("the thread that starts processes is gone")
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let ended: Result<(), Box<dyn Any + Send>> = thread.join();
            drop(ended);
        }
    }
}

fn make_room(mount_points: &[PathBuf]) -> Result<()> {
    // SAFETY: only mounts and the working directory are unshared, not the table of file descriptors.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .context("make a mount namespace")?;
    mount_change(
        "/",
        MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
    )
    .context("make mounts private")?;
    mount_points.iter().try_for_each(|at| mount_bpffs(at))
}

fn mount_bpffs(at: &Path) -> Result<()> {
    fs::create_dir_all(at).with_context(|| at.display().to_string())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("bpf", at, "bpf", flags, None::<&std::ffi::CStr>)
        .with_context(|| format!("mount a bpf filesystem at {}", at.display()))
}
