//! Events and conditions that this agent writes: whether it is the one, and how that goes.

use prometheus::{IntCounterVec, IntGauge, Opts};
use sluice_api::{Counts, ReporterState};

use super::catalogue::Catalogue;
use super::replace;

/// Handles; of an agent that reports nothing they stay at nothing.
pub(crate) struct ReporterMetrics {
    leads: IntGauge,
    waiting: IntGauge,
    writes: IntCounterVec,
}

impl ReporterMetrics {
    pub(super) fn new(catalogue: &mut Catalogue) -> prometheus::Result<Self> {
        let writes = catalogue.add(writes())?;
        let mut gauge = |name: &str, help: &str| catalogue.add(IntGauge::new(name, help));
        Ok(Self {
            leads: gauge(
                "sluice_reporter_leads",
                "1 where this agent is the one that writes events and conditions",
            )?,
            waiting: gauge(
                "sluice_reporter_waiting",
                "Events and conditions that are known and not written yet",
            )?,
            writes,
        })
    }

    /// Takes over how the reporter stands.
    pub(crate) fn refresh(&self, state: &ReporterState) {
        self.leads.set(i64::from(state.leads));
        let waiting = i64::try_from(state.waiting);
        self.waiting.set(waiting.unwrap_or(i64::MAX));
        for (what, counts) in [
            ("election", state.election),
            ("event", state.events),
            ("status", state.status),
        ] {
            let Counts {
                written,
                refused,
                failed,
            } = counts;
            for (outcome, count) in [
                ("written", written),
                ("refused", refused),
                ("failed", failed),
            ] {
                replace(&self.writes.with_label_values(&[what, outcome]), count);
            }
        }
    }
}

fn writes() -> prometheus::Result<IntCounterVec> {
    let help =
        "Requests that write to the Kubernetes API, by what they are about and what came of them";
    let opts = Opts::new("sluice_reporter_writes_total", help);
    IntCounterVec::new(opts, &["what", "outcome"])
}
