//! Every metric and its labels. Handles are resolved once; `agent/METRICS.md` is the table of all of them.

mod api;
mod catalogue;
mod compatible;
mod policies;
mod process;
mod reading;
mod reporter;
mod summary;
mod timing;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::{Encoder as _, Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, TextEncoder};
use sluice_policy::{Action, Protocol};

use crate::cli::Mode;
use api::ApiMetrics;
use catalogue::Catalogue;
use compatible::Compatible;
pub(crate) use policies::{Counted, PolicyVerdicts};
use process::Process;
pub(crate) use reading::Reading;
use reading::Readings;
use reporter::ReporterMetrics;
pub(crate) use timing::{Arrival, Timing};

/// What the agent counts itself: the source of both `status` and `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Packets that the queues delivered.
    pub(crate) queued: AtomicU64,
    /// Of those, accepted.
    pub(crate) allowed: AtomicU64,
    /// Of those, denied by policy.
    pub(crate) denied: AtomicU64,
    /// Of those, unreadable.
    pub(crate) parse_errors: AtomicU64,
    /// Live connections that a change of policy ended.
    pub(crate) revoked: AtomicU64,
    /// Leases that could not be written.
    pub(crate) lease_errors: AtomicU64,
    /// Leases that had to go for others, because the map is at its bound.
    pub(crate) leases_displaced: AtomicU64,
    /// Times that the gate was found gone or changed.
    pub(crate) gate_losses: AtomicU64,
    /// Times that a TC program was found taken off.
    pub(crate) tc_losses: AtomicU64,
    /// Verdicts that were not counted by policy, because there are too many policies.
    pub(crate) policies_uncounted: AtomicU64,
    /// Connections to the HTTP server that were turned away.
    pub(crate) http_refused: AtomicU64,
}

/// Counts one more.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The registry and all handles.
pub(crate) struct Metrics {
    catalogue: Catalogue,
    compatible: Compatible,
    readings: Readings,
    process: Process,
    pub(crate) api: ApiMetrics,
    pub(crate) reporter: ReporterMetrics,
    pub(crate) timing: Timing,
    pub(crate) policies: PolicyVerdicts,
    /// Invalid objects in the source
    pub(crate) invalid_objects: IntGauge,
    /// Changes that could not be written to the kernel and are to be repeated
    pub(crate) sync_errors: IntGauge,
    /// Unix time of the state of the source that is enforced, on open connections too
    pub(crate) enforced_as_of: Gauge,
    pub(crate) tally: Tally,
}

impl Metrics {
    /// All metrics, registered; those by policy where they are wanted.
    pub(crate) fn new(mode: Mode, by_policy: bool) -> prometheus::Result<Self> {
        let mut catalogue = Catalogue::default();
        let c = &mut catalogue;
        let build = Opts::new("sluice_build_info", "1; what runs is in the labels");
        let build = c.add(IntGaugeVec::new(build, &["version", "mode"]))?;
        let version = env!("CARGO_PKG_VERSION");
        build.with_label_values(&[version, mode.name()]).set(1);
        let gauge = |c: &mut Catalogue, name, help| c.add(IntGauge::new(name, help));
        Ok(Self {
            compatible: Compatible::new(c)?,
            readings: Readings::new(c)?,
            process: Process::new(c)?,
            api: ApiMetrics::new(c)?,
            reporter: ReporterMetrics::new(c)?,
            timing: Timing::new(c)?,
            policies: PolicyVerdicts::new(by_policy, c)?,
            invalid_objects: gauge(
                c,
                "sluice_invalid_objects",
                "Objects of the source that are not enforced as written",
            )?,
            sync_errors: gauge(
                c,
                "sluice_sync_failing",
                "1 while the kernel refuses the state",
            )?,
            enforced_as_of: c.add(Gauge::new(
                "sluice_enforced_timestamp_seconds",
                "Unix time of the state of the source that is enforced, on open connections too (seconds)",
            ))?,
            tally: Tally::default(),
            catalogue,
        })
    }

    /// Counts one judged packet.
    pub(crate) fn packet(&self, protocol: Protocol, ipv6: bool, action: Action, took: Duration) {
        self.compatible.packet(protocol, ipv6, action, took);
    }

    /// Everything in Prometheus' text format, as things stand.
    pub(crate) fn render(&self, reading: &Reading<'_>) -> prometheus::Result<String> {
        self.compatible.queues(reading.queues);
        self.readings.take(reading, &self.tally);
        self.process.refresh();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.catalogue.registry().gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Takes over a count that is kept elsewhere.
fn replace(counter: &IntCounter, value: u64) {
    counter.reset();
    counter.inc_by(value);
}

#[cfg(test)]
mod tests;
