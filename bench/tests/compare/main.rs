//! Short real runs: modes that are up at the same time, slices that prove them, a document with the fields that
//! others hold on to.

#[path = "../common/mod.rs"]
mod common;
mod external;
mod more;
mod place;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use self::common::{assert_said, bench, command, output, said, skipped};
use self::place::{assert_proven, compare};

const MODES: [&str; 10] = [
    "none",
    "conntrack",
    "conntrack_again",
    "nfqueue",
    "nfqueue_n",
    "hybrid",
    "hybrid_redirect",
    "hybrid_cold",
    "hybrid_stopped",
    "linear",
];

#[test]
fn every_mode_proves_itself() {
    if skipped() {
        return;
    }
    let report = compare("--workloads tcp_crr,udp_new,udp_rr");
    assert_proven(&report, (10 + 9 + 9) * 5);
    let crr = &report["workloads"][0];
    assert_eq!(crr["name"], "tcp_crr");
    for mode in MODES {
        let p50 = crr["modes"][mode]["p50_us"].as_f64();
        assert!(p50.unwrap() > 0.0, "{mode}: {crr:#}");
    }
    let ratios = crr["ratios"].as_array().unwrap();
    let found =
        |it: &&Value| it["a"] == "conntrack_again" && it["b"] == "conntrack" && it["stat"] == "p50";
    let ratio = ratios.iter().find(found).unwrap();
    let number = |it: &Value| it.as_f64().unwrap();
    assert!(
        number(&ratio["ci"][0]) <= number(&ratio["ratio"]),
        "{ratio}"
    );
    assert!(ratio["rounds"].as_u64().unwrap() <= 5, "{ratio}");
    let memory = &report["memory_kb"];
    let holds = |mode: &str, what: &str| memory[mode][what].as_u64() > Some(0);
    assert!(
        holds("hybrid", "resident") && holds("hybrid", "bpf_maps"),
        "{memory}"
    );
    assert!(holds("nfqueue", "resident"), "{memory}");
    assert!(memory["linear"].is_null(), "{memory}");
    assert!(report["env"]["kernel"].is_string());
    assert_eq!(report["targets"].as_array().unwrap().len(), 0);
}

#[test]
fn every_workload_goes_the_way_of_its_mode() {
    if skipped() {
        return;
    }
    let workloads = "tcp_crr_8,tcp_crr_64,tcp_open_25,tcp_open_50,tcp_open_75,tcp_crr_ipv6,tcp_crr_service,tcp_rr,\
                     udp_rr,tcp_stream,http";
    let report = compare(&format!(
        "--modes conntrack,nfqueue,hybrid --workloads {workloads}"
    ));
    assert_proven(&report, 11 * 3 * 5);
    assert!(report["capacity"].as_f64().unwrap() > 0.0);
}

/// It ends after the slice under way, and takes everything with it.
#[test]
fn ctrl_c_ends_a_run() {
    if skipped() {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-bench"));
    command.args(["compare", "--noisy", "--modes", "hybrid"]);
    let mut child = command
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It says what it will do, then makes the pods: told then, it has to hear it.
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    said.find(|line| line.as_ref().unwrap().contains("slices of"))
        .unwrap()
        .unwrap();
    let pid = Pid::from_child(&child);
    let limit = Instant::now() + Duration::from_mins(1);
    while directories_of(pid).is_empty() {
        assert!(Instant::now() < limit, "no pods are made");
        // reason: from one look to the next; the processor is left to what is waited for
        std::thread::sleep(Duration::from_millis(1));
    }
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(directories_of(pid), Vec::<String>::new());
}

/// What a process has made for its laboratories.
fn directories_of(pid: Pid) -> Vec<String> {
    let name = format!("{}-", pid.as_raw_nonzero());
    let runs = fs::read_dir("/run/sluice-lab")
        .into_iter()
        .flatten()
        .flatten();
    let names = runs.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|it| it.starts_with(&name)).collect()
}

#[test]
fn the_cost_of_policies_is_measured_in_every_mode() {
    if skipped() {
        return;
    }
    let arguments = "policies --noisy --fetches 20 --rounds 5 --policies 0,10 -o json";
    let output = bench(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for mode in ["nfqueue", "hybrid", "linear"] {
        let means = &report["modes"][mode]["mean_ms"];
        for (policies, size) in [("0", ".5k"), ("10", ".5k"), ("10", "1M")] {
            assert!(
                means[policies][size].as_f64() > Some(0.0),
                "{mode}: {means:#}"
            );
        }
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    for (arguments, code, said) in [
        ("compare --modes fast", 2, "invalid value 'fast'"),
        ("compare --workloads tcp", 2, "tcp_crr"),
        ("compare --rounds 2", 2, "2 is not in 5..=1000"),
        ("compare --policies 0", 2, "0 is not in 1..=10000"),
        ("policies --policies ten", 2, "invalid value 'ten'"),
        ("policies --fetches 1", 2, "1 is not in 20..=1000000"),
        (
            "policies --modes hybrid_stopped",
            2,
            "hybrid_stopped is for compare alone",
        ),
        (
            "compare --modes none --workloads tcp_crr_service",
            2,
            "none of the workloads",
        ),
        (
            "compare --modes hybrid --workloads tcp_open_50",
            2,
            "not among the modes",
        ),
        (
            "compare --agent /nowhere/sluice",
            2,
            "no agent at /nowhere/sluice",
        ),
        (
            "compare --modes external --workloads tcp_crr",
            2,
            "mode external and --external COMMAND belong together",
        ),
        (
            "compare --modes hybrid --external enforce",
            2,
            "mode external and --external COMMAND belong together",
        ),
        ("compare --flood 0", 2, "0 is not in 1..=10000000"),
        (
            "compare --modes external --external= --workloads tcp_crr",
            2,
            "--external: no program is named",
        ),
        ("report /no/such.json -o json", 2, "/no/such.json"),
        ("measure", 2, "unrecognized subcommand 'measure'"),
    ] {
        assert_said(arguments, &bench(arguments), (code, said));
    }
}

#[test]
fn the_environment_is_one_document() {
    let output = bench("env -o json");
    assert!(output.status.success());
    let env: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(env["processors"].as_u64() > Some(0), "{env}");
}

#[test]
fn a_run_becomes_a_page_a_table_and_plots() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let document = directory.path().join("compare.json");
    let report = compare("--modes conntrack,hybrid --workloads tcp_crr");
    fs::write(&document, report.to_string()).unwrap();
    let out = directory.path().join("out");
    let [from, to] = [&document, &out].map(|path| path.to_str().unwrap());
    let arguments = ["report", from, "--out", to, "-o", "json"];
    let output = output(command().args(arguments));
    assert!(output.status.success(), "{}", said(&output));
    let written: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        written["written"].as_array().unwrap().len() > 5,
        "{written}"
    );
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert!(read("compare.md").contains("| `hybrid` ÷ `conntrack` |"));
    assert_eq!(read("compare.csv").lines().count(), 11);
    assert!(read("compare-ratios.svg").contains("hybrid ÷ conntrack, p50"));
    assert!(read("compare-ecdf.svg").contains("tcp_crr"));
    assert!(read("compare-slices.svg").contains("hybrid"));
}
