//! Every metric and its labels, in one place. Handles are resolved once; the doc of a field is its help text.
//!
//! The seven of kube-network-policies keep their names, labels and units, so that dashboards go on working.

mod api;
mod reporter;
mod summary;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use sluice_policy::{Action, Protocol};

use crate::queue::proc::QueueStat;
use api::ApiMetrics;
use reporter::ReporterMetrics;
use summary::Summary;

const PREFIX: &str = "kube_network_policies";
/// Microseconds, as kube-network-policies buckets them.
const TIME_BUCKETS: [f64; 11] = [
    1.0, 10.0, 50.0, 200.0, 500.0, 750.0, 1e3, 2e3, 5e3, 10e3, 100e3,
];
/// Seconds: from a change being read to its being enforced.
const SYNC_BUCKETS: [f64; 12] = [
    1e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 2.0,
];

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
}

/// Counts one more.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The registry and all handles.
pub(crate) struct Metrics {
    registry: Registry,
    /// Time it has taken to process each packet (microseconds)
    packet_process_time: HistogramVec,
    /// Packet processing durations in microseconds
    packet_process_duration: Summary,
    /// Number of packets
    packet_count: IntCounterVec,
    nfqueue: [IntGaugeVec; 4],
    counters: IntCounterVec,
    events: IntCounterVec,
    spoofed: IntCounter,
    map_entries: GaugeVec,
    pub(crate) api: ApiMetrics,
    pub(crate) reporter: ReporterMetrics,
    /// Seconds from a change being read to its being enforced
    pub(crate) sync_seconds: Histogram,
    /// Invalid objects in the source
    pub(crate) invalid_objects: IntGauge,
    /// Changes that could not be written to the kernel and are to be repeated
    pub(crate) sync_errors: IntGauge,
    /// Unix time of the state of the source that is enforced, on open connections too
    pub(crate) enforced_as_of: Gauge,
    pub(crate) tally: Tally,
}

/// Names and helps of the gauges per queue, in the order of [`QueueStat`]'s fields.
const NFQUEUE: [(&str, &str); 4] = [
    ("nfqueue_queue_total", "Packets now waiting in the queue"),
    (
        "nfqueue_queue_dropped",
        "Packets dropped by the kernel because the queue was full",
    ),
    (
        "nfqueue_user_dropped",
        "Packets dropped because the socket buffer was full",
    ),
    ("nfqueue_packet_id", "ID of the most recent packet queued"),
];

impl Metrics {
    /// All metrics, registered.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let [total, dropped, user_dropped, id] = NFQUEUE.map(|(name, help)| {
            let opts = Opts::new(format!("{PREFIX}_{name}"), help);
            register(r, IntGaugeVec::new(opts, &["queue"]))
        });
        let gauge = |name: &str, help: &str| register(r, IntGauge::new(name, help));
        Ok(Self {
            packet_process_time: register(r, packet_process_time())?,
            packet_process_duration: register(r, packet_process_duration())?,
            packet_count: register(r, packet_count())?,
            nfqueue: [total?, dropped?, user_dropped?, id?],
            counters: register(r, packets())?,
            events: register(r, events())?,
            spoofed: register(r, spoofed())?,
            map_entries: register(r, map_entries())?,
            api: ApiMetrics::new(r)?,
            reporter: ReporterMetrics::new(r)?,
            sync_seconds: register(r, sync_seconds())?,
            invalid_objects: gauge("sluice_invalid_objects", "Invalid objects in the source")?,
            sync_errors: gauge(
                "sluice_sync_failing",
                "1 while the kernel refuses the state",
            )?,
            enforced_as_of: register(r, enforced_as_of())?,
            tally: Tally::default(),
            registry,
        })
    }

    /// Counts one judged packet.
    pub(crate) fn packet(&self, protocol: Protocol, ipv6: bool, action: Action, took: Duration) {
        let protocol = protocol_label(protocol);
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        let verdict = match action {
            Action::Allow => "accept",
            Action::Deny => "drop",
        };
        let micros = took.as_secs_f64() * 1e6;
        self.packet_process_time
            .with_label_values(&[protocol, family])
            .observe(micros);
        self.packet_process_duration.observe(micros);
        self.packet_count
            .with_label_values(&[protocol, family, verdict])
            .inc();
    }

    /// Takes over how many packets were spoofed.
    pub(crate) fn spoofed(&self, packets: u64) {
        self.spoofed.reset();
        self.spoofed.inc_by(packets);
    }

    /// Takes over what is only read when asked for.
    pub(crate) fn refresh(
        &self,
        queues: &[QueueStat],
        counters: &[(&str, u64)],
        entries: &[(&str, u32)],
    ) {
        for stat in queues {
            let values = [
                stat.waiting,
                stat.dropped,
                stat.user_dropped,
                stat.packet_id,
            ];
            for (gauge, value) in self.nfqueue.iter().zip(values) {
                gauge
                    .with_label_values(&[&stat.num.to_string()])
                    .set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
        for (name, value) in counters {
            set(&self.counters, name, *value);
        }
        let tally = &self.tally;
        for (name, counter) in [
            ("revoked", &tally.revoked),
            ("lease_not_written", &tally.lease_errors),
            ("lease_displaced", &tally.leases_displaced),
            ("gate_lost", &tally.gate_losses),
            ("tc_lost", &tally.tc_losses),
        ] {
            set(&self.events, name, counter.load(Ordering::Relaxed));
        }
        for (map, value) in entries {
            self.map_entries
                .with_label_values(&[map])
                .set(f64::from(*value));
        }
    }

    /// Everything in Prometheus' text format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Takes over a count that is kept elsewhere.
fn set(counters: &IntCounterVec, name: &str, value: u64) {
    let counter = counters.with_label_values(&[name]);
    counter.reset();
    counter.inc_by(value);
}

/// Registers what was made, and hands it on.
fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> prometheus::Result<C> {
    let collector = made?;
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn packet_process_time() -> prometheus::Result<HistogramVec> {
    let help = "Time it has taken to process each packet (microseconds)";
    let opts = HistogramOpts::new(format!("{PREFIX}_packet_process_time"), help);
    HistogramVec::new(opts.buckets(TIME_BUCKETS.to_vec()), &["protocol", "family"])
}

fn packet_process_duration() -> prometheus::Result<Summary> {
    let name = format!("{PREFIX}_packet_process_duration_microseconds");
    Summary::new(&name, "Packet processing durations in microseconds")
}

fn packet_count() -> prometheus::Result<IntCounterVec> {
    let opts = Opts::new(format!("{PREFIX}_packet_count"), "Number of packets");
    IntCounterVec::new(opts, &["protocol", "family", "verdict"])
}

fn packets() -> prometheus::Result<IntCounterVec> {
    let help = "Packets since the maps were made, by what became of them";
    IntCounterVec::new(Opts::new("sluice_packets_total", help), &["outcome"])
}

fn spoofed() -> prometheus::Result<IntCounter> {
    let help = "Packets whose source is not behind the interface they came in by";
    IntCounter::new("sluice_spoofed_packets_total", help)
}

fn events() -> prometheus::Result<IntCounterVec> {
    let help =
        "Connections revoked, leases not written or displaced, times that the gate was found gone";
    IntCounterVec::new(Opts::new("sluice_events_total", help), &["event"])
}

fn map_entries() -> prometheus::Result<GaugeVec> {
    GaugeVec::new(
        Opts::new("sluice_map_entries", "Entries of the BPF maps"),
        &["map"],
    )
}

fn enforced_as_of() -> prometheus::Result<Gauge> {
    let help =
        "Unix time of the state of the source that is enforced, on open connections too (seconds)";
    Gauge::new("sluice_enforced_timestamp_seconds", help)
}

fn sync_seconds() -> prometheus::Result<Histogram> {
    let help = "From a change being read to its being enforced";
    let opts = HistogramOpts::new("sluice_sync_duration_seconds", help);
    Histogram::with_opts(opts.buckets(SYNC_BUCKETS.to_vec()))
}

const fn protocol_label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
        Protocol::Other(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seven_names_of_kube_network_policies_are_there() {
        let metrics = Metrics::new().unwrap();
        metrics.packet(
            Protocol::Tcp,
            false,
            Action::Deny,
            Duration::from_micros(30),
        );
        metrics.refresh(
            &[QueueStat {
                num: 100,
                waiting: 1,
                dropped: 2,
                user_dropped: 3,
                packet_id: 4,
            }],
            &[],
            &[],
        );
        let text = metrics.render().unwrap();
        for line in [
            "kube_network_policies_packet_process_time_bucket{family=\"IPv4\",protocol=\"TCP\",le=\"50\"} 1",
            "kube_network_policies_packet_process_duration_microseconds{quantile=\"0.5\"} 30",
            "kube_network_policies_packet_process_duration_microseconds_count 1",
            "kube_network_policies_packet_count{family=\"IPv4\",protocol=\"TCP\",verdict=\"drop\"} 1",
            "kube_network_policies_nfqueue_queue_total{queue=\"100\"} 1",
            "kube_network_policies_nfqueue_queue_dropped{queue=\"100\"} 2",
            "kube_network_policies_nfqueue_user_dropped{queue=\"100\"} 3",
            "kube_network_policies_nfqueue_packet_id{queue=\"100\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    /// Words that are names of our metrics.
    fn names(text: &str) -> impl Iterator<Item = &str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| word.starts_with("sluice_") || word.starts_with(PREFIX))
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_exist() {
        let metrics = Metrics::new().unwrap();
        let took = Duration::from_micros(30);
        metrics.packet(Protocol::Tcp, false, Action::Deny, took);
        let queue = QueueStat {
            num: 100,
            waiting: 1,
            dropped: 2,
            user_dropped: 3,
            packet_id: 4,
        };
        metrics.refresh(&[queue], &[("queued", 1)], &[("leases", 1)]);
        let page = metrics.render().unwrap();
        let there: std::collections::HashSet<_> = names(&page).collect();
        for asked in [
            include_str!("../../../helm/sluice/alerts/sluice.yaml"),
            include_str!("../../../helm/sluice/dashboards/sluice.json"),
        ] {
            assert!(names(asked).count() > 5);
            for name in names(asked) {
                assert!(there.contains(name), "{name}: no such metric");
            }
        }
    }
}
