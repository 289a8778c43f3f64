//! Log lines: to stderr, as text or JSON, one per event that changes something.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::fmt;

use crate::cli::Output;

/// Starts logging; the first call counts.
pub(crate) fn init(level: Level, format: Output) {
    let builder = fmt()
        .with_max_level(level)
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
