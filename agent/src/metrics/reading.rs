//! What is only read when somebody asks: the kernel's counters, how full things are, what is enforced.

use std::sync::atomic::Ordering;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Result as Outcome};
use sluice_netlink::Statistics;

use super::catalogue::Catalogue;
use super::{Tally, replace};
use crate::queue::proc::QueueStat;
use crate::status::{CounterStates, MapState, MapStates, PodCounts, PolicyCounts};

/// How things stand.
#[derive(Default)]
pub(crate) struct Reading<'a> {
    pub(crate) ready: bool,
    pub(crate) queues: &'a [QueueStat],
    pub(crate) maps: MapStates,
    pub(crate) counters: CounterStates,
    pub(crate) pods: PodCounts,
    pub(crate) policies: PolicyCounts,
    /// None where the kernel does not tell.
    pub(crate) conntrack: Option<Statistics>,
}

/// Handles.
pub(super) struct Readings {
    ready: IntGauge,
    packets: IntCounterVec,
    events: IntCounterVec,
    spoofed: IntCounter,
    entries: GaugeVec,
    max_entries: GaugeVec,
    pods: IntGauge,
    isolated: IntGauge,
    policies: GaugeVec,
    conntrack_entries: IntGauge,
    conntrack_max: IntGauge,
    conntrack_events: IntCounterVec,
}

impl Readings {
    pub(super) fn new(catalogue: &mut Catalogue) -> Outcome<Self> {
        Ok(Self {
            ready: catalogue.add(gauge(
                "sluice_ready",
                "1 once the gate is in place and the first state of the source is enforced",
            ))?,
            packets: catalogue.add(counters(
                "sluice_packets_total",
                "Packets since the maps were made, by what became of them; queued is the sum of allowed, denied and unreadable",
                "outcome",
            ))?,
            events: catalogue.add(counters(
                "sluice_events_total",
                "Things that happened to the agent, by what it was",
                "event",
            ))?,
            spoofed: catalogue.add(IntCounter::new(
                "sluice_spoofed_packets_total",
                "Packets whose source is not behind the interface they came in by",
            ))?,
            entries: catalogue.add(gauges("sluice_map_entries", "Entries of the BPF maps", "map"))?,
            max_entries: catalogue.add(gauges(
                "sluice_map_max_entries",
                "Entries that the BPF maps have room for",
                "map",
            ))?,
            pods: catalogue.add(gauge(
                "sluice_local_pods",
                "Pods of this node that have an address",
            ))?,
            isolated: catalogue.add(gauge(
                "sluice_isolated_pods",
                "Pods of this node that a policy selects",
            ))?,
            policies: catalogue.add(gauges("sluice_policies", "Policies known, by kind", "kind"))?,
            conntrack_entries: catalogue.add(gauge(
                "sluice_conntrack_entries",
                "Connections that conntrack holds",
            ))?,
            conntrack_max: catalogue.add(gauge(
                "sluice_conntrack_max_entries",
                "Connections that conntrack has room for",
            ))?,
            conntrack_events: catalogue.add(counters(
                "sluice_conntrack_events_total",
                "Connections and packets that conntrack had no room for, by what became of them",
                "event",
            ))?,
        })
    }

    /// Takes a reading over.
    pub(super) fn take(&self, reading: &Reading<'_>, tally: &Tally) {
        self.ready.set(i64::from(reading.ready));
        self.take_packets(&reading.counters);
        self.take_events(tally);
        self.take_maps(&reading.maps);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.pods.set(count(reading.pods.local));
        self.isolated.set(count(reading.pods.isolated));
        self.take_policies(reading.policies);
        if let Some(conntrack) = &reading.conntrack {
            self.take_conntrack(conntrack);
        }
    }

    fn take_packets(&self, c: &CounterStates) {
        replace(&self.spoofed, c.spoofed);
        for (outcome, value) in [
            ("lease_hit", c.lease_hits),
            ("flow_hit", c.flow_hits),
            ("unmatched", c.unmatched),
            ("gate_lease_hit", c.gate_lease_hits),
            ("deny_lease_hit", c.deny_lease_hits),
            ("redirected", c.redirected),
            ("queued", c.queued),
            ("allowed", c.allowed),
            ("denied", c.denied),
            ("unreadable", c.parse_errors),
        ] {
            replace(&self.packets.with_label_values(&[outcome]), value);
        }
    }

    fn take_events(&self, tally: &Tally) {
        for (event, counter) in [
            ("revoked", &tally.revoked),
            ("lease_not_written", &tally.lease_errors),
            ("lease_displaced", &tally.leases_displaced),
            ("gate_lost", &tally.gate_losses),
            ("tc_lost", &tally.tc_losses),
            ("policy_not_counted", &tally.policies_uncounted),
            ("http_refused", &tally.http_refused),
        ] {
            let counted = self.events.with_label_values(&[event]);
            replace(&counted, counter.load(Ordering::Relaxed));
        }
    }

    fn take_maps(&self, maps: &MapStates) {
        for (map, MapState { entries, max }) in [
            ("leases", maps.leases),
            ("denials", maps.denials),
            ("flows", maps.flows),
            ("redirects", maps.redirects),
            ("guards", maps.guards),
        ] {
            // There are none without eBPF.
            if max > 0 {
                self.entries.with_label_values(&[map]).set(entries.into());
                self.max_entries.with_label_values(&[map]).set(max.into());
            }
        }
    }

    fn take_policies(&self, counts: PolicyCounts) {
        for (kind, count) in counts.by_kind() {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.policies.with_label_values(&[kind]).set(count.into());
        }
    }

    fn take_conntrack(&self, statistics: &Statistics) {
        self.conntrack_entries.set(statistics.entries.into());
        self.conntrack_max.set(statistics.max.into());
        for (event, value) in [
            ("insert_failed", statistics.insert_failed),
            ("dropped", statistics.dropped),
            ("early_dropped", statistics.early_dropped),
            ("chain_too_long", statistics.chain_too_long),
        ] {
            replace(&self.conntrack_events.with_label_values(&[event]), value);
        }
    }
}

fn gauge(name: &str, help: &str) -> Outcome<IntGauge> {
    IntGauge::new(name, help)
}

fn gauges(name: &str, help: &str, label: &str) -> Outcome<GaugeVec> {
    GaugeVec::new(Opts::new(name, help), &[label])
}

fn counters(name: &str, help: &str, label: &str) -> Outcome<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), &[label])
}
