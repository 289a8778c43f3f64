//! A document of `policies`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde::Deserialize;

use super::document::{Chapter, Env, quoted, table};
use super::plot::{Growth, Plot, growth};
use crate::policies::{KNOWN, KNOWN_AS, SIZES};

/// What is used of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Policies {
    modes: BTreeMap<String, Table>,
    fetches: u64,
    void_slices: usize,
    slices: usize,
    env: Env,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize)]
struct Table {
    mean_ms: BTreeMap<usize, BTreeMap<String, f64>>,
    #[serde(default)]
    against_fewest: BTreeMap<usize, BTreeMap<String, Against>>,
    slope_us: Option<Slope>,
}

#[derive(Clone, Debug, Deserialize)]
struct Against {
    ratio: f64,
    ci: [f64; 2],
}

#[derive(Clone, Debug, Deserialize)]
struct Slope {
    slope: f64,
    ci: [f64; 2],
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    round: usize,
    mode: String,
    policies: usize,
    size: String,
    void: Option<String>,
    mean_ms: f64,
    p50_ms: f64,
}

impl Chapter for Policies {
    fn title(&self) -> String {
        "Cost against the number of policies".to_owned()
    }

    fn command(&self) -> String {
        format!("sluice-bench policies --fetches {}", self.fetches)
    }

    fn env(&self) -> Option<&Env> {
        Some(&self.env)
    }

    fn remarks(&self) -> String {
        format!(
            "{} fetches of each size under each number of policies; {} of {} slices do not count.",
            self.fetches, self.void_slices, self.slices
        )
    }

    fn summary(&self) -> String {
        let head = [
            "mode",
            "most policies",
            "median fetch of 0.5 kB ÷ that under the fewest",
            "a thousand add, µs",
        ];
        let rows = self.modes.iter().map(|(mode, of)| {
            let most = of.against_fewest.iter().next_back();
            let against = most.and_then(|(_, sizes)| sizes.get(SIZES[0].0));
            let against = against.map(|it| interval(it.ratio, it.ci));
            let slope = of.slope_us.as_ref().map(|it| interval(it.slope, it.ci));
            vec![
                format!("`{mode}`"),
                most.map_or_else(String::new, |(count, _)| count.to_string()),
                against.unwrap_or_default(),
                slope.unwrap_or_default(),
            ]
        });
        table(&head.map(str::to_owned), &rows.collect::<Vec<_>>())
    }

    fn tables(&self) -> String {
        let mut text = "\nThe mean of a fetch in milliseconds.\n".to_owned();
        let sizes = SIZES.map(|(size, _)| size.to_owned());
        let head: Vec<_> = ["Policies".to_owned()].into_iter().chain(sizes).collect();
        let known: [Vec<String>; 5] = KNOWN.map(|(count, means)| {
            let cells = means.map(|mean| format!("{mean:.3}"));
            [count.to_string()].into_iter().chain(cells).collect()
        });
        let _infallible = write!(text, "\n## {KNOWN_AS}\n\n{}", table(&head, &known));
        for (mode, of) in &self.modes {
            let rows = of.mean_ms.iter().map(|(count, means)| {
                let cells = SIZES.iter().map(|(size, _)| {
                    let mean = means.get(*size);
                    mean.map_or_else(String::new, |mean| format!("{mean:.3}"))
                });
                [count.to_string()].into_iter().chain(cells).collect()
            });
            let rows: Vec<Vec<String>> = rows.collect();
            let _infallible = write!(text, "\n## `{mode}`\n\n{}", table(&head, &rows));
        }
        text
    }

    fn csv(&self) -> String {
        let mut text = "round,mode,policies,size,void,mean_ms,p50_ms\n".to_owned();
        for row in &self.rows {
            let _infallible = writeln!(
                text,
                "{},{},{},{},{},{},{}",
                row.round,
                row.mode,
                row.policies,
                row.size,
                quoted(row.void.as_deref().unwrap_or_default()),
                row.mean_ms,
                row.p50_ms
            );
        }
        text
    }

    /// The smallest page, whose connection is most of its cost.
    fn plots(&self) -> Result<Vec<Plot>> {
        #[expect(clippy::cast_precision_loss, reason = "numbers of policies")]
        let points = |of: &Table| {
            let means = of.mean_ms.iter().filter_map(|(count, means)| {
                let mean = means.get(SIZES[0].0)?;
                Some((*count as f64, *mean))
            });
            means.collect()
        };
        let lines = self
            .modes
            .iter()
            .map(|(mode, of)| (mode.clone(), points(of)));
        #[expect(clippy::cast_precision_loss, reason = "numbers of policies")]
        let known = KNOWN.map(|(policies, means)| (policies as f64, means[0]));
        let cost = Growth {
            of: "policies",
            what: "mean fetch of 0.5 kB, ms",
            lines: lines.collect(),
            elsewhere: Some((KNOWN_AS, &known)),
        };
        Ok(vec![Plot {
            suffix: "cost",
            title: "A fetch of half a kilobyte against the number of policies",
            svg: growth(&cost)?,
        }])
    }
}

fn interval(value: f64, ci: [f64; 2]) -> String {
    format!("{value:.3} [{:.3}, {:.3}]", ci[0], ci[1])
}
