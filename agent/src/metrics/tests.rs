//! What is exposed, and that the table of it is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use sluice_api::{Counts, KindReport, ReporterState};
use sluice_kubernetes::live::Kind;
use sluice_netlink::Statistics;
use sluice_policy::{Action, AdminKind, Decision, Direction, PolicyId, Protocol, Tier};

use super::*;
use crate::queue::proc::QueueStat;
use crate::status::{MapState, MapStates};

/// Every metric, with something to tell.
fn rendered() -> (Metrics, String) {
    let metrics = Metrics::new(Mode::Hybrid, true).unwrap();
    judge_a_packet(&metrics);
    metrics.api.refresh(&of_api());
    metrics.reporter.refresh(&ReporterState {
        leads: true,
        events: Counts {
            written: 3,
            refused: 2,
            failed: 1,
        },
        ..ReporterState::default()
    });
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
        conntrack: Some(Statistics::default()),
    });
    let text = text.unwrap();
    (metrics, text)
}

fn judge_a_packet(metrics: &Metrics) {
    let took = Duration::from_micros(30);
    metrics.packet(Protocol::Tcp, false, Action::Deny, took);
    metrics.timing.evaluated(took);
    metrics.timing.answered(Arrival {
        stamped: Some(SystemTime::now()),
        read: took,
    });
    metrics.timing.sync.observe(took.as_secs_f64());
    let policy = PolicyId::NetworkPolicy {
        namespace: "x".into(),
        name: "p".into(),
    };
    let decision = Decision {
        action: Action::Deny,
        tier: Tier::NetworkPolicy,
        policy: Some(&policy),
        rule: None,
    };
    let counted = metrics.policies.count(Direction::Ingress, &decision);
    assert_eq!(counted, Counted::Yes);
}

/// An API that serves pods, which may be read, nodes, which may not, and no admin policy.
fn of_api() -> sluice_api::Report {
    let kind = |kind, served, forbidden: bool| KindReport {
        kind,
        served,
        synced: !forbidden,
        objects: 7,
        heard: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(9)),
        trouble: None,
        forbidden,
    };
    let admin = Kind::Admin(AdminKind::AdminNetworkPolicy);
    sluice_api::Report {
        server: None,
        synced: false,
        disconnected: Some(SystemTime::now()),
        troubles: Vec::new(),
        discovery_forbidden: true,
        kinds: vec![
            kind(Kind::Pod, true, false),
            kind(Kind::Node, true, true),
            kind(admin, false, false),
        ],
        refused: vec![sluice_api::Refused {
            resource: Kind::Pod.resource(),
            code: 429,
            count: 3,
        }],
    }
}

#[test]
fn what_is_known_of_the_api_and_written_to_it_is_told_by_resource_and_outcome() {
    let (_, text) = rendered();
    for line in [
        "sluice_api_objects{resource=\"pods\"} 7",
        "sluice_api_synced{resource=\"pods\"} 1",
        "sluice_api_synced{resource=\"nodes\"} 0",
        "sluice_api_heard_timestamp_seconds{resource=\"pods\"} 9",
        "sluice_api_forbidden{resource=\"pods\"} 0",
        "sluice_api_forbidden{resource=\"nodes\"} 1",
        "sluice_api_forbidden{resource=\"apis\"} 1",
        "sluice_api_refused_total{code=\"429\",resource=\"pods\"} 3",
        "sluice_reporter_leads 1",
        "sluice_reporter_writes_total{outcome=\"refused\",what=\"event\"} 2",
        "sluice_reporter_writes_total{outcome=\"written\",what=\"status\"} 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains("resource=\"adminnetworkpolicies"), "{text}");
}

#[test]
fn what_is_not_served_any_more_is_not_told_of() {
    let (metrics, _) = rendered();
    let mut report = of_api();
    report.kinds[1].served = false;
    metrics.api.refresh(&report);
    let text = metrics.render(&Reading::default()).unwrap();
    assert!(text.contains("resource=\"pods\""), "{text}");
    assert!(!text.contains("resource=\"nodes\""), "{text}");
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

#[test]
fn every_metric_has_a_series_once_there_is_something_to_tell() {
    let (_, page) = rendered();
    let shown: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let documented: Vec<_> = documented().into_keys().collect();
    assert_eq!(shown, documented);
}

/// Words that are names of our metrics.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sluice_") || word.starts_with("kube_network_policies_"))
}

const ASKING: [(&str, &str); 3] = [
    (
        "alerts",
        include_str!("../../../helm/sluice/alerts/sluice.yaml"),
    ),
    (
        "dashboard",
        include_str!("../../../helm/sluice/dashboards/sluice.json"),
    ),
    ("METRICS.md", include_str!("../../METRICS.md")),
];

#[test]
fn alerts_dashboard_and_questions_name_metrics_that_exist() {
    let (_, page) = rendered();
    // With the buckets and sums of histograms.
    let there: BTreeSet<_> = names(&page).collect();
    for (whose, asked) in ASKING {
        // What stands for several is written with a star.
        let missing: BTreeSet<_> = names(asked)
            .filter(|name| !there.contains(name) && !asked.contains(&format!("{name}*")))
            .collect();
        assert!(
            names(asked).count() > 5 && missing.is_empty(),
            "{whose}: {missing:?}"
        );
    }
}

/// Metrics on which nobody need be woken or look at a curve, and why.
const UNASKED: [(&str, &str); 5] = [
    (
        "kube_network_policies_nfqueue_packet_id",
        "a number that only grows",
    ),
    (
        "kube_network_policies_packet_process_duration_microseconds",
        "the histogram of the same can be added up",
    ),
    (
        "sluice_api_heard_timestamp_seconds",
        "old where nothing happens",
    ),
    ("sluice_api_objects", "what the API server tells of itself"),
    ("sluice_api_synced", "`sluice_ready` waits for it"),
];

#[test]
fn every_metric_of_ours_is_asked_for_by_an_alert_or_the_dashboard() {
    let asked: String = ASKING[..2].iter().map(|(_, text)| *text).collect();
    for name in documented().into_keys() {
        let excused = UNASKED.iter().find(|(unasked, _)| *unasked == name);
        assert_eq!(
            asked.contains(name),
            excused.is_none() && !name.starts_with("process_"),
            "{name} {excused:?}"
        );
    }
}
