//! Choices by chance, all of them from one seed.

use std::ops::RangeInclusive;

/// Where choices come from: the same seed makes the same ones.
#[derive(Clone, Debug)]
pub(super) struct Draw(fastrand::Rng);

impl Draw {
    pub(super) fn of(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A number of a range.
    pub(super) fn number(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.usize(range)
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.0.usize(..times) == 0
    }

    /// One of some things, of which there is at least one.
    pub(super) fn one<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.0.usize(..of.len())]
    }

    /// As many different ones of some things as a range says, or all of them; in their order.
    pub(super) fn some<T: Clone>(&mut self, of: &[T], count: RangeInclusive<usize>) -> Vec<T> {
        let count = self.number(count).min(of.len());
        let mut places: Vec<usize> = (0..of.len()).collect();
        self.shuffle(&mut places);
        places.truncate(count);
        places.sort_unstable();
        places.into_iter().map(|place| of[place].clone()).collect()
    }

    /// As many things as a range says.
    pub(super) fn list<T>(
        &mut self,
        count: RangeInclusive<usize>,
        mut make: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let count = self.number(count);
        (0..count).map(|_| make(self)).collect()
    }

    pub(super) fn shuffle<T>(&mut self, things: &mut [T]) {
        self.0.shuffle(things);
    }
}
