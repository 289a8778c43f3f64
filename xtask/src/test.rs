//! `cargo xtask test`: builds the tests, runs the levels, adds them up.
//!
//! Which test belongs to which level is in `test/level.rs`; what a test binary's output means in
//! `test/transcript.rs`. Progress goes to stderr, the sums to stdout, and the last line is the sum of sums.

mod level;
mod run;
mod tally;
mod transcript;
mod vm;

use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::ValueEnum as _;

use self::level::Level;
use self::run::Suite;
use self::tally::Tally;
use crate::exit::{self, Stop};
use crate::setup::Need;
use crate::{cluster, fuzz, image, privilege, process, setup};

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                       the levels unit, lab, cluster and vm
  cargo xtask test unit                  what needs no root
  cargo xtask test lab -p sluice-lab     the privileged tests of one package
  cargo xtask test cluster               tests on a real Kubernetes
  cargo xtask test vm                    privileged tests on Debian's 6.1 kernel
  cargo xtask test unit -- endport       tests with `endport` in their name

A test that cannot run here prints a line `skipped: REASON` and returns; it is counted as skipped.";

/// Seconds that each fuzz target runs.
const FUZZED: u32 = 60;

/// What `test` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which levels [default: unit lab cluster vm]
    #[arg(value_enum)]
    levels: Vec<Level>,
    /// Only the tests of this package (repeatable)
    #[arg(short, long, value_name = "NAME")]
    package: Vec<String>,
    /// For every test binary: filters, `--exact`, `--test-threads=N`, …
    #[arg(last = true, value_name = "ARGS")]
    more: Vec<String>,
}

/// Runs the levels in order. Exit code 1 where anything failed.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let levels: Vec<_> = Level::value_variants()
        .iter()
        .copied()
        .filter(|level| args.wants(*level))
        .collect();
    let suite = Suite::of(&args.package, &args.more)?;
    if args.levels.contains(&Level::Lab) {
        privilege::require("level lab", "cargo xtask test lab")?;
    }
    let is_lab = levels.contains(&Level::Lab) && privilege::is_enough();
    if is_lab || args.levels.contains(&Level::Vm) {
        // Before anything is built: without its tools the agent is built without eBPF.
        setup::ensure(&[Need::Ebpf, Need::Lab])?;
    }
    let is_cluster = levels.contains(&Level::Cluster) && privilege::is_enough();
    if (is_lab || is_cluster)
        && let Err(error) = cluster::build_tools()
    {
        // Tests that measure with them say what they lack, and are skipped.
        eprintln!("{error:#}");
    }
    if args.levels.contains(&Level::Vm) {
        setup::ensure(&[Need::Vm])?;
    }
    if args.levels.contains(&Level::Cluster) {
        privilege::require("level cluster", "cargo xtask test cluster")?;
        setup::ensure(&[Need::Cluster, Need::Image])?;
    }
    let mut sum = Tally::default();
    for level in levels {
        let start = Instant::now();
        let mut tally = run_level(&suite, level)?;
        if level == Level::Unit && args.package.is_empty() && args.more.is_empty() {
            tally.add(&run_fuzz()?);
        }
        println!(
            "{}: {tally} ({:.1} s)",
            level.name(),
            start.elapsed().as_secs_f64()
        );
        sum.add(&tally);
    }
    sum.explain();
    println!("{sum}");
    Ok(exit::holds(sum.failed == 0))
}

fn run_level(suite: &Suite, level: Level) -> anyhow::Result<Tally> {
    match level {
        Level::Lab if !privilege::is_enough() => Ok(Tally::skip("lab", "needs root")),
        Level::Cluster => run_cluster(suite),
        Level::Unit | Level::Lab => suite.run(level),
        Level::Vm => run_vm(suite),
    }
    .or_else(|error| match error.downcast_ref::<Stop>() {
        Some(_) => Err(error),
        None => Ok(Tally::fail(level.name(), &format!("{error:#}"))),
    })
}

/// Where nobody asked for it by name, a machine without the means has a reason to leave it out.
fn run_vm(suite: &Suite) -> anyhow::Result<Tally> {
    match setup::ensure(&[Need::Ebpf, Need::Lab, Need::Vm]) {
        Ok(()) => vm::run(suite),
        Err(error) => match error.downcast_ref() {
            Some(Stop::Machine(lacks)) => Ok(Tally::skip("vm", &lacks.replace('\n', ";"))),
            _ => Err(error),
        },
    }
}

/// What the tests need is built first; where nobody asked by name, a machine without the means has a reason to leave
/// them out.
fn run_cluster(suite: &Suite) -> anyhow::Result<Tally> {
    if !privilege::is_enough() {
        return Ok(Tally::skip("cluster", "needs root"));
    }
    let ready = setup::ensure(&[Need::Ebpf, Need::Cluster, Need::Image])
        .and_then(|()| cluster::build())
        .and_then(|()| image::build(image::Program::Agent, image::Arch::this()))
        .and_then(|_| image::build(image::Program::Prober, image::Arch::this()));
    if let Err(error) = ready {
        return match error.downcast_ref() {
            Some(Stop::Machine(lacks)) => Ok(Tally::skip("cluster", &lacks.replace('\n', ";"))),
            _ => Err(error),
        };
    }
    let tally = suite.run(Level::Cluster);
    // A test that was killed took nothing away.
    process::run(Command::new(cluster::tool()?).arg("sweep"))?;
    tally
}

/// A minute of made-up input: one test a target. A machine that cannot build them leaves them out.
fn run_fuzz() -> anyhow::Result<Tally> {
    let mut sum = Tally::default();
    match fuzz::run_every(FUZZED) {
        Ok(ran) => ran.iter().for_each(|one| {
            eprintln!("fuzz {}: {}", one.target, one.text);
            sum.add(&if one.held {
                Tally::pass()
            } else {
                Tally::fail(&format!("fuzz {}", one.target), &one.text)
            });
        }),
        Err(error) => match error.downcast_ref() {
            Some(Stop::Machine(lacks)) => sum.add(&Tally::skip("fuzz", &lacks.replace('\n', ";"))),
            Some(_) => return Err(error),
            None => sum.add(&Tally::fail("fuzz", &format!("{error:#}"))),
        },
    }
    Ok(sum)
}

impl Args {
    fn wants(&self, level: Level) -> bool {
        self.levels.is_empty() || self.levels.contains(&level)
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Level};

    #[test]
    fn by_default_every_level_runs() {
        let default = Args {
            levels: Vec::new(),
            package: Vec::new(),
            more: Vec::new(),
        };
        for level in [Level::Unit, Level::Lab, Level::Cluster, Level::Vm] {
            assert!(default.wants(level), "{}", level.name());
        }
        let named = Args {
            levels: vec![Level::Vm],
            ..default
        };
        assert!(named.wants(Level::Vm) && !named.wants(Level::Unit));
    }
}
