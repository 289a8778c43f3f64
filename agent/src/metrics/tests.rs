//! What is exposed, and that the table of it is complete.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use sluice_policy::{Action, Protocol};

use super::*;
use crate::queue::proc::QueueStat;
use crate::status::{MapState, MapStates};

/// Every metric, with something to tell.
fn rendered() -> (Metrics, String) {
    let metrics = Metrics::new(Mode::Hybrid, true).unwrap();
    let took = Duration::from_micros(30);
    metrics.packet(Protocol::Tcp, false, Action::Deny, took);
    let queue = QueueStat {
        num: 100,
        waiting: 1,
        dropped: 2,
        user_dropped: 3,
        packet_id: 4,
    };
    let leases = MapState {
        entries: 5,
        max: 10,
    };
    let text = metrics.render(&Reading {
        ready: true,
        queues: &[queue],
        maps: MapStates {
            leases,
            ..MapStates::default()
        },
        counters: crate::status::CounterStates::default(),
        pods: crate::status::PodCounts::default(),
        policies: crate::status::PolicyCounts::default(),
        conntrack: None,
    });
    let text = text.unwrap();
    (metrics, text)
}

#[test]
fn the_seven_names_of_kube_network_policies_are_there() {
    let (_, text) = rendered();
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

#[test]
fn a_map_that_is_not_there_is_not_told_of() {
    let (_, text) = rendered();
    assert!(
        text.contains("sluice_map_max_entries{map=\"leases\"} 10"),
        "{text}"
    );
    assert!(!text.contains("map=\"flows\""), "{text}");
}

/// Rows of the table in METRICS.md: the metric's name and type.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let table = include_str!("../../METRICS.md");
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        Some((cells.next()?.strip_suffix('`')?, cells.next()?))
    });
    rows.collect()
}

#[test]
fn every_metric_is_in_the_table_and_nothing_else_is() {
    let (metrics, _) = rendered();
    let documented: Vec<_> = documented().into_keys().collect();
    let registered: Vec<_> = metrics.catalogue.names().into_iter().collect();
    assert_eq!(registered, documented);
}

#[test]
fn a_metric_is_of_the_type_that_the_table_says() {
    let (_, text) = rendered();
    let documented = documented();
    let types: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    assert!(types.len() > 20, "{text}");
    for (name, kind) in types {
        assert_eq!(documented.get(name), Some(&kind), "{name}");
    }
}

/// Words that are names of our metrics.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sluice_") || word.starts_with("kube_network_policies_"))
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_exist() {
    let (_, page) = rendered();
    let there: HashSet<_> = names(&page).collect();
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
