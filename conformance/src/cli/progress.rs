//! How far a run is, on stderr: a bar on a terminal, and a line now and then elsewhere. A signal ends the run after the
//! case that is under way, and a second one at once.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::flag;
use sluice_conformance::case::Case;
use sluice_conformance::ending_signals;
use sluice_conformance::report::Observer;
use sluice_conformance::runner::{CaseResult, Outcome};

use super::Stopped;

/// Without a terminal there is a line after so long, or after so many cases.
const QUIET: (Duration, usize) = (Duration::from_secs(10), 100);
const TEMPLATE: &str = "{bar:30} {pos}/{len}, {msg}, {eta} left";

/// Shows how far a run is.
pub(super) struct Progress {
    bar: ProgressBar,
    /// None where nothing but a bar is wanted.
    lines: Option<Lines>,
    done: usize,
    total: usize,
    failed: usize,
    is_stopped: Box<dyn Fn() -> bool + Send>,
}

/// When the last line was written.
struct Lines {
    at: Instant,
    done: usize,
}

impl Progress {
    /// Of so many cases, until a signal. `is_quiet` where what is printed is for a program: then there is a bar at most.
    pub(super) fn new(total: usize, is_quiet: bool) -> Result<Self, Stopped> {
        let stop = interrupted()?;
        let is_stopped = move || stop.load(Ordering::Relaxed);
        Ok(Self::until(total, is_quiet, is_stopped))
    }

    /// The same, until somebody says that the run ends.
    pub(super) fn until(
        total: usize,
        is_quiet: bool,
        is_stopped: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let length = u64::try_from(total).unwrap_or(u64::MAX);
        let bar = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        let lines = (!is_terminal && !is_quiet).then(|| Lines {
            at: Instant::now(),
            done: 0,
        });
        Self {
            bar,
            lines,
            done: 0,
            total,
            failed: 0,
            is_stopped: Box::new(is_stopped),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Becomes true with the first signal that ends a run. The second one ends the program as it would any other.
pub(super) fn interrupted() -> Result<Arc<AtomicBool>, Stopped> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in ending_signals() {
        flag::register_conditional_default(signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| Stopped(3, format!("cannot listen for signals: {error}")))?;
    }
    Ok(stop)
}

impl Observer for Progress {
    fn begins(&mut self, case: &Case) {
        let message = format!("{} failed, {}", self.failed, case.id);
        self.bar.set_message(message);
    }

    fn ended(&mut self, result: &CaseResult) {
        self.done += 1;
        if matches!(result.outcome, Outcome::Failed(_) | Outcome::Error(_)) {
            self.failed += 1;
        }
        self.bar.inc(1);
        let Some(lines) = &mut self.lines else { return };
        if is_due(lines.at.elapsed(), self.done - lines.done) && self.done < self.total {
            *lines = Lines {
                at: Instant::now(),
                done: self.done,
            };
            eprintln!(
                "{}/{} cases, {} failed, the last {}",
                self.done, self.total, self.failed, result.id
            );
        }
    }

    fn is_stopped(&self) -> bool {
        (self.is_stopped)()
    }
}

fn is_due(since: Duration, cases: usize) -> bool {
    since >= QUIET.0 || cases >= QUIET.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_after_a_while_or_after_many_cases() {
        assert!(!is_due(Duration::from_millis(9_999), 99));
        assert!(is_due(Duration::from_secs(10), 1));
        assert!(is_due(Duration::ZERO, 100));
    }
}
