//! Pairs of workers that measure: every benchmark, and what is written about it.

use std::fs;

use serde_json::json;

use crate::place::{Place, skipped};

/// The parts of a document that are not the same in every run are left out.
#[test]
fn results_have_the_shape_that_others_read() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("results.json");
    let line = format!(
        "-benchmark iperf3-tcp -seconds 1 -workers 2 -timeout 20s -results {} -o json",
        file.display()
    );
    let orchestrator = place.orchestrator(&line);
    let workers = ["b", "a"].map(|name| place.worker(name, None));
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(0), "{said:?}");
    for worker in workers {
        let said = worker.finish();
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    let mut document = said.document();
    let written = fs::read_to_string(&file).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&written).unwrap(),
        document
    );
    for result in document["results"].as_array_mut().unwrap() {
        let output = result["output"].take();
        assert!(
            output.as_str().unwrap().contains("bits_per_second"),
            "{output}"
        );
    }
    let worker = |name: &str| {
        json!({"worker": name, "ip": "127.0.0.1", "idle": true,
               "vm": {"hostname": format!("node-{name}"), "availability_zone": ""}})
    };
    let result = |client: &str, server: &str| {
        json!({"output": null, "task": {
            "command": "iperf3", "args": ["-c", "127.0.0.1", "-p", "5201", "-t", "1", "-J"],
            "task_options": {"timeout_seconds": 11}, "status": 2,
            "client": worker(client), "server": worker(server),
        }})
    };
    assert_eq!(
        document,
        json!({"results": [result("a", "b"), result("b", "a")]})
    );
    place.assert_empty();
}

#[test]
fn a_tool_that_is_not_installed_is_named_and_its_tasks_are_marked() {
    if skipped(&[]) {
        return;
    }
    let place = Place::new();
    let nothing = tempfile::tempdir().unwrap();
    let line = "--benchmark netperf-tcp-rr --seconds 1 --workers 2 --timeout 20s -o json";
    let orchestrator = place.orchestrator(line);
    let workers = ["a", "b"].map(|name| place.worker(name, Some(nothing.path())));
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_eq!(said.statuses(), [3, 3]);
    let wrong =
        "error: not installed on a worker: netserver (Debian's package netperf, of non-free)";
    assert!(said.errors.contains(wrong), "{said:?}");
    for worker in workers {
        assert_eq!(worker.finish().code, Some(0));
    }
    place.assert_empty();
}

#[test]
fn a_server_whose_port_is_taken_fails_and_says_so() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let taken = place.enter(|| std::net::TcpListener::bind("127.0.0.1:5201").unwrap());
    let line = "--benchmark iperf3-tcp --seconds 1 --workers 2 --timeout 20s -o json";
    let orchestrator = place.orchestrator(line);
    let workers = ["a", "b"].map(|name| place.worker(name, None));
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.statuses(), [3, 3]);
    assert!(
        said.output
            .contains("something listens on port 5201 already"),
        "{said:?}"
    );
    drop((taken, workers));
    place.assert_empty();
}

#[test]
fn two_workers_of_one_name_are_one_too_many() {
    if skipped(&[]) {
        return;
    }
    let place = Place::new();
    let mut orchestrator = place.orchestrator("--benchmark iperf3-tcp --workers 2 --timeout 6s");
    let first = place.worker("a", None);
    orchestrator.await_errors("worker a at");
    let second = place.worker("a", None).finish();
    assert_eq!(second.code, Some(2), "{second:?}");
    assert!(
        second.errors.contains("there is a worker a already"),
        "{second:?}"
    );
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.errors.contains("1 registered in time"), "{said:?}");
    assert_eq!(first.finish().code, Some(0));
}
