//! The command: parses, measures, prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command prints"
)]

mod arguments;
mod latency_cli;
mod micro_cli;
mod report_cli;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use sluice_bench::compare::{self, Verdict};
use sluice_bench::env::Env;
use sluice_bench::interrupt::{Interrupted, Progress};
use sluice_bench::load::{NotInstalled, Workload, iperf3_is_installed};
use sluice_bench::micro::Wrong;
use sluice_bench::mode::Mode;
use sluice_bench::network::cli::Network;
use sluice_bench::policies;
use sluice_bench::stage::{CommandLine, NotInForce};

const EXIT_CODES: &str = "\
Exit codes: 0 it holds, 1 a target was judged and is not met, or policies were not in force, 2 bad usage, 3 the machine \
cannot do this or was too noisy to tell, 130 Ctrl-C ended it.";

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
        /// For likeness with the others: it is quick anyway
        #[arg(long)]
        quick: bool,
        /// A table, or one JSON document
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Measure modes of enforcement against each other, between pods on this machine (root)
    Compare(CompareArgs),
    /// Measure what more and more policies cost a fresh connection (root)
    Policies(PoliciesArgs),
    /// Measure how long it takes until policies are enforced: here (root), or as a client in a cluster
    Latency(latency_cli::LatencyArgs),
    /// Measure the network between nodes with iperf3, netperf, qperf and fortio
    #[command(subcommand)]
    Network(Network),
    /// Measure what single steps cost: packets in the programs, verdicts, events, transactions, instructions, memory
    Micro(micro_cli::MicroArgs),
    /// Make Markdown, CSV and plots of what the others printed as JSON
    Report(report_cli::ReportArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// What every measurement takes.
#[derive(Debug, Args)]
struct CommonArgs {
    /// Less of everything: under a minute, and no target is judged
    #[arg(long)]
    quick: bool,
    /// Of the order of slices, and of the intervals
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        allow_negative_numbers = true
    )]
    seed: u64,
    /// The agent [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Count slices of a machine that is not quiet too; then no target is judged
    #[arg(long)]
    noisy: bool,
    /// A table, or one JSON document with every slice
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
struct CompareArgs {
    /// What is between the pods [default: all that can be; quick: five of them]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MODE")]
    modes: Vec<Mode>,
    /// What is sent [default: all that can be; quick: three of them]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORKLOAD")]
    workloads: Vec<Workload>,
    /// Slices of each mode and workload [default: 30; quick: 10]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(5..=1000))]
    rounds: Option<u16>,
    /// How long a slice is, in milliseconds [default: 200; quick: 150]
    #[arg(long, value_name = "MS", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(20..=5000))]
    slice: Option<u64>,
    /// Policies of the server, or rules of the chain; the last one matches
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    policies: u16,
    /// What enforces in mode `external`: a program, and once more for each of its arguments; bench/README.md has what it is
    /// told and is to do
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    external: Vec<String>,
    /// Packets per second of the workload `flood`
    #[arg(long, value_name = "N", default_value_t = 20_000, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    flood: u32,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
struct PoliciesArgs {
    /// What is between the pods: `none`, `conntrack`, `nfqueue`, `nfqueue_n`, `hybrid`, `linear`
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MODE", hide_possible_values = true,
          default_values_t = [Mode::Nfqueue, Mode::Hybrid, Mode::Linear])]
    modes: Vec<Mode>,
    /// Numbers of policies [default: 0,10,50,100,200,1000,10000; quick: 0,10,200]
    #[arg(long, value_delimiter = ',', value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    policies: Vec<u16>,
    /// Fetches of each size under each number of policies [default: 2000; quick: 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    fetches: Option<u64>,
    /// Slices that they are shared out among [default: 20; quick: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(5..=1000))]
    rounds: Option<u16>,
    #[command(flatten)]
    common: CommonArgs,
}

/// What was asked for makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn main() -> ExitCode {
    let outcome = match Cli::parse_from(arguments::arguments(std::env::args_os())).verb {
        Verb::Env { output, .. } => show_env(output),
        Verb::Compare(args) => run_compare(&args),
        Verb::Policies(args) => run_policies(&args),
        Verb::Latency(args) => args.run(),
        Verb::Network(network) => network.run(),
        Verb::Micro(args) => args.run(),
        Verb::Report(args) => args.run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(if error.is::<Usage>() {
            2
        } else if error.is::<NotInForce>() || error.is::<Wrong>() {
            1
        } else if error.is::<Interrupted>() {
            130
        } else {
            3
        })
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
    plan.check().map_err(Usage)?;
    eprintln!(
        "{} slices of {} ms: {} modes, {} workloads, {} rounds",
        plan.slices(),
        plan.slice.as_millis(),
        plan.modes.len(),
        plan.workloads.len(),
        plan.rounds
    );
    let report = measured(&plan.agent, |progress| compare::run(&plan, progress))?;
    show(args.common.output, &report, || report.table())?;
    Ok(match report.verdict() {
        Verdict::Holds => ExitCode::SUCCESS,
        Verdict::Missed => ExitCode::from(1),
        Verdict::Untold(untold) => too_noisy(&untold.join("; ")),
    })
}

fn run_policies(args: &PoliciesArgs) -> Result<ExitCode> {
    let plan = args.plan()?;
    eprintln!(
        "{} slices: {} fetches of each size in {} modes, under {:?} policies",
        plan.slices(),
        plan.fetches,
        plan.modes.len(),
        plan.policies
    );
    let report = measured(&plan.agent, |progress| policies::run(&plan, progress))?;
    show(args.common.output, &report, || report.table())?;
    Ok(if report.is_untold() {
        too_noisy("too many slices do not count")
    } else if report.flat == Some(false) {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

fn show(output: Output, report: &impl Serialize, table: impl FnOnce() -> String) -> Result<()> {
    match output {
        Output::Table => print!("{}", table()),
        Output::Json => println!("{}", serde_json::to_string(report)?),
    }
    Ok(())
}

fn too_noisy(what: &str) -> ExitCode {
    eprintln!("too noisy: {what}");
    ExitCode::from(3)
}

/// Measures with an agent, as root.
fn measured<T>(agent: &Path, measure: impl FnOnce(Progress<'_>) -> Result<T>) -> Result<T> {
    has_agent(agent)?;
    is_root()?;
    with_bar(measure)
}

fn has_agent(agent: &Path) -> Result<()> {
    if agent.is_file() {
        return Ok(());
    }
    let agent = agent.display();
    let usage = format!("no agent at {agent}; build it, or name it with --agent");
    Err(Usage(usage).into())
}

fn is_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "network namespaces need root"
    );
    Ok(())
}

/// Measures, with a bar for whoever waits; Ctrl-C ends it after the slice under way.
fn with_bar<T>(measure: impl FnOnce(Progress<'_>) -> Result<T>) -> Result<T> {
    if cfg!(debug_assertions) {
        eprintln!(
            "note: this is a debug build, and its figures mean little (cargo build --release)"
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let bar = bar();
    let measured = measure(&mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        !stop.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    measured
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The agent that is named, or the one beside this program: by its way from here, where there is one, as documents name
/// it and are read elsewhere.
fn beside(named: Option<&PathBuf>) -> Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named.clone());
    }
    let this = std::env::current_exe().context("this program's path")?;
    let agent = this.with_file_name("sluice");
    let here = std::env::current_dir().context("the current directory")?;
    Ok(match agent.strip_prefix(here) {
        // Without a directory it would be looked for in PATH.
        Ok(way) => Path::new(".").join(way),
        Err(_) => agent,
    })
}

impl CommonArgs {
    fn agent(&self) -> Result<PathBuf> {
        beside(self.agent.as_ref())
    }

    /// One of two, the first for a quick run.
    fn either<T>(&self, quick: T, whole: T) -> T {
        if self.quick { quick } else { whole }
    }
}

impl CompareArgs {
    fn plan(&self) -> Result<compare::Plan> {
        let common = &self.common;
        if self.external.first().is_some_and(String::is_empty) {
            return Err(Usage("--external: no program is named".to_owned()).into());
        }
        let slice = self.slice.unwrap_or(common.either(150, 200));
        let workloads = self.workloads();
        let asks_iperf3 = workloads.iter().any(|it| it.is_iperf3());
        ensure!(!asks_iperf3 || iperf3_is_installed(), NotInstalled);
        Ok(compare::Plan {
            modes: self.modes(),
            workloads: compare::with_references(&workloads),
            rounds: self.rounds.unwrap_or(common.either(10, 30)).into(),
            slice: Duration::from_millis(slice),
            seed: common.seed,
            policies: self.policies.into(),
            agent: common.agent()?,
            external: CommandLine::new(&self.external),
            flood: self.flood,
            noisy: common.noisy,
            quick: common.quick,
        })
    }

    fn modes(&self) -> Vec<Mode> {
        let quick = [
            Mode::Conntrack,
            Mode::ConntrackAgain,
            Mode::Nfqueue,
            Mode::Hybrid,
            Mode::HybridCold,
            Mode::External,
        ];
        let default = self.common.either(&quick[..], Mode::value_variants());
        let is_there = |mode: &Mode| *mode != Mode::External || !self.external.is_empty();
        match &self.modes[..] {
            [] => default.iter().copied().filter(is_there).collect(),
            modes => once(modes),
        }
    }

    fn workloads(&self) -> Vec<Workload> {
        match (&self.workloads[..], self.common.quick) {
            ([], false) => {
                // What is a share of what the reference can do needs it.
                let has_reference = self.modes().contains(&Mode::Conntrack);
                let has_iperf3 = iperf3_is_installed();
                let all = Workload::value_variants().iter().copied();
                all.filter(|it| has_reference || it.share().is_none())
                    .filter(|it| has_iperf3 || !it.is_iperf3())
                    .collect()
            }
            ([], true) => vec![Workload::TcpCrr, Workload::TcpRr, Workload::UdpNew],
            (workloads, _) => once(workloads),
        }
    }
}

impl PoliciesArgs {
    fn plan(&self) -> Result<policies::Plan> {
        let common = &self.common;
        if let Some(mode) = self
            .modes
            .iter()
            .find(|mode| !policies::MODES.contains(mode))
        {
            let usage = format!("mode {} is for compare alone", mode.name());
            return Err(Usage(usage).into());
        }
        let numbers: &[u16] = match (&self.policies[..], common.quick) {
            ([], false) => &[0, 10, 50, 100, 200, 1_000, 10_000],
            ([], true) => &[0, 10, 200],
            (numbers, _) => numbers,
        };
        let mut numbers: Vec<usize> = numbers.iter().map(|number| (*number).into()).collect();
        numbers.sort_unstable();
        Ok(policies::Plan {
            modes: once(&self.modes),
            policies: once(&numbers),
            fetches: self.fetches.unwrap_or(common.either(100, 2_000)),
            rounds: self.rounds.unwrap_or(common.either(5, 20)).into(),
            seed: common.seed,
            agent: common.agent()?,
            noisy: common.noisy,
            quick: common.quick,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_quick_run_and_a_document() {
        for verb in [
            "env",
            "compare",
            "policies",
            "latency pod",
            "latency policy",
            "network launcher",
            "network orchestrator --benchmark iperf3-tcp --port 1",
            "network worker --host h --port 1",
            "micro",
            "report FILE",
        ] {
            let line = format!("sluice-bench {verb} --quick -o json");
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn a_number_below_zero_is_said_to_be_of_its_flag() {
        for line in [
            "compare --rounds -1",
            "compare --seed -1",
            "policies --policies -1",
            "latency pod --repetitions -1",
            "network launcher --lab -1",
            "network worker --host h --port -1",
        ] {
            let flag = line
                .split(' ')
                .find(|it| it.starts_with("--") && *it != "--host");
            let words = ["sluice-bench"].into_iter().chain(line.split(' '));
            let error = Cli::try_parse_from(words).unwrap_err().to_string();
            let named = format!("invalid value '-1' for '{}", flag.unwrap());
            assert!(error.contains(&named), "{line}: {error}");
        }
    }
}
