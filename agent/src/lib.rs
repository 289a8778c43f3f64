//! Sluice: a Kubernetes NetworkPolicy enforcer. See ARCHITECTURE.md for how the rooms fit together.

pub mod agent;
mod atomic;
mod cleanup;
pub mod cli;
pub mod config;
pub mod confine;
pub mod drop_in;
pub mod exit;
mod limits;
mod log;
mod metrics;
pub mod offline;
mod privilege;
mod queue;
mod rollout;
mod socket;
pub mod status;

use std::fmt::Arguments;
use std::io::Write as _;
use std::process::ExitCode;

use cli::{Cli, Command};
use config::Config;
use exit::Failure;

/// Runs a command and says on stderr why it could not answer.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Agent(args) => run_agent(*args),
        Command::Status(args) => status::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Cleanup(args) => cleanup::run(&args),
        Command::Rollout(args) => rollout::run(&args),
        Command::Matrix(args) => offline::matrix(&args),
        Command::Explain(args) => offline::explain(&args),
    };
    outcome.unwrap_or_else(|failure| {
        complain(format_args!("sluice: {failure}"));
        failure.code()
    })
}

fn run_agent(args: cli::AgentArgs) -> Result<ExitCode, Failure> {
    let given = args.compatible.given();
    let config = Config::resolve(args)?;
    log::init(config.log_level, config.log_format);
    for flag in given {
        tracing::warn!(flag, "accepted for compatibility, and without effect");
    }
    if let Err(error) = limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    agent::run(config).map(agent::Stopped::code)
}

/// A line for whoever asked. A reader that has gone away is no error.
pub(crate) fn print(line: Arguments<'_>) {
    let _closed = writeln!(std::io::stdout().lock(), "{line}");
}

/// One JSON document for whoever asked.
pub(crate) fn print_json(document: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    print(format_args!("{text}"));
}

/// A line for the person at the terminal.
pub(crate) fn complain(line: Arguments<'_>) {
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}
