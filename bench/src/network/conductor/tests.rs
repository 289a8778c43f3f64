//! Runs of the conductor with made-up workers that behave, and others that do not.

use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

fn terms(expected: Option<usize>) -> Terms {
    Terms {
        benchmarks: vec![Benchmark::QperfTcp],
        seconds: 10,
        timeout: TIMEOUT,
        expected,
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn worker(name: &str, last: u8) -> Worker {
    Worker {
        worker: name.to_owned(),
        ip: std::net::IpAddr::from([10, 0, 0, last]),
        vm: super::super::task::Vm::default(),
        idle: true,
    }
}

fn done(output: &str) -> Ended {
    Ended {
        outcome: Outcome::Done,
        output: output.to_owned(),
    }
}

/// What qperf prints.
const MEASURED: &str = "tcp_bw:\n    bw  =  1 GB/sec\ntcp_lat:\n    latency  =  9 us\n";

/// A conductor for whom `names` have registered, and its first orders.
fn gathered(names: &[&str], expected: Option<usize>) -> (Conductor, Orders) {
    let mut conductor = Conductor::new(terms(expected), at(0));
    let mut orders = Orders::new();
    for (id, name) in (0..).zip(names) {
        let last = u8::try_from(id + 1).unwrap();
        orders = conductor.step(at(1), Some(Event::Joined(id, worker(name, last))));
    }
    (conductor, orders)
}

/// In short.
fn shown(orders: &Orders) -> Vec<String> {
    let one = |(id, order): &(WorkerId, Order)| match order {
        Order::Serve { task, .. } => format!("{id} serves {task}"),
        Order::Measure { task, .. } => format!("{id} measures {task}"),
        Order::Stop(task) => format!("{id} stops {task}"),
        Order::Leave => format!("{id} leaves"),
    };
    orders.iter().map(one).collect()
}

fn statuses(conductor: &Conductor) -> Vec<Status> {
    let results = conductor.results().results;
    results.iter().map(|it| it.task.status).collect()
}

#[test]
fn two_workers_measure_both_ways_one_after_the_other() {
    let (mut conductor, orders) = gathered(&["a", "b"], Some(2));
    assert_eq!(shown(&orders), ["1 serves 0"]);
    for (event, expected) in [
        (Event::Ready(1, 0), vec!["0 measures 0"]),
        (Event::Ended(0, 0, done(MEASURED)), vec!["1 stops 0"]),
        (Event::Ended(1, 0, done("")), vec!["0 serves 1"]),
        (Event::Ready(0, 1), vec!["1 measures 1"]),
        (Event::Ended(1, 1, done(MEASURED)), vec!["0 stops 1"]),
        (Event::Ended(0, 1, done("")), vec!["0 leaves", "1 leaves"]),
        (Event::Lost(0), vec![]),
        (Event::Lost(1), vec![]),
    ] {
        let name = format!("{event:?}");
        let orders = conductor.step(at(2), Some(event));
        assert_eq!(shown(&orders), expected, "{name}");
    }
    assert!(conductor.is_over());
    assert_eq!(conductor.wake(), None);
    assert_eq!(conductor.verdict(), Verdict::Complete);
    let results = conductor.results().results;
    let said: Vec<_> = results.iter().map(|it| it.output.as_str()).collect();
    assert_eq!(said, [MEASURED, MEASURED]);
    assert_eq!(results[0].task.client.worker, "a");
    assert!(results[0].task.client.idle, "it left when it was told to");
    assert_eq!(results[0].task.args[0], "10.0.0.2");
    assert_eq!(results[0].task.task_options.timeout_seconds, 30);
}

#[test]
fn pairs_are_ordered_by_name_whoever_came_first() {
    let (conductor, orders) = gathered(&["c", "a", "b"], Some(3));
    assert_eq!(shown(&orders), ["2 serves 0"]);
    let results = conductor.results().results;
    let pairs: Vec<_> = results
        .iter()
        .map(|it| format!("{}{}", it.task.client.worker, it.task.server.worker))
        .collect();
    assert_eq!(pairs, ["ab", "ac", "ba", "bc", "ca", "cb"]);
}

#[test]
fn registration_ends_with_the_last_one_expected_or_in_time() {
    let (mut conductor, orders) = gathered(&["a", "b"], Some(3));
    assert!(orders.is_empty());
    assert_eq!(conductor.wake(), Some(TIMEOUT));
    assert_eq!(conductor.admit("a"), Err(Refusal::Taken("a".to_owned())));
    assert!(conductor.step(at(29), None).is_empty());
    let orders = conductor.step(at(30), None);
    assert_eq!(shown(&orders), ["1 serves 0"]);
    assert_eq!(conductor.admit("c"), Err(Refusal::Late));
    let (_, orders) = gathered(&["a", "b"], None);
    assert!(orders.is_empty(), "nobody knows how many there will be");
}

#[test]
fn one_worker_is_too_few() {
    let (mut conductor, _) = gathered(&["a"], None);
    assert_eq!(shown(&conductor.step(at(30), None)), ["0 leaves"]);
    let _orders = conductor.step(at(31), Some(Event::Lost(0)));
    assert!(conductor.is_over());
    assert_eq!(conductor.verdict(), Verdict::TooFew { there: 1 });
    let mut alone = Conductor::new(terms(None), at(0));
    assert!(alone.step(at(30), None).is_empty());
    assert_eq!(alone.verdict(), Verdict::TooFew { there: 0 });
}

#[test]
fn who_left_before_the_pairs_were_made_may_come_again() {
    let (mut conductor, _) = gathered(&["a", "b"], Some(3));
    assert!(conductor.step(at(2), Some(Event::Lost(0))).is_empty());
    assert_eq!(conductor.admit("a"), Ok(()));
    let _orders = conductor.step(at(3), Some(Event::Joined(7, worker("a", 7))));
    assert_eq!(shown(&conductor.step(at(30), None)), ["1 serves 0"]);
    assert_eq!(conductor.results().results.len(), 2);
}

#[test]
fn a_lost_worker_marks_its_tasks_and_the_others_go_on() {
    let (mut conductor, _) = gathered(&["a", "b", "c"], Some(3));
    let _orders = conductor.step(at(2), Some(Event::Ready(1, 0)));
    // The client dies while it measures: its server is told to stop.
    let orders = conductor.step(at(3), Some(Event::Lost(0)));
    assert_eq!(shown(&orders), ["1 stops 0"]);
    let orders = conductor.step(at(4), Some(Event::Ended(1, 0, done(""))));
    // a→c and b→a are passed over.
    assert_eq!(shown(&orders), ["2 serves 3"]);
    let results = conductor.results().results;
    assert_eq!(results[0].output, "worker a went away");
    assert_eq!(results[1].output, "worker a is gone");
    assert!(!results[1].task.client.idle);
    let _orders = conductor.step(at(4), Some(Event::Ready(2, 3)));
    let _orders = conductor.step(at(5), Some(Event::Ended(1, 3, done(MEASURED))));
    let orders = conductor.step(at(5), Some(Event::Ended(2, 3, done(""))));
    assert_eq!(shown(&orders), ["1 serves 5"]);
    let _orders = conductor.step(at(6), Some(Event::Ready(1, 5)));
    let _orders = conductor.step(at(7), Some(Event::Ended(2, 5, done(MEASURED))));
    let orders = conductor.step(at(7), Some(Event::Ended(1, 5, done(""))));
    assert_eq!(shown(&orders), ["1 leaves", "2 leaves"]);
    let (lost, done) = (Status::Lost, Status::Done);
    assert_eq!(statuses(&conductor), [lost, lost, lost, done, lost, done]);
    let expected = Verdict::Incomplete {
        undone: 4,
        tasks: 6,
        absent: 0,
        told: false,
    };
    assert_eq!(conductor.verdict(), expected);
}

#[test]
fn a_server_that_is_lost_or_ends_stops_the_client() {
    let failed = Ended {
        outcome: Outcome::Failed,
        output: "bind".to_owned(),
    };
    for (event, status, output) in [
        (Event::Lost(1), Status::Lost, "worker b went away"),
        (
            Event::Ended(1, 0, failed),
            Status::Failed,
            "the server on b ended: bind",
        ),
    ] {
        let (mut conductor, _) = gathered(&["a", "b"], Some(2));
        let _orders = conductor.step(at(2), Some(Event::Ready(1, 0)));
        let orders = conductor.step(at(3), Some(event));
        assert_eq!(shown(&orders), ["0 stops 0"]);
        // What the client makes of it no longer matters.
        let _orders = conductor.step(at(3), Some(Event::Ended(0, 0, done("fine"))));
        let result = &conductor.results().results[0];
        assert_eq!(
            (result.task.status, result.output.as_str()),
            (status, output)
        );
    }
}

#[test]
fn a_failure_that_comes_before_the_loss_that_caused_it_is_a_loss() {
    let failed = |output: &str| Ended {
        outcome: Outcome::Failed,
        output: output.to_owned(),
    };
    let lost = |gone, said| format!("worker {gone} went away; before that was known: {said}");
    let server = "the server on b ended: killed";
    let (reset, killed) = (|| failed("reset"), || failed("killed"));
    let stopped = || Event::Ended(1, 0, done(""));
    let (gone, still) = (Status::Lost, Status::Failed);
    // Who ends first and how, what happens before all must have ended, and what comes of it.
    let cases = [
        (0, reset(), vec![Event::Lost(1)], gone, lost("b", "reset")),
        (0, reset(), vec![], gone, lost("b", "reset")),
        (1, killed(), vec![Event::Lost(0)], gone, lost("a", server)),
        (1, killed(), vec![Event::Lost(1)], gone, lost("b", server)),
        (0, reset(), vec![stopped()], still, "reset".to_owned()),
        (
            0,
            reset(),
            vec![Event::Lost(2), stopped()],
            still,
            "reset".to_owned(),
        ),
        (
            0,
            done(MEASURED),
            vec![Event::Lost(1)],
            Status::Done,
            MEASURED.to_owned(),
        ),
    ];
    for (first, ended, then, status, output) in cases {
        let name = format!("{first} {ended:?}, {then:?}");
        let (mut conductor, _) = gathered(&["a", "b", "c"], Some(3));
        let _orders = conductor.step(at(2), Some(Event::Ready(1, 0)));
        let _orders = conductor.step(at(3), Some(Event::Ended(first, 0, ended)));
        assert_eq!(conductor.settled(), 0, "{name}: it may be a loss yet");
        for event in then {
            let _orders = conductor.step(at(4), Some(event));
        }
        let _orders = conductor.step(at(3) + TIMEOUT, None);
        let result = &conductor.results().results[0];
        let (status, output) = (status, output.as_str());
        assert_eq!(
            (result.task.status, result.output.as_str()),
            (status, output),
            "{name}"
        );
        assert!(conductor.settled() > 0, "{name}: another one is under way");
    }
}

#[test]
fn each_step_has_its_deadline() {
    let (mut conductor, _) = gathered(&["a", "b"], Some(2));
    // The server does not listen.
    assert_eq!(conductor.wake(), Some(at(31)));
    assert_eq!(shown(&conductor.step(at(31), None)), ["1 stops 0"]);
    let orders = conductor.step(at(32), Some(Event::Ended(1, 0, done(""))));
    assert_eq!(shown(&orders), ["0 serves 1"]);
    // The client does not answer: its own 30 s, and 10 more.
    let _orders = conductor.step(at(33), Some(Event::Ready(0, 1)));
    assert_eq!(conductor.wake(), Some(at(73)));
    let orders = conductor.step(at(73), None);
    assert_eq!(shown(&orders), ["0 stops 1", "1 stops 1"]);
    // Nobody stops: both count as gone.
    assert_eq!(conductor.wake(), Some(at(103)));
    assert_eq!(
        shown(&conductor.step(at(103), None)),
        ["0 leaves", "1 leaves"]
    );
    assert!(conductor.is_over());
    assert_eq!(statuses(&conductor), [Status::TimedOut, Status::TimedOut]);
}

#[test]
fn who_is_told_to_end_marks_what_was_under_way() {
    let (mut conductor, _) = gathered(&["a", "b"], Some(2));
    let orders = conductor.step(at(2), Some(Event::Told));
    assert_eq!(shown(&orders), ["0 leaves", "1 leaves"]);
    assert_eq!(statuses(&conductor), [Status::Failed, Status::Waiting]);
    assert!(conductor.step(at(32), None).is_empty());
    assert!(conductor.is_over());
    let Verdict::Incomplete { told, undone, .. } = conductor.verdict() else {
        panic!("{:?}", conductor.verdict());
    };
    assert!(told && undone == 2);
}

#[test]
fn a_client_that_exits_well_without_figures_has_failed() {
    let (mut conductor, _) = gathered(&["a", "b"], Some(2));
    let _orders = conductor.step(at(2), Some(Event::Ready(1, 0)));
    let _orders = conductor.step(at(3), Some(Event::Ended(0, 0, done("no route"))));
    let result = &conductor.results().results[0];
    assert_eq!(result.task.status, Status::Failed);
    assert_eq!(result.output, "no route");
}

#[test]
fn a_program_that_is_missing_is_named() {
    let missing = || Ended {
        outcome: Outcome::NotInstalled,
        output: "netserver is not installed".to_owned(),
    };
    let mut conductor = Conductor::new(
        Terms {
            benchmarks: vec![Benchmark::NetperfTcpRr],
            ..terms(Some(2))
        },
        at(0),
    );
    for (id, name) in [(0, "a"), (1, "b")] {
        let _orders = conductor.step(at(0), Some(Event::Joined(id, worker(name, 1))));
    }
    let _orders = conductor.step(at(1), Some(Event::Ended(1, 0, missing())));
    let _orders = conductor.step(at(1), Some(Event::Ready(0, 1)));
    let _orders = conductor.step(at(1), Some(Event::Ended(1, 1, missing())));
    let both = ["netperf", "netserver"].map(str::to_owned);
    assert_eq!(conductor.verdict(), Verdict::Lacks(both.into()));
    assert_eq!(statuses(&conductor), [Status::Failed, Status::Failed]);
}

/// Something that may happen, to three workers and six tasks.
fn any_event() -> impl Strategy<Value = Option<Event>> {
    let (id, task) = (0..4_u64, 0..7_u32);
    let outcome = prop_oneof![
        Just(Outcome::Done),
        Just(Outcome::Failed),
        Just(Outcome::TimedOut),
        Just(Outcome::Stopped),
        Just(Outcome::NotInstalled),
    ];
    let ended = outcome.prop_map(|outcome| Ended {
        outcome,
        output: String::new(),
    });
    prop_oneof![
        6 => (id.clone(), task.clone(), ended).prop_map(|(id, task, ended)| Some(Event::Ended(id, task, ended))),
        6 => (id.clone(), task).prop_map(|(id, task)| Some(Event::Ready(id, task))),
        1 => id.prop_map(|id| Some(Event::Lost(id))),
        1 => Just(None),
    ]
}

proptest! {
    /// Whatever workers say in whichever order: never two tasks at once, and it ends.
    #[test]
    fn never_are_two_tasks_under_way_and_it_ends(
        events in prop::collection::vec((any_event(), 0..15_u64), 0..80)
    ) {
        let (mut conductor, _) = gathered(&["a", "b", "c"], Some(3));
        let mut now = at(1);
        for (event, later) in events {
            now += at(later);
            let orders = conductor.step(now, event);
            let running = statuses(&conductor).iter().filter(|it| **it == Status::Running).count();
            prop_assert!(running <= 1);
            for (_, order) in &orders {
                if let Order::Serve { task, .. } = order {
                    let Stage::Measuring(under_way) = &conductor.stage else {
                        return Err(TestCaseError::fail("a server of no task"));
                    };
                    prop_assert_eq!(under_way.number(), *task as usize);
                }
            }
        }
        let _orders = conductor.step(now, Some(Event::Told));
        while let Some(wake) = conductor.wake() {
            let _orders = conductor.step(wake, None);
        }
        prop_assert!(conductor.is_over());
        prop_assert!(statuses(&conductor).iter().all(|it| *it != Status::Running));
    }
}
