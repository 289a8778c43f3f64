//! What arrived of numbered messages, and what is missing. Pure; sockets and threads are elsewhere.

use std::time::Instant;

/// Numbers beyond this are no numbers of ours: some hours of a message per millisecond.
const LIMIT: usize = 1 << 24;

/// Arrivals of one direction. Only what a receiver saw is in here.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// By number; as long as the highest that arrived.
    arrived: Vec<Option<Instant>>,
    delivered: u64,
    last: Option<Instant>,
}

impl Tally {
    /// Notes an arrival; of a number that arrived before, the first one counts.
    pub(crate) fn note(&mut self, number: u64, at: Instant) {
        let Some(index) = usize::try_from(number).ok().filter(|index| *index < LIMIT) else {
            return;
        };
        if self.arrived.len() <= index {
            self.arrived.resize(index + 1, None);
        }
        if self.arrived[index].is_none() {
            self.arrived[index] = Some(at);
            self.delivered += 1;
        }
        self.last = self.last.max(Some(at));
    }

    /// How many different numbers arrived.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// When something arrived last.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }

    /// One more than the highest number that arrived.
    pub(crate) fn end(&self) -> usize {
        self.arrived.len()
    }

    /// When a number arrived.
    pub(crate) fn arrival(&self, number: usize) -> Option<Instant> {
        self.arrived.get(number).copied().flatten()
    }

    /// Every number that arrived, with its time, in order of the numbers.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = (usize, Instant)> + '_ {
        let numbered = self.arrived.iter().enumerate();
        numbered.filter_map(|(number, at)| Some((number, (*at)?)))
    }

    /// How many of the numbers that `was_sent` did not arrive. What comes after the highest that arrived, or after
    /// `settled` where that is more, may still be under way.
    pub(crate) fn lost(&self, settled: usize, was_sent: impl Fn(usize) -> bool) -> u64 {
        let end = self.end().max(settled);
        let missing = |number: &usize| was_sent(*number) && self.arrival(*number).is_none();
        (0..end).filter(missing).map(|_| 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            tally.note(*number, Instant::now());
        }
        tally
    }

    #[test]
    fn gaps_are_lost_and_what_may_be_under_way_is_not() {
        let tally = tally(&[0, 1, 4, 5]);
        assert_eq!((tally.delivered(), tally.end()), (4, 6));
        assert_eq!(tally.lost(0, |_| true), 2);
        assert_eq!(tally.lost(9, |_| true), 5, "6, 7 and 8 are overdue");
        assert_eq!(tally.lost(9, |number| number != 2), 4, "2 was never sent");
    }

    #[test]
    fn a_number_counts_once_and_in_any_order() {
        let tally = tally(&[2, 0, 2, 1]);
        assert_eq!((tally.delivered(), tally.lost(3, |_| true)), (3, 0));
    }

    #[test]
    fn garbage_is_no_number() {
        assert_eq!(tally(&[u64::MAX, 1 << 24]).end(), 0);
    }
}
