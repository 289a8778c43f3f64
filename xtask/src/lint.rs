//! `cargo xtask lint`: formatting, clippy for both targets, and the licences and sources of dependencies.
//!
//! Every check runs, also after one has failed: one visit shows all.

use std::path::Path;
use std::process::{Command, ExitCode};

use crate::setup::Need;
use crate::{cargo, exit, process, repo, setup};

/// A check, or the honest word why it was left out.
struct Step {
    name: &'static str,
    outcome: Outcome,
}

enum Outcome {
    Clean,
    Dirty,
    LeftOut(&'static str),
}

/// Runs all checks and sums them up. Exit code 1 where one found something.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    setup::ensure(&[Need::Ebpf, Need::Lint])?;
    let root = repo::root();
    let steps = [
        Step {
            name: "format",
            outcome: check(cargo::command(&root, "fmt").args(["--all", "--check"]))?,
        },
        Step {
            name: "clippy",
            outcome: check(&mut clippy(&root))?,
        },
        Step {
            name: "licences, sources, bans",
            outcome: check(deny(&root).args(["licenses", "sources", "bans"]))?,
        },
        Step {
            name: "advisories",
            outcome: advisories(&root)?,
        },
    ];
    for step in &steps {
        println!("{}: {}", step.name, step.outcome.shown());
    }
    Ok(exit::holds(
        !steps
            .iter()
            .any(|step| matches!(step.outcome, Outcome::Dirty)),
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
