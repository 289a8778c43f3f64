//! `load`: an image for every node, as a cluster without a registry needs it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use super::{Usage, Which};

/// What `load` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The archive: an OCI layout or a docker archive, as `cargo xtask image` writes them
    image: PathBuf,
}

/// Gives every node the images of the archive.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let archive = args.image.display();
    if !args.image.is_file() {
        return Err(Usage(format!("{archive}: there is no such file")).into());
    }
    let cluster = super::open(&args.which)?;
    // Nodes have a working directory of their own.
    let path = args
        .image
        .canonicalize()
        .context(args.image.display().to_string())?;
    cluster.import_image(&path)?;
    eprintln!("{archive}: on {} nodes", cluster.nodes().len());
    Ok(ExitCode::SUCCESS)
}
