//! How many log lines may be written: a scan must not fill a disk. Pure, so the time is told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sluice_policy::Tuple;

/// Lines that may be written at once.
const BURST: u32 = 20;
/// One more line may be written each time this has passed.
const REFILL: Duration = Duration::from_secs(1);
/// Connections remembered, so that the retransmissions of one are one line.
const REMEMBERED: usize = 64;

/// What may be written, and what was.
pub(super) struct Allowance {
    tokens: u32,
    refilled: Instant,
    recent: VecDeque<(Tuple, u16)>,
    unwritten: Unwritten,
}

/// What became of a connection's line.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The connection has one.
    Repeated,
    /// There were too many.
    Suppressed,
    /// It is written, and tells what was not since the last one.
    Written(Unwritten),
}

/// What a line tells of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unwritten {
    /// Connections that had none because there were too many.
    pub(super) suppressed: u64,
    /// Further packets of connections that had one.
    pub(super) repeats: u64,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled: now,
            recent: VecDeque::with_capacity(REMEMBERED),
            unwritten: Unwritten::default(),
        }
    }

    /// Whether the line of a connection is written.
    pub(super) fn admit(&mut self, tuple: Tuple, source_port: u16, now: Instant) -> Line {
        if self.recent.contains(&(tuple, source_port)) {
            self.unwritten.repeats += 1;
            return Line::Repeated;
        }
        self.refill(now);
        let Some(tokens) = self.tokens.checked_sub(1) else {
            self.unwritten.suppressed += 1;
            return Line::Suppressed;
        };
        self.tokens = tokens;
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((tuple, source_port));
        Line::Written(std::mem::take(&mut self.unwritten))
    }

    fn refill(&mut self, now: Instant) {
        let due = now.duration_since(self.refilled).as_millis() / REFILL.as_millis();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due > 0 {
            self.tokens = self.tokens.saturating_add(due).min(BURST);
            self.refilled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_policy::Protocol;

    fn tuple(port: u16) -> Tuple {
        Tuple {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            protocol: Protocol::Tcp,
            port,
        }
    }

    const fn written(suppressed: u64, repeats: u64) -> Line {
        Line::Written(Unwritten {
            suppressed,
            repeats,
        })
    }

    #[test]
    fn retransmissions_of_a_connection_are_one_line() {
        let now = Instant::now();
        let mut lines = Allowance::new(now);
        assert_eq!(lines.admit(tuple(80), 4000, now), written(0, 0));
        assert_eq!(lines.admit(tuple(80), 4000, now), Line::Repeated);
        assert_eq!(lines.admit(tuple(80), 4000, now), Line::Repeated);
        assert_eq!(lines.admit(tuple(80), 4001, now), written(0, 2));
        assert_eq!(lines.admit(tuple(80), 4002, now), written(0, 0));
    }

    #[test]
    fn a_scan_is_cut_off_and_its_size_told_later() {
        let now = Instant::now();
        let mut lines = Allowance::new(now);
        let count = (0..1000)
            .filter(|&port| lines.admit(tuple(port), 1, now) != Line::Suppressed)
            .count();
        assert_eq!(count, BURST as usize);
        let later = now + REFILL;
        assert_eq!(lines.admit(tuple(2000), 1, later), written(980, 0));
        assert_eq!(lines.admit(tuple(2001), 1, later), Line::Suppressed);
    }
}
