//! `run`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use sluice_conformance::case::Case;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::{self, Report};
use sluice_conformance::runner::{
    CaseResult, EvaluatorRunner, LabOptions, LabRunner, Outcome, Runner, Sluice,
};
use sluice_lab::Mode;
use sluice_oracle::Family;

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
    /// Of the runner `lab`: how the agents work
    #[arg(long, value_enum, default_value = "hybrid")]
    mode: ModeName,
    /// Of the runner `lab`: the address families of pods
    #[arg(long, value_enum, default_value = "4")]
    family: FamilyName,
    /// Of the runner `lab`: the agent's binary [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
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

/// With or without eBPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeName {
    Hybrid,
    Nfqueue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FamilyName {
    #[value(name = "4")]
    Four,
    #[value(name = "6")]
    Six,
    Dual,
}

pub(super) fn run(args: &RunArgs) -> Result<ExitCode, Stopped> {
    let catalogue = args.cases.catalogue()?;
    let chosen = args.cases.chosen(&catalogue)?;
    let report = match args.runner {
        RunnerName::Evaluator => all(
            &mut EvaluatorRunner::new(Sluice::default()),
            &chosen,
            args.profile,
        ),
        RunnerName::Lab => all(
            &mut LabRunner::new(lab_options(args)?),
            &chosen,
            args.profile,
        ),
    };
    if args.output == Output::Json {
        print(&report::json(&report).to_string());
    } else {
        for result in &report.results {
            if let Outcome::Failed(failure) = &result.outcome {
                print(&format!("{}\n{}", result.id, report::comparison(failure)));
            }
        }
        print(&report::summary(&report));
    }
    Ok(if report.failed() == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

fn lab_options(args: &RunArgs) -> Result<LabOptions, Stopped> {
    if !rustix::process::geteuid().is_root() {
        let message = "--runner lab makes network namespaces, which needs root";
        return Err(Stopped(3, message.to_owned()));
    }
    let beside = || std::env::current_exe().map(|it| it.with_file_name("sluice"));
    let agent = args.agent.clone().map_or_else(beside, Ok);
    let agent = agent.map_err(|error| Stopped(3, format!("find this program: {error}")))?;
    if !agent.is_file() {
        let agent = agent.display();
        let message = format!(
            "no agent at {agent}: build it (cargo build -p sluice), or say where it is (--agent)"
        );
        return Err(Stopped(2, message));
    }
    Ok(LabOptions {
        agent,
        mode: match args.mode {
            ModeName::Hybrid => Mode::Hybrid,
            ModeName::Nfqueue => Mode::Nfqueue,
        },
        families: match args.family {
            FamilyName::Four => vec![Family::Ipv4],
            FamilyName::Six => vec![Family::Ipv6],
            FamilyName::Dual => Family::ALL.to_vec(),
        },
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
