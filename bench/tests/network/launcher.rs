//! Whole launches between namespaces of this machine.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::place::{
    Place, await_that, children, command_line, in_namespace, namespace_of, skipped,
};

/// Network namespaces of the processes that a process has started.
fn namespaces_below(process: u32) -> BTreeSet<u64> {
    let own = namespace_of(process);
    let below = children(process).into_iter().filter_map(namespace_of);
    below.filter(|it| Some(*it) != own).collect()
}

#[test]
fn a_quick_launch_measures_every_pair_and_leaves_nothing() {
    if skipped(&["iperf3", "qperf"]) {
        return;
    }
    let place = Place::new();
    let directory = tempfile::tempdir().unwrap();
    let line = format!(
        "network launcher --quick --benchmark iperf3-tcp,qperf-tcp --outputFileDirectory {} -o json",
        directory.path().display()
    );
    let said = place.start(&line).finish();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.statuses(), [2, 2, 2, 2]);
    let document = said.document();
    for (row, metric) in document["figures"].as_array().unwrap().iter().zip([
        "retransmits_segments",
        "throughput_bits_per_second",
        "throughput_bits_per_second",
        "latency_mean_seconds",
    ]) {
        assert!(row["metrics"][metric].is_number(), "{row}");
    }
    let mut files: Vec<_> = fs::read_dir(directory.path()).unwrap().flatten().collect();
    files.sort_by_key(|file| file.file_name().len());
    let read = |at: usize| -> Value {
        serde_json::from_str(&fs::read_to_string(files[at].path()).unwrap()).unwrap()
    };
    assert_eq!(
        (files.len(), &read(0)["results"]),
        (2, &document["results"])
    );
    assert_eq!(read(1), document["figures"]);
    place.assert_empty();
}

#[test]
fn netperf_and_fortio_measure_too() {
    if skipped(&["netperf", "netserver", "fortio"]) {
        return;
    }
    let place = Place::new();
    let benchmarks = "netperf-tcp-rr,netperf-tcp-stream,fortio-tcp,fortio-http";
    let line = format!("network launcher --quick --benchmark {benchmarks} -o json");
    let said = place.start(&line).finish();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.statuses(), [2; 8]);
    let document = said.document();
    let rows = document["figures"].as_array().unwrap();
    for (row, metrics) in rows.iter().zip([6, 6, 2, 2, 7, 7, 7, 7]) {
        assert_eq!(row["metrics"].as_object().unwrap().len(), metrics, "{row}");
    }
    place.assert_empty();
}

#[test]
fn a_launch_that_is_given_up_leaves_nothing() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let line = "network launcher --lab 2 --benchmark iperf3-tcp --seconds 30 -o json";
        let launcher = place.start(line);
        let id = launcher.id().as_raw_nonzero().get().cast_unsigned();
        let runs = || {
            let below = namespaces_below(id).into_iter().flat_map(in_namespace);
            below
                .into_iter()
                .any(|it| command_line(it).starts_with("iperf3 -c"))
        };
        await_that("a client that measures", runs);
        let namespaces = namespaces_below(id);
        assert!(namespaces.len() >= 3, "{namespaces:?}");
        kill_process(launcher.id(), signal).unwrap();
        let said = launcher.finish();
        assert_eq!(said.code, code, "{said:?}");
        if code.is_some() {
            assert_eq!(said.statuses(), [3, 0]);
        }
        let is_empty = || namespaces.iter().all(|it| in_namespace(*it).is_empty());
        await_that("empty namespaces", is_empty);
    }
    place.assert_empty();
}

#[test]
fn a_launch_keeps_its_deadline() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let line = "network launcher --lab 2 --benchmark iperf3-tcp --seconds 30 --deadline 5s -o json";
    let said = place.start(line).finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.statuses(), [3, 0]);
    assert!(
        said.errors.contains("not over within the deadline"),
        "{said:?}"
    );
    place.assert_empty();
}
