//! The seven of kube-network-policies, with their names, labels and units, so that dashboards go on working.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Result as Outcome,
};
use sluice_policy::{Action, Protocol};

use super::catalogue::Catalogue;
use super::summary::Summary;
use crate::queue::proc::QueueStat;

const PREFIX: &str = "kube_network_policies";
/// Microseconds, as kube-network-policies buckets them.
const TIME_BUCKETS: [f64; 11] = [
    1.0, 10.0, 50.0, 200.0, 500.0, 750.0, 1e3, 2e3, 5e3, 10e3, 100e3,
];

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

/// Handles.
pub(super) struct Compatible {
    /// Time it has taken to process each packet (microseconds)
    packet_process_time: HistogramVec,
    /// Packet processing durations in microseconds
    packet_process_duration: Summary,
    /// Number of packets
    packet_count: IntCounterVec,
    nfqueue: [IntGaugeVec; 4],
}

impl Compatible {
    pub(super) fn new(catalogue: &mut Catalogue) -> Outcome<Self> {
        let [total, dropped, user_dropped, id] = NFQUEUE.map(|(name, help)| {
            let opts = Opts::new(format!("{PREFIX}_{name}"), help);
            catalogue.add(IntGaugeVec::new(opts, &["queue"]))
        });
        Ok(Self {
            packet_process_time: catalogue.add(packet_process_time())?,
            packet_process_duration: catalogue.add(packet_process_duration())?,
            packet_count: catalogue.add(packet_count())?,
            nfqueue: [total?, dropped?, user_dropped?, id?],
        })
    }

    /// Counts one judged packet.
    pub(super) fn packet(&self, protocol: Protocol, ipv6: bool, action: Action, took: Duration) {
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

    /// Takes over the kernel's account of the queues.
    pub(super) fn queues(&self, queues: &[QueueStat]) {
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
    }
}

fn packet_process_time() -> Outcome<HistogramVec> {
    let help = "Time it has taken to process each packet (microseconds)";
    let opts = HistogramOpts::new(format!("{PREFIX}_packet_process_time"), help);
    HistogramVec::new(opts.buckets(TIME_BUCKETS.to_vec()), &["protocol", "family"])
}

fn packet_process_duration() -> Outcome<Summary> {
    let name = format!("{PREFIX}_packet_process_duration_microseconds");
    Summary::new(&name, "Packet processing durations in microseconds")
}

fn packet_count() -> Outcome<IntCounterVec> {
    let opts = Opts::new(format!("{PREFIX}_packet_count"), "Number of packets");
    IntCounterVec::new(opts, &["protocol", "family", "verdict"])
}

const fn protocol_label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
        Protocol::Other(_) => "",
    }
}
