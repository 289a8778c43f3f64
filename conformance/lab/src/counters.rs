//! The counters of a `sluice status` document. What they mean is the agent's to say.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::agent::Agent;

/// By then every queue has been empty for a moment, where nobody sends.
const IDLE: Duration = Duration::from_secs(10);

/// What became of packets (`counters` of `sluice status -o json`), since the agent's maps were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Packets passed by TC on a lease.
    pub lease_hits: u64,
    /// Packets passed as replies, by TC or the gate.
    pub flow_hits: u64,
    /// Packets passed because neither end is isolated, by TC or the gate.
    pub unmatched: u64,
    /// Packets passed by the gate on a lease.
    pub gate_lease_hits: u64,
    /// Packets dropped on a lease.
    pub deny_lease_hits: u64,
    /// Packets whose source is not behind the interface they came in by.
    pub spoofed: u64,
    /// Handed from link to link.
    pub redirected: u64,
    /// Packets that the queues saw.
    pub queued: u64,
    /// Those of them that were accepted.
    pub allowed: u64,
    /// Those of them that were dropped.
    pub denied: u64,
    /// Connections that were cut.
    pub revoked: u64,
    /// Packets that could not be parsed.
    pub parse_errors: u64,
}

impl Counters {
    /// Name and value of each, in the order of the status document.
    pub fn fields(&self) -> [(&'static str, u64); 12] {
        [
            ("lease_hits", self.lease_hits),
            ("flow_hits", self.flow_hits),
            ("unmatched", self.unmatched),
            ("gate_lease_hits", self.gate_lease_hits),
            ("deny_lease_hits", self.deny_lease_hits),
            ("spoofed", self.spoofed),
            ("redirected", self.redirected),
            ("queued", self.queued),
            ("allowed", self.allowed),
            ("denied", self.denied),
            ("revoked", self.revoked),
            ("parse_errors", self.parse_errors),
        ]
    }

    fn combine(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            lease_hits: with(self.lease_hits, other.lease_hits),
            flow_hits: with(self.flow_hits, other.flow_hits),
            unmatched: with(self.unmatched, other.unmatched),
            gate_lease_hits: with(self.gate_lease_hits, other.gate_lease_hits),
            deny_lease_hits: with(self.deny_lease_hits, other.deny_lease_hits),
            spoofed: with(self.spoofed, other.spoofed),
            redirected: with(self.redirected, other.redirected),
            queued: with(self.queued, other.queued),
            allowed: with(self.allowed, other.allowed),
            denied: with(self.denied, other.denied),
            revoked: with(self.revoked, other.revoked),
            parse_errors: with(self.parse_errors, other.parse_errors),
        }
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.combine(earlier, u64::saturating_sub)
    }
}

impl std::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(other, u64::saturating_add)
    }
}

/// What all of these have counted together, once nothing waits for a verdict.
pub(crate) fn of_all(agents: &[Agent]) -> Result<Counters> {
    let last = Instant::now() + IDLE;
    // Twice, as a packet may go from one node's queue to another's while they are looked at.
    let mut looks = 0;
    while looks < 2 && Instant::now() < last {
        let waits = agents.iter().map(Agent::has_waiting);
        let waits = waits.collect::<Result<Vec<bool>>>()?.contains(&true);
        looks = if waits { 0 } else { looks + 1 };
    }
    let mut agents = agents.iter();
    agents.try_fold(
        Counters::default(),
        |sum, agent| Ok(sum + agent.counters()?),
    )
}

/// The counters of a status document.
pub fn counters(status: &serde_json::Value) -> Result<Counters> {
    let counters = status
        .get("counters")
        .context("sluice status: no counters")?;
    Counters::deserialize(counters).context("sluice status: counters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_and_compared() {
        let text = r#"{"agent": null, "counters": {"lease_hits": 7, "queued": 3, "allowed": 2, "new_one": 1}}"#;
        let later = counters(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(
            (later.lease_hits, later.queued, later.allowed, later.denied),
            (7, 3, 2, 0)
        );
        let earlier = Counters {
            queued: 1,
            ..Counters::default()
        };
        assert_eq!(later.since(earlier).queued, 2);
        assert_eq!((later + earlier).queued, 4);
        assert!(counters(&serde_json::json!({})).is_err());
    }
}
