//! One workload against another within a mode, in one round: what a flood does to its neighbour, and what a Service costs.

use serde::Serialize;

use super::Row;
use crate::load::Workload;
use crate::mode::Mode;
use crate::stats::{self, Ratio};

/// The figures of these ratios: what they call them, and figures do.
const STATS: [(&str, &str); 3] = [
    ("p50", "p50_us"),
    ("p99", "p99_us"),
    ("per_second", "per_second"),
];

/// Two workloads in one mode.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Within {
    /// What was sent.
    pub workload: Workload,
    /// Its reference.
    pub against: Workload,
    /// What was between the pods.
    pub mode: Mode,
    /// Of which figure.
    pub stat: &'static str,
    /// `workload` ÷ `against`, within the mode.
    #[serde(flatten)]
    pub ratio: Ratio,
    /// That, ÷ the same in mode `conntrack`: what the enforcer adds to what it costs the machine anyhow. None for that
    /// mode itself.
    pub against_conntrack: Option<Ratio>,
}

/// A workload and its reference.
type Pair = (Workload, Workload);

/// Of each workload that has a reference among `workloads`, of each mode, in the order of the modes.
pub(super) fn within(workloads: &[Workload], rows: &[Row], seed: u64) -> Vec<Within> {
    let mut modes: Vec<Mode> = rows.iter().map(|row| row.mode).collect();
    modes.sort_unstable();
    modes.dedup();
    let with_reference = workloads
        .iter()
        .filter_map(|workload| Some((*workload, workload.reference()?)));
    let mut found = Vec::new();
    for pair in with_reference.filter(|(_, reference)| workloads.contains(reference)) {
        for mode in &modes {
            let of_stat = |stat| of_stat(pair, rows, *mode, stat, seed);
            found.extend(STATS.into_iter().filter_map(of_stat));
        }
    }
    found
}

fn of_stat(
    pair: Pair,
    rows: &[Row],
    mode: Mode,
    (stat, figure): (&'static str, &'static str),
    seed: u64,
) -> Option<Within> {
    let own = by_round(pair, rows, mode, figure);
    let reference = by_round(pair, rows, Mode::Conntrack, figure);
    let pairs: Vec<_> = own
        .iter()
        .filter(|_| mode != Mode::Conntrack)
        .filter_map(|(round, own)| {
            let (_, other) = reference.iter().find(|(other, _)| other == round)?;
            Some((ratio_of(*own), ratio_of(*other)))
        })
        .collect();
    let own: Vec<_> = own.into_iter().map(|(_, pair)| pair).collect();
    let (workload, against) = pair;
    Some(Within {
        workload,
        against,
        mode,
        stat,
        ratio: stats::ratio(&own, seed)?,
        against_conntrack: stats::ratio(&pairs, seed),
    })
}

fn ratio_of((a, b): (f64, f64)) -> f64 {
    a / b
}

/// The rounds in which both slices count: the figure of the workload, and of its reference.
fn by_round(
    (workload, against): Pair,
    rows: &[Row],
    mode: Mode,
    figure: &str,
) -> Vec<(usize, (f64, f64))> {
    let of = |workload| {
        let rows = rows
            .iter()
            .filter(move |row| row.workload == workload && row.mode == mode && row.void.is_none());
        rows.filter_map(move |row| Some((row.round, *row.figures.get(figure)?)))
    };
    let pair = |(round, own): (usize, f64)| {
        let (_, reference) = of(against).find(|(other, _)| *other == round)?;
        (own > 0.0 && reference > 0.0).then_some((round, (own, reference)))
    };
    of(workload).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn row(round: usize, workload: Workload, mode: Mode, p99: f64) -> Row {
        Row {
            round,
            workload,
            mode,
            void: None,
            figures: BTreeMap::from([("p99_us", p99)]),
        }
    }

    /// The flood doubles the reference's and triples the other's, whatever a round is like.
    fn rounds() -> Vec<Row> {
        let mut rows = Vec::new();
        for round in 0..6_u8 {
            let quiet = 100.0 + f64::from(round);
            for (mode, times) in [(Mode::Conntrack, 2.0), (Mode::Hybrid, 3.0)] {
                let round = usize::from(round);
                rows.push(row(round, Workload::FloodQuiet, mode, quiet));
                rows.push(row(round, Workload::Flood, mode, times * quiet));
            }
        }
        rows
    }

    fn found(rows: &[Row], mode: Mode) -> Option<Within> {
        let within = within(&[Workload::FloodQuiet, Workload::Flood], rows, 1);
        within
            .into_iter()
            .find(|it| it.mode == mode && it.stat == "p99")
    }

    #[test]
    fn a_workload_is_compared_with_its_reference_and_that_with_the_same_of_conntrack() {
        let found = found(&rounds(), Mode::Hybrid).unwrap();
        assert!((found.ratio.ratio - 3.0).abs() < 1e-9, "{found:?}");
        let against = found.against_conntrack.unwrap();
        assert!((against.ratio - 1.5).abs() < 1e-9, "{found:?}");
        assert_eq!(against.rounds, 6);
    }

    #[test]
    fn without_a_reference_there_is_its_own_ratio_alone() {
        let mut rows = rounds();
        rows.retain(|row| row.mode == Mode::Hybrid);
        let found = found(&rows, Mode::Hybrid).unwrap();
        assert_eq!(found.against_conntrack, None);
        assert_eq!(found.ratio.rounds, 6);
    }

    #[test]
    fn a_round_of_which_one_slice_does_not_count_is_left_out() {
        let mut rows = rounds();
        for row in &mut rows {
            let lacks = row.round == 2 && row.workload == Workload::FloodQuiet;
            row.void = lacks.then(|| "noise".to_owned());
        }
        assert_eq!(found(&rows, Mode::Hybrid).unwrap().ratio.rounds, 5);
        rows.retain(|row| row.workload != Workload::FloodQuiet);
        assert!(found(&rows, Mode::Hybrid).is_none());
    }

    #[test]
    fn only_what_has_its_reference_beside_it_is_compared() {
        let workloads = [Workload::Flood, Workload::TcpCrr, Workload::TcpCrrService];
        let mut rows = rounds();
        for row in &mut rows {
            let is_flood = row.workload == Workload::Flood;
            row.workload = if is_flood {
                Workload::TcpCrrService
            } else {
                Workload::TcpCrr
            };
        }
        let found = within(&workloads, &rows, 1);
        let pairs: Vec<_> = found
            .iter()
            .map(|it| (it.workload, it.against, it.mode))
            .collect();
        let pair = |mode| (Workload::TcpCrrService, Workload::TcpCrr, mode);
        assert_eq!(pairs, [pair(Mode::Conntrack), pair(Mode::Hybrid)]);
    }
}
