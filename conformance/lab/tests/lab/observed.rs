//! What the agent tells of packets that it judges: lines of its log, and its metrics.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_lab::promtool::{self, CHOSEN};
use sluice_lab::{Family, Lab, Manifests, Mode, Outcome};
use sluice_policy::Protocol;

use crate::common::{address, assert_outcomes, cell, enforce, eventually, under_agents_told};

/// Pods x/a and x/b; x/a lets x/b in on port 80, and nobody else in on any.
const WORLD: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x, labels: {app: a}}
spec: {containers: [{name: s, image: s, ports: [{containerPort: 80}, {containerPort: 81}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: x, labels: {app: b}}
spec: {containers: [{name: s, image: s, ports: [{containerPort: 80}]}]}
";
const POLICY: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: only-b, namespace: x}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}]}]
";

fn up(mode: Mode, arguments: &[&str]) -> Option<Lab> {
    let world = [("world.yaml", WORLD), ("policy.yaml", POLICY)];
    let world = world.map(|(file, text)| (file.to_owned(), text.to_owned()));
    let manifests = Manifests::Texts(world.to_vec());
    under_agents_told(&manifests, &[Family::Ipv4], mode, arguments)
}

/// Lets x/b try what it may and what it may not.
fn try_both(lab: &Lab) {
    let ask = |port| cell("x/b", "x/a", port, Protocol::Tcp, Family::Ipv4);
    let expected = [Outcome::Allowed, Outcome::Denied];
    assert_outcomes(lab, &[ask(80), ask(81)], &expected);
    // Silence may come before the verdict on a busy machine.
    eventually("both are judged", || {
        let counted = lab.counters().unwrap();
        counted.allowed > 0 && counted.denied > 0
    });
}

/// The lines of the agent's log that have this message.
fn lines(lab: &Lab, message: &str) -> Vec<Value> {
    let log = lab.agents()[0].log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["message"] == message)
        .collect()
}

/// The value of a series; none where there is none.
fn metric(lab: &Lab, series: &str) -> Option<f64> {
    let metrics = lab.agents()[0].metrics().unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map(|value| value.trim().parse().unwrap())
}

#[test]
fn a_denied_connection_is_a_line_that_says_who_and_why() {
    let Some(lab) = up(Mode::Hybrid, &["--log-format", "json"]) else {
        return;
    };
    try_both(&lab);
    // It is counted before it is written.
    eventually("it is logged", || {
        !lines(&lab, "connection denied").is_empty()
    });
    for line in lines(&lab, "connection denied") {
        let expected = json!({
            "source": address(&lab, "x/b", Family::Ipv4), "source_pod": "x/b",
            "destination": address(&lab, "x/a", Family::Ipv4), "destination_pod": "x/a",
            "protocol": "TCP", "port": 81, "direction": "ingress",
            "tier": "NetworkPolicy", "policy": "x/only-b", "node": "node-1",
        });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&line[field], value, "{field} of {line}");
        }
        assert!(line.get("rule").is_none(), "no rule allowed it: {line}");
    }
    assert_eq!(lines(&lab, "connection allowed"), Vec::<Value>::new());
}

#[test]
fn in_text_a_denial_reads_from_left_to_right() {
    let Some(lab) = up(Mode::Hybrid, &[]) else {
        return;
    };
    try_both(&lab);
    let (from, to) = (
        address(&lab, "x/b", Family::Ipv4),
        address(&lab, "x/a", Family::Ipv4),
    );
    let line = format!(
        "connection denied source={from} source_pod=x/b destination={to} destination_pod=x/a protocol=TCP port=81 \
         direction=ingress tier=NetworkPolicy policy=x/only-b node=node-1"
    );
    let log = || lab.agents()[0].log();
    eventually(&line, || log().contains(&line));
}

#[test]
fn on_demand_an_allowed_connection_is_a_line_too() {
    let arguments = ["--log-format", "json", "--log-verdicts", "all"];
    let Some(lab) = up(Mode::Nfqueue, &arguments) else {
        return;
    };
    try_both(&lab);
    let find = || {
        let mut allowed = lines(&lab, "connection allowed").into_iter();
        allowed.find(|line| line["port"] == 80)
    };
    eventually("it is logged", || find().is_some());
    let line = find().unwrap();
    for (field, value) in [
        ("source_pod", json!("x/b")),
        ("destination_pod", json!("x/a")),
        ("egress_tier", json!("Default")),
        ("ingress_policy", json!("x/only-b")),
        ("ingress_rule", json!(0)),
    ] {
        assert_eq!(line[field], value, "{field} of {line}");
    }
}

#[test]
fn nothing_is_logged_where_nobody_wants_it() {
    let Some(lab) = up(Mode::Nfqueue, &["--log-verdicts", "none"]) else {
        return;
    };
    try_both(&lab);
    let log = lab.agents()[0].log();
    assert!(!log.contains("connection"), "{log}");
}

#[test]
fn packets_are_timed_and_counted_by_policy_for_as_long_as_it_is_there() {
    let Some(lab) = up(Mode::Nfqueue, &["--policy-metrics"]) else {
        return;
    };
    try_both(&lab);
    let series = |verdict: &str| {
        format!(
            "sluice_policy_verdicts_total{{direction=\"ingress\",kind=\"NetworkPolicy\",name=\"only-b\",namespace=\"x\",verdict=\"{verdict}\"}}"
        )
    };
    let count = |series: &str| metric(&lab, series).unwrap_or_default();
    let of_policy = || ["allowed", "denied"].map(|verdict| count(&series(verdict)));
    eventually("both are counted", || {
        of_policy().iter().all(|count| *count >= 1.0)
    });
    let judged: f64 = of_policy().iter().sum();
    // Some of it is counted after the verdict was given.
    for timed in [
        "sluice_evaluation_duration_seconds_count",
        "sluice_verdict_wait_seconds_count{since=\"read\"}",
    ] {
        eventually(timed, || count(timed) >= judged);
    }
    assert!(metric(&lab, "sluice_conntrack_entries ").unwrap() >= 1.0);
    enforce(&lab, "policy.yaml", "");
    let gone =
        || metric(&lab, &series("denied")).is_none() && metric(&lab, &series("allowed")).is_none();
    eventually("the series of a policy that is gone are gone", gone);
}

#[test]
fn how_full_maps_and_conntrack_are_is_told() {
    let Some(lab) = up(Mode::Hybrid, &[]) else {
        return;
    };
    try_both(&lab);
    let value = |series: &str| metric(&lab, series).unwrap();
    for (entries, most) in [
        (
            "sluice_map_entries{map=\"leases\"}",
            "sluice_map_max_entries{map=\"leases\"}",
        ),
        ("sluice_conntrack_entries ", "sluice_conntrack_max_entries "),
    ] {
        let (entries, most) = (value(entries), value(most));
        assert!((1.0..most).contains(&entries), "{entries} of {most}");
    }
    value("sluice_conntrack_events_total{event=\"dropped\"}");
}

#[test]
fn promtool_has_nothing_against_the_metrics_but_for_names_that_others_chose() {
    let Some(lab) = up(Mode::Hybrid, &["--policy-metrics"]) else {
        return;
    };
    try_both(&lab);
    let page = lab.agents()[0].metrics().unwrap();
    for family in [
        "sluice_policy_verdicts_total",
        "sluice_map_entries",
        "sluice_conntrack_events_total",
    ] {
        assert!(page.contains(&format!("# TYPE {family} ")), "{page}");
    }
    let Ok(found) = promtool::findings(&page) else {
        println!("skipped: no promtool (Debian's package prometheus)");
        return;
    };
    assert_eq!(found, BTreeSet::from(CHOSEN.map(str::to_owned)));
}
