//! The binary: parses, runs, exits.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    sluice::run(sluice::cli::Cli::parse())
}
