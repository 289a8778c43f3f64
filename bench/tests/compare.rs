//! One short real run: modes that are up at the same time, slices that prove them, a document with the fields that
//! others hold on to.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-bench"));
    command
        .args(arguments)
        .output()
        .expect("sluice-bench starts")
}

/// Whether the test cannot run here; says so.
fn skipped() -> bool {
    let agent = Path::new(env!("CARGO_BIN_EXE_sluice-bench")).with_file_name("sluice");
    let lacks = if !rustix::process::geteuid().is_root() {
        Some("network namespaces need root".to_owned())
    } else if !agent.is_file() {
        Some(format!(
            "no agent at {} (cargo build -p sluice)",
            agent.display()
        ))
    } else {
        None
    };
    lacks
        .inspect(|lacks| println!("skipped: {lacks}"))
        .is_some()
}

/// What the machine does besides is not the test's to judge (`--noisy`); that each slice went the way of its mode is.
#[test]
fn every_mode_proves_itself() {
    if skipped() {
        return;
    }
    let arguments = "compare --noisy --rounds 5 --slice 40 --workloads tcp_crr,tcp_rr,udp_new,tcp_crr_service -o json";
    let output = bench(&arguments.split(' ').collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stderr);
    // 1: at this length no target needs be met.
    assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    let rows = report["rows"].as_array().unwrap();
    let void: Vec<_> = rows.iter().filter(|row| !row["void"].is_null()).collect();
    assert!(void.len() * 10 <= rows.len(), "{void:#?}");
    assert_eq!(report["void_slices"], void.len());
    let crr = &report["workloads"][0];
    assert_eq!(crr["name"], "tcp_crr");
    for mode in [
        "none",
        "conntrack",
        "conntrack_again",
        "nfqueue",
        "nfqueue_n",
        "hybrid",
        "hybrid_cold",
        "hybrid_stopped",
        "linear",
    ] {
        assert!(
            crr["modes"][mode]["p50_us"].as_f64() > Some(0.0),
            "{mode}: {crr:#}"
        );
    }
    let ratios = crr["ratios"].as_array().unwrap();
    let of = |a, b| {
        let found = |it: &&Value| it["a"] == a && it["b"] == b && it["stat"] == "p50_us";
        ratios.iter().find(found)
    };
    let ratio = of("nfqueue", "hybrid").unwrap();
    assert!(
        ratio["ci"][0].as_f64() <= ratio["ratio"].as_f64(),
        "{ratio}"
    );
    assert!(report["env"]["kernel"].is_string());
}

#[test]
fn the_cost_of_policies_is_measured_in_every_mode() {
    if skipped() {
        return;
    }
    let arguments = "policies --noisy --fetches 20 --rounds 5 --policies 0,10 -o json";
    let output = bench(&arguments.split(' ').collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for mode in ["nfqueue", "hybrid", "linear"] {
        let means = &report["modes"][mode]["mean_ms"];
        for (policies, size) in [("0", ".5k"), ("10", ".5k"), ("10", "1M")] {
            assert!(
                means[policies][size].as_f64() > Some(0.0),
                "{mode}: {means:#}"
            );
        }
        let large = means["10"]["1M"].as_f64();
        assert!(
            large > means["10"][".5k"].as_f64(),
            "a page of 1 MB is no sooner there: {means:#}"
        );
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
        ("measure", 2, "unrecognized subcommand 'measure'"),
    ] {
        let output = bench(&arguments.split(' ').collect::<Vec<_>>());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {text}");
        assert!(text.contains(said), "{arguments}: {text}");
    }
    if skipped() {
        return;
    }
    let output = bench(&["compare", "--agent", "/nowhere/sluice"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("no agent at /nowhere/sluice"), "{text}");
}

#[test]
fn the_environment_is_one_document() {
    let output = bench(&["env", "-o", "json"]);
    assert!(output.status.success());
    let env: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(env["processors"].as_u64() > Some(0), "{env}");
}
