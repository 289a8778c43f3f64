//! Workloads that need more than a client and a server on one node.

use sluice_bench::load::iperf3_is_installed;

use crate::common::{assert_said, command, output, skipped};
use crate::place::{assert_proven, compare};

#[test]
fn between_two_nodes_every_mode_goes_its_way() {
    if skipped() {
        return;
    }
    let modes = "none,conntrack,nfqueue,hybrid,hybrid_cold,linear";
    let report = compare(&format!(
        "--modes {modes} --workloads tcp_crr_nodes,tcp_rr_nodes"
    ));
    // Questions on one connection are nothing new to anybody.
    assert_proven(&report, (6 + 5) * 5);
}

/// Not as many packets as usual: the agent of a test is a debug build.
#[test]
fn a_flood_is_denied_beside_a_client_who_may() {
    if skipped() {
        return;
    }
    let report = compare("--modes conntrack,nfqueue,hybrid,linear --workloads flood --flood 1000");
    assert_proven(&report, 2 * 4 * 5);
    assert_eq!(report["flood"], 1_000);
    // Where too few slices count there is no ratio: who denied what is in the proof of each slice.
    for it in report["within"].as_array().unwrap() {
        assert_eq!(it["against"], "flood_quiet", "{it}");
        assert!(it["ratio"].as_f64() > Some(0.0), "{it}");
        let is_reference = it["mode"] == "conntrack";
        assert!(!is_reference || it["against_conntrack"].is_null());
    }
}

#[test]
fn iperf3_streams_through_the_agent() {
    if skipped() {
        return;
    }
    if !iperf3_is_installed() {
        println!("skipped: iperf3 is not installed");
        return;
    }
    let report = compare("--modes hybrid --workloads iperf3_1,iperf3_8");
    assert_proven(&report, 2 * 5);
    for workload in report["workloads"].as_array().unwrap() {
        let rate = workload["modes"]["hybrid"]["gbit_s"].as_f64();
        assert!(rate > Some(0.0), "{workload:#}");
    }
}

/// What is asked for by its name and cannot be had is said, and nothing is made.
#[test]
fn iperf3_that_is_not_there_is_named() {
    let line = "compare --modes hybrid --workloads iperf3_1";
    let output = output(command().args(line.split(' ')).env("PATH", "/nowhere"));
    assert_said(line, &output, (3, "iperf3 is not installed"));
}
