//! `kubectl`, `helm` and `enter`: this process becomes the program, its terminal and its exit code.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use sluice_cluster::Cluster;

use super::{Usage, Which};

/// What a tool of the administrator's takes.
#[derive(Debug, clap::Args)]
pub(super) struct ToolArgs {
    #[command(flatten)]
    which: Which,
    /// What the tool takes
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    line: Vec<OsString>,
}

/// What `enter` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// `node-1`, `node-2`, …, or `control`
    machine: String,
    /// The program and its arguments [default: bash]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM"
    )]
    line: Vec<OsString>,
}

/// Becomes kubectl.
pub(super) fn kubectl(args: &ToolArgs) -> Result<ExitCode> {
    let cluster = super::open(&args.which)?;
    become_program(cluster.control().kubectl_command()?.args(&args.line))
}

/// Becomes helm.
pub(super) fn helm(args: &ToolArgs) -> Result<ExitCode> {
    let cluster = super::open(&args.which)?;
    become_program(cluster.control().helm_command()?.args(&args.line))
}

/// Becomes a program on a node.
pub(super) fn enter(args: &Args) -> Result<ExitCode> {
    let cluster = super::open(&args.which)?;
    let shell = [OsString::from("bash")];
    let line = if args.line.is_empty() {
        &shell[..]
    } else {
        &args.line
    };
    let (program, more) = line.split_first().context("no program")?;
    let node = cluster.nodes().iter().find(|it| it.name() == args.machine);
    let mut command = match node {
        Some(node) => node.enter(program),
        None if args.machine == "control" => cluster.control().enter(program),
        None => return Err(nowhere(&cluster, &args.machine).into()),
    };
    become_program(command.args(more))
}

/// Says which machines there are.
fn nowhere(cluster: &Cluster, asked: &str) -> Usage {
    let nodes = cluster.nodes().iter().map(|node| node.name().to_owned());
    let machines: Vec<_> = nodes.chain(["control".to_owned()]).collect();
    Usage(format!(
        "there is no node `{asked}`: give one of {}",
        machines.join(", ")
    ))
}

fn become_program(command: &mut Command) -> Result<ExitCode> {
    Err(command.exec()).context("nsenter")
}
