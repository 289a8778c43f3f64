//! The machine: what is installed, what could be, and installing it.

use std::cell::OnceCell;
use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;

use super::component;
use super::tools::Remedy;
use crate::process;
use crate::vm::kernel;

/// Where to look, and who we are.
#[derive(Debug)]
pub(super) struct Machine {
    /// Directories with programs: the path, cargo's, and those that only root has on its path.
    programs: Vec<PathBuf>,
    root: bool,
    /// Whether the lists of packages could be brought up to date, once that was tried.
    updated: OnceCell<bool>,
}

/// So that packages neither ask questions nor start services.
const QUIET: [(&str, &str); 2] = [("DEBIAN_FRONTEND", "noninteractive"), ("RUNLEVEL", "1")];

impl Machine {
    /// The machine we are on.
    pub(super) fn this() -> Self {
        let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let of = |variable: &str, directory: &str| {
            env::var_os(variable).map_or_else(|| home.join(directory), PathBuf::from)
        };
        let mut programs: Vec<_> =
            env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
        programs.push(of("CARGO_HOME", ".cargo").join("bin"));
        programs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
        Self {
            programs,
            root: is_root(),
            updated: OnceCell::new(),
        }
    }

    /// A machine with nothing on it, and no root.
    #[cfg(test)]
    pub(super) fn bare() -> Self {
        Self {
            programs: Vec::new(),
            root: false,
            updated: OnceCell::new(),
        }
    }

    /// Whether this program is installed.
    pub(super) fn has(&self, program: &str) -> bool {
        self.programs
            .iter()
            .any(|directory| directory.join(program).is_file())
    }

    /// Whether the toolchain in use has this component: rustup leaves a proxy even where it has not.
    pub(super) fn has_active(&self, component: &str) -> bool {
        self.has(component)
            && process::output_of(Command::new(component).arg("--version")).is_some()
    }

    /// Whether `remedy` can be tried here.
    pub(super) fn can(&self, remedy: &Remedy) -> bool {
        match remedy {
            Remedy::Apt { packages, at_least } => {
                let known = || known(packages, *at_least);
                self.root && self.has("apt-get") && (known() || (self.update() && known()))
            }
            Remedy::AptComponent { .. } => {
                self.root && self.has("apt-get") && component::is_debian()
            }
            Remedy::Kernel => {
                let known = || kernel::package().is_some();
                self.has("apt-get") && (known() || (self.root && self.update() && known()))
            }
            Remedy::Cargo(..) => true,
            Remedy::Rustup(_) => self.has("rustup"),
            Remedy::ByHand(_) => false,
        }
    }

    /// The command of `remedy`, for a person.
    pub(super) fn advice(&self, remedy: &Remedy) -> String {
        let sudo = if matches!(remedy, Remedy::Apt { .. }) && !self.root {
            "sudo "
        } else {
            ""
        };
        format!("{sudo}{}", remedy.shown())
    }

    /// Carries `remedy` out.
    pub(super) fn apply(&self, remedy: &Remedy) -> anyhow::Result<()> {
        match remedy {
            Remedy::Apt { packages, .. } => self.install_packages(packages),
            Remedy::Cargo(name, version) => succeed(Command::new("cargo").args([
                "install",
                "--locked",
                name,
                "--version",
                version,
            ])),
            Remedy::AptComponent { component, package } => component::install(component, package),
            Remedy::Kernel => kernel::fetch(),
            Remedy::ByHand(what) => bail!("{what}"),
            Remedy::Rustup(args) => succeed(Command::new("rustup").args(*args)),
        }
    }

    /// Brings apt's lists up to date, the first time that it is asked; whether they are.
    fn update(&self) -> bool {
        *self.updated.get_or_init(|| {
            eprintln!("bringing the lists of packages up to date");
            succeed(&mut apt_get(&["update"])).is_ok()
        })
    }

    /// Installs Debian packages; where that fails because the lists are stale, once more with new ones.
    fn install_packages(&self, packages: &[&str]) -> anyhow::Result<()> {
        let install =
            || succeed(apt_get(&["install", "--yes", "--no-install-recommends"]).args(packages));
        let stale = self.updated.get().is_none();
        install().or_else(|error| {
            if stale && self.update() {
                install()
            } else {
                Err(error)
            }
        })
    }
}

/// Whether apt knows all packages, the first in at least this version.
fn known(packages: &[&str], at_least: Option<&str>) -> bool {
    let least = at_least.map_or((0, 0), version);
    packages.iter().enumerate().all(|(position, package)| {
        let policy = process::output_of(Command::new("apt-cache").args(["policy", package]))
            .unwrap_or_default();
        candidate(&policy).is_some_and(|candidate| position > 0 || candidate >= least)
    })
}

pub(super) fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .envs(QUIET)
        .args(["--quiet=2", "-o", "DPkg::Lock::Timeout=300"])
        .args(args);
    command
}

pub(super) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    if process::run(command)?.success() {
        return Ok(());
    }
    bail!("`{}` failed", process::shown(command))
}

/// Major and minor version of the candidate in what `apt-cache policy` prints; none where there is no candidate.
fn candidate(policy: &str) -> Option<(u32, u32)> {
    let candidate = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    let upstream = candidate
        .split_once(':')
        .map_or(candidate, |(_epoch, rest)| rest);
    (candidate != "(none)").then(|| version(upstream))
}

/// The first two numbers.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether we are user 0: /proc/self belongs to the effective user.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;

    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::{Machine, candidate};
    use crate::setup::tools::Remedy;

    #[test]
    fn candidates_are_read_from_apt_cache() {
        let policy = |version| {
            format!("rustc-web:\n  Installed: (none)\n  Candidate: {version}\n  Version table:\n")
        };
        assert_eq!(candidate(&policy("1.96.0+dfsg1-1~deb12u2")), Some((1, 96)));
        assert_eq!(candidate(&policy("1:1.4.7-1+b2")), Some((1, 4)));
        assert_eq!(candidate(&policy("20240101")), Some((20_240_101, 0)));
        assert_eq!(candidate(&policy("(none)")), None);
        assert_eq!(candidate(""), None, "apt does not know the package");
    }

    #[test]
    fn a_bare_machine_without_root_can_only_ask_cargo() {
        let bare = Machine::bare();
        assert!(!bare.has("ip"));
        assert!(!bare.can(&Remedy::Apt {
            packages: &["iproute2"],
            at_least: None
        }));
        assert!(!bare.can(&Remedy::Rustup(&["show"])));
        assert!(bare.can(&Remedy::Cargo("bpf-linker", "0.10.3")));
    }
}
