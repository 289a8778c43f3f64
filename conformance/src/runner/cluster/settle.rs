//! When what is seen of a change is judged. Pure.

use std::time::Duration;

/// Between two looks at what is not as it ought to be yet.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Looks at what came of a change, one after another. Times are since the change, those of looks when they began.
#[derive(Debug)]
pub(super) struct Looks {
    /// By then it is in force.
    limit: Duration,
    /// Not before this is everything looked at once more, to see that it stays; none: it is not.
    again: Option<Duration>,
    /// The look of which everything was right.
    right: Option<Duration>,
}

/// What there is to do after a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it came into force by then.
    Right(Duration),
    /// To look at everything, then or later.
    All(Duration),
    /// To look at what was wrong.
    Wrong,
    /// Nothing: what was wrong is.
    Failed,
}

impl Looks {
    pub(super) fn new(limit: Duration, again: Option<Duration>) -> Self {
        Self {
            limit,
            again,
            right: None,
        }
    }

    /// Whether what is wrong in a look may decide: before, it is looked at again anyway.
    pub(super) fn may_decide(&self, began: Duration) -> bool {
        self.right.is_some() || began > self.limit
    }

    /// A look that began by the limit may have seen what was before the change, so it does not judge it.
    pub(super) fn after(&mut self, began: Duration, is_right: bool) -> Next {
        if !is_right {
            self.right = None;
            return if began > self.limit {
                Next::Failed
            } else {
                Next::Wrong
            };
        }
        match (self.right, self.again) {
            (Some(first), _) => Next::Right(first),
            (None, None) => Next::Right(began),
            (None, Some(least)) => {
                self.right = Some(began);
                Next::All(least)
            }
        }
    }
}

/// How long is waited at least for what a change that changes no cell could do.
const LEAST: Duration = Duration::from_secs(1);

/// How long the changes of a run took to come into force, those that could be seen.
#[derive(Debug, Default)]
pub(super) struct Pace {
    took: Vec<Duration>,
}

impl Pace {
    pub(super) fn saw(&mut self, took: Duration) {
        self.took.push(took);
    }

    /// By then nine of ten were in force: how long to wait for one that cannot be seen. The slowest of all may have been
    /// an answer that a busy machine gave late.
    pub(super) fn usual(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        let last = took.len().saturating_sub(1);
        let usual = took.get((last * 9).div_ceil(10)).copied();
        usual.unwrap_or_default().max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_look_that_began_before_the_limit_fails_nobody_however_long_it_took() {
        let mut looks = Looks::new(LIMIT, Some(at(0)));
        assert_eq!(looks.after(at(0), false), Next::Wrong);
        assert_eq!(looks.after(LIMIT, false), Next::Wrong);
        assert!(!looks.may_decide(LIMIT));
        let after = LIMIT + Duration::from_nanos(1);
        assert!(looks.may_decide(after));
        assert_eq!(looks.after(after, false), Next::Failed);
    }

    #[test]
    fn what_is_right_is_looked_at_again_and_must_stay_so() {
        let mut looks = Looks::new(LIMIT, Some(at(1)));
        assert_eq!(looks.after(at(0), true), Next::All(at(1)));
        assert!(looks.may_decide(at(1)), "a datagram may be lost now");
        assert_eq!(looks.after(at(1), false), Next::Wrong);
        assert_eq!(looks.after(at(2), true), Next::All(at(1)));
        assert_eq!(looks.after(at(3), true), Next::Right(at(2)));
        let mut late = Looks::new(LIMIT, Some(at(1)));
        assert_eq!(late.after(at(9), true), Next::All(at(1)));
        assert_eq!(late.after(at(11), false), Next::Failed);
    }

    #[test]
    fn what_cannot_be_seen_is_given_the_time_that_others_took() {
        let mut pace = Pace::default();
        assert_eq!(pace.usual(), LEAST);
        (0..5).for_each(|_| pace.saw(at(3)));
        assert_eq!(pace.usual(), at(3), "a slow enforcer");
        let mut pace = Pace::default();
        (0..19).for_each(|_| pace.saw(Duration::from_millis(20)));
        pace.saw(at(9));
        assert_eq!(pace.usual(), LEAST, "one straggler");
        (0..5).for_each(|_| pace.saw(at(2)));
        assert_eq!(pace.usual(), at(2));
    }

    #[test]
    fn a_control_is_right_when_it_is_right_once() {
        let mut looks = Looks::new(LIMIT, None);
        assert_eq!(looks.after(at(0), false), Next::Wrong);
        assert_eq!(looks.after(at(3), true), Next::Right(at(3)));
    }
}
