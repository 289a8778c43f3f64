//! `fuzz`.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{ArgMatches, Args, ValueEnum};
use serde_json::{Value, json};
use sluice_conformance::fuzz::{Disagreement, Tally, fuzz, fuzz_with, yaml};
use sluice_conformance::runner::{LabRunner, Sluice};

use super::flags::{self, Owned};
use super::lab::LabArgs;
use super::progress::interrupted;
use super::{INTERRUPTED, Output, Stopped, print};

/// Seeds that are drawn where none is given are below this, so that they are easily typed.
const SEEDS: u64 = 1 << 32;

/// `fuzz`.
#[derive(Debug, Args)]
pub(super) struct FuzzArgs {
    /// Of the first case; each further case has the next one [default: drawn, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// How many
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Who is judged
    #[arg(long, value_enum, default_value = "evaluator")]
    runner: RunnerName,
    #[command(flatten)]
    lab: LabArgs,
    /// Of the runner `lab`: how long making one case smaller may take, in seconds; 0 leaves cases as they were drawn
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    shrink: u64,
    /// Where to write a case file for whatever is found [default: printed]
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// How to print what came of it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RunnerName {
    /// The evaluator of Sluice, without packets
    Evaluator,
    /// The agent of Sluice, with real packets between network namespaces of this machine (needs root)
    Lab,
}

impl FuzzArgs {
    /// Refuses what means nothing to the runner.
    fn check_flags(&self, given: &ArgMatches) -> Result<(), Stopped> {
        let runner = match self.runner {
            RunnerName::Evaluator => "evaluator",
            RunnerName::Lab => "lab",
        };
        let owned = [
            Owned::group::<LabArgs>(&["lab"]),
            Owned::one("shrink", &["lab"]),
        ];
        flags::check(given, runner, &owned)
    }
}

pub(super) fn run(args: &FuzzArgs, given: &ArgMatches) -> Result<ExitCode, Stopped> {
    args.check_flags(given)?;
    if let Some(directory) = &args.write {
        let made = fs::create_dir_all(directory);
        made.map_err(|error| Stopped(2, format!("--write {}: {error}", directory.display())))?;
    }
    let stop = interrupted()?;
    let seed = args.seed.unwrap_or_else(drawn);
    let cases = usize::try_from(args.cases).unwrap_or(usize::MAX);
    let started = Instant::now();
    let progress = |done: usize| {
        show(done, cases);
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let tally = match args.runner {
        RunnerName::Evaluator => fuzz(Sluice::default, seed, cases, progress),
        RunnerName::Lab => {
            let mut runner = LabRunner::new(args.lab.options()?);
            let limit = Duration::from_secs(args.shrink);
            fuzz_with(&mut runner, seed, cases, limit, progress)
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    let mut files = Vec::new();
    for found in &tally.found {
        let directory = args.write.as_deref();
        files.push(directory.map(|it| write(it, found)).transpose()?);
    }
    let left = cases - tally.cases;
    let text = match args.output {
        Output::Json => report(seed, left, &tally, &files, seconds).to_string(),
        Output::Table => table(seed, left, &tally, &files, seconds),
    };
    print(&text);
    Ok(ExitCode::from(if stop.load(Ordering::Relaxed) {
        INTERRUPTED
    } else {
        exit_code(&tally)
    }))
}

/// Where nothing was judged, nothing holds.
fn exit_code(tally: &Tally) -> u8 {
    if !tally.found.is_empty() {
        1
    } else if !tally.errors.is_empty() || tally.cells == 0 {
        3
    } else {
        0
    }
}

/// Said at once, so that a run that comes to no end can be made again.
fn drawn() -> u64 {
    let seed = fastrand::u64(..SEEDS);
    eprintln!("fuzz --seed {seed}");
    seed
}

/// One line that says how far it is, where somebody sees it.
fn show(done: usize, of: usize) {
    let mut shown = std::io::stderr().lock();
    if !shown.is_terminal() || !(done.is_multiple_of(100) || done == of) {
        return;
    }
    let line = if done == of {
        String::new()
    } else {
        format!("{done} of {of} cases")
    };
    let _closed = write!(shown, "\r{line}\x1b[K");
}

fn write(directory: &Path, found: &Disagreement) -> Result<PathBuf, Stopped> {
    let path = directory.join(format!("seed-{}.yaml", found.seed));
    let written = fs::write(&path, yaml(&found.case));
    written.map_err(|error| Stopped(2, format!("{}: {error}", path.display())))?;
    Ok(path)
}

/// How much of what was asked was denied, in percent; none where that was not counted.
fn denied(tally: &Tally) -> Option<usize> {
    (tally.denied * 100)
        .checked_div(tally.cells)
        .filter(|it| *it > 0)
}

fn report(seed: u64, left: usize, tally: &Tally, files: &[Option<PathBuf>], seconds: f64) -> Value {
    let one = |(found, file): (&Disagreement, &Option<PathBuf>)| {
        json!({
            "seed": found.seed,
            "relation": found.relation,
            "reason": found.reason,
            "case": yaml(&found.case),
            "file": file.as_ref().map(|it| it.display().to_string()),
        })
    };
    json!({
        "seed": seed,
        "cases": tally.cases,
        "left": left,
        "skipped": tally.skipped.values().sum::<usize>(),
        "errors": tally.errors,
        "steps": tally.steps,
        "cells": tally.cells,
        "denied": tally.denied,
        "relations": tally.relations,
        "seconds": seconds,
        "disagreements": tally.found.iter().zip(files).map(one).collect::<Vec<_>>(),
    })
}

fn table(seed: u64, left: usize, tally: &Tally, files: &[Option<PathBuf>], seconds: f64) -> String {
    let mut lines = Vec::new();
    for (found, file) in tally.found.iter().zip(files) {
        let Disagreement { seed, reason, .. } = found;
        lines.push(format!("fuzz --seed {seed} --cases 1: {reason}"));
        lines.push(file.as_ref().map_or_else(
            || yaml(&found.case),
            |file| format!("written to {}", file.display()),
        ));
    }
    for (seed, reason) in &tally.errors {
        lines.push(format!(
            "fuzz --seed {seed} --cases 1: not judged: {reason}"
        ));
    }
    for (reason, count) in &tally.skipped {
        lines.push(format!("skipped {count}: {reason}"));
    }
    for (name, count) in &tally.relations {
        lines.push(format!("relation {name}: tried {count} times"));
    }
    let Tally {
        cases,
        steps,
        cells,
        found,
        ..
    } = tally;
    let denied = denied(tally).map_or_else(String::new, |it| format!(" ({it} % denied)"));
    let found = found.len();
    let left = match left {
        0 => String::new(),
        some => format!(", {some} left, as the run ended early"),
    };
    lines.push(format!(
        "seed {seed}: {cases} cases in {seconds:.1} s, {steps} steps, {cells} cells{denied}: {found} disagreements{left}"
    ));
    lines.join("\n")
}
