//! What arrivals say of a change. Pure.

use std::ops::Range;
use std::time::{Duration, Instant};

use sluice_lab::stream::Delivery;

/// A change that was to let something through, and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// From the change to the first arrival.
    pub(crate) took: Duration,
    /// From the change to when the enforcer had said that it is done.
    pub(crate) said: Duration,
    /// What did not arrive although it was sent after the enforcer had said that it is done.
    pub(crate) lost: u64,
}

/// A change that was to let nothing more through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// From the change to the last arrival; nothing where none came after it.
    pub(crate) took: Duration,
    /// From the change to when the enforcer had said that it is done.
    pub(crate) said: Duration,
    /// What arrived although it was sent after the enforcer had said that it is done.
    pub(crate) leaked: u64,
    /// What was sent before the enforcer said that it is done, and arrived after that: it was let through before, or waited
    /// for whoever let it through.
    pub(crate) late: u64,
    /// What arrived after the change.
    pub(crate) passed: u64,
}

/// None where nothing arrived after the change. `done` is when the enforcer had said so. `settled` are numbers that were sent once the enforcer had said that it is
/// done, and have had time to arrive: before, one queue may still wait where another lets through.
pub(crate) fn opened(
    deliveries: &[Delivery],
    change: Instant,
    done: Instant,
    settled: Range<u64>,
) -> Option<Opened> {
    let after = deliveries.iter().filter(|it| it.arrived >= change);
    let took = after.map(|it| it.arrived - change).min()?;
    Some(Opened {
        took,
        said: done.saturating_duration_since(change),
        lost: missing(deliveries, settled),
    })
}

/// How many of `numbers` have not arrived.
pub(crate) fn missing(deliveries: &[Delivery], numbers: Range<u64>) -> u64 {
    let arrived = deliveries.iter().filter(|it| numbers.contains(&it.number));
    (numbers.end - numbers.start).saturating_sub(arrived.count() as u64)
}

/// `done` is when the enforcer had said so.
pub(crate) fn closed(deliveries: &[Delivery], change: Instant, done: Instant) -> Closed {
    let after = deliveries.iter().filter(|it| it.arrived >= change);
    let took = after.clone().map(|it| it.arrived - change).max();
    let is_late = |it: &&Delivery| it.sent <= done && it.arrived > done;
    Closed {
        took: took.unwrap_or_default(),
        said: done.saturating_duration_since(change),
        leaked: after.clone().filter(|it| it.sent > done).count() as u64,
        late: after.clone().filter(is_late).count() as u64,
        passed: after.count() as u64,
    }
}

/// The value below which a share of `sorted` lies; none of nothing.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    (!sorted.is_empty()).then(|| crate::stats::quantile(sorted, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers with the milliseconds that each was sent and arrived at, from `start`.
    fn deliveries(start: Instant, of: &[(u64, u64, u64)]) -> Vec<Delivery> {
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let one = |&(number, sent, arrived)| Delivery {
            number,
            sent: at(sent),
            arrived: at(arrived),
        };
        of.iter().map(one).collect()
    }

    #[test]
    fn what_opens_is_timed_by_its_first_arrival() {
        let start = Instant::now();
        let [change, done] = [10, 14].map(|at| start + Duration::from_millis(at));
        for (given, expected) in [
            (&[][..], None),
            (&[(1, 2, 3)][..], None),
            (&[(8, 11, 12), (9, 12, 13)][..], Some((2, 0))),
            // What was sent before the change and waited somewhere counts as what it is: let through.
            (&[(4, 9, 11), (8, 11, 12), (9, 12, 13)][..], Some((1, 0))),
            // What was lost before the enforcer was done is not what it promised.
            (&[(5, 11, 12), (7, 13, 14), (9, 15, 16)][..], Some((2, 1))),
            (&[(5, 11, 12), (10, 16, 17)][..], Some((2, 2))),
        ] {
            let expected = expected.map(|(took, lost)| Opened {
                took: Duration::from_millis(took),
                said: Duration::from_millis(4),
                lost,
            });
            let found = opened(&deliveries(start, given), change, done, 8..10);
            assert_eq!(found, expected, "{given:?}");
        }
    }

    #[test]
    fn what_closes_is_timed_by_its_last_arrival() {
        let start = Instant::now();
        let [change, done] = [10, 20].map(|at| start + Duration::from_millis(at));
        for (given, took, leaked, late, passed) in [
            (&[][..], 0, 0, 0, 0),
            (&[(1, 2, 3)][..], 0, 0, 0, 0),
            (&[(1, 9, 11), (2, 13, 14)][..], 4, 0, 0, 2),
            // It was sent before: it may as well have been let through before.
            (&[(1, 19, 25)][..], 15, 0, 1, 1),
            (&[(1, 20, 20), (2, 20, 21)][..], 11, 0, 1, 2),
            (&[(1, 21, 22), (2, 23, 24)][..], 14, 2, 0, 2),
            (
                &[(1, 12, 13), (2, 18, 21), (3, 21, 1_200)][..],
                1_190,
                1,
                1,
                3,
            ),
        ] {
            let expected = Closed {
                took: Duration::from_millis(took),
                said: Duration::from_millis(10),
                leaked,
                late,
                passed,
            };
            assert_eq!(closed(&deliveries(start, given), change, done), expected);
        }
    }
}
