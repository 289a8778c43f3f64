//! Whether the packets of a slice went the way that its mode is about, by what the kernel and the agent counted.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use sluice_lab::Counters;

use crate::load::Flooded;
use crate::mode::Mode;

/// Verdicts of the queue for each connection where every connection is to be judged: a little less, where one was
/// opened before the counting, and a little more, where a packet was sent again.
const JUDGED: RangeInclusive<f64> = 0.98..=1.05;
/// The same where none is to be judged.
const UNJUDGED: f64 = 0.01;
/// Entries of connection tracking for each connection: less than one, where a port of the client came again.
const TRACKED: f64 = 0.9;
/// The share of a flood that was sent, of what was due: a machine that has not even sent it cannot tell what it does.
const FLOODED: f64 = 0.9;
/// The share of it that agents denied or the kernel remembered to deny, at least: the kernel drops what a full queue has
/// no room for, and counts that for nobody.
const DENIED: f64 = 0.5;

/// What was counted while a slice ran.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Connections that were opened, by their client.
    pub connections: u64,
    /// Questions that were answered.
    pub exchanges: u64,
    /// The counters of all agents; zero where there is none. A connection is judged on the node of its server alone, as
    /// the policies isolate nobody else.
    pub counters: Counters,
    /// Entries of the connection tracking of all nodes at the end. The kernel keeps those of a connection for ten seconds
    /// after its reset, longer than a slice lasts.
    pub tracked: u64,
    /// Nodes; each is on the way of each connection, and tracks it.
    pub nodes: u64,
    /// The time of agents on a processor.
    pub agent: Duration,
    /// The flood of somebody else meanwhile.
    pub flooded: Option<Flooded>,
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
    /// So many packets were redirected for each question.
    Redirected(f64),
    /// The agent ran for so long, where it is to stand still.
    Ran(Duration),
    /// So many packets of a flood were sent, for each that was due.
    Flooded(f64),
    /// So many of them were denied, for each that was sent.
    Denied(f64),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "no connection was opened"),
            Self::Tracked(count) => write!(f, "{count} connections are tracked"),
            Self::Judged(each) => write!(f, "{each:.3} verdicts of the queue for each connection"),
            Self::Leased(each) => write!(f, "{each:.3} packets by a lease for each question"),
            Self::Redirected(each) => write!(f, "{each:.3} packets redirected for each question"),
            Self::Ran(time) => write!(f, "a stopped agent ran for {time:?}"),
            Self::Flooded(each) => {
                write!(f, "{each:.3} packets of the flood for each that was due")
            }
            Self::Denied(each) => write!(f, "{each:.3} denied for each packet of the flood"),
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
    let tracked = each(seen.tracked, seen.connections * seen.nodes);
    holds(if mode.tracks() {
        tracked >= TRACKED
    } else {
        seen.tracked == 0
    })
    .ok_or(Doubt::Tracked(seen.tracked))?;
    prove_flood(mode, seen)?;
    let counters = &seen.counters;
    let judged = each(counters.allowed, seen.connections);
    // Each question is at least one packet of the client's.
    let questions = seen.connections.max(seen.exchanges);
    let leased = each(counters.lease_hits + counters.gate_lease_hits, questions);
    let redirected = each(counters.redirected, questions);
    match mode {
        Mode::None | Mode::Conntrack | Mode::ConntrackAgain | Mode::Linear | Mode::External => {
            Ok(())
        }
        Mode::Nfqueue | Mode::NfqueueN | Mode::HybridCold => {
            holds(JUDGED.contains(&judged)).ok_or(Doubt::Judged(judged))
        }
        Mode::HybridRedirect => {
            holds(judged <= UNJUDGED).ok_or(Doubt::Judged(judged))?;
            holds(redirected >= *JUDGED.start()).ok_or(Doubt::Redirected(redirected))
        }
        Mode::Hybrid | Mode::HybridStopped => {
            holds(judged <= UNJUDGED).ok_or(Doubt::Judged(judged))?;
            holds(leased >= *JUDGED.start()).ok_or(Doubt::Leased(leased))?;
            let stands = mode == Mode::Hybrid || seen.agent.is_zero();
            holds(stands).ok_or(Doubt::Ran(seen.agent))
        }
    }
}

/// Whether the flood was there, and was denied where agents count what they deny; one that stands still denies nothing.
fn prove_flood(mode: Mode, seen: &Seen) -> Result<(), Doubt> {
    let Some(flooded) = seen.flooded else {
        return Ok(());
    };
    let sent = each(flooded.sent, flooded.due);
    holds(flooded.sent > 0 && sent >= FLOODED).ok_or(Doubt::Flooded(sent))?;
    let counters = &seen.counters;
    let denied = each(counters.denied + counters.deny_lease_hits, flooded.sent);
    let counts = mode.agent().is_some() && mode != Mode::HybridStopped;
    holds(!counts || denied >= DENIED).ok_or(Doubt::Denied(denied))
}

/// As [`prove`], where nobody is isolated, and so nothing is to be judged or leased.
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
    count as f64 / connections.max(1) as f64
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
            nodes: 1,
            agent: Duration::ZERO,
            flooded: None,
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
            (Mode::External, seen(0, 0, 990), Ok(())),
            (Mode::External, seen(0, 0, 0), Err(Doubt::Tracked(0))),
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
    fn what_is_redirected_is_counted_by_the_question() {
        let redirected = |redirected, allowed| {
            let mut seen = seen(allowed, 3_000, 990);
            seen.counters.redirected = redirected;
            prove(Mode::HybridRedirect, &seen)
        };
        assert_eq!(redirected(4_000, 0), Ok(()));
        assert_eq!(redirected(4_000, 20), Err(Doubt::Judged(0.02)));
        assert_eq!(redirected(500, 0), Err(Doubt::Redirected(0.5)));
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

    /// The client's node judges nothing: the policies are about the server.
    #[test]
    fn between_two_nodes_each_tracks_and_one_judges() {
        let between = |allowed, leased, tracked| Seen {
            nodes: 2,
            ..seen(allowed, leased, tracked)
        };
        for (mode, seen, expected) in [
            (Mode::Conntrack, between(0, 0, 1_990), Ok(())),
            (
                Mode::Conntrack,
                between(0, 0, 1_000),
                Err(Doubt::Tracked(1_000)),
            ),
            (Mode::None, between(0, 0, 0), Ok(())),
            (Mode::Nfqueue, between(1_000, 0, 2_000), Ok(())),
            (
                Mode::Nfqueue,
                between(2_000, 0, 2_000),
                Err(Doubt::Judged(2.0)),
            ),
            (Mode::Hybrid, between(0, 5_000, 2_000), Ok(())),
        ] {
            assert_eq!(prove(mode, &seen), expected, "{mode:?} {seen:?}");
        }
    }

    #[test]
    fn a_flood_was_sent_and_denied_or_says_nothing() {
        let flooded = |sent, denied, deny_lease_hits| {
            let mut seen = seen(0, 5_000, 990);
            seen.counters.denied = denied;
            seen.counters.deny_lease_hits = deny_lease_hits;
            seen.flooded = Some(Flooded { sent, due: 1_000 });
            seen
        };
        for (mode, seen, expected) in [
            (Mode::Hybrid, flooded(1_000, 600, 400), Ok(())),
            (
                Mode::Hybrid,
                flooded(1_000, 300, 0),
                Err(Doubt::Denied(0.3)),
            ),
            (Mode::Hybrid, flooded(500, 500, 0), Err(Doubt::Flooded(0.5))),
            (Mode::HybridStopped, flooded(1_000, 0, 0), Ok(())),
            (Mode::Conntrack, flooded(1_000, 0, 0), Ok(())),
            (Mode::External, flooded(0, 0, 0), Err(Doubt::Flooded(0.0))),
        ] {
            assert_eq!(prove(mode, &seen), expected, "{mode:?} {seen:?}");
        }
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
