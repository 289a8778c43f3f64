//! `sluice-cluster`: the command line of `cargo xtask cluster`, which builds what this needs and passes on what it is
//! asked for.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
