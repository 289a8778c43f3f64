//! The figures of results: what was measured between whom, for people, documents and Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::benchmark::Benchmark;
use super::parse::Figure;
use super::task::{Measured, Results, Status, Worker};

/// A task, and what can be read of its output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// None where the call is of no benchmark of ours.
    pub benchmark: Option<Benchmark>,
    /// Who measured.
    pub client: String,
    /// Who answered.
    pub server: String,
    /// What became of it.
    pub status: &'static str,
    /// Name and unit, and the value.
    pub metrics: BTreeMap<String, f64>,
    /// Why there are none.
    pub error: Option<String>,
}

/// How much of a failed task's output is shown.
const SHOWN: usize = 300;

/// One row for each task.
pub fn rows(results: &Results) -> Vec<Row> {
    results.results.iter().map(row).collect()
}

fn row(measured: &Measured) -> Row {
    let task = &measured.task;
    let benchmark = Benchmark::of(&task.command, &task.args);
    let (figures, error) = match read(measured) {
        Ok(figures) => (figures, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    let metrics = figures.iter().map(|it| (it.metric.full_name(), it.value));
    Row {
        benchmark,
        client: task.client.worker.clone(),
        server: task.server.worker.clone(),
        status: task.status.name(),
        metrics: metrics.collect(),
        error,
    }
}

/// The figures of a task that is done.
///
/// # Errors
/// Why there are none.
pub fn read(measured: &Measured) -> Result<Vec<Figure>, String> {
    let task = &measured.task;
    if task.status != Status::Done {
        let said: String = measured.output.trim().chars().take(SHOWN).collect();
        return Err(if said.is_empty() {
            task.status.name().to_owned()
        } else {
            said
        });
    }
    let benchmark = Benchmark::of(&task.command, &task.args);
    let benchmark = benchmark.ok_or_else(|| format!("{} is no benchmark", task.command))?;
    benchmark
        .read(&measured.output)
        .map_err(|error| error.to_string())
}

/// A line for each row.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let benchmark = row.benchmark.map_or("?", Benchmark::name);
        let pair = format!("{} → {}", row.client, row.server);
        let said = row.error.as_ref().map(|error| {
            let line = error.lines().next().unwrap_or_default();
            format!("{}: {line}", row.status)
        });
        let metrics = row.metrics.iter();
        let shown: Vec<_> = metrics.map(|(name, value)| shown(name, *value)).collect();
        let said = said.unwrap_or_else(|| shown.join(", "));
        let _infallible = writeln!(text, "{benchmark:<18} {pair:<24} {said}");
    }
    text
}

/// A figure as people read it.
pub(crate) fn shown(name: &str, value: f64) -> String {
    if let Some(name) = name.strip_suffix("_bits_per_second") {
        format!("{name} {:.2} Gbit/s", value / 1e9)
    } else if let Some(name) = name.strip_suffix("_seconds") {
        format!("{name} {:.1} µs", value * 1e6)
    } else {
        format!("{name} {value:.0}")
    }
}

/// As Prometheus reads it; whose figures they are is not in it.
pub fn exposition(figures: &[Figure], client: &Worker, server: &Worker) -> String {
    let zone = |worker: &Worker| escaped(&worker.vm.availability_zone);
    let labels = format!(
        "client_zone=\"{}\",server_zone=\"{}\"",
        zone(client),
        zone(server)
    );
    let mut text = String::new();
    for Figure { metric, value } in figures {
        let name = format!("network_performance_{}", metric.full_name());
        let _infallible = writeln!(text, "# TYPE {name} gauge\n{name}{{{labels}}} {value}");
    }
    text
}

/// The value of a label.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::parse::{LATENCY_P50, THROUGHPUT};
    use super::super::task::{Task, TaskOptions, Vm};
    use super::*;

    fn worker(name: &str, zone: &str) -> Worker {
        Worker {
            worker: name.to_owned(),
            ip: std::net::IpAddr::from([10, 0, 0, 1]),
            vm: Vm {
                hostname: String::new(),
                availability_zone: zone.to_owned(),
            },
            idle: true,
        }
    }

    fn measured(command: &str, status: Status, output: &str) -> Measured {
        Measured {
            output: output.to_owned(),
            task: Task {
                command: command.to_owned(),
                args: Vec::new(),
                task_options: TaskOptions { timeout_seconds: 1 },
                status,
                client: worker("a", ""),
                server: worker("b", ""),
            },
        }
    }

    #[test]
    fn a_row_has_figures_or_says_why_not() {
        let bandwidth = "tcp_bw:\n    bw  =  2 GB/sec\ntcp_lat:\n    latency  =  9 us\n";
        for (result, metrics, error) in [
            (measured("qperf", Status::Done, bandwidth), 2, None),
            (
                measured("qperf", Status::Done, "?"),
                0,
                Some("no tcp_bw in what qperf printed"),
            ),
            (
                measured("qperf", Status::Lost, "worker b went away"),
                0,
                Some("worker b went away"),
            ),
            (measured("qperf", Status::Waiting, ""), 0, Some("not begun")),
            (
                measured("x", Status::Done, ""),
                0,
                Some("x is no benchmark"),
            ),
        ] {
            let row = row(&result);
            assert_eq!(row.metrics.len(), metrics, "{row:?}");
            assert_eq!(row.error.as_deref(), error);
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_pair() {
        let bandwidth = "tcp_bw:\n    bw  =  2 GB/sec\ntcp_lat:\n    latency  =  9 us\n";
        let results = Results {
            results: vec![
                measured("qperf", Status::Done, bandwidth),
                measured("qperf", Status::Failed, "no way\nat all"),
            ],
        };
        let expected = "\
qperf-tcp          a → b                    latency_mean 9.0 µs, throughput 16.00 Gbit/s
qperf-tcp          a → b                    failed: no way
";
        assert_eq!(table(&rows(&results)), expected);
    }

    #[test]
    fn prometheus_reads_gauges() {
        let figures = [(THROUGHPUT, 1.5e9), (LATENCY_P50, 0.000_02)];
        let figures = figures.map(|(metric, value)| Figure { metric, value });
        let text = exposition(&figures, &worker("a", "no\"rth"), &worker("b", ""));
        let labels = r#"{client_zone="no\"rth",server_zone=""}"#;
        let expected = format!(
            "# TYPE network_performance_throughput_bits_per_second gauge\n\
             network_performance_throughput_bits_per_second{labels} 1500000000\n\
             # TYPE network_performance_latency_p50_seconds gauge\n\
             network_performance_latency_p50_seconds{labels} 0.00002\n"
        );
        assert_eq!(text, expected);
    }
}
