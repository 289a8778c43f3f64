//! Parties that go away in the middle of a task.

use rustix::process::{Signal, kill_process};

use crate::place::{Place, Process, skipped};

/// Three workers, the first of whose tasks is under way: the client is a, the server is b.
fn under_way(place: &Place) -> (Process, [Process; 3]) {
    let line = "--benchmark iperf3-tcp --seconds 3 --workers 3 --timeout 20s -o json";
    let orchestrator = place.orchestrator(line);
    let workers = ["a", "b", "c"].map(|name| place.worker(name, None));
    place.await_program("iperf3 -c");
    (orchestrator, workers)
}

#[test]
fn a_client_that_is_killed_loses_its_tasks_and_no_others() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let (orchestrator, [a, b, c]) = under_way(&place);
    kill_process(a.id(), Signal::KILL).unwrap();
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    // a→b, a→c, b→a, b→c, c→a, c→b.
    assert_eq!(said.statuses(), [5, 5, 5, 2, 5, 2]);
    let document = said.document();
    assert_eq!(document["results"][0]["output"], "worker a went away");
    assert_eq!(document["results"][0]["task"]["client"]["idle"], false);
    assert!(
        said.errors.contains("error: 4 of 6 tasks are not done"),
        "{said:?}"
    );
    assert_eq!(b.finish().code, Some(0));
    assert_eq!(c.finish().code, Some(0));
    drop(a);
    place.assert_empty();
}

#[test]
fn a_server_that_is_killed_stops_its_client() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let (orchestrator, [a, b, c]) = under_way(&place);
    kill_process(b.id(), Signal::KILL).unwrap();
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.statuses(), [5, 2, 5, 5, 2, 5]);
    assert_eq!(a.finish().code, Some(0));
    assert_eq!(c.finish().code, Some(0));
    drop(b);
    place.assert_empty();
}

#[test]
fn a_worker_that_hangs_is_lost_by_its_silence() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let (orchestrator, [a, _b, _c]) = under_way(&place);
    kill_process(a.id(), Signal::STOP).unwrap();
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.statuses(), [5, 5, 5, 2, 5, 2]);
}

#[test]
fn workers_end_with_their_orchestrator() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let (orchestrator, workers) = under_way(&place);
    kill_process(orchestrator.id(), Signal::KILL).unwrap();
    for worker in workers {
        let said = worker.finish();
        assert_eq!(said.code, Some(3), "{said:?}");
        assert!(
            said.errors.contains("the orchestrator went away"),
            "{said:?}"
        );
    }
    drop(orchestrator);
    place.assert_empty();
}

#[test]
fn an_orchestrator_that_is_told_to_end_writes_what_there_is() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let (orchestrator, workers) = under_way(&place);
    kill_process(orchestrator.id(), Signal::TERM).unwrap();
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(130), "{said:?}");
    assert_eq!(said.statuses(), [3, 0, 0, 0, 0, 0]);
    assert_eq!(said.document()["results"][0]["output"], "told to end");
    for worker in workers {
        assert_eq!(worker.finish().code, Some(0));
    }
    place.assert_empty();
}

#[test]
fn a_worker_keeps_its_deadline() {
    if skipped(&["iperf3"]) {
        return;
    }
    let place = Place::new();
    let line = "--benchmark iperf3-tcp --seconds 30 --workers 2 --timeout 20s -o json";
    let orchestrator = place.orchestrator(line);
    let worker = place.worker("a", None);
    let hasty =
        "network worker --host 127.0.0.1 --port 50051 --name b --ip 127.0.0.1 --deadline 4s";
    let hasty = place.start(hasty).finish();
    assert_eq!(hasty.code, Some(1), "{hasty:?}");
    assert!(
        hasty.errors.contains("not over within the deadline of 4 s"),
        "{hasty:?}"
    );
    let said = orchestrator.finish();
    assert_eq!(said.statuses(), [5, 5]);
    assert_eq!(worker.finish().code, Some(0));
    place.assert_empty();
}
