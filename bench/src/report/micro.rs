//! A document of `micro`.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Deserialize;

use super::document::{Chapter, Env, quoted, table};
use super::plot::{Figure, Growth, Plot, forest, growth};

/// What is used of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Micro {
    #[serde(rename = "micro")]
    rows: Vec<Row>,
    rounds: usize,
    repeat: u32,
    seed: u64,
    env: Env,
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    part: String,
    name: String,
    size: Option<u64>,
    unit: String,
    median: Option<f64>,
    ci: Option<[f64; 2]>,
    proof: String,
    skipped: Option<String>,
    drift: Option<f64>,
    samples: Vec<f64>,
}

/// The figures of the first table.
const SUMMARY: [(&str, &str); 6] = [
    ("programs", "IPv4 tc: lease, TCP"),
    ("programs", "IPv4 tc: unmatched, TCP"),
    ("programs", "IPv4 tc: denied, TCP SYN"),
    ("programs", "IPv4 gate: lease, TCP"),
    ("verdicts", ""),
    ("memory", ""),
];

impl Chapter for Micro {
    fn title(&self) -> String {
        "What single steps cost".to_owned()
    }

    fn command(&self) -> String {
        format!(
            "sluice-bench micro --rounds {} --repeat {} --seed {}",
            self.rounds, self.repeat, self.seed
        )
    }

    fn env(&self) -> Option<&Env> {
        Some(&self.env)
    }

    fn remarks(&self) -> String {
        format!(
            "Medians of {} rounds with their 95 % intervals; a program runs {} times in a round.",
            self.rounds, self.repeat
        )
    }

    fn summary(&self) -> String {
        let is_shown = |row: &&Row| {
            SUMMARY
                .iter()
                .any(|(part, name)| row.part == *part && (name.is_empty() || row.name == *name))
        };
        of_rows(&self.rows.iter().filter(is_shown).collect::<Vec<_>>())
    }

    fn tables(&self) -> String {
        let mut text = String::new();
        for rows in self.rows.chunk_by(|a, b| a.part == b.part) {
            let (part, rows) = (&rows[0].part, rows.iter().collect::<Vec<_>>());
            let _infallible = write!(text, "\n## {part}\n\n{}", of_rows(&rows));
        }
        text
    }

    fn csv(&self) -> String {
        let mut text = "part,name,size,unit,round,value\n".to_owned();
        for row in &self.rows {
            let size = row.size.map_or_else(String::new, |size| size.to_string());
            for (round, value) in row.samples.iter().enumerate() {
                let (part, name, unit) = (&row.part, quoted(&row.name), &row.unit);
                let _infallible = writeln!(text, "{part},{name},{size},{unit},{round},{value}");
            }
        }
        text
    }

    fn plots(&self) -> Result<Vec<Plot>> {
        let mut plots = Vec::new();
        let programs: Vec<_> = self.of("programs").filter_map(Row::figure).collect();
        if !programs.is_empty() {
            plots.push(Plot {
                suffix: "programs",
                title: "The kernel's programs, a packet each",
                svg: forest(&programs, "ns per packet, with its 95 % interval", false)?,
            });
        }
        let kinds = [
            (
                "verdicts",
                "policies",
                "ns per verdict",
                "A verdict against the number of policies",
            ),
            (
                "memory",
                "pods",
                "resident, MB",
                "Memory against the number of pods",
            ),
        ];
        for (part, of, what, title) in kinds {
            let lines = self.lines(part);
            if lines.is_empty() {
                continue;
            }
            let shown = Growth {
                of,
                what,
                lines,
                elsewhere: None,
            };
            plots.push(Plot {
                suffix: part,
                title,
                svg: growth(&shown)?,
            });
        }
        Ok(plots)
    }
}

impl Micro {
    fn of(&self, part: &str) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.part == part)
    }

    /// By name: sizes and figures.
    #[expect(clippy::cast_precision_loss, reason = "numbers of pods and policies")]
    fn lines(&self, part: &str) -> Vec<(String, Vec<(f64, f64)>)> {
        let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
        for row in self.of(part) {
            let Some((size, median)) = row.size.zip(row.median) else {
                continue;
            };
            let name = row
                .name
                .rsplit_once(", ")
                .map_or(&*row.name, |(name, _)| name);
            let point = (size as f64, median);
            match lines.iter_mut().find(|(known, _)| known == name) {
                Some((_, points)) => points.push(point),
                None => lines.push((name.to_owned(), vec![point])),
            }
        }
        lines
    }
}

impl Row {
    fn figure(&self) -> Option<Figure> {
        // The family is the group.
        let (group, label) = self.name.split_once(' ')?;
        let program = label.split(':').next().unwrap_or_default();
        Some(Figure {
            group: group.to_owned(),
            label: label.to_owned(),
            mode: if program == "tc" { "hybrid" } else { "nfqueue" }.to_owned(),
            value: self.median?,
            ci: self.ci,
            bound: None,
        })
    }
}

fn of_rows(rows: &[&Row]) -> String {
    let head = ["step", "", "", "95 % interval", "made sure of"];
    let rows = rows.iter().map(|row| {
        let size = row.size.map_or_else(String::new, |size| format!(" {size}"));
        let digits = |value: f64| {
            if value < 100.0 {
                format!("{value:.1}")
            } else {
                format!("{value:.0}")
            }
        };
        let interval = row
            .ci
            .map(|[low, high]| format!("[{}, {}]", digits(low), digits(high)));
        let skipped = row.skipped.as_ref().map(|why| format!("skipped: {why}"));
        let drift = row
            .drift
            .map(|it| format!("; {:+.1} % against what is recorded", it * 100.0));
        vec![
            format!("{}{size}", row.name),
            row.median.map_or_else(String::new, digits),
            unit(&row.unit).to_owned(),
            interval.unwrap_or_default(),
            skipped.unwrap_or_else(|| format!("{}{}", row.proof, drift.unwrap_or_default())),
        ]
    });
    table(&head.map(str::to_owned), &rows.collect::<Vec<_>>())
}

fn unit(name: &str) -> &str {
    match name {
        "nanoseconds" => "ns",
        "megabytes" => "MB",
        other => other,
    }
}
