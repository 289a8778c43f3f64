//! A document of `latency` in the laboratory.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Deserialize;

use super::document::{Chapter, Env, table};
use super::plot::{Distribution, Plot, distributions};

/// What is used of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Latency {
    what: String,
    policies: usize,
    interval_ms: f64,
    stolen: f64,
    judged: bool,
    rows: Vec<Row>,
    env: Env,
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    mode: String,
    kind: String,
    samples_ms: Vec<f64>,
    lost: u64,
    leaked: u64,
    p50_ms: Option<f64>,
    p90_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    met: Option<bool>,
}

impl Chapter for Latency {
    fn title(&self) -> String {
        match &*self.what {
            "policy" => "How long until a change of policy is enforced".to_owned(),
            "pod" => "How long until pods are reached and protected".to_owned(),
            other => format!("How long until a change is enforced: {other}"),
        }
    }

    fn command(&self) -> String {
        format!(
            "sluice-bench latency {} --policies {}",
            self.what, self.policies
        )
    }

    fn env(&self) -> Option<&Env> {
        Some(&self.env)
    }

    fn remarks(&self) -> String {
        let judged = if self.judged {
            ""
        } else {
            " No target was judged."
        };
        format!(
            "Milliseconds from the change; a connection every {} ms; {} other policies; {:.1} % of the time was stolen.{judged}",
            self.interval_ms,
            self.policies,
            self.stolen * 100.0
        )
    }

    fn summary(&self) -> String {
        let head = [
            "change", "mode", "n", "p50", "p90", "p99", "max", "lost", "leaked", "target",
        ];
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        table(&head.map(str::to_owned), &rows)
    }

    fn tables(&self) -> String {
        String::new()
    }

    fn csv(&self) -> String {
        let mut text = "mode,kind,sample,milliseconds\n".to_owned();
        for row in &self.rows {
            for (number, sample) in row.samples_ms.iter().enumerate() {
                let _infallible = writeln!(text, "{},{},{number},{sample}", row.mode, row.kind);
            }
        }
        text
    }

    fn plots(&self) -> Result<Vec<Plot>> {
        let mut panels: Vec<Distribution> = Vec::new();
        for row in self.rows.iter().filter(|row| !row.samples_ms.is_empty()) {
            let line = (row.mode.clone(), shares(&row.samples_ms));
            match panels.iter_mut().find(|panel| panel.title == row.kind) {
                Some(panel) => panel.lines.push(line),
                None => panels.push(Distribution {
                    title: row.kind.clone(),
                    lines: vec![line],
                }),
            }
        }
        Ok(vec![Plot {
            suffix: "enforced",
            title: "How long changes take to be enforced",
            svg: distributions(&panels, "ms")?,
        }])
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let numbers = [self.p50_ms, self.p90_ms, self.p99_ms, self.max_ms];
        let numbers = numbers.map(|it| it.map_or_else(String::new, |it| format!("{it:.2}")));
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "",
        };
        let first = [
            format!("`{}`", self.kind),
            format!("`{}`", self.mode),
            self.samples_ms.len().to_string(),
        ];
        let last = [
            self.lost.to_string(),
            self.leaked.to_string(),
            met.to_owned(),
        ];
        first.into_iter().chain(numbers).chain(last).collect()
    }
}

/// Below a hundredth of a millisecond nothing is told from nothing.
const LEAST: f64 = 0.01;

/// Each sample, and the share of them that is at most it.
#[expect(clippy::cast_precision_loss, reason = "samples of a run")]
fn shares(samples: &[f64]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<f64> = samples.iter().map(|it| it.max(LEAST)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let all = sorted.len() as f64;
    let shares = (1..).map(|number: u32| f64::from(number) / all);
    sorted.into_iter().zip(shares).collect()
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn every_sample_is_a_share() {
        assert_eq!(shares(&[3.0, 0.0]), [(0.01, 0.5), (3.0, 1.0)]);
    }
}
