//! `run`.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use sluice_conformance::case::Case;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::{self, Report};
use sluice_conformance::runner::{CaseResult, EvaluatorRunner, Outcome, Runner, Sluice};

use super::{CasesArgs, Output, Stopped};

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
    /// How to print what came of it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RunnerName {
    /// The evaluator of Sluice, without packets
    Evaluator,
}

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Stopped> {
    let catalogue = args.cases.catalogue()?;
    let chosen = args.cases.chosen(&catalogue)?;
    let mut runner = match args.runner {
        RunnerName::Evaluator => EvaluatorRunner::new(Sluice::default()),
    };
    let report = all(&mut runner, &chosen, args.profile);
    if args.output == Output::Json {
        println!("{}", report::json(&report));
    } else {
        for result in &report.results {
            if let Outcome::Failed(failure) = &result.outcome {
                println!("{}\n{}", result.id, report::comparison(failure));
            }
        }
        print!("{}", report::summary(&report));
    }
    Ok(if report.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn all(runner: &mut impl Runner, cases: &[&Case], profile: Profile) -> Report {
    let started = Instant::now();
    let results = cases
        .iter()
        .map(|case| one(runner, case, profile))
        .collect();
    Report {
        results,
        took: started.elapsed(),
    }
}

fn one(runner: &mut impl Runner, case: &Case, profile: Profile) -> CaseResult {
    match runner.unable(case) {
        None => runner.run(case, profile),
        Some(reason) => CaseResult::skipped(case, reason),
    }
}
