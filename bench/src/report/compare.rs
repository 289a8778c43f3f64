//! A document of `compare`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use serde::Deserialize;

use super::document::{Chapter, Env, quoted, table};
use super::plot::{Distribution, Figure, Moment, Plot, distributions, forest, timeline};
use crate::stats;

/// The figures that the tables have: what ratios call them, what figures do, and their heads.
const FIGURES: [(&str, &str, &str); 6] = [
    ("p50", "p50_us", "p50 µs"),
    ("p99", "p99_us", "p99 µs"),
    ("per_second", "per_second", "per second"),
    ("gbit_s", "gbit_s", "Gbit/s"),
    ("machine", "machine_us", "machine µs"),
    ("agent", "agent_us", "agent µs"),
];
/// The pairs that are compared by what else they cost.
const COSTS: [(&str, &str); 3] = [
    ("hybrid", "conntrack"),
    ("nfqueue", "hybrid"),
    ("hybrid_cold", "nfqueue"),
];

/// What is used of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Compare {
    workloads: Vec<Workload>,
    void_slices: usize,
    slices: usize,
    rounds: usize,
    slice_ms: u64,
    policies: usize,
    seed: u64,
    targets: Vec<Target>,
    #[serde(default)]
    within: Vec<Within>,
    #[serde(default)]
    memory_kb: BTreeMap<String, Memory>,
    env: Env,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Deserialize)]
struct Workload {
    name: String,
    modes: BTreeMap<String, BTreeMap<String, f64>>,
    /// By mode: a share of the latencies, and what they are below, in microseconds.
    #[serde(default)]
    ecdf_us: BTreeMap<String, Vec<(f64, f64)>>,
    ratios: Vec<Ratio>,
}

#[derive(Clone, Debug, Deserialize)]
struct Ratio {
    a: String,
    b: String,
    stat: String,
    #[serde(rename = "ratio")]
    value: f64,
    ci: [f64; 2],
}

/// A workload ÷ its reference, in one mode.
#[derive(Clone, Debug, Deserialize)]
struct Within {
    workload: String,
    against: String,
    mode: String,
    stat: String,
    #[serde(rename = "ratio")]
    value: f64,
    ci: [f64; 2],
    against_conntrack: Option<Against>,
}

#[derive(Clone, Debug, Deserialize)]
struct Against {
    #[serde(rename = "ratio")]
    value: f64,
    ci: [f64; 2],
}

#[derive(Clone, Debug, Deserialize)]
struct Memory {
    resident: u64,
    bpf_maps: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    workload: String,
    a: String,
    b: String,
    /// The workload that the figure is held against, where it is another one's.
    against: Option<String>,
    stat: String,
    bound: BTreeMap<String, f64>,
    worst: Option<f64>,
    met: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
struct Row {
    round: usize,
    workload: String,
    mode: String,
    void: Option<String>,
    figures: BTreeMap<String, f64>,
}

impl Chapter for Compare {
    fn title(&self) -> String {
        let modes = self.workloads.iter().flat_map(|it| it.modes.keys());
        format!(
            "Modes against each other: {} modes, {} workloads, {} rounds",
            modes.collect::<BTreeSet<_>>().len(),
            self.workloads.len(),
            self.rounds
        )
    }

    fn command(&self) -> String {
        format!(
            "sluice-bench compare --rounds {} --slice {} --policies {} --seed {}",
            self.rounds, self.slice_ms, self.policies, self.seed
        )
    }

    fn env(&self) -> Option<&Env> {
        Some(&self.env)
    }

    fn remarks(&self) -> String {
        format!(
            "{} of {} slices do not count.",
            self.void_slices, self.slices
        )
    }

    fn summary(&self) -> String {
        if self.targets.is_empty() {
            return self.headline();
        }
        let head = ["target", "bound", "ratio", "worse end of the interval", ""];
        let rows: Vec<_> = self.targets.iter().map(|it| self.judged(it)).collect();
        table(&head.map(str::to_owned), &rows)
    }

    fn tables(&self) -> String {
        let workloads = self.workloads.iter().map(Workload::table);
        workloads.chain([self.within(), self.memory()]).collect()
    }

    fn csv(&self) -> String {
        let rows = self.rows.iter();
        let names: BTreeSet<&String> = rows.flat_map(|row| row.figures.keys()).collect();
        let mut text = "round,workload,mode,void".to_owned();
        for name in &names {
            let _infallible = write!(text, ",{name}");
        }
        text.push('\n');
        for row in &self.rows {
            let void = quoted(row.void.as_deref().unwrap_or_default());
            let _infallible = write!(text, "{},{},{},{void}", row.round, row.workload, row.mode);
            for name in &names {
                let value = row.figures.get(*name);
                let value = value.map_or_else(String::new, f64::to_string);
                let _infallible = write!(text, ",{value}");
            }
            text.push('\n');
        }
        text
    }

    fn plots(&self) -> Result<Vec<Plot>> {
        let mut plots = Vec::new();
        let ratios = self.figures(|it| ["p50", "gbit_s"].contains(&&*it.stat));
        if !ratios.is_empty() {
            let title = "ratio of p50, or of Gbit/s, with its 95 % interval; ticks are targets";
            plots.push(Plot {
                suffix: "ratios",
                title: "Ratios of modes with their intervals",
                svg: forest(&ratios, title, true)?,
            });
        }
        let costs = self.figures(|it| {
            let is_cost = ["p99", "per_second", "machine", "agent"].contains(&&*it.stat);
            // A thousandfold of next to nothing says little, and leaves no room for the others.
            let is_idle = it.stat == "agent" && it.b == "hybrid";
            is_cost && !is_idle && COSTS.contains(&(&*it.a, &*it.b))
        });
        if !costs.is_empty() {
            let title = "ratio, with its 95 % interval; ticks are targets";
            plots.push(Plot {
                suffix: "costs",
                title: "Ratios of p99, of rates and of what processors spend",
                svg: forest(&costs, title, true)?,
            });
        }
        let latencies = self.latencies();
        if !latencies.is_empty() {
            plots.push(Plot {
                suffix: "ecdf",
                title: "How latencies are distributed",
                svg: distributions(&latencies, "µs")?,
            });
        }
        plots.push(Plot {
            suffix: "slices",
            title: "Every slice, as they ran",
            svg: timeline(&self.moments())?,
        });
        Ok(plots)
    }
}

impl Compare {
    fn judged(&self, target: &Target) -> Vec<String> {
        let bound = target.bound.iter().next();
        let bound = bound.map_or_else(String::new, |(kind, value)| {
            format!("{} {value}", kind.replace('_', " "))
        });
        let ratio = self.ratio_of(target);
        let worst = target.worst.map(|it| format!("{it:.3}"));
        let met = match target.met {
            Some(true) => "met",
            Some(false) => "**not met**",
            None => "untold",
        };
        vec![
            target.what(),
            bound,
            ratio.unwrap_or_default(),
            worst.unwrap_or_default(),
            met.to_owned(),
        ]
    }

    /// Workloads against their references, a table each.
    fn within(&self) -> String {
        let pairs = self.within.iter().map(|it| (&it.workload, &it.against));
        let pairs: BTreeSet<_> = pairs.collect();
        let of_pair = |(workload, against): (&String, &String)| {
            let head = [
                &format!("`{workload}` ÷ `{against}`"),
                "within the mode",
                "that ÷ the same of `conntrack`",
            ];
            let found = self.within.iter().filter(|it| it.workload == *workload);
            let rows = found.map(|it| {
                let against = it.against_conntrack.as_ref();
                vec![
                    format!("`{}`, {}", it.mode, it.stat),
                    written(it.value, it.ci),
                    against.map_or_else(String::new, |it| written(it.value, it.ci)),
                ]
            });
            let rows = table(&head.map(str::to_owned), &rows.collect::<Vec<_>>());
            format!("\n## `{workload}` against `{against}`\n\n{rows}")
        };
        pairs.into_iter().map(of_pair).collect()
    }

    /// What the enforcers held after the run.
    fn memory(&self) -> String {
        if self.memory_kb.is_empty() {
            return String::new();
        }
        let head = ["memory, MB", "resident", "maps of eBPF"];
        let megabytes =
            |kilobytes: u64| format!("{}.{}", kilobytes / 1_000, kilobytes % 1_000 / 100);
        let rows = self.memory_kb.iter().map(|(mode, memory)| {
            vec![
                format!("`{mode}`"),
                megabytes(memory.resident),
                megabytes(memory.bpf_maps),
            ]
        });
        let rows = table(&head.map(str::to_owned), &rows.collect::<Vec<_>>());
        format!("\n## Memory\n\n{rows}")
    }

    fn ratio_of(&self, target: &Target) -> Option<String> {
        if target.against.is_some() {
            let mut within = self.within.iter();
            let of = (&target.workload, &target.a, &target.stat);
            let found = within.find(|it| (&it.workload, &it.mode, &it.stat) == of)?;
            return match (target.a == target.b, &found.against_conntrack) {
                (true, _) => Some(written(found.value, found.ci)),
                (false, against) => against.as_ref().map(|it| written(it.value, it.ci)),
            };
        }
        let mut workloads = self.workloads.iter();
        let workload = workloads.find(|it| it.name == target.workload)?;
        let of = (&target.a, &target.b, &target.stat);
        let mut ratios = workload.ratios.iter();
        let (value, ci) = ratios.find_map(|it| it.as_of(of))?;
        Some(written(value, ci))
    }

    /// The pairs that say most, where nothing was judged.
    fn headline(&self) -> String {
        let pairs = [("conntrack_again", "conntrack")].into_iter().chain(COSTS);
        let pairs: Vec<_> = pairs.collect();
        let heads = pairs.iter().map(|(a, b)| format!("`{a}` ÷ `{b}`"));
        let head: Vec<_> = ["p50, or Gbit/s".to_owned()]
            .into_iter()
            .chain(heads)
            .collect();
        let rows = self.workloads.iter().map(|workload| {
            let cells = pairs.iter().map(|(a, b)| {
                let mut ratios = workload.ratios.iter();
                let found = ratios.find(|it| {
                    (&*it.a, &*it.b) == (*a, *b) && ["p50", "gbit_s"].contains(&&*it.stat)
                });
                found.map_or_else(String::new, Ratio::written)
            });
            let name = format!("`{}`", workload.name);
            [name].into_iter().chain(cells).collect()
        });
        table(&head, &rows.collect::<Vec<_>>())
    }

    fn figures(&self, is_shown: impl Fn(&Ratio) -> bool) -> Vec<Figure> {
        let mut figures = Vec::new();
        for workload in &self.workloads {
            let shown = workload.ratios.iter().filter(|it| is_shown(it));
            figures.extend(shown.map(|ratio| Figure {
                group: workload.name.clone(),
                label: format!(
                    "{} ÷ {}, {}",
                    ratio.a,
                    ratio.b,
                    ratio.stat.replace('_', " ")
                ),
                mode: ratio.a.clone(),
                value: ratio.value,
                ci: Some(ratio.ci),
                bound: self.bound_of(&workload.name, ratio),
            }));
        }
        figures
    }

    fn bound_of(&self, workload: &str, ratio: &Ratio) -> Option<(f64, Option<bool>)> {
        let is_of = |it: &&Target| {
            (&*it.workload, &it.stat) == (workload, &ratio.stat) && it.against.is_none()
        };
        let (this, other) = ((&ratio.a, &ratio.b), (&ratio.b, &ratio.a));
        self.targets.iter().filter(is_of).find_map(|target| {
            let bound = *target.bound.values().next()?;
            let of = (&target.a, &target.b);
            // A target may be of the ratio the other way round.
            let bound = if of == this { bound } else { 1.0 / bound };
            (of == this || of == other).then_some((bound, target.met))
        })
    }

    fn latencies(&self) -> Vec<Distribution> {
        let with = self.workloads.iter().filter(|it| !it.ecdf_us.is_empty());
        let panels = with.map(|workload| Distribution {
            title: workload.name.clone(),
            lines: workload
                .ecdf_us
                .iter()
                .map(|(mode, points)| {
                    let points = points.iter().map(|(share, value)| (*value, *share));
                    (mode.clone(), points.collect())
                })
                .collect(),
        });
        panels.collect()
    }

    /// Streams have a rate, which is turned over, so that above is always slower.
    fn moments(&self) -> Vec<Moment> {
        let took = |row: &Row| {
            let rate = row.figures.get("gbit_s").filter(|it| **it > 0.0);
            let p50 = row.figures.get("p50_us").filter(|it| **it > 0.0);
            p50.copied().or_else(|| rate.map(|rate| 1.0 / rate))
        };
        let mut of: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
        for row in &self.rows {
            of.entry((&row.workload, &row.mode))
                .or_default()
                .extend(took(row));
        }
        let moments = self.rows.iter().filter_map(|row| {
            let usual = stats::median(of.get(&(&*row.workload, &*row.mode))?)?;
            Some(Moment {
                workload: row.workload.clone(),
                mode: row.mode.clone(),
                times: took(row)? / usual,
                counts: row.void.is_none(),
            })
        });
        moments.collect()
    }
}

impl Ratio {
    /// As `a` ÷ `b`, if it is of these two, whichever is the divisor.
    fn as_of(&self, (a, b, stat): (&String, &String, &String)) -> Option<(f64, [f64; 2])> {
        let [low, high] = self.ci;
        if (&self.a, &self.b, &self.stat) == (a, b, stat) {
            Some((self.value, self.ci))
        } else if (&self.b, &self.a, &self.stat) == (a, b, stat) {
            Some((1.0 / self.value, [1.0 / high, 1.0 / low]))
        } else {
            None
        }
    }

    fn written(&self) -> String {
        written(self.value, self.ci)
    }
}

/// A ratio with its interval.
fn written(value: f64, [low, high]: [f64; 2]) -> String {
    format!("{value:.2} [{low:.2}, {high:.2}]")
}

impl Target {
    fn what(&self) -> String {
        let Self {
            a,
            b,
            stat,
            workload,
            ..
        } = self;
        match &self.against {
            Some(against) if a == b => format!("`{a}`, {stat} of `{workload}` ÷ `{against}`"),
            Some(against) => {
                format!("`{a}` ÷ `{b}`, {stat} of `{workload}` ÷ `{against}`")
            }
            None => format!("`{a}` ÷ `{b}`, {stat} of `{workload}`"),
        }
    }
}

impl Workload {
    fn table(&self) -> String {
        let is_there = |figure: &str| self.modes.values().any(|of| of.contains_key(figure));
        let figures = FIGURES
            .into_iter()
            .filter(|(_, figure, _)| is_there(figure));
        let figures: Vec<_> = figures.collect();
        let heads = figures.iter().map(|(.., head)| (*head).to_owned());
        let head: Vec<_> = [String::new()].into_iter().chain(heads).collect();
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (mode, of) in &self.modes {
            let values = figures.iter().map(|(_, figure, _)| of.get(*figure));
            let cells = values.map(|it| it.map_or_else(String::new, |it| format!("{it:.1}")));
            rows.push([format!("`{mode}`")].into_iter().chain(cells).collect());
        }
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for ratio in &self.ratios {
            if !pairs.contains(&(&*ratio.a, &*ratio.b)) {
                pairs.push((&ratio.a, &ratio.b));
            }
        }
        for (a, b) in pairs {
            let cells = figures.iter().map(|(stat, ..)| {
                let mut ratios = self.ratios.iter();
                let found = ratios.find(|it| (&*it.a, &*it.b, &*it.stat) == (a, b, *stat));
                found.map_or_else(String::new, Ratio::written)
            });
            rows.push(
                [format!("`{a}` ÷ `{b}`")]
                    .into_iter()
                    .chain(cells)
                    .collect(),
            );
        }
        format!("\n## `{}`\n\n{}", self.name, table(&head, &rows))
    }
}
