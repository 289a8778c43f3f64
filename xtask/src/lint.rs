//! `cargo xtask lint`: formatting, clippy for both targets, lock files, and the licences and sources of dependencies.
//!
//! Every check runs, also after one has failed: one visit shows all.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::setup::Need;
use crate::{build_ebpf, cargo, exit, process, repo, setup};

enum Outcome {
    Clean,
    Dirty,
    /// Not checked, and why.
    LeftOut(&'static str),
}

/// Runs all checks and sums them up. Exit code 1 where one found something.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    setup::ensure(&[Need::Ebpf, Need::Lint])?;
    let root = repo::root();
    let outcomes = [
        (
            "formatting",
            check(cargo::command(&root, "fmt").args(["--all", "--check"]))?,
        ),
        ("clippy", check(&mut clippy(&root))?),
        (
            "clippy of the eBPF programs",
            check(&mut clippy_of_programs(&root))?,
        ),
        ("build of the eBPF programs", build_of_programs()),
        (
            "lock file of the fuzz targets",
            check(&mut lock_of_fuzz(&root))?,
        ),
        (
            "licences, sources, bans",
            check(deny(&root).args(["licenses", "sources", "bans"]))?,
        ),
        ("advisories", advisories(&root)?),
    ];
    for (name, outcome) in &outcomes {
        println!("{name}: {}", outcome.shown());
    }
    Ok(exit::holds(
        !outcomes
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Dirty)),
    ))
}

impl Outcome {
    const fn of(clean: bool) -> Self {
        if clean { Self::Clean } else { Self::Dirty }
    }

    const fn shown(&self) -> &str {
        match self {
            Self::Clean => "clean",
            Self::Dirty => "FAILED",
            Self::LeftOut(reason) => reason,
        }
    }
}

fn check(command: &mut Command) -> anyhow::Result<Outcome> {
    eprintln!("\n{}", process::shown(command));
    Ok(Outcome::of(process::run(command)?.success()))
}

fn clippy(root: &Path) -> Command {
    let mut clippy = cargo::command(root, "clippy");
    clippy.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
    clippy
}

/// The fuzz targets are a workspace of their own: nothing else says that its lock file is behind what it depends on.
fn lock_of_fuzz(root: &Path) -> Command {
    let mut fetch = cargo::command(root, "fetch");
    fetch.args(["--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    fetch
}

/// Clippy's compiler has no `core` for eBPF, so it reads the programs as if for the host: the same source, the same
/// lints. There is no unwinding in the kernel, and without `std` none on the host.
fn clippy_of_programs(root: &Path) -> Command {
    let mut clippy = cargo::command(root, "clippy");
    clippy.env("CARGO_PROFILE_DEV_PANIC", "abort");
    clippy.args([
        "-p",
        "sluice-ebpf",
        "--bin",
        "sluice-ebpf",
        "--features",
        "bpf,log",
        "--",
        "-D",
        "warnings",
    ]);
    clippy
}

/// That the programs compile for their own target, only building them shows.
fn build_of_programs() -> Outcome {
    eprintln!("\ncargo xtask build-ebpf --release");
    let result = build_ebpf::object(true);
    if let Err(error) = &result {
        eprintln!("{error:#}");
    }
    Outcome::of(result.is_ok())
}

fn deny(root: &Path) -> Command {
    let mut deny = Command::new("cargo-deny");
    deny.args(["--log-level", "warn", "check", "--hide-inclusion-graph"])
        .current_dir(root);
    deny
}

/// Advisories need their database; without a network that is no fault of the code.
fn advisories(root: &Path) -> anyhow::Result<Outcome> {
    let mut fetch = Command::new("cargo-deny");
    fetch.args(["fetch", "db"]).current_dir(root);
    eprintln!("\n{}", process::shown(&fetch));
    if !process::run(&mut fetch)?.success() {
        return Ok(Outcome::LeftOut(
            "left out: the advisory database cannot be fetched from here",
        ));
    }
    check(deny(root).args(["--disable-fetch", "advisories"]))
}
