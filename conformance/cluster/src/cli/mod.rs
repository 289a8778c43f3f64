//! What the tool is asked for. What a cluster is, is the library's.

mod enter;
mod install;
mod kind;
mod load;
mod pack;
mod report;
mod up;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use sluice_cluster::Cluster;

/// The name of the cluster that is meant where none is named.
const NAME: &str = "default";

const EXAMPLES: &str = "\
Examples:
  cargo xtask cluster up                       two nodes, in 10 s once its parts are built
  cargo xtask cluster up --nodes 3 --family dual --name other
  cargo xtask cluster install                  build the image, give it to the nodes, install the chart
  cargo xtask cluster kubectl get pods -A
  cargo xtask cluster enter node-1 nft list ruleset
  cargo xtask cluster status -o json | jq .nodes
  cargo xtask cluster down

Exit codes: 0 it holds, 1 it does not, 2 bad usage, 3 this machine
cannot do it, 130 interrupted.";

/// A real Kubernetes in network namespaces of this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask cluster", bin_name = "cargo xtask cluster", after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a cluster, and leave it up
    Up(up::Args),
    /// Take a cluster away, so that nothing is left of it
    Down(up::DownArgs),
    /// Say what there is, whether it runs, and how to reach it
    Status(report::Args),
    /// Install the chart with an image that every node is given
    Install(install::Args),
    /// Give every node the images of an archive
    Load(load::Args),
    /// Run kubectl as the administrator
    Kubectl(enter::ToolArgs),
    /// Run helm as the administrator
    Helm(enter::ToolArgs),
    /// Run a program on a node, or in `control`; by default a shell
    Enter(enter::Args),
    /// Write the image of an agent
    #[command(hide = true)]
    Pack(pack::Args),
    /// Take away what killed tests left
    #[command(hide = true)]
    Sweep,
}

/// Which cluster.
#[derive(Debug, clap::Args)]
struct Which {
    /// Which cluster
    #[arg(long, default_value = NAME, value_parser = name)]
    name: String,
}

fn name(text: &str) -> Result<String> {
    sluice_cluster::check_name(text)?;
    Ok(text.to_owned())
}

/// How to print what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// The machine cannot do it; exit code 3.
#[derive(Debug)]
struct Cannot(String);

impl std::fmt::Display for Cannot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cannot {}

/// What was asked for makes no sense; exit code 2.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let verb = Cli::parse().verb;
    let interrupted = sluice_cluster::interrupted();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let flag = std::sync::Arc::clone(&interrupted);
        if let Err(error) = signal_hook::flag::register(signal, flag) {
            eprintln!("warning: signal {signal} is not caught: {error}");
        }
    }
    let done = match verb {
        Verb::Up(args) => up::up(&args),
        Verb::Down(args) => up::down(&args),
        Verb::Status(args) => report::run(&args),
        Verb::Install(args) => install::run(&args),
        Verb::Load(args) => load::run(&args),
        Verb::Kubectl(args) => enter::kubectl(&args),
        Verb::Helm(args) => enter::helm(&args),
        Verb::Enter(args) => enter::enter(&args),
        Verb::Pack(args) => pack::run(&args),
        Verb::Sweep => sluice_cluster::sweep().map(|_| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        let was_interrupted = interrupted.load(std::sync::atomic::Ordering::Relaxed);
        ExitCode::from(match error.downcast_ref::<Cannot>() {
            _ if was_interrupted => 130,
            Some(_) => 3,
            None if error.downcast_ref::<Usage>().is_some() => 2,
            None => 1,
        })
    })
}

/// The cluster that is meant.
fn open(which: &Which) -> Result<Cluster> {
    Cluster::open(&which.name)?.with_context(|| {
        format!(
            "there is no cluster `{}`; run cargo xtask cluster up",
            which.name
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "up --nodes 0",
            "up --nodes 100",
            "up --family 5",
            "status -o xml",
            "up extra",
            "up --name ../x",
            "down --name X",
            "status --name=",
        ] {
            let words = std::iter::once("sluice-cluster").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn arguments_of_others_are_passed_on_as_they_are() {
        for line in [
            "kubectl get pods -A -o json",
            "helm list --all",
            "enter node-1 ip -6 route",
        ] {
            let words = std::iter::once("sluice-cluster").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
