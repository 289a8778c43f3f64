//! The log: lines on standard error, as klog writes them.

use std::fmt::Display;
use std::panic::Location;

use jiff::Timestamp;

use super::go::{self, Origin, Severity};

/// Says that something is as it should be.
#[track_caller]
pub(super) fn info(text: impl Display) {
    write(Severity::Info, Location::caller(), &text);
}

/// Says that something is left out.
#[track_caller]
pub(super) fn warning(text: impl Display) {
    write(Severity::Warning, Location::caller(), &text);
}

/// Says that something went wrong.
#[track_caller]
pub(super) fn error(text: impl Display) {
    write(Severity::Error, Location::caller(), &text);
}

/// Says why the program ends; its caller ends it.
#[track_caller]
pub fn fatal(text: impl Display) {
    write(Severity::Fatal, Location::caller(), &text);
}

fn write(severity: Severity, caller: &Location<'_>, text: &dyn Display) {
    let file = caller.file();
    let origin = Origin {
        pid: std::process::id(),
        file: file.rsplit('/').next().unwrap_or(file),
        line: caller.line(),
    };
    let line = go::log_line(severity, Timestamp::now(), origin, &text.to_string());
    eprintln!("{line}");
}
