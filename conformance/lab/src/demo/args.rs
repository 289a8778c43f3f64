//! What `sluice-lab demo` takes.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::choice::{FamilyName, ModeName};
use crate::{Manifests, Options, run_dir};

const EXAMPLES: &str = "\
Examples:
  sluice-lab demo                               the x/y/z × a/b/c world under a stack of policies
  sluice-lab demo --manifests my-policies/      your own pods and policies
  sluice-lab demo --mode nfqueue --family dual  without eBPF, over both address families
  sluice-lab demo -o json | jq .second_round    one JSON document, nothing else on stdout
  sluice-lab demo --keep                        leave it up and say how to enter it
  sluice-lab demo --down                        end what --keep left up";

/// Probes a world of manifests with real packets, under the real agent
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    /// Kubernetes YAML or JSON: a file, a directory, or `-` for stdin (repeatable) [default: a world that is built in]
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) manifests: Vec<PathBuf>,
    /// With the eBPF fast path, or pure NFQUEUE
    #[arg(long, value_enum, default_value_t)]
    pub(crate) mode: ModeName,
    /// Address families of pods and probes [default: 4, or 6 where no pod has an IPv4 address]
    #[arg(long, value_enum)]
    pub(crate) family: Option<FamilyName>,
    /// Agents get the capabilities that they need and the chart's seccomp profile, and nothing else
    #[arg(long)]
    pub(crate) confined: bool,
    /// Leave namespaces, servers and agents up, and say how to enter them
    #[arg(long, conflicts_with = "down")]
    pub(crate) keep: bool,
    /// End all runs that were kept, and remove what dead ones left
    #[arg(long)]
    pub(crate) down: bool,
    /// How to print the outcome
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The agent's binary [default: `sluice` beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) agent: Option<PathBuf>,
    /// Where the directories of runs are
    #[arg(long, value_name = "PATH", default_value = run_dir::ROOT, hide = true)]
    pub(crate) runs: PathBuf,
    /// Take over from a process that a signal has ended: remove what it left
    #[arg(long, hide = true)]
    pub(crate) sweep: bool,
    /// The descriptor on which a kept run tells its starter that it is up
    #[arg(long, hide = true)]
    pub(crate) holder: Option<i32>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Output {
    #[default]
    Table,
    Json,
}

impl Args {
    /// The manifests given, if any.
    pub(crate) fn manifests(&self) -> Option<Manifests> {
        (!self.manifests.is_empty()).then(|| Manifests::Paths(self.manifests.clone()))
    }

    /// What is built.
    pub(crate) fn options(&self) -> Options {
        Options {
            families: self.family.map_or_else(Vec::new, FamilyName::families),
            ports: Vec::new(),
            unserved: Vec::new(),
            runs: Some(self.runs.clone()),
            confined: self.confined,
            deliveries: false,
        }
    }
}
