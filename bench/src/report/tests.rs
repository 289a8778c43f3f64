//! Small documents of each command, and the files that become of them.

use serde_json::Value;

use super::document::tests::ENV;
use super::*;

fn run(name: &str, text: &str) -> Run {
    let text = text.replace("ENV", ENV);
    Run {
        name: name.to_owned(),
        document: read(&text).unwrap_or_else(|error| panic!("{name}: {error:#}")),
        text,
    }
}

const COMPARE: &str = r#"{"workloads": [{"name": "tcp_crr",
        "modes": {"conntrack": {"p50_us": 40.0, "per_second": 24000.0}, "hybrid": {"p50_us": 42.0, "per_second": 23000.0}},
        "ecdf_us": {"conntrack": [[0.5, 40.0], [0.99, 90.0]], "hybrid": [[0.5, 42.0], [0.99, 95.0]]},
        "ratios": [{"a": "hybrid", "b": "conntrack", "stat": "p50", "ratio": 1.05, "ci": [1.04, 1.07], "rounds": 30},
                   {"a": "hybrid", "b": "conntrack", "stat": "per_second", "ratio": 0.96, "ci": [0.95, 0.97], "rounds": 30},
                   {"a": "nfqueue", "b": "hybrid", "stat": "per_second", "ratio": 0.5, "ci": [0.4, 0.8], "rounds": 30}],
        "equal": null}],
    "within": [
        {"workload": "tcp_crr_service", "against": "tcp_crr", "mode": "hybrid", "stat": "p50", "ratio": 1.21,
         "ci": [1.2, 1.23], "rounds": 30, "against_conntrack": {"ratio": 1.01, "ci": [0.99, 1.02], "rounds": 30}},
        {"workload": "flood", "against": "flood_quiet", "mode": "hybrid", "stat": "p99", "ratio": 1.31,
         "ci": [1.3, 1.33], "rounds": 30, "against_conntrack": null}],
    "void_slices": 1, "slices": 3, "void_reasons": [], "capacity": null, "env": ENV, "rounds": 30, "slice_ms": 200,
    "seed": 1, "policies": 10, "agent": "sluice", "quick": false, "noisy": false,
    "targets": [{"workload": "tcp_crr", "a": "hybrid", "b": "conntrack", "stat": "p50", "bound": {"at_most": 1.05},
        "worst": 1.07, "met": false},
        {"workload": "tcp_crr", "a": "hybrid", "b": "nfqueue", "stat": "per_second", "bound": {"at_least": 1.6},
         "worst": 1.25, "met": false},
        {"workload": "tcp_crr_service", "a": "hybrid", "b": "conntrack", "against": "tcp_crr", "stat": "p50",
         "bound": {"at_most": 1.03}, "worst": 1.02, "met": true},
        {"workload": "flood", "a": "hybrid", "b": "hybrid", "against": "flood_quiet", "stat": "p99",
         "bound": {"at_most": 1.2}, "worst": null, "met": null}],
    "rows": [{"round": 0, "workload": "tcp_crr", "mode": "hybrid", "void": null, "figures": {"p50_us": 42.0}},
        {"round": 0, "workload": "tcp_crr", "mode": "conntrack", "void": null, "figures": {"p50_us": 40.0}},
        {"round": 1, "workload": "tcp_crr", "mode": "hybrid", "void": "9 % were \"stolen\"", "figures": {"p50_us": 84.0}}]}"#;

const POLICIES: &str = r#"{"modes": {"hybrid": {"mean_ms": {"0": {".5k": 0.11}, "10000": {".5k": 0.112}},
        "against_fewest": {"10000": {".5k": {"ratio": 1.01, "ci": [1.0, 1.02], "rounds": 20}}},
        "slope_us": {"slope": 0.02, "ci": [-0.1, 0.1]}}},
    "void_slices": 0, "slices": 1, "void_reasons": {}, "flat": true, "quick": false, "noisy": false, "fetches": 2000,
    "env": ENV, "rows": [{"round": 0, "mode": "hybrid", "policies": 0, "size": ".5k", "void": null, "mean_ms": 0.11,
        "p50_ms": 0.1}]}"#;

const LATENCY: &str = r#"{"what": "policy", "policies": 0, "interval_ms": 0.5, "stolen": 0.01, "judged": true,
    "rows": [{"mode": "hybrid", "p50_ms": 1.5, "p90_ms": 3.0, "p99_ms": 3.0, "max_ms": 3.0,
        "target": {"p50": 2.0, "p99": 20.0}, "met": true, "kind": "allow", "samples_ms": [1.5, 3.0, 1.0], "lost": 0,
        "leaked": 0, "passed": 0},
        {"mode": "nfqueue", "target": null, "met": null, "kind": "allow", "samples_ms": [], "lost": 0, "leaked": 0,
        "passed": 0}],
    "env": ENV}"#;

const MICRO: &str = r#"{"micro": [
        {"part": "programs", "name": "IPv4 tc: lease, TCP", "size": null, "unit": "nanoseconds", "median": 103.0,
         "ci": [101.0, 108.0], "proof": "returned -1, mark 0x20", "skipped": null, "bound": null, "drift": null,
         "samples": [103.0, 101.0]},
        {"part": "verdicts", "name": "allowed, 10000 pods, policies", "size": 0, "unit": "nanoseconds", "median": 40.0,
         "ci": null, "proof": "each of 512 connections allowed", "skipped": null, "bound": null, "drift": null,
         "samples": [40.0]},
        {"part": "verdicts", "name": "allowed, 10000 pods, policies", "size": 100, "unit": "nanoseconds", "median": 70.0,
         "ci": null, "proof": "each of 512 connections allowed", "skipped": null, "bound": null, "drift": null,
         "samples": [70.0]},
        {"part": "instructions", "name": "a verdict", "size": null, "unit": "instructions", "median": 260.0,
         "ci": null, "proof": "200 of them did", "skipped": null, "bound": 250.0, "drift": 0.04, "samples": [260.0]},
        {"part": "memory", "name": "the index, pods", "size": 1000, "unit": "megabytes", "median": null,
         "ci": null, "proof": "", "skipped": "no agent", "bound": null, "drift": null, "samples": []}],
    "rounds": 31, "repeat": 1000000, "seed": 1, "quick": false, "env": ENV}"#;

const NETWORK: &str = r#"{"results": [{"output": "worker b went away",
    "task": {"command": "qperf", "args": [], "task_options": {"timeout_seconds": 30}, "status": 5,
        "client": {"worker": "a", "ip": "10.0.0.1", "vm": {"hostname": "", "availability_zone": ""}, "idle": true},
        "server": {"worker": "b", "ip": "10.0.0.2", "vm": {"hostname": "", "availability_zone": ""}, "idle": false}}}]}"#;

fn all() -> Runs {
    let runs = [
        ("micro", MICRO),
        ("network", NETWORK),
        ("latency-policy", LATENCY),
        ("policies", POLICIES),
        ("compare", COMPARE),
    ];
    let runs = runs.map(|(name, text)| run(name, text));
    Runs::new(runs.into()).unwrap()
}

fn written(runs: &Runs) -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let written = runs.write(directory.path()).unwrap();
    (directory, written)
}

/// A file, and what it says.
const SAYS: &[(&str, &str)] = &[
    (
        "compare.md",
        "| `hybrid` ÷ `conntrack`, p50 of `tcp_crr` | at most 1.05 | 1.05 [1.04, 1.07] | 1.070 | **not met** |",
    ),
    (
        "compare.md",
        "| `hybrid` ÷ `nfqueue`, per_second of `tcp_crr` | at least 1.6 | 2.00 [1.25, 2.50] | 1.250 | **not met** |",
    ),
    (
        "compare.md",
        "| `hybrid` ÷ `conntrack`, p50 of `tcp_crr_service` ÷ `tcp_crr` | at most 1.03 | 1.01 [0.99, 1.02] | 1.020 | met |",
    ),
    (
        "compare.md",
        "| `hybrid`, p99 of `flood` ÷ `flood_quiet` | at most 1.2 | 1.31 [1.30, 1.33] |  | untold |",
    ),
    (
        "compare.md",
        "## `flood` against `flood_quiet`\n\n| `flood` ÷ `flood_quiet` | within the mode | that ÷ the same of `conntrack` |",
    ),
    (
        "compare.md",
        "| `hybrid`, p50 | 1.21 [1.20, 1.23] | 1.01 [0.99, 1.02] |",
    ),
    (
        "compare.csv",
        "1,tcp_crr,hybrid,\"9 % were \"\"stolen\"\"\",84",
    ),
    (
        "policies.md",
        "| `hybrid` | 10000 | 1.010 [1.000, 1.020] | 0.020 [-0.100, 0.100] |",
    ),
    (
        "latency-policy.md",
        "| `allow` | `hybrid` | 3 | 1.50 | 3.00 | 3.00 | 3.00 | 0 | 0 | met |",
    ),
    (
        "micro.md",
        "| a verdict | 260 | instructions |  | 200 of them did; +4.0 % against what is recorded |",
    ),
    ("micro.md", "skipped: no agent"),
    (
        "network.md",
        "| qperf-tcp | a → b | lost: worker b went away |",
    ),
    (
        "README.md",
        "![Ratios of modes with their intervals](compare-ratios.svg)",
    ),
    ("README.md", "$ sluice-bench measure > compare.json"),
    ("compare-ratios.svg", "1.05 [1.04, 1.07]"),
    ("policies-cost.svg", "Romana 2016"),
];

#[test]
fn every_document_becomes_its_files() {
    let (directory, written) = written(&all());
    let is_plot = |path: &&PathBuf| path.extension().is_some_and(|it| it == "svg");
    let plots = written.iter().filter(is_plot);
    let mut plots: Vec<_> = plots
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    plots.sort_unstable();
    let expected = [
        "compare-costs.svg",
        "compare-ecdf.svg",
        "compare-ratios.svg",
        "compare-slices.svg",
        "latency-policy-enforced.svg",
        "micro-programs.svg",
        "micro-verdicts.svg",
        "policies-cost.svg",
    ];
    assert_eq!(plots, expected);
    for (file, says) in SAYS {
        let text = fs::read_to_string(directory.path().join(file)).unwrap();
        assert!(text.contains(says), "{file}: {text}");
    }
}

#[test]
fn files_are_the_same_each_time_they_are_written() {
    let runs = all();
    let (directory, files) = written(&runs);
    let read = || files.iter().map(|path| fs::read_to_string(path).unwrap());
    let before: Vec<_> = read().collect();
    let again = Runs::of_directory(directory.path()).unwrap();
    again.write(directory.path()).unwrap();
    assert!(read().eq(before));
    assert_eq!(section(&again, "x").unwrap(), section(&runs, "x").unwrap());
}

#[test]
fn a_section_leads_to_the_files() {
    let text = section(&all(), "results/x").unwrap();
    for says in [
        "Of 2026-11-27, xeon-platinum-8581c-linux-6.18: [everything](results/x/README.md).",
        "### Modes against each other: 2 modes, 1 workloads, 30 rounds\n",
        "(results/x/compare-ratios.svg)",
        "(results/x/network.md)",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
}

#[test]
fn the_directory_is_of_the_day_and_the_machine() {
    let expected = Path::new("bench/results/2026-11-27-xeon-platinum-8581c-linux-6.18");
    assert_eq!(all().directory(), expected);
}

#[test]
fn documents_that_would_be_in_each_others_place_are_refused() {
    let twice = vec![run("a", NETWORK), run("a", MICRO)];
    let refused = |runs| Runs::new(runs).unwrap_err();
    assert_eq!(refused(twice), RunsError::SameName("a".to_owned()));
    assert_eq!(refused(vec![run("README", MICRO)]), RunsError::Readme);
}

#[test]
fn a_document_of_another_machine_is_said_to_be_of_one() {
    let says_so = |field: &str, value: Value| {
        let mut document: Value = serde_json::from_str(&run("micro", MICRO).text).unwrap();
        document["env"][field] = value;
        let text = document.to_string();
        let other = Run {
            name: "micro".to_owned(),
            document: read(&text).unwrap(),
            text,
        };
        let runs = Runs::new(vec![run("policies", POLICIES), other]).unwrap();
        let pages = [section(&runs, "x").unwrap(), index::page(&runs).unwrap()];
        pages.map(|page| page.matches("on another machine than `policies`").count())
    };
    for (field, value, expected) in [
        ("kernel", "6.1.0".into(), 1),
        ("cpu", "another".into(), 1),
        ("processors", 64.into(), 1),
        (
            "mitigations",
            vec!["retbleed: untrained return thunk"].into(),
            1,
        ),
        ("date", "2026-12-24".into(), 0),
    ] {
        assert_eq!(says_so(field, value), [expected; 2], "{field}");
    }
}

#[test]
fn a_file_that_is_not_there_and_a_directory_that_cannot_be_are_named() {
    let (directory, _) = written(&all());
    let file = directory.path().join("compare.json");
    let error = format!("{:#}", all().write(&file).unwrap_err());
    assert!(error.contains("compare.json: "), "{error}");
    let error = format!("{:#}", Run::read(Path::new("/nowhere.json")).unwrap_err());
    assert!(error.contains("/nowhere.json: No such file"), "{error}");
}
