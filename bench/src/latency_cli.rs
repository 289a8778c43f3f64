//! The command line of `latency`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use sluice_bench::latency::client::{self, Report};
use sluice_bench::latency::config::{ConfigError, Flags, PolicyFlags};
use sluice_bench::latency::fatal;
use sluice_bench::latency::lab::{self, Enforcer, Verdict, What};

use crate::{EXIT_CODES, Output, beside, measured, show, too_noisy};

const EXAMPLES: &str = "\
Examples:
  sluice-bench latency policy --quick
  sluice-bench latency pod --quick -o json
  sluice-bench latency policy --modes hybrid,nfqueue --policies 1000
  sluice-bench latency policy --burst 10000 --churn 500
  sluice-bench latency policy -HostNamespace=default -TargetLabelSelector=app=web -TargetNamespace=shop \\
    -TargetPort=80 -AllowPolicyName=allow-egress-to-target

Without flags of a cluster this makes pods on this machine (root), starts the agent, and changes policies, labels or pods
again and again, while connections are tried all the time. With any of them it is the client in a cluster that perf-tests'
program is: it measures once, serves /metrics and /healthz, and idles.

";

/// What `latency` takes.
#[derive(Debug, Args)]
pub(crate) struct LatencyArgs {
    #[command(subcommand)]
    verb: LatencyVerb,
}

#[derive(Debug, Subcommand)]
enum LatencyVerb {
    /// Measure how long it takes until new pods are reached, and protected
    #[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
    Pod(PodArgs),
    /// Measure how long it takes until a change of policy is enforced
    #[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
    Policy(PolicyArgs),
}

#[derive(Debug, Args)]
struct PodArgs {
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    client: Flags,
    /// A table, or one JSON document; of a client, when it ends
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Args)]
struct PolicyArgs {
    #[command(flatten)]
    lab: LabArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    client: Flags,
    #[command(flatten)]
    policy: PolicyFlags,
    /// A table, or one JSON document; of a client, when it ends
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What the laboratory takes.
#[derive(Debug, Args)]
#[group(id = "lab", multiple = true, conflicts_with = "cluster")]
struct LabArgs {
    /// Fewer changes: under a minute, and no target is judged
    #[arg(long)]
    quick: bool,
    /// How often each change is made [default: 250; quick: 10]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    repetitions: Option<u16>,
    /// Modes of the agent [default: both; quick: hybrid]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MODE")]
    modes: Vec<Enforcer>,
    /// Policies of the client that are there besides [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    policies: Option<u16>,
    /// From one connection that is tried to the next, in microseconds [default: 500]
    #[arg(long, value_name = "US", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(100..=100_000))]
    interval: Option<u64>,
    /// The agent [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Judge no target, for a machine that is not quiet
    #[arg(long)]
    noisy: bool,
}

/// What else changes, of policies alone.
#[derive(Debug, Default, Args)]
struct LoadArgs {
    /// Policies that are made at once, and deleted at once; 0: none [default: 1000; quick: 100]
    #[arg(long, value_name = "N", group = "lab", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    burst: Option<u16>,
    /// Pods that come in a second, and as many that go, while a policy changes; 0: none [default: 100]
    #[arg(long, value_name = "N", group = "lab", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    churn: Option<u16>,
}

impl LatencyArgs {
    /// Measures, in the laboratory or in a cluster.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match &self.verb {
            LatencyVerb::Pod(args) if args.client.any() => {
                be_client(&args.client, None, args.output)
            }
            LatencyVerb::Pod(args) => args.lab.run(What::Pod, &LoadArgs::default(), args.output),
            LatencyVerb::Policy(args) if args.is_client() => {
                be_client(&args.client, Some(&args.policy), args.output)
            }
            LatencyVerb::Policy(args) => args.lab.run(What::Policy, &args.load, args.output),
        }
    }
}

impl PolicyArgs {
    fn is_client(&self) -> bool {
        let policy = &self.policy;
        self.client.any() || policy.allow_policy_name.is_some() || policy.transitions.is_some()
    }
}

fn be_client(flags: &Flags, policy: Option<&PolicyFlags>, output: Output) -> Result<ExitCode> {
    match client::run(flags, policy) {
        Ok(report) => {
            show(output, &report, || summary(&report))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.is::<ConfigError>() => {
            fatal(format_args!(
                "Failed to created the test client, error: {error}"
            ));
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error),
    }
}

fn summary(report: &Report) -> String {
    let (reached, unreached) = (report.reached.len(), report.unreached);
    format!(
        "{}: {reached} targets reached, {unreached} not\n",
        report.test
    )
}

impl LabArgs {
    fn run(&self, what: What, load: &LoadArgs, output: Output) -> Result<ExitCode> {
        let plan = self.plan(what, load)?;
        let modes: Vec<_> = plan.enforcers.iter().map(|it| it.name()).collect();
        let (modes, repetitions) = (modes.join(", "), plan.repetitions);
        eprintln!("{repetitions} rounds of changes in mode {modes}");
        let report = measured(&plan.agent, |progress| lab::run(&plan, progress))?;
        show(output, &report, || report.table())?;
        Ok(match report.verdict() {
            Verdict::Holds => ExitCode::SUCCESS,
            Verdict::Wrong(what) => {
                eprintln!("{}", what.join("\n"));
                ExitCode::from(1)
            }
            Verdict::Untold(why) => too_noisy(&why),
        })
    }

    fn plan(&self, what: What, load: &LoadArgs) -> Result<lab::Plan> {
        let quick = self.quick;
        let enforcers = match (&self.modes[..], quick) {
            ([], true) => vec![Enforcer::Hybrid],
            ([], false) => vec![Enforcer::Hybrid, Enforcer::Nfqueue],
            (modes, _) => crate::once(modes),
        };
        let repetitions = self.repetitions.unwrap_or(if quick { 10 } else { 250 });
        let burst = load.burst.unwrap_or(if quick { 100 } else { 1_000 });
        Ok(lab::Plan {
            what,
            enforcers,
            repetitions: repetitions.into(),
            policies: self.policies.unwrap_or_default().into(),
            burst: burst.into(),
            churn: load.churn.unwrap_or(100).into(),
            interval: Duration::from_micros(self.interval.unwrap_or(500)),
            agent: beside(self.agent.as_ref())?,
            noisy: self.noisy,
            quick,
        })
    }
}
