//! The guest's side: the first process of the machine, and the one that takes the steps.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{WaitOptions, chroot, wait};
use rustix::system::{RebootCommand, init_module, reboot};

use super::wire::{self, Event};
use super::{Job, Step, initramfs};
use crate::process;

/// How this program is told that it is the guest's.
pub(crate) const VERB: &str = "guest";
/// The name under which the host's files are found.
pub(super) const SHARE: &str = "host";

/// The port that the host listens to.
const PORT: &str = "/dev/ttyS1";
/// How long output may be silent before it is asked whether the program has ended at all.
const GRACE: Duration = Duration::from_secs(2);
/// Where the first process leaves the steps for the second one.
const STEPS: &str = "/run/steps";

/// Takes all steps and switches the machine off.
///
/// # Errors
/// Outside of a machine of [`super::run`].
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    if !Path::new(initramfs::STEPS).exists() && !Path::new(STEPS).exists() {
        bail!("this is not the guest");
    }
    if std::process::id() != 1 {
        return take_steps().map(|()| ExitCode::SUCCESS);
    }
    prepare().context("preparing the guest")?;
    // This process is the parent of all orphans, and does nothing but bury them.
    let steps = Command::new("/proc/self/exe").arg(VERB).spawn()?;
    let is_steps = |pid: i32| u32::try_from(pid).is_ok_and(|pid| pid == steps.id());
    while let Some((pid, _status)) = wait(WaitOptions::empty())? {
        if is_steps(pid.as_raw_nonzero().get()) {
            break;
        }
    }
    reboot(RebootCommand::PowerOff).context("switching off")?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a root of the host's files, with memory to write to.
fn prepare() -> anyhow::Result<()> {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount_at(kind, at, c"")?;
    }
    let modules = fs::read_dir(initramfs::MODULES)?.map(|entry| Ok(entry?.path()));
    let mut modules: Vec<_> = modules.collect::<io::Result<_>>()?;
    modules.sort();
    modules.iter().try_for_each(|module| load(module))?;
    // Whatever is read once stays: nobody changes the host's files meanwhile.
    let share = c"trans=virtio,version=9p2000.L,msize=524288,cache=loose";
    mount(SHARE, "/host", "9p", MountFlags::RDONLY, share).context("the host's files")?;
    mount_at("tmpfs", "/memory", c"")?;
    for directory in ["/memory/upper", "/memory/work"] {
        fs::create_dir(directory).context(directory)?;
    }
    let layers = c"lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work";
    mount_at("overlay", "/root", layers)?;
    for directory in ["/proc", "/sys", "/dev"] {
        mount_move(directory, format!("/root{directory}")).context(directory)?;
    }
    mount_at("tmpfs", "/root/run", c"")?;
    mount_at("bpf", "/root/sys/fs/bpf", c"")?;
    fs::copy(initramfs::STEPS, format!("/root{STEPS}")).context("the steps")?;
    std::env::set_current_dir("/root")?;
    mount_move("/root", "/").context("the new root")?;
    chroot(".").context("the new root")?;
    Ok(std::env::set_current_dir("/")?)
}

fn mount_at(kind: &str, at: &str, options: &CStr) -> anyhow::Result<()> {
    mount(kind, at, kind, MountFlags::empty(), options)
        .with_context(|| format!("mount {kind} at {at}"))
}

fn load(module: &Path) -> anyhow::Result<()> {
    let image = fs::read(module).with_context(|| module.display().to_string())?;
    match init_module(&image, c"") {
        // Loaded before.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("load {}", module.display())),
    }
}

fn take_steps() -> anyhow::Result<()> {
    let steps = wire::read_steps(&fs::read_to_string(STEPS)?)?;
    let mut port = OpenOptions::new().write(true).open(PORT).context(PORT)?;
    for step in &steps {
        let done = match step {
            Step::Load(modules) => modules.iter().try_for_each(|module| load(module)),
            Step::Run(job) => run_job(job, &mut port),
        };
        if let Err(error) = done {
            tell(&mut port, &Event::Refused(format!("{error:#}")))?;
        }
    }
    tell(&mut port, &Event::Finished)
}

fn run_job(job: &Job, port: &mut File) -> anyhow::Result<()> {
    tell(port, &Event::Begun)?;
    let (reader, writer) = io::pipe().context("making a pipe")?;
    let mut child = Command::new(&job.program)
        .args(&job.arguments)
        .current_dir(&job.directory)
        .envs(job.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| job.program.display().to_string())?;
    let lines = process::lines_of(reader);
    let mut ended = None;
    loop {
        match lines.recv_timeout(GRACE) {
            Ok(line) => tell(port, &Event::Printed(line))?,
            Err(RecvTimeoutError::Disconnected) => {
                return tell(port, &Event::Ended(child.wait()?.success()));
            }
            // What it said last may be on its way, where the machine stood still meanwhile.
            Err(RecvTimeoutError::Timeout) => match ended {
                Some(success) => return tell(port, &Event::Left(success)),
                None => ended = child.try_wait()?.map(|status| status.success()),
            },
        }
    }
}

fn tell(port: &mut File, event: &Event) -> anyhow::Result<()> {
    let line = wire::encode(event) + "\n";
    port.write_all(line.as_bytes()).context(PORT)
}
