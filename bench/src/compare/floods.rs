//! What a flood does to its neighbour: the same connections with it and without, in one round.

use serde::Serialize;

use super::Row;
use crate::load::Workload;
use crate::mode::Mode;
use crate::stats::{self, Ratio};

/// The figures of the neighbour: what ratios call them, and figures do.
const STATS: [(&str, &str); 3] = [
    ("p50", "p50_us"),
    ("p99", "p99_us"),
    ("per_second", "per_second"),
];

/// The neighbour in one mode.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Victim {
    /// What was between the pods.
    pub mode: Mode,
    /// Of which figure.
    pub stat: &'static str,
    /// `flood` ÷ `flood_quiet`, within the mode.
    #[serde(flatten)]
    pub ratio: Ratio,
    /// That, ÷ the same in mode `conntrack`: what the enforcer adds to what the flood costs the machine anyhow. None for
    /// that mode itself.
    pub against_conntrack: Option<Ratio>,
}

/// Of each mode, in the order of the modes.
pub(super) fn victims(rows: &[Row], seed: u64) -> Vec<Victim> {
    let mut modes: Vec<Mode> = rows.iter().map(|row| row.mode).collect();
    modes.sort_unstable();
    modes.dedup();
    let victim = |mode: Mode, (stat, figure): (&'static str, &'static str)| {
        let own = by_round(rows, mode, figure);
        let reference = by_round(rows, Mode::Conntrack, figure);
        let pairs: Vec<_> = own
            .iter()
            .filter(|_| mode != Mode::Conntrack)
            .filter_map(|(round, own)| {
                let (_, other) = reference.iter().find(|(other, _)| other == round)?;
                Some((ratio_of(*own), ratio_of(*other)))
            })
            .collect();
        let own: Vec<_> = own.into_iter().map(|(_, pair)| pair).collect();
        Some(Victim {
            mode,
            stat,
            ratio: stats::ratio(&own, seed)?,
            against_conntrack: stats::ratio(&pairs, seed),
        })
    };
    let of_mode = |mode| STATS.into_iter().filter_map(move |stat| victim(mode, stat));
    modes.into_iter().flat_map(of_mode).collect()
}

fn ratio_of((a, b): (f64, f64)) -> f64 {
    a / b
}

/// The rounds in which both slices count: the figure with the flood, and without.
fn by_round(rows: &[Row], mode: Mode, figure: &str) -> Vec<(usize, (f64, f64))> {
    let of = |workload| {
        let rows = rows
            .iter()
            .filter(move |row| row.workload == workload && row.mode == mode && row.void.is_none());
        rows.filter_map(move |row| Some((row.round, *row.figures.get(figure)?)))
    };
    let pair = |(round, flooded): (usize, f64)| {
        let (_, quiet) = of(Workload::FloodQuiet).find(|(other, _)| *other == round)?;
        (flooded > 0.0 && quiet > 0.0).then_some((round, (flooded, quiet)))
    };
    of(Workload::Flood).filter_map(pair).collect()
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

    fn found(rows: &[Row], mode: Mode) -> Option<Victim> {
        let victims = victims(rows, 1);
        victims
            .into_iter()
            .find(|it| it.mode == mode && it.stat == "p99")
    }

    #[test]
    fn a_victim_is_compared_with_itself_and_that_with_the_reference() {
        let victim = found(&rounds(), Mode::Hybrid).unwrap();
        assert!((victim.ratio.ratio - 3.0).abs() < 1e-9, "{victim:?}");
        let against = victim.against_conntrack.unwrap();
        assert!((against.ratio - 1.5).abs() < 1e-9, "{victim:?}");
        assert_eq!(against.rounds, 6);
    }

    #[test]
    fn without_a_reference_there_is_its_own_ratio_alone() {
        let mut rows = rounds();
        rows.retain(|row| row.mode == Mode::Hybrid);
        let victim = found(&rows, Mode::Hybrid).unwrap();
        assert_eq!(victim.against_conntrack, None);
        assert_eq!(victim.ratio.rounds, 6);
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
}
