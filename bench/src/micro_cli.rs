//! The command line of `micro`.

use std::env::current_exe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum as _};
use sluice_bench::micro::job::Job;
use sluice_bench::micro::{self, Bounds, BoundsError, Part, Plan, RECORDED, Report};

use crate::{EXIT_CODES, Output, Usage, beside, has_agent, is_root, once, show, with_bar};

const EXAMPLES: &str = "\
Examples:
  sluice-bench micro --quick
  sluice-bench micro --parts verdicts,events,instructions
  sluice-bench micro --parts instructions --renew

Each figure is the median of rounds in which all of its part take turns, with the 95 % interval of a bootstrap, and is
given only where every step did what it is to do: else the run ends with exit code 1. So it does where a step takes over
10 % more or fewer instructions than are recorded for this kind of build.

";

/// What `micro` takes.
#[derive(Debug, Args)]
#[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
pub(crate) struct MicroArgs {
    /// What is measured [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART")]
    parts: Vec<Part>,
    /// Fewer rounds and repetitions, smaller clusters: under a minute
    #[arg(long)]
    quick: bool,
    /// How often each case has its turn [default: 31; quick: 11]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(5..=1000))]
    rounds: Option<u16>,
    /// How often a program runs in a turn [default: 1000000; quick: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    repeat: Option<u32>,
    /// Of the orders and the intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The agent whose memory is measured [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// What instructions are held against [default: what was recorded when this was built]
    #[arg(long, value_name = "FILE")]
    bounds: Option<PathBuf>,
    /// Record the instructions of this build instead, in that file or in `bench/micro/instructions.json`
    #[arg(long)]
    renew: bool,
    /// A table, or one JSON document with every turn
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// What a measurement has this program do in a process of its own
    #[arg(long, hide = true)]
    job: Option<Job>,
}

impl MicroArgs {
    /// Measures.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        if let Some(job) = self.job {
            println!("{}", job.run()?);
            return Ok(ExitCode::SUCCESS);
        }
        let plan = self.plan()?;
        if plan.parts.contains(&Part::Memory) {
            has_agent(&plan.agent)?;
        }
        if plan.parts.iter().any(|part| part.needs_root()) {
            is_root()?;
        }
        let report = with_bar(|progress| micro::run(&plan, progress))?;
        show(self.output, &report, || report.table())?;
        if self.renew {
            return self.record(&plan, &report);
        }
        Ok(judged(&report))
    }

    fn plan(&self) -> Result<Plan> {
        let (rounds, repeat) = if self.quick {
            (11, 10_000)
        } else {
            (31, 1_000_000)
        };
        let parts = match &self.parts[..] {
            [] => Part::value_variants().to_vec(),
            parts => once(parts),
        };
        if self.renew && !parts.contains(&Part::Instructions) {
            let usage = "--renew records instructions, which are not among the parts";
            return Err(Usage(usage.to_owned()).into());
        }
        Ok(Plan {
            parts,
            rounds: self.rounds.map_or(rounds, usize::from),
            repeat: self.repeat.unwrap_or(repeat),
            seed: self.seed,
            quick: self.quick,
            agent: beside(self.agent.as_ref())?,
            this: current_exe().context("this program's path")?,
            bounds: self.bounds()?,
        })
    }

    /// A file that is to be written need not be there.
    fn bounds(&self) -> Result<Bounds> {
        let read = match &self.bounds {
            Some(path) if self.renew && !path.exists() => return Ok(Bounds::default()),
            Some(path) => Bounds::read(path),
            None => Bounds::recorded(),
        };
        read.map_err(|error| Usage(error.to_string()).into())
    }

    fn record(&self, plan: &Plan, report: &Report) -> Result<ExitCode> {
        let path = self.bounds.as_deref().unwrap_or(Path::new(RECORDED));
        let mut bounds = plan.bounds.clone();
        let mut counts = report.instructions().peekable();
        ensure!(
            counts.peek().is_some(),
            "nothing was counted, so nothing is recorded"
        );
        for (step, count) in counts {
            bounds.record(step, count);
        }
        let written: Result<(), BoundsError> = bounds.write(path);
        written.map_err(|error| Usage(error.to_string()))?;
        eprintln!("recorded in {}", path.display());
        Ok(ExitCode::SUCCESS)
    }
}

fn judged(report: &Report) -> ExitCode {
    let drifted = report.drifted();
    if drifted.is_empty() {
        return ExitCode::SUCCESS;
    }
    for line in drifted {
        eprintln!("{line}");
    }
    eprintln!(
        "where that is meant: sluice-bench micro --parts instructions --renew, in the repository, and commit {RECORDED}"
    );
    ExitCode::from(1)
}
