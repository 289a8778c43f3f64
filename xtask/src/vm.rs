//! A virtual machine with another kernel than the host's: emulated in software, so that nothing but qemu is needed.
//!
//! It has the host's files, and what it writes to them stays in its memory and ends with it. What runs in it is the
//! caller's to say ([`Step`]) and to judge ([`Event`]).

mod guest;
mod initramfs;
pub(crate) mod kernel;
mod modules;
mod wire;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context as _, bail};

pub(crate) use self::guest::run as guest;
use self::kernel::Kernel;
pub(crate) use self::wire::Event;
use crate::process;

/// The emulator.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// A machine that prints nothing for so long is given up. The slowest single test takes a tenth of it where
/// the host has nothing else to do.
const SILENCE: Duration = Duration::from_mins(10);

/// More than two are more than most hosts have to emulate them with.
const PROCESSORS: &str = "2";

/// In MiB: what the tests write, and as much of the host's files as they read.
const MEMORY: &str = "2048";

/// How many lines of the kernel's are shown where it has broken down.
const LAST_WORDS: usize = 12;

/// What the machine does, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Loads the modules in these files.
    Load(Vec<PathBuf>),
    /// Runs a program to its end.
    Run(Job),
}

/// A program of the host, to be run in the machine as root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// Where it is on the host.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// Variables, beside the host's path.
    pub environment: Vec<(String, String)>,
}

/// Boots `kernel`, has it carry out `steps`, and reports what comes of them.
///
/// # Errors
/// Where the machine does not start, falls silent, or ends before its last step.
pub(crate) fn run(
    kernel: &Kernel,
    steps: &[Step],
    mut report: impl FnMut(Event),
) -> anyhow::Result<()> {
    let room = Room::new(kernel)?;
    initramfs::write(&room.initramfs(), kernel, steps)?;
    let (reader, writer) = io::pipe().context("making a pipe")?;
    let machine = Machine::start(&mut qemu(kernel, &room), writer)?;
    let lines = process::lines_of(reader);
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => match wire::decode(&line) {
                Some(Event::Finished) => return Ok(()),
                Some(event) => report(event),
                // Whatever the firmware prints.
                None => {}
            },
            Err(RecvTimeoutError::Timeout) => {
                drop(machine);
                bail!("has printed nothing for {SILENCE:?}{}", room.last_words())
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("ended before its last step{}", room.last_words())
            }
        }
    }
}

/// The first serial port is the kernel's, the second one the steps'. `setpriv` ends the machine with this process.
fn qemu(kernel: &Kernel, room: &Room) -> Command {
    let share = format!(
        "local,path=/,mount_tag={},security_model=none,readonly=on,multidevs=remap",
        guest::SHARE
    );
    let log = format!("file:{}", room.log().display());
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", QEMU])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-serial", &log, "-serial", "stdio"])
        .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
        .args(["-smp", PROCESSORS, "-m", MEMORY])
        .arg("-kernel")
        .arg(kernel.image())
        .arg("-initrd")
        .arg(room.initramfs())
        .args(["-append", &command_line(), "-virtfs", &share]);
    command
}

/// A guest that breaks down ends at once, and attacks on its processor are nobody's concern.
fn command_line() -> String {
    let init = initramfs::INIT;
    format!(
        "console=ttyS0 quiet panic=-1 mitigations=off rdinit={init} -- {}",
        guest::VERB
    )
}

/// A running emulator; killed on drop.
struct Machine(Child);

impl Machine {
    fn start(command: &mut Command, output: io::PipeWriter) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .with_context(|| format!("running {}", process::shown(command)));
        // Our copy of the writing end has to go, or the reading never ends.
        command.stdout(Stdio::null());
        child.map(Self)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It has ended already, as a rule.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The files of one run; removed on drop.
struct Room(PathBuf);

impl Room {
    fn new(kernel: &Kernel) -> anyhow::Result<Self> {
        sweep(kernel.directory()).context("removing former runs")?;
        let path = kernel
            .directory()
            .join(format!("run-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn initramfs(&self) -> PathBuf {
        self.0.join("initramfs")
    }

    fn log(&self) -> PathBuf {
        self.0.join("console")
    }

    /// What the kernel said last, to go behind a message.
    fn last_words(&self) -> String {
        let log = fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..]
            .iter()
            .fold(String::from(":"), |text, line| {
                format!("{text}\n  {}", line.trim_end())
            })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Removes what runs that were killed have left below `directory`.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("run-"));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::sweep;

    #[test]
    fn only_runs_of_the_dead_are_removed() {
        let room = std::env::temp_dir().join(format!("sluice-sweep-{}", std::process::id()));
        // Behind the highest number that a process can have.
        for name in ["run-1", "run-4194305", "lib"] {
            fs::create_dir_all(room.join(name)).unwrap();
        }
        sweep(&room).unwrap();
        let left = ["run-1", "run-4194305", "lib"].map(|name| room.join(name).exists());
        fs::remove_dir_all(&room).unwrap();
        assert_eq!(left, [true, false, true]);
    }
}
