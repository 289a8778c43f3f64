//! `run --runner cluster`.
#![expect(clippy::print_stderr, reason = "a command says how far it is")]

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sluice_conformance::case::Case;
use sluice_conformance::profile::Profile;
use sluice_conformance::report::Report;
use sluice_conformance::runner::{ClusterError, ClusterOptions, ClusterRunner};

use super::progress::Progress;
use super::{INTERRUPTED, Output, Stopped};

/// What only clusters have.
#[derive(Debug, Args)]
#[command(next_help_heading = "Of the runner `cluster`")]
pub(super) struct ClusterArgs {
    /// The kubeconfig that leads to it [default: `KUBECONFIG`, or ~/.kube/config]
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// The context in it [default: its current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The image of pods, made by `cargo xtask image --prober`
    #[arg(long, value_name = "REF", default_value_t = ClusterOptions::default().image)]
    image: String,
    /// What the names of all namespaces begin with
    #[arg(long, value_name = "NAME", default_value = "conformance", value_parser = prefix)]
    namespace_prefix: String,
    /// How many seconds a change may take to come into force
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    convergence: u64,
    /// Leave all namespaces, and what is in them
    #[arg(long)]
    keep: bool,
}

/// It becomes part of names that may have 63 characters.
fn prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = (1..=20).contains(&text.len())
        && text.chars().all(plain)
        && text.starts_with(|c: char| c.is_ascii_lowercase());
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("up to 20 of a-z, 0-9 and -, a letter first".to_owned())
    }
}

/// Judges cases, says how far it is, and takes away what was made: what came of it, and what went wrong besides, as what
/// could not be taken away.
pub(super) fn judge(
    args: &ClusterArgs,
    cases: &[&Case],
    profile: Profile,
    output: Output,
) -> Result<(Report, Option<Stopped>), Stopped> {
    let is_quiet = output == Output::Json;
    let options = ClusterOptions {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        image: args.image.clone(),
        prefix: args.namespace_prefix.clone(),
        convergence: Duration::from_secs(args.convergence),
        keep: args.keep,
        interruptible: true,
        progress: if is_quiet || std::io::stderr().is_terminal() {
            |_| {}
        } else {
            |text| eprintln!("{text}")
        },
        warn: |text| eprintln!("{text}"),
    };
    let mut runner = ClusterRunner::connect(options).map_err(|error| stopped(&error))?;
    let mut progress = Progress::until(cases.len(), is_quiet, runner.interruption());
    let runners = std::slice::from_mut(&mut runner);
    let report = Report::observed(runners, cases, profile, &mut progress);
    progress.end();
    let fatal = runner.fatal().map(|why| Stopped(2, why.to_owned()));
    if args.keep {
        let label = runner.label();
        eprintln!("left: kubectl get namespaces --selector {label}");
    } else if !is_quiet {
        eprintln!("taking away what was made");
    }
    let left = runner.close().err().map(|error| stopped(&error));
    Ok((report, fatal.or(left)))
}

fn stopped(error: &ClusterError) -> Stopped {
    let code = match error {
        ClusterError::Access(_) => 2,
        ClusterError::Lacks(_) => 3,
        ClusterError::Interrupted => INTERRUPTED,
    };
    Stopped(code, error.to_string())
}

/// What failures have in common, where it is that nothing is denied: among the report's remarks, which tables show at
/// their end, and on stderr where what is printed is for a program.
pub(super) fn remark(report: &mut Report, output: Output) {
    let remark = report.want_of_denial();
    if let (Some(remark), Output::Json) = (&remark, output) {
        eprintln!("{remark}");
    }
    report.remarks.extend(remark);
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn a_prefix_is_the_beginning_of_a_name() {
        assert!(prefix("cni-tests").is_ok());
        for wrong in ["", "1x", "-x", "X", "a_b", &"x".repeat(21)] {
            assert!(prefix(wrong).is_err(), "{wrong}");
        }
    }
}
