//! `pack`: the image of the agent, of a prober or of what measures, of a binary that needs nothing else, and of tools.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use sluice_cluster::image::{Entry, Image, is_static, with_libraries};

/// Whose image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Program {
    Sluice,
    SluiceProber,
    SluiceBench,
    SluiceNetwork,
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
    /// Another program, put into `/usr/bin` with the libraries that it needs (repeatable)
    #[arg(long, value_name = "PROGRAM")]
    tool: Vec<PathBuf>,
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
        entrypoint: vec![args.program.entrypoint().to_owned()],
        arguments: vec![args.program.argument().to_owned()],
        labels: [
            ("title", name),
            ("description", args.program.description()),
            ("version", &args.version),
            ("licenses", "Apache-2.0 OR MIT"),
        ]
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
        .to_vec(),
        entries: [args.program.entries(&args.binary), tools(&args.tool)?].concat(),
    };
    let id = image.write(&args.to)?;
    let size = std::fs::metadata(&args.to)
        .with_context(|| args.to.display().to_string())?
        .len();
    let most = args.program.most();
    ensure!(
        size <= most,
        "{}: {size} bytes, more than {most}",
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

/// The entries of programs of this machine.
fn tools(programs: &[PathBuf]) -> Result<Vec<Entry>> {
    let placed = programs.iter().map(|program| {
        let name = program.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| program.display().to_string())?;
        Ok((format!("usr/bin/{name}"), program.clone()))
    });
    with_libraries(&placed.collect::<Result<Vec<_>>>()?)
}

impl Program {
    /// As images and files are called.
    fn name(self) -> &'static str {
        match self {
            Self::Sluice => "sluice",
            Self::SluiceProber => "sluice-prober",
            Self::SluiceBench => "sluice-bench",
            Self::SluiceNetwork => "sluice-network",
        }
    }

    /// What runs.
    fn entrypoint(self) -> &'static str {
        match self {
            Self::Sluice => "/sluice",
            Self::SluiceProber => "/sluice-prober",
            Self::SluiceBench => "/sluice-bench",
            Self::SluiceNetwork => "/launcher",
        }
    }

    /// An archive of more bytes is not small any more.
    fn most(self) -> u64 {
        match self {
            Self::Sluice | Self::SluiceProber | Self::SluiceBench => 25 << 20,
            Self::SluiceNetwork => 100 << 20,
        }
    }

    /// What it does where nobody says.
    fn argument(self) -> &'static str {
        match self {
            Self::Sluice => "agent",
            Self::SluiceProber => "serve",
            Self::SluiceBench | Self::SluiceNetwork => "--help",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Sluice => "Kubernetes NetworkPolicy on the node",
            Self::SluiceProber => "Pods that serve and ask, for tests of network policies",
            Self::SluiceBench => "What network policies cost, measured in a cluster",
            Self::SluiceNetwork => {
                "What the network between nodes gives, by iperf3, netperf, qperf and fortio"
            }
        }
    }

    fn entries(self, binary: &Path) -> Vec<Entry> {
        let name = match self {
            Self::SluiceNetwork => "sluice-bench",
            _ => self.name(),
        };
        let program = Entry::Program(name.to_owned(), binary.to_owned());
        let link = |link: &str| Entry::Link(link.to_owned(), format!("/{name}"));
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
            // By these names it is the parts of a measurement; tools write into /tmp.
            Self::SluiceNetwork => vec![
                program,
                link("launcher"),
                link("orchestrator"),
                link("worker"),
                Entry::Directory("tmp".to_owned()),
            ],
        }
    }
}
