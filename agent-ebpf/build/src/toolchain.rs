//! Which compiler has, or can make, a `core` for BPF.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{BuildError, TARGET};

/// The nightly that `cargo xtask setup` installs: its LLVM is the 22 that bpf-linker 0.10 reads, a newer nightly's
/// may not be.
pub const NIGHTLY: &str = "nightly-2026-05-20";

/// With what an object is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// With nothing: it was there.
    Prebuilt(PathBuf),
    /// With this rustc, whose `core` for BPF is there.
    Shipped(PathBuf),
    /// With this nightly of rustup, which builds `core` from its source.
    Nightly(&'static str),
}

impl Toolchain {
    /// The first that is complete: a rustc that has it all takes seconds, building `core` takes longer.
    pub fn find() -> Result<Self, BuildError> {
        let rustcs = find_program("rustc")
            .into_iter()
            .chain([PathBuf::from("/usr/bin/rustc")]);
        if let Some(rustc) = rustcs.into_iter().find(|rustc| has_core(rustc)) {
            return Ok(Self::Shipped(rustc));
        }
        if let Some(nightly) = [NIGHTLY, "nightly"]
            .into_iter()
            .find(|name| has_sources(name))
        {
            return Ok(Self::Nightly(nightly));
        }
        let what = "a Rust toolchain for BPF (Debian's rustc-web and libstd-rust-web-dev-bpf, or a nightly with rust-src)";
        Err(BuildError::Missing { what })
    }

    /// The compiler, where it is a file of its own.
    pub(crate) fn program(&self) -> Option<&Path> {
        match self {
            Self::Shipped(rustc) => Some(rustc),
            Self::Prebuilt(_) | Self::Nightly(_) => None,
        }
    }

    /// A cargo that compiles with it.
    pub(crate) fn cargo(&self) -> Command {
        match self {
            Self::Nightly(name) => {
                let mut command = Command::new("rustup");
                command.args(["run", name, "cargo", "-Zbuild-std=core"]);
                // Set by the outer toolchain, they would bring it back.
                for variable in ["RUSTC", "RUSTDOC", "CARGO", "RUSTUP_TOOLCHAIN"] {
                    command.env_remove(variable);
                }
                command
            }
            Self::Shipped(_) | Self::Prebuilt(_) => {
                let mut command =
                    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                if let Some(rustc) = self.program() {
                    // BPF is a tier 3 target, and its assembler syntax is unstable.
                    command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
                }
                command
            }
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prebuilt(path) => write!(f, "the prebuilt {}", path.display()),
            Self::Shipped(rustc) => write!(f, "{}", rustc.display()),
            Self::Nightly(name) => write!(f, "{name} with rust-src"),
        }
    }
}

/// The first program of that name in `PATH`, or where cargo installs.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home =
        |variable: &str, below: &str| Some(PathBuf::from(std::env::var_os(variable)?).join(below));
    let installed = [home("CARGO_HOME", "bin"), home("HOME", ".cargo/bin")]
        .into_iter()
        .flatten();
    std::env::split_paths(&path)
        .chain(installed)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

fn has_core(rustc: &Path) -> bool {
    let Some(directory) = ask(rustc, ["--print", "target-libdir", "--target", TARGET]) else {
        return false;
    };
    let Ok(files) = fs::read_dir(directory) else {
        return false;
    };
    files.flatten().any(|file| {
        let name = file.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

fn has_sources(nightly: &str) -> bool {
    let sysroot = ask("rustup", ["run", nightly, "rustc", "--print", "sysroot"]);
    sysroot.is_some_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/core")
            .is_dir()
    })
}

/// What a program prints, or none where it is not there or fails.
fn ask<const N: usize>(program: impl AsRef<OsStr>, arguments: [&str; N]) -> Option<String> {
    // The wrapper of clippy is none of the questions' business.
    let output = Command::new(program)
        .args(arguments)
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
