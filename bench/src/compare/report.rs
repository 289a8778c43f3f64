//! What a run found: medians of each mode, ratios between modes, what did not count and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::targets::{self, Target};
use super::{Plan, Row};
use crate::env::Env;
use crate::load::Workload;
use crate::mode::{Mode, PAIRS};
use crate::stats::{self, Ratio};

/// The figures that ratios are made of.
const STATS: [&str; 6] = [
    "p50_us",
    "p99_us",
    "per_second",
    "gbit_s",
    "machine_us",
    "agent_us",
];
/// More slices than this share, and the run says nothing.
const MOST_VOID: f64 = 0.4;

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In the order in which they were sent.
    pub workloads: Vec<Compared>,
    /// Slices that do not count.
    pub void_slices: usize,
    /// Slices in all.
    pub slices: usize,
    /// Why slices do not count, and how many for each reason; the numbers in it are those of the first.
    pub void_reasons: BTreeMap<String, usize>,
    /// Whether two equal modes came out alike: the interval of each of their ratios of p50 contains 1. None where they
    /// were not both measured.
    pub equal_modes_equal: Option<bool>,
    /// What the ratios have to show.
    pub targets: Vec<Target>,
    /// What it was measured on.
    pub env: Env,
    /// Rounds, slices and seed, to repeat it.
    pub rounds: usize,
    /// In milliseconds.
    pub slice_ms: u128,
    /// Of the orders and the intervals.
    pub seed: u64,
    /// Policies of the server.
    pub policies: usize,
    /// Every slice.
    pub rows: Vec<Row>,
}

/// One workload.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Which one.
    pub name: Workload,
    /// The medians over the slices that count.
    pub modes: BTreeMap<Mode, BTreeMap<&'static str, f64>>,
    /// Between modes.
    pub ratios: Vec<Between>,
}

/// A ratio between two modes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Between {
    /// It is `a` ÷ `b`.
    pub a: Mode,
    /// See `a`.
    pub b: Mode,
    /// Of which figure.
    pub stat: &'static str,
    /// How much, with its interval.
    #[serde(flatten)]
    pub ratio: Ratio,
}

impl Report {
    pub(super) fn new(plan: &Plan, rows: Vec<Row>) -> Self {
        let workloads: Vec<_> = plan
            .workloads
            .iter()
            .map(|workload| compared(*workload, &rows, plan.seed))
            .collect();
        let void = rows.iter().filter_map(|row| row.void.as_ref());
        let mut void_reasons = BTreeMap::new();
        for reason in void.clone() {
            let kind: String = reason.chars().filter(|it| !it.is_ascii_digit()).collect();
            *void_reasons.entry(kind).or_insert(0) += 1;
        }
        Self {
            void_slices: void.count(),
            slices: rows.len(),
            void_reasons,
            equal_modes_equal: equal(&workloads),
            targets: targets::judge(&workloads),
            workloads,
            env: Env::read(),
            rounds: plan.rounds,
            slice_ms: plan.slice.as_millis(),
            seed: plan.seed,
            policies: plan.policies,
            rows,
        }
    }

    /// Whether too little of the run counts, or what is equal came out unequal.
    #[expect(clippy::cast_precision_loss, reason = "slices of a run")]
    pub fn too_noisy(&self) -> Option<String> {
        let share = self.void_slices as f64 / self.slices.max(1) as f64;
        if share > MOST_VOID {
            Some(format!("{:.0} % of the slices do not count", share * 100.0))
        } else if self.equal_modes_equal == Some(false) {
            Some("conntrack and conntrack_again differ, which are the same".to_owned())
        } else {
            None
        }
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let _infallible = writeln!(
            text,
            "{} rounds of {} ms a slice, {} policies, Linux {}, {} processors{}",
            self.rounds,
            self.slice_ms,
            self.policies,
            self.env.kernel,
            self.env.processors,
            if self.env.virtual_machine {
                " of a virtual machine"
            } else {
                ""
            },
        );
        for workload in &self.workloads {
            workload.write(&mut text);
        }
        if self.void_slices > 0 {
            let _infallible = writeln!(
                text,
                "\n{} of {} slices do not count:",
                self.void_slices, self.slices
            );
            for (reason, count) in &self.void_reasons {
                let _infallible = writeln!(text, "  {count:>5}  {reason}");
            }
        }
        if !self.targets.is_empty() {
            let _infallible = writeln!(text, "\nTargets, by the worse end of the interval:");
        }
        for target in &self.targets {
            let _infallible = writeln!(
                text,
                "  {:<8} {} ÷ {}, {} of {}: {:.3}, {}",
                if target.met { "met" } else { "NOT MET" },
                target.a.name(),
                target.b.name(),
                target.stat,
                target.workload.name(),
                target.worst,
                target.bound,
            );
        }
        text
    }
}

impl Compared {
    fn write(&self, text: &mut String) {
        let _infallible = writeln!(text, "\n{}", self.name.name());
        let names: Vec<_> = STATS
            .into_iter()
            .filter(|stat| self.modes.values().any(|of| of.contains_key(stat)))
            .collect();
        let _infallible = write!(text, "  {:<28}", "median");
        for name in &names {
            let _infallible = write!(text, "{name:>22}");
        }
        for (mode, figures) in &self.modes {
            let _infallible = write!(text, "\n  {:<28}", mode.name());
            for name in &names {
                let value = figures.get(name);
                let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
                let _infallible = write!(text, "{value:>22}");
            }
        }
        let mut last = None;
        for between in &self.ratios {
            if last != Some((between.a, between.b)) {
                let pair = format!("{} ÷ {}", between.a.name(), between.b.name());
                let _infallible = write!(text, "\n  {pair:<28}");
                for name in &names {
                    let found = self
                        .ratios
                        .iter()
                        .find(|it| (it.a, it.b, it.stat) == (between.a, between.b, *name));
                    let value = found.map_or_else(|| "-".to_owned(), |it| shown(&it.ratio));
                    let _infallible = write!(text, "{value:>22}");
                }
                last = Some((between.a, between.b));
            }
        }
        text.push('\n');
    }
}

fn shown(ratio: &Ratio) -> String {
    format!(
        "{:.2} [{:.2}, {:.2}]",
        ratio.ratio, ratio.ci[0], ratio.ci[1]
    )
}

fn compared(workload: Workload, rows: &[Row], seed: u64) -> Compared {
    let valid: Vec<_> = rows
        .iter()
        .filter(|row| row.workload == workload && row.void.is_none())
        .collect();
    let of = |mode: Mode| valid.iter().filter(move |row| row.mode == mode);
    let mut modes = BTreeMap::new();
    for mode in valid.iter().map(|row| row.mode) {
        modes.entry(mode).or_insert_with(|| {
            let rows: Vec<&Row> = of(mode).copied().collect();
            medians(&rows)
        });
    }
    let mut ratios = Vec::new();
    for (a, b) in PAIRS {
        for stat in STATS {
            let pairs: Vec<_> = of(a)
                .filter_map(|row| {
                    let other = of(b).find(|other| other.round == row.round)?;
                    Some((*row.figures.get(stat)?, *other.figures.get(stat)?))
                })
                .collect();
            if let Some(ratio) = stats::ratio(&pairs, seed) {
                ratios.push(Between { a, b, stat, ratio });
            }
        }
    }
    Compared {
        name: workload,
        modes,
        ratios,
    }
}

fn medians(rows: &[&Row]) -> BTreeMap<&'static str, f64> {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in rows.iter().flat_map(|row| &row.figures) {
        values.entry(name).or_default().push(*value);
    }
    let medians = values.into_iter().filter_map(|(name, values)| {
        let median = stats::median(&values)?;
        Some((name, median))
    });
    medians.collect()
}

fn equal(workloads: &[Compared]) -> Option<bool> {
    let ratios = workloads.iter().flat_map(|workload| &workload.ratios);
    let equal = ratios.filter(|it| {
        (it.a, it.b) == (Mode::ConntrackAgain, Mode::Conntrack) && it.stat == "p50_us"
    });
    equal.map(|it| it.ratio.contains(1.0)).reduce(|a, b| a && b)
}
