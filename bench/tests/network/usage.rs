//! What makes no sense, and whom nobody answers.

use crate::place::{Place, skipped};

/// Command lines that make no sense, and what is said of them.
const REFUSED: &[(&str, &str)] = &[
    ("launcher --lab 2 --benchmark ping", "invalid value 'ping'"),
    ("launcher --lab 2", "--benchmark <BENCHMARK>"),
    ("launcher --benchmark iperf3-tcp", "--lab <NODES>"),
    (
        "launcher -benchmark netperf-tcp-rr -inject",
        "--inject: netperf-tcp-rr",
    ),
    (
        "launcher --quick --outputFileDirectory /dev/null/x",
        "--outputFileDirectory /dev/null/x: Not a directory",
    ),
    (
        "launcher -benchmark iperf3-tcp -kubeconfig /no/file -namespace n -orchImage o -workerImage w",
        "--kubeconfig /no/file: no such file",
    ),
    (
        "launcher --quick --deadline 9223372036854775807s",
        "a duration of less than 292 years",
    ),
    ("launcher --quick --timeout -5s", "`-5s` is no duration"),
    (
        "orchestrator -benchmark iperf3-tcp -port -1",
        "'--port <PORT>': -1 is not in 1..=65535",
    ),
    (
        "launcher --lab 1 --benchmark iperf3-tcp",
        "1 is not in 2..=16",
    ),
    (
        "launcher -lab 2 -benchmark netperf-tcp-rr -inject",
        "--inject: netperf-tcp-rr",
    ),
    (
        "launcher --quick --benchmark qperf-tcp --inject=true",
        "--inject: qperf-tcp",
    ),
    ("launcher --quick --deadline soon", "`soon` is no duration"),
    (
        "launcher --quick --pushgateway https://x",
        "is not of the form http://",
    ),
    (
        "launcher -benchmark iperf3-tcp -namespace n -workerImage w",
        "--orchImage <IMAGE>",
    ),
    (
        "launcher -benchmark iperf3-tcp -orchImage o -workerImage w",
        "--namespace <NAME>",
    ),
    (
        "launcher -namespace n -orchImage o -workerImage w",
        "--benchmark <BENCHMARK>",
    ),
    (
        "launcher -lab 2 -benchmark iperf3-tcp -namespace n -orchImage o -workerImage w",
        "cannot be used with",
    ),
    (
        "launcher -benchmark iperf3-tcp -namespace N/x -orchImage o -workerImage w",
        "a namespace has lower-case letters",
    ),
    (
        "launcher -benchmark qperf-tcp -inject -namespace n -orchImage o -workerImage w",
        "--inject: qperf-tcp",
    ),
    ("launcher --quick --inject", "--inject: there is no istio"),
    ("orchestrator -benchmark iperf3-tcp", "--port <PORT>"),
    (
        "orchestrator -benchmark iperf3-tcp -port 70000",
        "70000 is not in 1..=65535",
    ),
    (
        "orchestrator -benchmark iperf3-tcp -port 0",
        "0 is not in 1..=65535",
    ),
    ("orchestrator -port 50051", "--benchmark <BENCHMARK>"),
    (
        "orchestrator -benchmark iperf3-tcp -port 1 -host 10.9.9.9",
        "cannot listen on 10.9.9.9:1",
    ),
    (
        "orchestrator -benchmark qperf-tcp -port 1 -results /proc/x/y",
        "cannot write results to",
    ),
    ("worker -host 127.0.0.1", "--port <PORT>"),
    ("worker -port 50051", "--host <HOST>"),
    ("worker -host x -port 65536", "65536 is not in 1..=65535"),
    ("worker -host x -port 1 -name a/b", "--name `a/b`"),
    ("worker -host x -port 1 -ip here", "invalid value 'here'"),
];

#[test]
fn bad_usage_is_refused_with_what_is_wrong() {
    if skipped(&[]) {
        return;
    }
    let place = Place::new();
    for (line, wrong) in REFUSED {
        let said = place.start(&format!("network {line}")).finish();
        assert_eq!(said.code, Some(2), "{line}: {said:?}");
        assert!(said.errors.contains(wrong), "{line}: {said:?}");
        assert!(said.output.is_empty(), "{line}: {said:?}");
    }
    place.assert_empty();
}

#[test]
fn an_orchestrator_that_cannot_be_reached_is_named() {
    if skipped(&[]) {
        return;
    }
    let place = Place::new();
    for (host, why) in [
        ("127.0.0.1", "refused"),
        ("10.9.9.9", "unreachable"),
        ("nobody.invalid", "nobody.invalid:50051"),
    ] {
        let line =
            format!("network worker -host {host} -port 50051 -name a -patience 500ms -o json");
        let said = place.start(&line).finish();
        assert_eq!(said.code, Some(3), "{said:?}");
        let named = format!("no orchestrator at {host}:50051 within 0.5 s");
        assert!(
            said.errors.contains(&named) && said.errors.contains(why),
            "{said:?}"
        );
        assert_eq!(said.document()["ok"], false);
    }
}
