//! Whether the packets of a slice went the way that its mode is about, by what the kernel and the agent counted.

use std::fmt;
use std::ops::RangeInclusive;

use sluice_lab::Counters;

use crate::mode::Mode;

/// Verdicts of the queue for each connection where every connection is to be judged: a little less, where one was
/// opened before the counting, and a little more, where a packet was sent again.
const JUDGED: RangeInclusive<f64> = 0.98..=1.05;
/// The same where none is to be judged.
const UNJUDGED: f64 = 0.01;

/// What was counted while a slice ran.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Connections that were opened, by their client.
    pub connections: u64,
    /// The agent's counters; zero where there is none.
    pub counters: Counters,
    /// Entries of the node's connection tracking at the end.
    pub tracked: u64,
}

/// Why a slice does not show its mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// Nothing was opened.
    Nothing,
    /// So many connections are tracked, where none is to be or some are.
    Tracked(u64),
    /// The queue accepted so many packets for each connection.
    Judged(f64),
    /// The kernel's leases let so many packets pass for each connection.
    Leased(f64),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "no connection was opened"),
            Self::Tracked(count) => write!(f, "{count} connections are tracked"),
            Self::Judged(each) => write!(f, "{each:.3} verdicts of the queue for each connection"),
            Self::Leased(each) => write!(f, "{each:.3} packets by a lease for each connection"),
        }
    }
}

/// Compares what was seen with what `mode` promises.
///
/// # Errors
/// The first thing that does not fit.
pub fn prove(mode: Mode, seen: &Seen) -> Result<(), Doubt> {
    if seen.connections == 0 {
        return Err(Doubt::Nothing);
    }
    if (seen.tracked > 0) != mode.tracks() {
        return Err(Doubt::Tracked(seen.tracked));
    }
    let counters = &seen.counters;
    let judged = each(counters.allowed, seen.connections);
    let leased = each(
        counters.lease_hits + counters.gate_lease_hits,
        seen.connections,
    );
    match mode {
        Mode::None | Mode::Conntrack | Mode::ConntrackAgain | Mode::Linear => Ok(()),
        Mode::Nfqueue | Mode::NfqueueN | Mode::HybridCold => {
            holds(JUDGED.contains(&judged)).ok_or(Doubt::Judged(judged))
        }
        Mode::Hybrid | Mode::HybridStopped => {
            holds(judged <= UNJUDGED).ok_or(Doubt::Judged(judged))?;
            holds(leased >= *JUDGED.start()).ok_or(Doubt::Leased(leased))
        }
    }
}

fn holds(condition: bool) -> Option<()> {
    condition.then_some(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of a slice")]
fn each(count: u64, connections: u64) -> f64 {
    count as f64 / connections as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(allowed: u64, lease_hits: u64, tracked: u64) -> Seen {
        Seen {
            connections: 1_000,
            counters: Counters {
                allowed,
                lease_hits,
                ..Counters::default()
            },
            tracked,
        }
    }

    #[test]
    fn a_slice_shows_its_mode_or_says_why_not() {
        for (mode, seen, expected) in [
            (Mode::None, seen(0, 0, 0), Ok(())),
            (Mode::None, seen(0, 0, 7), Err(Doubt::Tracked(7))),
            (Mode::Conntrack, seen(0, 0, 7), Ok(())),
            (Mode::Conntrack, seen(0, 0, 0), Err(Doubt::Tracked(0))),
            (Mode::Linear, seen(0, 0, 7), Ok(())),
            (Mode::Nfqueue, seen(1_000, 0, 7), Ok(())),
            (Mode::Nfqueue, seen(970, 0, 7), Err(Doubt::Judged(0.97))),
            (Mode::Nfqueue, seen(1_100, 0, 7), Err(Doubt::Judged(1.1))),
            (
                Mode::HybridCold,
                seen(10, 2_000, 7),
                Err(Doubt::Judged(0.01)),
            ),
            (Mode::Hybrid, seen(0, 5_000, 7), Ok(())),
            (Mode::Hybrid, seen(20, 5_000, 7), Err(Doubt::Judged(0.02))),
            (Mode::Hybrid, seen(0, 500, 7), Err(Doubt::Leased(0.5))),
            (Mode::HybridStopped, seen(0, 0, 7), Err(Doubt::Leased(0.0))),
        ] {
            assert_eq!(prove(mode, &seen), expected, "{mode:?} {seen:?}");
        }
        let nothing = Seen::default();
        assert_eq!(prove(Mode::None, &nothing), Err(Doubt::Nothing));
    }
}
