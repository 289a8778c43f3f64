//! Enforcement latencies: one short real run in the laboratory of each kind, and what the command line refuses.

mod common;

use std::process::Output;

use serde_json::Value;

use self::common::{assert_said, command, output, said, skipped};

/// As often is tried what a machine that stands still spoils.
const TRIES: usize = 3;

/// Without a way to a cluster.
fn bench(line: &str) -> Output {
    let mut command = command();
    let command = command.args(line.split(' ')).env_remove("KUBECONFIG");
    output(command.env("HOME", "/nonexistent"))
}

/// What a run tells; none where something was lost, as packets are while a machine stands still for seconds.
fn whole(line: &str) -> Option<Value> {
    let output = bench(line);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let rows = report["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["leaked"] == 0), "{report:#}");
    let is_lost = rows.iter().any(|row| row["lost"] != 0);
    let code = Some(i32::from(is_lost));
    assert_eq!(output.status.code(), code, "{}", said(&output));
    (!is_lost).then_some(report)
}

/// A run of three rounds of changes: every kind has its samples, by whichever mode, and nothing leaks.
fn check(verb: &str, kinds: &[(&str, usize)]) -> Value {
    let line = format!(
        "latency {verb} --noisy --repetitions 3 --modes hybrid,nfqueue --policies 5 -o json"
    );
    let report = (0..TRIES).find_map(|_| whole(&line));
    let report = report.expect("a run in which the machine did not stand still");
    let rows = report["rows"].as_array().expect("rows");
    let found: Vec<_> = rows
        .iter()
        .map(|row| {
            let lengths = ["samples_ms", "said_ms"].map(|it| row[it].as_array().map(Vec::len));
            let [Some(samples), Some(said)] = lengths else {
                panic!("no samples: {row}");
            };
            assert_eq!(samples, said, "the agent is asked each time");
            let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
            assert_eq!((&row["leaked"], &row["lost"]), (&0.into(), &0.into()));
            assert!(row["p50_ms"].as_f64() <= row["max_ms"].as_f64(), "{row}");
            assert!(row["met"].is_null(), "a noisy run judges nothing");
            (text("mode"), text("kind"), samples)
        })
        .collect();
    let expected: Vec<_> = ["hybrid", "nfqueue"]
        .iter()
        .flat_map(|mode| {
            let of = kinds.iter();
            of.map(|(kind, samples)| ((*mode).to_owned(), (*kind).to_owned(), *samples))
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(report["policies"], 5);
    report
}

#[test]
fn policies_and_labels_are_timed_in_each_mode() {
    if skipped() {
        return;
    }
    let report = check(
        "policy --burst 20",
        &[
            ("allow", 6),
            ("deny", 6),
            ("revoke_tcp", 3),
            ("revoke_udp", 3),
            ("label_allow", 3),
            ("label_deny", 3),
            ("namespace_allow", 3),
            ("namespace_deny", 3),
            ("burst_allow", 3),
            ("burst_deny", 3),
            ("churn_allow", 3),
            ("churn_deny", 3),
        ],
    );
    assert_eq!(report["burst"], 20);
    assert!(report["churn_per_second"].as_f64() > Some(1.0), "{report}");
}

#[test]
fn pods_are_timed_in_each_mode() {
    if skipped() {
        return;
    }
    let report = check("pod", &[("reached", 3), ("protected", 3), ("window", 3)]);
    assert!(report["churn_per_second"].is_null(), "{report}");
    assert_eq!(report["burst"], 0);
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    const HOST: &str =
        "failed to verify host configuration, error: HostNamespace parameter is not specified";
    for (line, code, expected) in [
        (
            "latency policy --quick --HostNamespace=a",
            2,
            "cannot be used with",
        ),
        (
            "latency pod --quick -MaxTargets=1",
            2,
            "cannot be used with",
        ),
        ("latency pod -AllowPolicyName=a", 2, "unexpected argument"),
        ("latency policy --modes none", 2, "invalid value"),
        ("latency policy --repetitions 0", 2, "0 is not in 1..=10000"),
        (
            "latency policy --burst 10001",
            2,
            "10001 is not in 0..=10000",
        ),
        ("latency pod --churn 5", 2, "unexpected argument"),
        (
            "latency policy --churn 5 -MaxTargets=1",
            2,
            "cannot be used with",
        ),
        ("latency policy -MetricsPort=x", 2, "invalid value"),
        (
            "latency policy --agent /no/agent",
            2,
            "no agent at /no/agent",
        ),
        ("latency pod -TargetPort=80", 2, HOST),
        (
            "latency policy -HostNamespace=a",
            2,
            "AllowPolicyName is not specified for policy creation test",
        ),
        (
            "latency pod -HostNamespace=a -TargetLabelSelector=a -TargetNamespace=a -TargetPort=80",
            3,
            "failed to create k8s client",
        ),
    ] {
        let output = bench(line);
        assert_said(line, &output, (code, expected));
        assert!(output.stdout.is_empty(), "{line}");
    }
}
