//! `run`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use sluice_conformance::profile::Profile;
use sluice_conformance::report::{self, Report};
use sluice_conformance::runner::{EvaluatorRunner, LabRunner, Outcome, Sluice};

use super::cluster::{self, ClusterArgs};
use super::lab::LabArgs;
use super::{CasesArgs, Output, Stopped, print};

/// `run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    cases: CasesArgs,
    /// Who is judged
    #[arg(long, value_enum, default_value = "evaluator")]
    runner: RunnerName,
    /// What the enforcer says of itself where the API leaves it the choice, with commas between several: strict,
    /// packet, connection, host-node, host-pod, sluice
    #[arg(long, default_value = "sluice")]
    profile: Profile,
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
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
    /// Whatever enforces policies in the cluster of a kubeconfig, with real packets between its pods
    Cluster,
}

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Stopped> {
    let catalogue = args.cases.catalogue()?;
    let chosen = args.cases.chosen(&catalogue)?;
    let report = match args.runner {
        RunnerName::Evaluator => {
            let mut runner = EvaluatorRunner::new(Sluice::default());
            Report::of(&mut runner, &chosen, args.profile)
        }
        RunnerName::Lab => {
            let mut runner = LabRunner::new(args.lab.options()?);
            Report::of(&mut runner, &chosen, args.profile)
        }
        RunnerName::Cluster => {
            let report = cluster::judge(&args.cluster, &chosen, args.profile)?;
            return Ok(cluster::end(&report, || told(args, &report)));
        }
    };
    Ok(told(args, &report))
}

/// Prints what came of it: the exit code.
fn told(args: &RunArgs, report: &Report) -> ExitCode {
    if args.output == Output::Json {
        print(&report::json(report).to_string());
    } else {
        for result in &report.results {
            if let Outcome::Failed(failure) = &result.outcome {
                print(&format!("{}\n{}", result.id, report::comparison(failure)));
            }
        }
        print(&report::summary(report));
    }
    ExitCode::from(exit_code(report))
}

/// Where nothing could be judged, the machine is to blame.
fn exit_code(report: &Report) -> u8 {
    let judged = report.passed() + report.failed();
    match (report.failed(), report.errors()) {
        (0, 0) => 0,
        (_, 1..) if judged == 0 => 3,
        _ => 1,
    }
}
