//! Whether the packets of a slice went the way that its mode is about, by what the kernel and the agent counted.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use sluice_lab::Counters;

use crate::mode::Mode;

/// Verdicts of the queue for each connection where every connection is to be judged: a little less, where one was
/// opened before the counting, and a little more, where a packet was sent again.
const JUDGED: RangeInclusive<f64> = 0.98..=1.05;
/// The same where none is to be judged.
const UNJUDGED: f64 = 0.01;
/// Entries of connection tracking for each connection: less than one, where a port of the client came again.
const TRACKED: f64 = 0.9;

/// What was counted while a slice ran.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Connections that were opened, by their client.
    pub connections: u64,
    /// Questions that were answered.
    pub exchanges: u64,
    /// The agent's counters; zero where there is none.
    pub counters: Counters,
    /// Entries of the node's connection tracking at the end. The kernel keeps those of a connection for ten seconds after
    /// its reset, longer than a slice lasts.
    pub tracked: u64,
    /// The agent's time on a processor.
    pub agent: Duration,
}

/// Why a slice does not show its mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// Nothing was opened.
    Nothing,
    /// So many connections are tracked, where none is to be, or each that was opened.
    Tracked(u64),
    /// The queue accepted so many packets for each connection.
    Judged(f64),
    /// The kernel's leases let so many packets pass for each question.
    Leased(f64),
    /// The agent ran for so long, where it is to stand still.
    Ran(Duration),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "no connection was opened"),
            Self::Tracked(count) => write!(f, "{count} connections are tracked"),
            Self::Judged(each) => write!(f, "{each:.3} verdicts of the queue for each connection"),
            Self::Leased(each) => write!(f, "{each:.3} packets by a lease for each question"),
            Self::Ran(time) => write!(f, "a stopped agent ran for {time:?}"),
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
    let tracked = each(seen.tracked, seen.connections);
    holds(if mode.tracks() {
        tracked >= TRACKED
    } else {
        seen.tracked == 0
    })
    .ok_or(Doubt::Tracked(seen.tracked))?;
    let counters = &seen.counters;
    let judged = each(counters.allowed, seen.connections);
    // Each question is at least one packet of the client's.
    let leased = each(
        counters.lease_hits + counters.gate_lease_hits,
        seen.connections.max(seen.exchanges),
    );
    match mode {
        Mode::None | Mode::Conntrack | Mode::ConntrackAgain | Mode::Linear => Ok(()),
        Mode::Nfqueue | Mode::NfqueueN | Mode::HybridCold => {
            holds(JUDGED.contains(&judged)).ok_or(Doubt::Judged(judged))
        }
        Mode::Hybrid | Mode::HybridStopped => {
            holds(judged <= UNJUDGED).ok_or(Doubt::Judged(judged))?;
            holds(leased >= *JUDGED.start()).ok_or(Doubt::Leased(leased))?;
            let stands = mode == Mode::Hybrid || seen.agent.is_zero();
            holds(stands).ok_or(Doubt::Ran(seen.agent))
        }
    }
}

/// The same where nobody is isolated, and so nothing is to be judged or leased.
///
/// # Errors
/// The first thing that does not fit.
pub fn prove_open(mode: Mode, seen: &Seen) -> Result<(), Doubt> {
    if seen.connections == 0 {
        return Err(Doubt::Nothing);
    }
    holds((seen.tracked > 0) == mode.tracks()).ok_or(Doubt::Tracked(seen.tracked))?;
    let judged = each(seen.counters.queued, seen.connections);
    holds(seen.counters.queued == 0).ok_or(Doubt::Judged(judged))
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
            exchanges: 1_000,
            counters: Counters {
                allowed,
                queued: allowed,
                lease_hits,
                ..Counters::default()
            },
            tracked,
            agent: Duration::ZERO,
        }
    }

    #[test]
    fn a_slice_shows_its_mode_or_says_why_not() {
        for (mode, seen, expected) in [
            (Mode::None, seen(0, 0, 0), Ok(())),
            (Mode::None, seen(0, 0, 7), Err(Doubt::Tracked(7))),
            (Mode::Conntrack, seen(0, 0, 990), Ok(())),
            (Mode::Conntrack, seen(0, 0, 800), Err(Doubt::Tracked(800))),
            (Mode::Linear, seen(0, 0, 2_000), Ok(())),
            (Mode::Nfqueue, seen(1_000, 0, 990), Ok(())),
            (Mode::Nfqueue, seen(970, 0, 990), Err(Doubt::Judged(0.97))),
            (Mode::Nfqueue, seen(1_100, 0, 990), Err(Doubt::Judged(1.1))),
            (
                Mode::HybridCold,
                seen(10, 2_000, 990),
                Err(Doubt::Judged(0.01)),
            ),
            (Mode::Hybrid, seen(0, 5_000, 990), Ok(())),
            (Mode::Hybrid, seen(20, 5_000, 990), Err(Doubt::Judged(0.02))),
            (Mode::Hybrid, seen(0, 500, 990), Err(Doubt::Leased(0.5))),
            (Mode::HybridStopped, seen(0, 4_000, 990), Ok(())),
            (
                Mode::HybridStopped,
                seen(0, 0, 990),
                Err(Doubt::Leased(0.0)),
            ),
        ] {
            assert_eq!(prove(mode, &seen), expected, "{mode:?} {seen:?}");
        }
        let nothing = Seen::default();
        assert_eq!(prove(Mode::None, &nothing), Err(Doubt::Nothing));
        assert_eq!(prove_open(Mode::None, &nothing), Err(Doubt::Nothing));
    }

    #[test]
    fn one_connection_on_which_much_is_asked_has_its_lease_all_along() {
        let asked = |lease_hits| Seen {
            connections: 1,
            exchanges: 10_000,
            ..seen(0, lease_hits, 5)
        };
        assert_eq!(prove(Mode::Hybrid, &asked(10_004)), Ok(()));
        assert_eq!(prove(Mode::Hybrid, &asked(5_000)), Err(Doubt::Leased(0.5)));
    }

    #[test]
    fn an_agent_that_was_to_stand_still_did() {
        let ran = Seen {
            agent: Duration::from_micros(3),
            ..seen(0, 5_000, 990)
        };
        assert_eq!(prove(Mode::Hybrid, &ran), Ok(()));
        assert_eq!(
            prove(Mode::HybridStopped, &ran),
            Err(Doubt::Ran(Duration::from_micros(3)))
        );
    }

    #[test]
    fn without_policies_nothing_is_queued() {
        for (mode, seen, expected) in [
            (Mode::Hybrid, seen(0, 0, 990), Ok(())),
            (Mode::Nfqueue, seen(500, 0, 990), Err(Doubt::Judged(0.5))),
            (Mode::None, seen(0, 0, 1), Err(Doubt::Tracked(1))),
            (Mode::Linear, seen(0, 0, 0), Err(Doubt::Tracked(0))),
        ] {
            assert_eq!(prove_open(mode, &seen), expected, "{mode:?} {seen:?}");
        }
    }
}
