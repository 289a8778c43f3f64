//! What `sluice-lab demo` takes.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::{Family, Manifests, Mode, Options, run_dir};

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

/// Names of [`Mode`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum ModeName {
    #[default]
    Hybrid,
    Nfqueue,
}

/// Names of sets of families.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FamilyName {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
    Dual,
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
        let families = match self.family {
            None => Vec::new(),
            Some(FamilyName::V4) => vec![Family::Ipv4],
            Some(FamilyName::V6) => vec![Family::Ipv6],
            Some(FamilyName::Dual) => vec![Family::Ipv4, Family::Ipv6],
        };
        Options {
            families,
            ports: Vec::new(),
            runs: Some(self.runs.clone()),
            confined: self.confined,
        }
    }
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Hybrid => Self::Hybrid,
            ModeName::Nfqueue => Self::Nfqueue,
        }
    }
}
