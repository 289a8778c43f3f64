//! The latencies of all slices that count, together: for plots, since a median of medians has no distribution.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::load::Workload;
use crate::mode::Mode;

/// By workload and mode.
#[derive(Debug, Default)]
pub(super) struct Latencies(BTreeMap<(Workload, Mode), Histogram<u64>>);

/// The shares of all latencies that are given: 1 to 99 of 100 in steps of 2, and beyond.
fn shares() -> impl Iterator<Item = f64> {
    let hundredths = (1..100_u8).step_by(2).map(|it| f64::from(it) / 100.0);
    hundredths.chain([0.995, 0.999, 0.9995])
}

impl Latencies {
    /// Adds those of a slice; a stream has none.
    pub(super) fn add(&mut self, workload: Workload, mode: Mode, of_slice: &Histogram<u64>) {
        if of_slice.is_empty() {
            return;
        }
        match self.0.get_mut(&(workload, mode)) {
            // Both have the same bounds.
            Some(all) => all.add(of_slice).unwrap_or_default(),
            None => drop(self.0.insert((workload, mode), of_slice.clone())),
        }
    }

    /// By mode: shares, and the microseconds that they are at most.
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a connection")]
    pub(super) fn of(&self, workload: Workload) -> BTreeMap<Mode, Vec<(f64, f64)>> {
        let of_workload = self.0.iter().filter(|((of, _), _)| *of == workload);
        let points = |all: &Histogram<u64>| {
            let at = |share| (share, all.value_at_quantile(share) as f64 / 1e3);
            shares().map(at).collect()
        };
        of_workload
            .map(|((_, mode), all)| (*mode, points(all)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_taken_together() {
        let slice = |values: &[u64]| {
            let mut slice = Histogram::new(3).unwrap();
            for value in values {
                slice.record(*value).unwrap();
            }
            slice
        };
        let mut latencies = Latencies::default();
        latencies.add(Workload::TcpCrr, Mode::Hybrid, &slice(&[1_000, 1_000]));
        latencies.add(Workload::TcpCrr, Mode::Hybrid, &slice(&[3_000, 3_000]));
        latencies.add(Workload::TcpCrr, Mode::None, &slice(&[]));
        let found = latencies.of(Workload::TcpCrr);
        assert_eq!(found.keys().collect::<Vec<_>>(), [&Mode::Hybrid]);
        let points = &found[&Mode::Hybrid];
        assert_eq!(points.len(), 53);
        let at = |share: f64| points.iter().find(|it| it.0 >= share).unwrap().1;
        assert!(
            (at(0.4) - 1.0).abs() < 0.01 && (at(0.6) - 3.0).abs() < 0.01,
            "{points:?}"
        );
        assert!(latencies.of(Workload::Http).is_empty());
    }
}
