//! The commands `network launcher`, `network orchestrator` and `network worker`: flags, documents, exit codes.

mod launcher;
mod orchestrator;
mod worker;

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::runtime::Builder;
use tokio::signal::{self, unix::SignalKind};

const EXIT_CODES: &str = "\
Exit codes: 0 every pair was measured, 1 some were not, 2 bad usage, 3 a tool, a worker or the orchestrator is missing, \
130 it was told to end.";

/// The parts of a measurement of the network.
#[derive(Debug, Subcommand)]
pub enum Network {
    /// Make a place with an orchestrator and a worker per node, collect the results, take everything away
    Launcher(launcher::Args),
    /// Hand out tasks to workers, one pair at a time, and keep the results
    Orchestrator(orchestrator::Args),
    /// Run what an orchestrator hands out
    Worker(worker::Args),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// What was asked for makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

impl Network {
    /// Does it.
    ///
    /// # Errors
    /// What the machine cannot do; everything else is said here.
    pub fn run(self) -> Result<ExitCode> {
        let done = match self {
            Self::Launcher(args) => args.run(),
            Self::Orchestrator(args) => args.run(),
            Self::Worker(args) => args.run(),
        };
        match done {
            Err(error) if error.is::<Usage>() => {
                eprintln!("error: {error:#}");
                Ok(ExitCode::from(2))
            }
            other => other,
        }
    }
}

fn print(document: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(document)?);
    Ok(())
}

/// Set once somebody wants this process to end.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("hearing signals")?;
    }
    Ok(stop)
}

/// The same for what awaits: resolves once somebody wants this process to end.
async fn told() {
    let hear = |kind| signal::unix::signal(kind);
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
        hear(SignalKind::interrupt()),
        hear(SignalKind::terminate()),
        hear(SignalKind::hangup()),
    ) else {
        // Then a signal ends this process at once.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// On one thread: programs that it starts are killed when the thread that started them ends.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("a runtime")?.block_on(work))
}
