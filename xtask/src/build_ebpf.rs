//! `cargo xtask build-ebpf`: the eBPF object as a file, to look at, to test or to ship.
//!
//! How it is built is [`sluice_ebpf_build`]'s; the agent's own build embeds the same object without this verb.

use std::process::ExitCode;

use anyhow::Context as _;
use sluice_ebpf_build::{BuildError, Built, Options, build};

use crate::exit::{self, Stop};
use crate::setup::Need;
use crate::{cargo, repo, setup};

const EXAMPLES: &str = "\
Examples:
  cargo xtask build-ebpf --release      the object that the agent carries
  cargo xtask build-ebpf                the same with debug lines from the kernel";

/// What `build-ebpf` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Without debug lines; optimised it is either way, as the verifier takes nothing else
    #[arg(long)]
    release: bool,
}

/// Builds the object and says where it is, how large, and by what.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    setup::ensure(&[Need::Ebpf])?;
    let built = object(args.release)?;
    let size = std::fs::metadata(&built.object)
        .with_context(|| built.object.display().to_string())?
        .len();
    println!(
        "{} ({size} bytes, by {})",
        built.object.display(),
        built.toolchain
    );
    Ok(exit::holds(true))
}

/// Builds the object into the target directory. What is made on the way is shared with the agent's own build.
pub(crate) fn object(release: bool) -> anyhow::Result<Built> {
    let target = cargo::target_directory(&repo::root())?;
    let directory = target.join(if release { "release" } else { "debug" });
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let options = Options {
        log: !release,
        target_directory: Some(target.join("ebpf")),
    };
    build(&directory.join("sluice-ebpf.o"), &options).map_err(|error| match error {
        BuildError::Missing { .. } => Stop::Machine(error.to_string()).into(),
        error => error.into(),
    })
}
