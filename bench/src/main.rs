//! The command: parses, measures, prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command prints"
)]

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use sluice_bench::compare::{self, Plan, Report};
use sluice_bench::env::Env;
use sluice_bench::load::Workload;
use sluice_bench::mode::Mode;
use sluice_bench::policies;

const EXIT_CODES: &str = "\
Exit codes: 0 it holds, 1 a target was judged and is not met, 2 bad usage, 3 the machine cannot do this or was too noisy, \
130 Ctrl-C ended it.";

const EXAMPLES: &str = "\
Examples:
  sluice-bench compare --quick
  sluice-bench compare --modes conntrack,conntrack_again,hybrid --workloads tcp_crr,tcp_rr
  sluice-bench compare -o json > compare.json

Each figure is the median over rounds of a slice's; each ratio the median of the rounds' ratios, with the 95 % interval
of a bootstrap. A slice counts where the agent's counters prove its mode and the machine was quiet.

";

/// What policy costs: enforcers against each other, in one interleaved run.
#[derive(Debug, Parser)]
#[command(name = "sluice-bench", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what figures depend on: kernel, processor, mitigations
    Env {
        /// A table, or one JSON document
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Measure modes of enforcement against each other, between pods on this machine (root)
    Compare(CompareArgs),
    /// Measure what more and more policies cost a fresh connection (root)
    Policies(PoliciesArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
struct CompareArgs {
    /// Less of everything: under a minute, and no target is judged
    #[arg(long)]
    quick: bool,
    /// What is between the pods [default: all; quick: five of them]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MODE")]
    modes: Vec<Mode>,
    /// What is sent [default: all; quick: three of them]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORKLOAD")]
    workloads: Vec<Workload>,
    /// Slices of each mode and workload [default: 30; quick: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(5..=1000))]
    rounds: Option<u16>,
    /// How long a slice is, in milliseconds [default: 200; quick: 150]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(20..=5000))]
    slice: Option<u64>,
    /// Policies of the server, or rules of the chain; the last one matches
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    policies: u16,
    /// Of the order of slices, and of the intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The agent [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Count slices of a machine that is not quiet too
    #[arg(long)]
    noisy: bool,
    /// A table, or one JSON document with every slice
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct PoliciesArgs {
    /// Less of everything: under a minute
    #[arg(long)]
    quick: bool,
    /// What is between the pods
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MODE",
          default_values_t = [Mode::Nfqueue, Mode::Hybrid, Mode::Linear])]
    modes: Vec<Mode>,
    /// Numbers of policies [default: 0,10,50,100,200,1000,10000; quick: 0,10,200]
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u16).range(0..=10_000))]
    policies: Vec<u16>,
    /// Fetches of each size under each number of policies [default: 2000; quick: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    fetches: Option<u64>,
    /// Slices that they are shared out among [default: 20; quick: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(5..=1000))]
    rounds: Option<u16>,
    /// Of the order of slices, and of the intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The agent [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Count slices of a machine that is not quiet too
    #[arg(long)]
    noisy: bool,
    /// A table, or one JSON document with every slice
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Env { output } => show_env(output),
        Verb::Compare(args) => run_compare(&args),
        Verb::Policies(args) => run_policies(&args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(3)
    })
}

fn show_env(output: Output) -> Result<ExitCode> {
    let env = serde_json::to_value(Env::read())?;
    match (output, env.as_object()) {
        (Output::Table, Some(fields)) => {
            for (name, value) in fields {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                println!("{name:<18} {value}");
            }
        }
        _ => println!("{}", serde_json::to_string_pretty(&env)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn run_compare(args: &CompareArgs) -> Result<ExitCode> {
    let plan = args.plan()?;
    let slices = plan.modes.len() * plan.workloads.len() * plan.rounds;
    eprintln!(
        "{slices} slices of {} ms: {} modes, {} workloads, {} rounds",
        plan.slice.as_millis(),
        plan.modes.len(),
        plan.workloads.len(),
        plan.rounds
    );
    let report = measured(&plan.agent, slices, |progress| {
        compare::run(&plan, progress)
    })?;
    match args.output {
        Output::Table => print!("{}", report.table()),
        Output::Json => println!("{}", serde_json::to_string(&report)?),
    }
    Ok(args.verdict(&report))
}

fn run_policies(args: &PoliciesArgs) -> Result<ExitCode> {
    let plan = args.plan()?;
    let slices = plan.modes.len() * plan.policies.len() * policies::SIZES.len() * plan.rounds;
    eprintln!(
        "{} fetches of each size, in {} rounds: {} modes, {:?} policies",
        plan.fetches,
        plan.rounds,
        plan.modes.len(),
        plan.policies
    );
    let report = measured(&plan.agent, slices, |progress| {
        policies::run(&plan, progress)
    })?;
    match args.output {
        Output::Table => print!("{}", report.table()),
        Output::Json => println!("{}", serde_json::to_string(&report)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures, with a bar for whoever waits.
fn measured<T>(
    agent: &Path,
    slices: usize,
    measure: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result<T>,
) -> Result<T> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    ensure!(
        agent.is_file(),
        "no agent at {}; build it, or name it with --agent",
        agent.display()
    );
    if cfg!(debug_assertions) {
        eprintln!(
            "note: this is a debug build, and its figures mean little (cargo build --release)"
        );
    }
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} left");
        ProgressBar::new(slices as u64)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    } else {
        ProgressBar::hidden()
    };
    let measured = measure(&mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    measured
}

/// The agent beside this program, where none is named.
fn agent(named: Option<&PathBuf>) -> Result<PathBuf> {
    let beside = std::env::current_exe().context("this program's path")?;
    Ok(named
        .cloned()
        .unwrap_or_else(|| beside.with_file_name("sluice")))
}

impl PoliciesArgs {
    fn plan(&self) -> Result<policies::Plan> {
        let policies: Vec<usize> = match (&self.policies[..], self.quick) {
            ([], false) => vec![0, 10, 50, 100, 200, 1_000, 10_000],
            ([], true) => vec![0, 10, 200],
            (policies, _) => policies.iter().map(|number| (*number).into()).collect(),
        };
        Ok(policies::Plan {
            modes: once(&self.modes),
            policies: once(&policies),
            fetches: self.fetches.unwrap_or(if self.quick { 100 } else { 2_000 }),
            rounds: self
                .rounds
                .unwrap_or(if self.quick { 5 } else { 20 })
                .into(),
            seed: self.seed,
            agent: agent(self.agent.as_ref())?,
            noisy: self.noisy,
        })
    }
}

impl CompareArgs {
    fn plan(&self) -> Result<Plan> {
        Ok(Plan {
            modes: self.modes(),
            workloads: self.workloads(),
            rounds: self
                .rounds
                .unwrap_or(if self.quick { 10 } else { 30 })
                .into(),
            slice: Duration::from_millis(self.slice.unwrap_or(if self.quick { 150 } else { 200 })),
            seed: self.seed,
            policies: self.policies.into(),
            agent: agent(self.agent.as_ref())?,
            noisy: self.noisy,
        })
    }

    fn modes(&self) -> Vec<Mode> {
        match (&self.modes[..], self.quick) {
            ([], false) => Mode::value_variants().to_vec(),
            ([], true) => vec![
                Mode::Conntrack,
                Mode::ConntrackAgain,
                Mode::Nfqueue,
                Mode::Hybrid,
                Mode::HybridCold,
            ],
            (modes, _) => once(modes),
        }
    }

    fn workloads(&self) -> Vec<Workload> {
        match (&self.workloads[..], self.quick) {
            ([], false) => Workload::value_variants().to_vec(),
            ([], true) => vec![Workload::TcpCrr, Workload::TcpRr, Workload::UdpNew],
            (workloads, _) => once(workloads),
        }
    }

    /// Targets are for whole runs: a quick one has too wide intervals.
    fn verdict(&self, report: &Report) -> ExitCode {
        if let Some(noise) = report.too_noisy().filter(|_| !self.quick) {
            eprintln!("too noisy to say anything: {noise}");
            return ExitCode::from(3);
        }
        let missed = report.targets.iter().any(|target| !target.met);
        if missed && !self.quick {
            ExitCode::from(1)
        } else {
            ExitCode::SUCCESS
        }
    }
}

/// Each once, in the order of their first naming.
fn once<T: Copy + PartialEq>(values: &[T]) -> Vec<T> {
    let mut once = Vec::new();
    for value in values {
        if !once.contains(value) {
            once.push(*value);
        }
    }
    once
}
