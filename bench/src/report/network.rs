//! A document of `network launcher`, or the results alone, in the shape that others read.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Deserialize;

use super::document::{Chapter, Env, quoted, table};
use super::plot::Plot;
use crate::network::benchmark::Benchmark;
use crate::network::figures::{Row, rows, shown};
use crate::network::task::{Measured, Results};

/// What is used of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Of")]
pub struct Network {
    rows: Vec<Row>,
    env: Option<Env>,
}

/// Figures are read from the outputs again.
#[derive(Deserialize)]
struct Of {
    results: Vec<Measured>,
    /// None of a cluster, and of the results alone.
    #[serde(default)]
    env: Option<Env>,
}

impl From<Of> for Network {
    fn from(of: Of) -> Self {
        let results = Results {
            results: of.results,
        };
        Self {
            rows: rows(&results),
            env: of.env,
        }
    }
}

impl Chapter for Network {
    fn title(&self) -> String {
        "The network between nodes".to_owned()
    }

    fn command(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for benchmark in self.rows.iter().filter_map(|row| row.benchmark) {
            if !names.contains(&benchmark.name()) {
                names.push(benchmark.name());
            }
        }
        let names = names.join(",");
        format!("sluice-bench network launcher --benchmark {names} -o json")
    }

    fn env(&self) -> Option<&Env> {
        self.env.as_ref()
    }

    fn remarks(&self) -> String {
        let done = self.rows.iter().filter(|row| row.error.is_none());
        format!(
            "{} of {} tasks have measured.",
            done.count(),
            self.rows.len()
        )
    }

    fn summary(&self) -> String {
        let head = ["benchmark", "client → server", "figures"];
        let rows = self.rows.iter().map(|row| {
            let metrics = row.metrics.iter().map(|(name, value)| shown(name, *value));
            let metrics: Vec<_> = metrics.collect();
            let error = row.error.as_deref().and_then(|error| error.lines().next());
            let error = error.map(|error| format!("{}: {}", row.status, error.replace('|', "\\|")));
            vec![
                name(row),
                format!("{} → {}", row.client, row.server),
                error.unwrap_or_else(|| metrics.join(", ")),
            ]
        });
        table(&head.map(str::to_owned), &rows.collect::<Vec<_>>())
    }

    fn tables(&self) -> String {
        String::new()
    }

    fn csv(&self) -> String {
        let mut text = "benchmark,client,server,status,metric,value\n".to_owned();
        for row in &self.rows {
            let of = format!(
                "{},{},{},{}",
                name(row),
                quoted(&row.client),
                quoted(&row.server),
                quoted(row.status)
            );
            if row.metrics.is_empty() {
                let _infallible = writeln!(text, "{of},,");
            }
            for (metric, value) in &row.metrics {
                let _infallible = writeln!(text, "{of},{metric},{value}");
            }
        }
        text
    }

    fn plots(&self) -> Result<Vec<Plot>> {
        Ok(Vec::new())
    }
}

fn name(row: &Row) -> String {
    row.benchmark.map_or("?", Benchmark::name).to_owned()
}
