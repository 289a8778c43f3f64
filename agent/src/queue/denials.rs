//! One log line per denied connection, and a bound on all of them: a scan must not fill a disk.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sluice_policy::{Direction, Tuple};
use tracing::info;

use super::judge::Judgement;
use super::packet::Packet;

/// Lines that may be written at once.
const BURST: u32 = 20;
/// One more line may be written each time this has passed.
const REFILL: Duration = Duration::from_secs(1);
/// Connections remembered, so that the retransmissions of one are one line.
const REMEMBERED: usize = 64;

/// The workers' log of denials.
pub(crate) struct Denials(Mutex<Allowance>);

/// What may be written, and what was.
struct Allowance {
    tokens: u32,
    refilled: Instant,
    recent: VecDeque<(Tuple, u16)>,
    suppressed: u64,
}

/// What becomes of a denial's line.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// The connection has one.
    Repeated,
    /// There were too many.
    Suppressed,
    /// It is written, and tells how many were not since the last one.
    Written { suppressed: u64 },
}

impl Denials {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Allowance::new(now)))
    }

    /// Logs a denied packet, unless its connection was logged or too much is.
    pub(crate) fn log(&self, judgement: &Judgement<'_>, packet: &Packet, now: Instant) {
        let Some((direction, decision)) = judgement.denial() else {
            return;
        };
        let mut allowance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = allowance.admit(judgement.tuple, packet.source_port, now);
        drop(allowance);
        let Line::Written { suppressed } = line else {
            return;
        };
        let Tuple {
            source,
            destination,
            protocol,
            port,
        } = judgement.tuple;
        info!(
            %source, %destination, %protocol, port,
            direction = match direction { Direction::Ingress => "ingress", Direction::Egress => "egress" },
            tier = ?decision.tier,
            policy = decision.policy.map(tracing::field::display),
            rule = decision.rule,
            suppressed = (suppressed > 0).then_some(suppressed),
            "connection denied"
        );
    }
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            tokens: BURST,
            refilled: now,
            recent: VecDeque::with_capacity(REMEMBERED),
            suppressed: 0,
        }
    }

    fn admit(&mut self, tuple: Tuple, source_port: u16, now: Instant) -> Line {
        if self.recent.contains(&(tuple, source_port)) {
            return Line::Repeated;
        }
        self.refill(now);
        let Some(tokens) = self.tokens.checked_sub(1) else {
            self.suppressed += 1;
            return Line::Suppressed;
        };
        self.tokens = tokens;
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((tuple, source_port));
        Line::Written {
            suppressed: std::mem::take(&mut self.suppressed),
        }
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

    #[test]
    fn retransmissions_of_a_connection_are_one_line() {
        let now = Instant::now();
        let mut denials = Allowance::new(now);
        assert_eq!(
            denials.admit(tuple(80), 4000, now),
            Line::Written { suppressed: 0 }
        );
        assert_eq!(denials.admit(tuple(80), 4000, now), Line::Repeated);
        assert_eq!(
            denials.admit(tuple(80), 4001, now),
            Line::Written { suppressed: 0 }
        );
    }

    #[test]
    fn a_scan_is_cut_off_and_its_size_told_later() {
        let now = Instant::now();
        let mut denials = Allowance::new(now);
        let written = (0..1000)
            .filter(|&port| denials.admit(tuple(port), 1, now) != Line::Suppressed)
            .count();
        assert_eq!(written, BURST as usize);
        let later = now + REFILL;
        assert_eq!(
            denials.admit(tuple(2000), 1, later),
            Line::Written { suppressed: 980 }
        );
        assert_eq!(denials.admit(tuple(2001), 1, later), Line::Suppressed);
    }
}
