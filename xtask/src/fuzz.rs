//! `cargo xtask fuzz`: foreign input made up by libFuzzer, all targets at once. What they try is in `fuzz/targets`.
//!
//! A run starts from `fuzz/corpus`, and keeps what it finds beside what cargo builds. Progress goes to files there, the
//! sums to stdout.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};

use crate::setup::{self, Need};
use crate::{cargo, exit, process, repo};

const EXAMPLES: &str = "\
Examples:
  cargo xtask fuzz                        every target, for a minute
  cargo xtask fuzz packet --seconds 3600  one target, for an hour";

/// Every binary of `fuzz`.
const TARGETS: [&str; 3] = ["manifests", "netlink", "packet"];
/// Longer inputs find nothing that shorter ones do not, and are slow.
const LONGEST: &str = "-max_len=4096";
/// Megabytes that a target may take.
const MEMORY: &str = "-rss_limit_mb=2048";

/// Lines of a finding that are told.
const TOLD: usize = 12;

/// What `fuzz` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which targets [default: all]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    targets: Vec<String>,
    /// How long each of them runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// What came of a target.
pub(crate) struct Ran {
    pub(crate) target: String,
    /// Nothing was found.
    pub(crate) held: bool,
    /// How much was tried, or where to read on.
    pub(crate) text: String,
}

/// Runs the targets, and says how much they tried. Exit code 1 where one found something.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let chosen = TARGETS.iter().map(|target| (*target).to_owned());
    let ran = if args.targets.is_empty() {
        run_all(&chosen.collect::<Vec<_>>(), args.seconds)?
    } else {
        run_all(&args.targets, args.seconds)?
    };
    for one in &ran {
        println!("{}: {}", one.target, one.text);
    }
    Ok(exit::holds(ran.iter().all(|one| one.held)))
}

/// Runs every target for so long.
pub(crate) fn run_every(seconds: u32) -> anyhow::Result<Vec<Ran>> {
    run_all(&TARGETS.map(str::to_owned), seconds)
}

fn run_all(targets: &[String], seconds: u32) -> anyhow::Result<Vec<Ran>> {
    setup::ensure(&[Need::Fuzz])?;
    let root = repo::root();
    let place = cargo::target_directory(&root)?.join("fuzz");
    let built = build(&root, &place)?;
    let started: Vec<_> = targets
        .iter()
        .map(|target| start(&root, &place, &built.join(target), target, seconds))
        .collect::<anyhow::Result<_>>()?;
    started.into_iter().map(finish).collect()
}

/// Builds all targets; where they are.
///
/// The coverage that guides libFuzzer is a flag of the stable compiler, but for its name. Sanitizers are left out: what is
/// tried has no unsafe code.
fn build(root: &Path, place: &Path) -> anyhow::Result<PathBuf> {
    let mut command = cargo::command(root, "fuzz");
    command
        .args(["build", "--sanitizer", "none", "--target-dir"])
        .arg(place)
        .env("RUSTC_BOOTSTRAP", "1");
    if !process::run(&mut command)?.success() {
        bail!("`{}` failed", process::shown(&command));
    }
    let triple = fs::read_dir(place)?
        .filter_map(|entry| Some(entry.ok()?.path().join("release")))
        .find(|path| path.join(TARGETS[0]).is_file());
    triple.context("cargo fuzz has built nothing")
}

struct Started {
    target: String,
    child: Child,
    log: PathBuf,
}

fn start(
    root: &Path,
    place: &Path,
    binary: &Path,
    target: &str,
    seconds: u32,
) -> anyhow::Result<Started> {
    let found = place.join("found").join(target);
    fs::create_dir_all(&found)?;
    let log = place.join(format!("{target}.log"));
    let output = File::create(&log)?;
    let mut command = Command::new(binary);
    command
        .arg(&found)
        .arg(root.join("fuzz/corpus").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!(
            "-artifact_prefix={}/crash-{target}-",
            place.display()
        ))
        .args([LONGEST, MEMORY, "-timeout=10", "-print_final_stats=1"])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let child = command.spawn().with_context(|| process::shown(&command))?;
    Ok(Started {
        target: target.to_owned(),
        child,
        log,
    })
}

fn finish(mut started: Started) -> anyhow::Result<Ran> {
    let status = exit::unless_interrupted(started.child.wait()?)?;
    let log = String::from_utf8_lossy(&fs::read(&started.log)?).into_owned();
    let held = status.success();
    let text = if held {
        summary(&log)
    } else {
        found(&log, &started.log)
    };
    Ok(Ran {
        target: started.target,
        held,
        text,
    })
}

/// What a target fell over, and where all of it is: the log may be on a machine that is gone.
fn found(log: &str, place: &Path) -> String {
    let lines: Vec<_> = log.lines().collect();
    let says = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    let last = lines.len().saturating_sub(TOLD);
    let from = lines.iter().position(says).unwrap_or(last);
    let told: Vec<_> = lines[from..].iter().take(TOLD).copied().collect();
    let place = place.display();
    format!("found something: {place}\n{}", told.join("\n"))
}

/// Executions and coverage, from libFuzzer's last words.
fn summary(log: &str) -> String {
    let executed = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map_or("?", str::trim);
    let words: Vec<_> = log
        .lines()
        .rfind(|line| line.contains(" cov: "))
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let after = |name| {
        let at = words.iter().position(|word| *word == name);
        at.and_then(|at| words.get(at + 1)).copied().unwrap_or("?")
    };
    format!(
        "{executed} inputs, {} edges covered, {} features",
        after("cov:"),
        after("ft:")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{found, summary};

    #[test]
    fn a_finding_is_told_with_what_it_says() {
        let log = "#2\tINITED cov: 12\nthread '<unnamed>' panicked at targets/packet.rs:1:2:\nassertion failed\n";
        assert_eq!(
            found(log, Path::new("packet.log")),
            "found something: packet.log\n\
             thread '<unnamed>' panicked at targets/packet.rs:1:2:\nassertion failed"
        );
        let killed = found("#2\tINITED\n#3\tNEW\n", Path::new("a"));
        assert_eq!(killed, "found something: a\n#2\tINITED\n#3\tNEW");
    }

    #[test]
    fn the_last_words_of_libfuzzer_are_read() {
        let log = "#2\tINITED cov: 12 ft: 13 corp: 1/1b\n#99\tDONE   cov: 120 ft: 340 corp: 30/2Kb\n\
                   stat::number_of_executed_units: 99\nstat::peak_rss_mb: 40\n";
        assert_eq!(summary(log), "99 inputs, 120 edges covered, 340 features");
        assert_eq!(summary(""), "? inputs, ? edges covered, ? features");
    }
}
