//! `pack`: the agent's image, of a binary that needs nothing else.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use sluice_cluster::image::{Entry, Image, is_static};

/// More than this is not small any more.
const MOST: u64 = 25 << 20;

/// What `pack` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent
    #[arg(long)]
    binary: PathBuf,
    /// `amd64` or `arm64`
    #[arg(long)]
    arch: String,
    /// The tag of the image `sluice`
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
    let image = Image {
        tags: vec![format!("sluice:{}", args.version)],
        architecture: args.arch.clone(),
        entrypoint: vec!["/sluice".to_owned()],
        arguments: vec!["agent".to_owned()],
        labels: [
            ("title", "sluice"),
            ("description", "Kubernetes NetworkPolicy on the node"),
            ("version", &args.version),
            ("licenses", "Apache-2.0 OR MIT"),
        ]
        .map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned()))
        .to_vec(),
        entries: vec![
            Entry::Program("sluice".to_owned(), args.binary.clone()),
            // What kube-network-policies' DaemonSets run.
            Entry::Directory("bin".to_owned()),
            Entry::Link("bin/netpol".to_owned(), "/sluice".to_owned()),
        ],
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
        "{} ({:.1} MB, sluice:{}, {id})",
        args.to.display(),
        f64::from(u32::try_from(size)?) / 1e6,
        args.version
    );
    Ok(ExitCode::SUCCESS)
}
