//! How a test that cannot run here says so.

use std::io::{self, Write as _};
use std::thread;

/// Whether a test is left out, for a reason, which is said twice: as `cargo xtask test` counts it, in what the test
/// prints, and on standard error itself, since of a test that passes `cargo test` shows nothing.
#[must_use]
pub fn skipped(reason: Option<String>) -> bool {
    let Some(reason) = reason else {
        return false;
    };
    println!("skipped: {reason}");
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // In one piece, as others write there too.
    let line = format!("not run: {test}: {reason}\n");
    // Whoever does not listen need not be told.
    drop(io::stderr().write_all(line.as_bytes()));
    true
}
