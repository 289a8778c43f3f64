//! Slices that do not count: how many, and why.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Row;
use crate::load::Workload;
use crate::mode::Mode;
use crate::void;

/// Slices of a workload and mode that do not count for the same kind of reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Void {
    /// What was sent.
    pub workload: Workload,
    /// What was between the pods.
    pub mode: Mode,
    /// The first of the reasons; of the others the numbers are different.
    pub reason: String,
    /// How many.
    pub slices: usize,
}

/// Of every kind of reason one.
pub(super) fn void_reasons(rows: &[Row]) -> Vec<Void> {
    let mut kinds: BTreeMap<(Workload, Mode, String), Void> = BTreeMap::new();
    for row in rows {
        let Some(reason) = &row.void else {
            continue;
        };
        let entry = kinds
            .entry((row.workload, row.mode, void::kind(reason)))
            .or_insert_with(|| Void {
                workload: row.workload,
                mode: row.mode,
                reason: reason.clone(),
                slices: 0,
            });
        entry.slices += 1;
    }
    kinds.into_values().collect()
}

/// Which workloads say nothing in which modes, and the share of their slices that do not count.
#[expect(clippy::cast_precision_loss, reason = "slices of a run")]
pub(super) fn mostly_void(rows: &[Row]) -> Vec<(Workload, Mode, f64)> {
    let mut counts: BTreeMap<(Workload, Mode), (usize, usize)> = BTreeMap::new();
    for row in rows {
        let (void, all) = counts.entry((row.workload, row.mode)).or_default();
        *void += usize::from(row.void.is_some());
        *all += 1;
    }
    let shares = counts
        .into_iter()
        .map(|((workload, mode), (void, all))| (workload, mode, void as f64 / all as f64));
    shares.filter(|(.., share)| *share > void::MOST).collect()
}
