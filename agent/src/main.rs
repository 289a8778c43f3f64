//! The binary: parses, runs, exits.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let arguments = sluice::drop_in::arguments(std::env::args_os());
    sluice::run(sluice::cli::Cli::parse_from(arguments))
}
