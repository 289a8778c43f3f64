//! `pack`: the image of the agent, of a prober or of the benchmarks, of a binary that needs nothing else.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use sluice_cluster::image::{Entry, Image, is_static};

/// More than this is not small any more.
const MOST: u64 = 25 << 20;

/// Whose image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Program {
    Sluice,
    SluiceProber,
    SluiceBench,
}

/// What `pack` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose image
    #[arg(long, value_enum, default_value = "sluice")]
    program: Program,
    /// The program
    #[arg(long)]
    binary: PathBuf,
    /// `amd64` or `arm64`
    #[arg(long)]
    arch: String,
    /// The tag of the image
    #[arg(long)]
    version: String,
    /// The archive to write
    #[arg(long)]
    to: PathBuf,
}

/// Writes the archive, and says where it is, how large, and the image's id.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let binary = args.binary.display();
    ensure!(is_static(&args.binary)?, "{binary}: not static");
    let name = args.program.name();
    let image = Image {
        tags: vec![format!("{name}:{}", args.version)],
        architecture: args.arch.clone(),
        entrypoint: vec![format!("/{name}")],
        arguments: vec![args.program.argument().to_owned()],
        labels: [
            ("title", name),
            ("description", args.program.description()),
            ("version", &args.version),
            ("licenses", "Apache-2.0 OR MIT"),
        ]
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
        .to_vec(),
        entries: args.program.entries(&args.binary),
    };
    let id = image.write(&args.to)?;
    let size = std::fs::metadata(&args.to)
        .with_context(|| args.to.display().to_string())?
        .len();
    ensure!(
        size <= MOST,
        "{}: {size} bytes, more than {MOST}",
        args.to.display()
    );
    println!(
        "{} ({:.1} MB, {name}:{}, {id})",
        args.to.display(),
        f64::from(u32::try_from(size)?) / 1e6,
        args.version
    );
    Ok(ExitCode::SUCCESS)
}

impl Program {
    /// As images and files are called.
    fn name(self) -> &'static str {
        match self {
            Self::Sluice => "sluice",
            Self::SluiceProber => "sluice-prober",
            Self::SluiceBench => "sluice-bench",
        }
    }

    /// What it does where nobody says.
    fn argument(self) -> &'static str {
        match self {
            Self::Sluice => "agent",
            Self::SluiceProber => "serve",
            Self::SluiceBench => "--help",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Sluice => "Kubernetes NetworkPolicy on the node",
            Self::SluiceProber => "Pods that serve and ask, for tests of network policies",
            Self::SluiceBench => "What network policies cost, measured in a cluster",
        }
    }

    fn entries(self, binary: &Path) -> Vec<Entry> {
        let program = Entry::Program(self.name().to_owned(), binary.to_owned());
        let link = |name: &str| Entry::Link(name.to_owned(), format!("/{}", self.name()));
        match self {
            // What kube-network-policies' DaemonSets run.
            Self::Sluice => {
                vec![
                    program,
                    Entry::Directory("bin".to_owned()),
                    link("bin/netpol"),
                ]
            }
            Self::SluiceProber => vec![program],
            // perf-tests' clients of enforcement latency.
            Self::SluiceBench => vec![
                program,
                link("pod-creation-reachability-latency"),
                link("policy-creation-enforcement-latency"),
            ],
        }
    }
}
