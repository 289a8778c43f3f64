//! Log lines: to stderr, as text or JSON, one per event that changes something.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::{EnvFilter, fmt};

use crate::cli::Output;

/// What libraries may say: the agent says itself what becomes of its connections.
const LIBRARIES: &str = "kube_client=error,hyper=warn,hyper_util=warn,rustls=warn,tower=warn";

/// Starts logging; the first call counts.
pub(crate) fn init(level: Level, format: Output) {
    let filter = format!("{level},{LIBRARIES}");
    let builder = fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_target(false)
        .with_writer(std::io::stderr);
    let started = match format {
        Output::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        Output::Json => builder.json().flatten_event(true).try_init(),
    };
    if let Err(error) = started {
        crate::complain(format_args!("sluice: logging: {error}"));
    }
}
