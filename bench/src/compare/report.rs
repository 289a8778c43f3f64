//! What a run found: medians of each mode, ratios between modes, what did not count and why.

use std::collections::BTreeMap;

use serde::Serialize;

use super::latencies::Latencies;
use super::targets::{self, Target};
use super::voids::{Void, mostly_void, void_reasons};
use super::within::{Within, within};
use super::{Plan, Row};
use crate::env::Env;
use crate::load::Workload;
use crate::mode::{Mode, PAIRS};
use crate::stage::{CommandLine, Memory};
use crate::stats::{self, Ratio};

/// The figures that ratios are made of: what ratios call them, and figures do.
pub(super) const STATS: [(&str, &str); 6] = [
    ("p50", "p50_us"),
    ("p99", "p99_us"),
    ("per_second", "per_second"),
    ("gbit_s", "gbit_s"),
    ("machine", "machine_us"),
    ("agent", "agent_us"),
];
/// Two equal modes may differ by this much, by either end of the interval.
const EQUAL: f64 = 1.05;

/// What a run has measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) capacity: Option<f64>,
    pub(super) memory: BTreeMap<Mode, Memory>,
    pub(super) rows: Vec<Row>,
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In the order in which they were sent.
    pub workloads: Vec<Compared>,
    /// Slices that do not count.
    pub void_slices: usize,
    /// Slices in all.
    pub slices: usize,
    /// Why slices do not count.
    pub void_reasons: Vec<Void>,
    /// What the ratios have to show; empty where the run was quick, or counted slices of a machine that is not quiet.
    pub targets: Vec<Target>,
    /// Workloads against others of their rounds: what a flood did to its neighbour, and what a Service costs.
    pub within: Vec<Within>,
    /// What agents, or the external command, held in memory after the run, in kB; of all nodes together.
    pub memory_kb: BTreeMap<Mode, Memory>,
    /// Connections per second that the open workloads are shares of.
    pub capacity: Option<f64>,
    /// Packets per second of the flood.
    pub flood: u32,
    /// What enforced in mode external.
    pub external: Option<CommandLine>,
    /// What it was measured on.
    pub env: Env,
    /// Rounds of each workload.
    pub rounds: usize,
    /// In milliseconds.
    pub slice_ms: u64,
    /// Of the orders and the intervals.
    pub seed: u64,
    /// Policies of the server.
    pub policies: usize,
    /// The agent's binary.
    pub agent: String,
    /// Whether it was a quick one.
    pub quick: bool,
    /// Whether slices of a machine that is not quiet count.
    pub noisy: bool,
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
    /// How the latencies of all slices that count are distributed: a share of them, and the microseconds that it is at
    /// most.
    pub ecdf_us: BTreeMap<Mode, Vec<(f64, f64)>>,
    /// Between modes.
    pub ratios: Vec<Between>,
    /// Whether two equal modes came out alike, `conntrack` and `conntrack_again`: the interval of the ratio of p50, or of
    /// Gbit/s, contains 1, and all of it is within 5 % of 1. None where they were not both measured.
    pub equal: Option<bool>,
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

/// What a run comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every target is met, or none was to be judged.
    Holds,
    /// A target is not met.
    Missed,
    /// The machine was too noisy to tell: what cannot be told.
    Untold(Vec<String>),
}

impl Report {
    pub(super) fn new(plan: &Plan, found: Found) -> Self {
        let rows = found.rows;
        let workloads: Vec<_> = plan
            .workloads
            .iter()
            .map(|workload| compared(*workload, &rows, plan.seed))
            .collect();
        let within = within(&plan.workloads, &rows, plan.seed);
        Self {
            void_slices: rows.iter().filter(|row| row.void.is_some()).count(),
            slices: rows.len(),
            void_reasons: void_reasons(&rows),
            targets: targets::judge(plan, &workloads, &within),
            workloads,
            within,
            memory_kb: found.memory,
            capacity: found.capacity,
            flood: plan.flood,
            external: plan.external.clone(),
            env: Env::read(),
            rounds: plan.rounds,
            slice_ms: u64::try_from(plan.slice.as_millis()).unwrap_or(u64::MAX),
            seed: plan.seed,
            policies: plan.policies,
            agent: plan.agent.display().to_string(),
            quick: plan.quick,
            noisy: plan.noisy,
            rows,
        }
    }

    pub(super) fn with_latencies(mut self, latencies: &Latencies) -> Self {
        for workload in &mut self.workloads {
            workload.ecdf_us = latencies.of(workload.name);
        }
        self
    }

    /// A target that is not met outweighs what cannot be told.
    pub fn verdict(&self) -> Verdict {
        if self.targets.iter().any(|target| target.met == Some(false)) {
            return Verdict::Missed;
        }
        let untold = self.untold();
        let is_judged = !self.targets.is_empty() || self.void_slices == self.slices;
        if is_judged && !untold.is_empty() {
            Verdict::Untold(untold)
        } else {
            Verdict::Holds
        }
    }

    /// What the machine was too noisy for, a line each.
    pub fn untold(&self) -> Vec<String> {
        let mut untold = Vec::new();
        for workload in &self.workloads {
            if workload.equal == Some(false) {
                untold.push(format!(
                    "{}: conntrack and conntrack_again, which are the same, differ, or may by more than 5 %",
                    workload.name.name()
                ));
            }
        }
        untold.extend(
            mostly_void(&self.rows)
                .into_iter()
                .map(|(workload, mode, share)| {
                    let (workload, mode) = (workload.name(), mode.name());
                    format!(
                        "{workload}, {mode}: {:.0} % of the slices do not count",
                        share * 100.0
                    )
                }),
        );
        let targets = self.targets.iter().filter(|it| it.met.is_none());
        untold.extend(targets.map(|it| format!("{it} cannot be told")));
        untold
    }
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
        for (stat, figure) in STATS {
            let pairs: Vec<_> = of(a)
                .filter_map(|row| {
                    let other = of(b).find(|other| other.round == row.round)?;
                    // Nothing is divided by an agent that had nothing to do.
                    let divisor = *other.figures.get(figure).filter(|it| **it > 0.0)?;
                    Some((*row.figures.get(figure)?, divisor))
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
        ecdf_us: BTreeMap::new(),
        equal: equal(&ratios),
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

impl Compared {
    /// Whether the machine tells equal modes apart, by the figure that they are compared for or by this one.
    pub(super) fn tells_equals_apart(&self, stat: &str) -> bool {
        let of_stat = of_equals(&self.ratios).find(|it| it.stat == stat);
        self.equal == Some(false) || of_stat.is_some_and(|it| !it.ratio.contains(1.0))
    }
}

fn equal(ratios: &[Between]) -> Option<bool> {
    let ratio = of_equals(ratios)
        .find(|it| ["p50", "gbit_s"].contains(&it.stat))?
        .ratio;
    let [low, high] = ratio.ci;
    Some(ratio.contains(1.0) && low >= 1.0 / EQUAL && high <= EQUAL)
}

/// The ratios between two equal modes.
fn of_equals(ratios: &[Between]) -> impl Iterator<Item = &Between> {
    let equals = (Mode::ConntrackAgain, Mode::Conntrack);
    ratios.iter().filter(move |it| (it.a, it.b) == equals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::tests::plan;

    /// Rounds of one workload in which each mode takes its microseconds, alike but for what `noise` adds to a round.
    fn rows(modes: &[(Mode, f64)], rounds: usize, noise: impl Fn(usize, Mode) -> f64) -> Vec<Row> {
        let mut rows = Vec::new();
        for round in 0..rounds {
            for (mode, micros) in modes {
                let p50 = micros + noise(round, *mode);
                rows.push(Row {
                    round,
                    workload: Workload::TcpCrr,
                    mode: *mode,
                    void: None,
                    figures: BTreeMap::from([("p50_us", p50), ("machine_us", 2.0 * p50)]),
                });
            }
        }
        rows
    }

    fn found(rows: Vec<Row>) -> Found {
        Found {
            rows,
            ..Found::default()
        }
    }

    fn report(rows: Vec<Row>) -> Report {
        let plan = Plan {
            workloads: vec![Workload::TcpCrr],
            modes: rows.iter().map(|row| row.mode).collect(),
            ..plan()
        };
        Report::new(&plan, found(rows))
    }

    const GOOD: [(Mode, f64); 4] = [
        (Mode::Conntrack, 40.0),
        (Mode::ConntrackAgain, 40.0),
        (Mode::Hybrid, 41.0),
        (Mode::Nfqueue, 64.0),
    ];

    #[test]
    fn a_good_run_holds() {
        let report = report(rows(&GOOD, 30, |_, _| 0.0));
        let met: Vec<_> = report.targets.iter().map(|it| it.met).collect();
        assert_eq!(met, [Some(true); 3], "{:?}", report.targets);
        assert_eq!(report.verdict(), Verdict::Holds);
    }

    #[test]
    fn a_missed_target_is_told_even_where_something_else_is_not() {
        let mut rows = rows(&[GOOD[0], (Mode::Hybrid, 44.0), GOOD[3]], 30, |_, _| 0.0);
        for row in rows.iter_mut().filter(|row| row.mode == Mode::Nfqueue) {
            row.void = Some("nothing".to_owned());
        }
        assert_eq!(report(rows).verdict(), Verdict::Missed);
    }

    #[test]
    fn a_mode_whose_slices_are_void_is_not_held_to_be_good() {
        let mut rows = rows(&GOOD, 30, |_, _| 0.0);
        for row in rows.iter_mut().filter(|row| row.mode == Mode::Hybrid) {
            row.void = Some(format!("0.{:03} verdicts", row.round));
        }
        let report = report(rows);
        assert!(report.targets.iter().all(|it| it.met.is_none()));
        let Verdict::Untold(untold) = report.verdict() else {
            panic!("{:?}", report.verdict());
        };
        assert_eq!(
            untold,
            [
                "tcp_crr, hybrid: 100 % of the slices do not count",
                "hybrid ÷ conntrack, p50 of tcp_crr cannot be told",
                "nfqueue ÷ hybrid, p50 of tcp_crr cannot be told",
                "nfqueue ÷ hybrid, machine of tcp_crr cannot be told",
            ]
        );
        assert_eq!(
            report.void_reasons,
            [Void {
                workload: Workload::TcpCrr,
                mode: Mode::Hybrid,
                reason: "0.000 verdicts".to_owned(),
                slices: 30
            }]
        );
    }

    /// Of no mode more than 40 % do not count, and yet of no half of the rounds both do.
    #[test]
    fn a_target_that_too_few_rounds_are_joint_for_does_not_hold() {
        let mut rows = rows(&GOOD, 30, |_, _| 0.0);
        for row in &mut rows {
            let is_void = match row.mode {
                Mode::Hybrid => row.round < 10,
                _ => row.round >= 24,
            };
            row.void = is_void.then(|| "noise".to_owned());
        }
        let report = report(rows);
        assert!(report.targets.iter().all(|it| it.met.is_none()));
        let Verdict::Untold(untold) = report.verdict() else {
            panic!("{:?}", report.verdict());
        };
        assert_eq!(untold.len(), 3, "{untold:?}");
    }

    #[test]
    fn a_difference_of_equals_is_none_of_less_than_that() {
        let noise = |round: usize, mode| match mode {
            Mode::ConntrackAgain => 0.4 + f64::from(u8::try_from(round % 2).unwrap()) / 10.0,
            _ => 0.0,
        };
        let of_all = report(rows(&GOOD, 30, noise));
        assert_eq!(of_all.workloads[0].equal, Some(false), "1 % of all rounds");

        let mut rows = rows(&GOOD, 30, |_, _| 0.0);
        for row in rows.iter_mut().filter(|it| it.mode == Mode::ConntrackAgain) {
            row.figures.insert("machine_us", 88.0);
        }
        let of_machine = report(rows);
        assert_eq!(of_machine.workloads[0].equal, Some(true));
        let met: Vec<_> = of_machine.targets.iter().map(|it| it.met).collect();
        assert_eq!(met, [Some(true), Some(true), None], "what is of machine");
    }

    #[test]
    fn where_equals_differ_nothing_is_told() {
        let noise = |round: usize, mode| match (round % 2, mode) {
            (0, Mode::ConntrackAgain) => 6.0,
            _ => 0.0,
        };
        let report = report(rows(&GOOD, 30, noise));
        assert_eq!(report.workloads[0].equal, Some(false));
        assert!(matches!(report.verdict(), Verdict::Untold(_)), "{report:?}");
    }

    #[test]
    fn a_quick_run_in_which_nothing_counts_says_so() {
        let mut rows = rows(&GOOD, 10, |_, _| 0.0);
        for row in &mut rows {
            row.void = Some("noise".to_owned());
        }
        let plan = Plan {
            quick: true,
            ..plan()
        };
        let report = Report::new(&plan, found(rows));
        assert!(matches!(report.verdict(), Verdict::Untold(_)));
    }

    /// An agent that slept through some rounds is no reason to say nothing of the others.
    #[test]
    fn rounds_without_a_divisor_are_left_out() {
        let mut rows = rows(
            &[(Mode::Nfqueue, 60.0), (Mode::Hybrid, 40.0)],
            30,
            |_, _| 0.0,
        );
        for row in &mut rows {
            let is_idle = row.mode == Mode::Hybrid && row.round < 10;
            row.figures
                .insert("agent_us", if is_idle { 0.0 } else { 2.0 });
        }
        let report = report(rows);
        let found = |stat| {
            let mut ratios = report.workloads[0].ratios.iter();
            ratios.find(|it| (it.a, it.b, it.stat) == (Mode::Nfqueue, Mode::Hybrid, stat))
        };
        assert_eq!(found("agent").unwrap().ratio.rounds, 20);
        assert_eq!(found("p50").unwrap().ratio.rounds, 30);
    }
}
