//! How long to wait before trying again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Doubles from try to try.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);

    pub(crate) const fn up_to(most: Duration) -> Self {
        Self {
            next: Self::FIRST,
            most,
        }
    }

    /// What was tried went well.
    pub(crate) const fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    /// The next wait: half of it certain, half of it by chance, so that agents that failed together do not come back
    /// together.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        between(wait / 2, wait)
    }
}

/// The wait that is due, where a server asked to be left alone for some time: not less than that, and up to half as long
/// again, so that agents that were refused together do not come back together.
pub(crate) fn at_least(asked: Option<Duration>, due: Duration) -> Duration {
    asked.map_or(due, |asked| due.max(between(asked, asked + asked / 2)))
}

/// Some time between two, by chance.
pub(crate) fn between(least: Duration, most: Duration) -> Duration {
    // Fresh keys for each: as random as it has to be.
    let random = RandomState::new().hash_one(0_u8) >> 32;
    let share = f64::from(u32::try_from(random).unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    least + most.saturating_sub(least).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_not_shorter_than_was_asked_for() {
        let seconds = Duration::from_secs;
        assert_eq!(at_least(None, seconds(1)), seconds(1));
        assert_eq!(at_least(Some(seconds(2)), seconds(8)), seconds(8));
        for _ in 0..100 {
            let wait = at_least(Some(seconds(2)), seconds(1));
            assert!(wait >= seconds(2) && wait <= seconds(3), "{wait:?}");
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let most = Duration::from_secs(1);
        let mut backoff = Backoff::up_to(most);
        for full in [100, 200, 400, 800, 1000, 1000] {
            let wait = backoff.wait().as_millis();
            assert!((full / 2..=full).contains(&wait), "{wait} of {full}");
        }
        backoff.reset();
        assert!(backoff.wait() <= Backoff::FIRST);
        let waits: std::collections::BTreeSet<_> =
            (0..100).map(|_| between(Duration::ZERO, most)).collect();
        assert!(waits.len() > 90);
    }
}
