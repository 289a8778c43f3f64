//! `run`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sluice_conformance::case::Case;
use sluice_conformance::per_core;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::{self, Report, Standing};
use sluice_conformance::runner::{EvaluatorRunner, LabRunner, Runner, Sluice};
use sluice_conformance::waivers::Waivers;

use super::cluster::{self, ClusterArgs};
use super::flags::{self, Owned};
use super::lab::LabArgs;
use super::outputs::OutputArgs;
use super::progress::Progress;
use super::{CasesArgs, INTERRUPTED, Output, Stopped, print, read};

/// `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    cases: CasesArgs,
    /// Who is judged
    #[arg(long, value_enum, default_value = "evaluator")]
    runner: RunnerName,
    /// What the enforcer says of itself where the API leaves it the choice, with commas between several: strict,
    /// packet, connection, host-node, host-pod, sluice [default: sluice, of the runner `cluster` strict]
    #[arg(long)]
    profile: Option<Profile>,
    /// How many cases at a time, of the runners `evaluator` and `lab` [default: one per core, and two]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Failures that are known: a YAML list of `case` (an id, or with `*`), `reason`, `until` (a day) and `issue`
    #[arg(long, value_name = "FILE")]
    waivers: Option<PathBuf>,
    /// How to print what came of it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    files: OutputArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RunnerName {
    /// The evaluator of Sluice, without packets
    Evaluator,
    /// The agent of Sluice, with real packets between network namespaces of this machine (needs root)
    Lab,
    /// Whatever enforces policies in the cluster of a kubeconfig, with real packets between its pods
    Cluster,
}

impl RunnerName {
    fn name(self) -> &'static str {
        match self {
            Self::Evaluator => "evaluator",
            Self::Lab => "lab",
            Self::Cluster => "cluster",
        }
    }
}

pub(super) fn run(args: &RunArgs, given: &ArgMatches) -> Result<ExitCode, Stopped> {
    let owned = [
        Owned::group::<ClusterArgs>(&["cluster"]),
        Owned::group::<LabArgs>(&["lab"]),
        Owned::one("jobs", &["evaluator", "lab"]),
    ];
    flags::check(given, args.runner.name(), &owned)?;
    let catalogue = args.cases.catalogue()?;
    let chosen = args.cases.chosen(&catalogue)?;
    let waivers = args.waivers()?;
    let files = args.files.open(args.runner == RunnerName::Cluster)?;
    let (mut report, stopped) = args.judge(&chosen)?;
    if let Some(waivers) = waivers {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        waivers.apply(&mut report, &catalogue.cases, today);
    }
    if args.runner == RunnerName::Cluster {
        cluster::remark(&mut report, args.output);
    }
    show(&report, args.output);
    files.write(&report, &chosen)?;
    stopped.map_or_else(|| Ok(ExitCode::from(exit_code(&report))), Err)
}

/// Has cases judged, so many at a time, and shows how far they are.
fn watched<R: Runner + Send>(
    args: &RunArgs,
    runner: impl Fn() -> R,
    jobs: usize,
    cases: &[&Case],
) -> Result<Report, Stopped> {
    let mut progress = Progress::new(cases.len(), args.output == Output::Json)?;
    let mut runners: Vec<R> = (0..jobs.min(cases.len())).map(|_| runner()).collect();
    let report = Report::observed(&mut runners, cases, args.profile(), &mut progress);
    progress.end();
    Ok(report)
}

fn show(report: &Report, output: Output) {
    if output == Output::Json {
        print(&report::json(report).to_string());
        return;
    }
    for (result, standing) in report.standings() {
        if let Standing::Failed(failure) = standing {
            print(&format!("{}\n{}", result.id, report::comparison(failure)));
        }
    }
    print(&report::summary(report));
}

/// Where nothing could be judged, the machine is to blame.
fn exit_code(report: &Report) -> u8 {
    let judged = report.passed() + report.failed() + report.waived();
    match (report.failed(), report.errors()) {
        _ if !report.left.is_empty() => INTERRUPTED,
        (0, 0) => 0,
        (_, 1..) if judged == 0 => 3,
        _ => 1,
    }
}

impl RunArgs {
    /// What came of cases, and what went wrong besides.
    fn judge(&self, cases: &[&Case]) -> Result<(Report, Option<Stopped>), Stopped> {
        Ok(match self.runner {
            RunnerName::Evaluator => {
                let runner = || EvaluatorRunner::new(Sluice::default());
                (watched(self, runner, self.jobs(1), cases)?, None)
            }
            RunnerName::Lab => {
                let options = self.lab.options()?;
                let runner = || LabRunner::new(options.clone());
                (
                    watched(self, runner, self.jobs(LabRunner::PER_CORE), cases)?,
                    None,
                )
            }
            RunnerName::Cluster => {
                cluster::judge(&self.cluster, cases, self.profile(), self.output)?
            }
        })
    }

    /// Of somebody else's enforcer nothing is known but what the API says.
    fn profile(&self) -> Profile {
        let usual = match self.runner {
            RunnerName::Evaluator | RunnerName::Lab => Profile::SLUICE,
            RunnerName::Cluster => Profile::default(),
        };
        self.profile.unwrap_or(usual)
    }

    /// How many cases are judged at a time.
    fn jobs(&self, count: usize) -> usize {
        self.jobs.map_or_else(|| per_core(count), usize::from)
    }

    fn waivers(&self) -> Result<Option<Waivers>, Stopped> {
        let Some(path) = &self.waivers else {
            return Ok(None);
        };
        let text = read("--waivers", path)?;
        let waivers = Waivers::read(&path.display().to_string(), &text);
        waivers
            .map(Some)
            .map_err(|error| Stopped(2, error.to_string()))
    }
}
