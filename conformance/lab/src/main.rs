//! The command line of the lab.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_lab::demo;

/// Real packets between network namespaces that are made from Kubernetes manifests
#[derive(Debug, Parser)]
#[command(name = "sluice-lab", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all right, 1 judged and not right, 2 bad usage or bad input, \
                        3 the machine cannot do this, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(Box<demo::Args>),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(args) => demo::run(&args).into(),
    }
}
