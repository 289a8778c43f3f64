//! How long things take, in seconds.

use std::time::{Duration, SystemTime};

use prometheus::{Histogram, HistogramOpts, HistogramVec, Result as Outcome};

use super::catalogue::Catalogue;

/// From a change being readable to its being enforced: a packet's journey at one end, a relist of a large cluster at
/// the other.
const SYNC_BUCKETS: [f64; 12] = [
    1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.5, 2.5,
];
/// A packet's stay with the agent: some tens of microseconds, or as long as the agent gets no processor time.
const WAIT_BUCKETS: [f64; 12] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2, 2.5e-2, 0.1, 1.0,
];
/// Reading a packet and judging it by a snapshot.
const EVALUATION_BUCKETS: [f64; 9] = [2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 5e-5, 2.5e-4, 1e-3];

/// Handles.
pub(crate) struct Timing {
    /// Seconds from a change being readable to its being enforced.
    pub(crate) sync: Histogram,
    evaluation: Histogram,
    since_arrival: Histogram,
    since_read: Histogram,
}

/// When a packet came to the agent.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// When it came into the node, where the kernel tells. It does so of few packets: it stamps them only while
    /// somebody wants it to, and hands the stamp out before POSTROUTING alone.
    pub(crate) stamped: Option<SystemTime>,
    /// How long ago the agent read it from the queue.
    pub(crate) read: Duration,
}

impl Timing {
    pub(super) fn new(catalogue: &mut Catalogue) -> Outcome<Self> {
        let wait = catalogue.add(wait())?;
        Ok(Self {
            sync: catalogue.add(sync())?,
            evaluation: catalogue.add(evaluation())?,
            since_arrival: wait.with_label_values(&["arrival"]),
            since_read: wait.with_label_values(&["read"]),
        })
    }

    /// A packet was read and judged.
    pub(crate) fn evaluated(&self, took: Duration) {
        self.evaluation.observe(took.as_secs_f64());
    }

    /// A packet has its verdict.
    pub(crate) fn answered(&self, arrival: Arrival) {
        self.since_read.observe(arrival.read.as_secs_f64());
        let since = arrival.stamped.and_then(|stamp| stamp.elapsed().ok());
        if let Some(since) = since {
            self.since_arrival.observe(since.as_secs_f64());
        }
    }
}

fn sync() -> Outcome<Histogram> {
    let help = "From a change being readable to its being enforced, on open connections too";
    let opts = HistogramOpts::new("sluice_sync_duration_seconds", help);
    Histogram::with_opts(opts.buckets(SYNC_BUCKETS.to_vec()))
}

fn wait() -> Outcome<HistogramVec> {
    let help = "How long packets wait for a verdict, since the agent read them or, where the kernel tells, since they arrived";
    let opts = HistogramOpts::new("sluice_verdict_wait_seconds", help);
    HistogramVec::new(opts.buckets(WAIT_BUCKETS.to_vec()), &["since"])
}

fn evaluation() -> Outcome<Histogram> {
    let help = "Reading a packet and judging it";
    let opts = HistogramOpts::new("sluice_evaluation_duration_seconds", help);
    Histogram::with_opts(opts.buckets(EVALUATION_BUCKETS.to_vec()))
}
