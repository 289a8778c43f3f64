//! The suite's command: parses, runs, exits.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::run()
}
