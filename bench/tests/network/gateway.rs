//! Figures that arrive in a real `PushGateway`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use crate::place::{Place, await_that, skipped};

const GATEWAY: &str = "prometheus-pushgateway";

/// What the gateway says about a path.
fn get(place: &Place, path: &str) -> Option<String> {
    place.enter(|| {
        let mut stream = TcpStream::connect("127.0.0.1:9091").ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: gateway\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    })
}

#[test]
fn figures_of_each_pair_arrive_in_the_gateway() {
    if skipped(&[GATEWAY, "qperf"]) {
        return;
    }
    let place = Place::new();
    let mut gateway = Command::new(GATEWAY);
    let gateway = place.spawn(gateway.arg("--web.listen-address=127.0.0.1:9091"));
    let is_ready = || get(&place, "/-/ready").is_some_and(|it| it.contains(" 200 "));
    await_that("a gateway that is ready", is_ready);
    let line = "--benchmark qperf-tcp --seconds 1 --workers 2 --timeout 20s --pushgateway http://127.0.0.1:9091";
    let orchestrator = place.orchestrator(line);
    let workers = ["a", "b"].map(|name| place.worker(name, None));
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(0), "{said:?}");
    for worker in workers {
        assert_eq!(worker.finish().code, Some(0));
    }
    let metrics = get(&place, "/metrics").unwrap();
    for (client, server) in [("a", "b"), ("b", "a")] {
        for name in ["throughput_bits_per_second", "latency_mean_seconds"] {
            let labels = format!(
                "{{benchmark=\"qperf-tcp\",client=\"{client}\",client_zone=\"\",instance=\"\",\
                 job=\"network_performance\",server=\"{server}\",server_zone=\"\"}} "
            );
            let start = format!("network_performance_{name}{labels}");
            let mut lines = metrics.lines();
            let value = lines.find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok());
            assert!(value.is_some_and(|it| it > 0.0), "{start} in {metrics}");
        }
    }
    drop(gateway);
    place.assert_empty();
}

#[test]
fn a_gateway_that_is_not_there_costs_no_results() {
    if skipped(&["qperf"]) {
        return;
    }
    let place = Place::new();
    let line = "--benchmark qperf-tcp --seconds 1 --workers 2 --timeout 20s --pushgateway http://127.0.0.1:9 -o json";
    let orchestrator = place.orchestrator(line);
    let workers = ["a", "b"].map(|name| place.worker(name, None));
    let said = orchestrator.finish();
    assert_eq!(said.code, Some(3), "{said:?}");
    assert_eq!(said.statuses(), [2, 2]);
    let wrong = "not all figures were pushed: the PushGateway at http://127.0.0.1:9: ";
    assert!(said.errors.contains(wrong), "{said:?}");
    drop(workers);
    place.assert_empty();
}
