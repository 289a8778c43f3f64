//! How long to wait for an answer that may never come. The limit adapts to the answers that do come, so that a slow
//! machine is not mistaken for a policy; what is probed is not known here.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// A denied probe costs at least this.
const FLOOR: Duration = Duration::from_millis(150);
/// And at most this: by then a lost SYN has been sent again (after 1 s), and again answered or not.
const CEILING: Duration = Duration::from_millis(2500);
/// What it costs before anything was answered.
const UNKNOWN: Duration = Duration::from_secs(1);
/// How many times the slowest round trips, a percent of them aside, are waited for.
const FACTOR: u32 = 4;
/// Round trips count for so long: how busy the machine was before that says nothing about now.
const RECENT: Duration = Duration::from_secs(30);
/// But the last ones count, so many of them, however old they are.
const LEAST: usize = 64;
/// Time is waited for in pieces of this length. One that took longer counts as one all the same: for the rest of it
/// this process did not run, and its servers could not answer.
const SLICE: Duration = Duration::from_millis(25);

/// The round trips seen of late, and what follows from them.
#[derive(Debug, Default)]
pub struct Patience {
    round_trips: Mutex<RoundTrips>,
}

#[derive(Debug)]
struct RoundTrips {
    /// Each with the time when it ended, in that order.
    seen: VecDeque<(Instant, Duration)>,
    limit: Duration,
    /// Those that the limit does not know of. It is worked out now and then: every waiting probe asks for it all the time.
    fresh: usize,
}

impl Default for RoundTrips {
    fn default() -> Self {
        Self {
            seen: VecDeque::new(),
            limit: UNKNOWN,
            fresh: 0,
        }
    }
}

impl RoundTrips {
    fn push(&mut self, now: Instant, round_trip: Duration) {
        self.seen.push_back((now, round_trip));
        self.fresh += 1;
        let is_old = |(at, _): &(Instant, Duration)| now.duration_since(*at) > RECENT;
        while self.seen.len() > LEAST && self.seen.front().is_some_and(is_old) {
            self.seen.pop_front();
        }
        if self.fresh > self.seen.len() / 8 {
            let mut seen: Vec<Duration> = self.seen.iter().map(|(_, it)| *it).collect();
            self.limit = limit(&mut seen);
            self.fresh = 0;
        }
    }
}

impl Patience {
    /// What `work` comes to, or nothing where it takes longer than answers do. The limit is looked at when it is
    /// reached: answers to others that came meanwhile count.
    pub async fn wait<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let start = Instant::now();
        tokio::select! {
            // An answer that is there at the limit is an answer, however late this task runs.
            biased;
            done = work => {
                self.saw(start.elapsed());
                Some(done)
            }
            () = self.run_out() => None,
        }
    }

    /// What each of many works comes to that begin together, in the same order: the same as with [`Self::wait`], but one
    /// clock goes for all of them. Each with a clock of its own wakes a processor up so many times every 25 ms, and that
    /// costs more than what is asked.
    pub async fn wait_all<T, W>(
        self: &Arc<Self>,
        works: impl IntoIterator<Item = W>,
    ) -> Vec<Option<T>>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let (over, ends) = watch::channel(());
        let (begun, mut beginning) = mpsc::channel::<Infallible>(1);
        let mut tasks = JoinSet::new();
        for (number, work) in works.into_iter().enumerate() {
            let (patience, ends, begun) = (Arc::clone(self), ends.clone(), begun.clone());
            tasks.spawn(async move {
                drop(begun);
                (number, patience.until(ends, work).await)
            });
        }
        drop(begun);
        let clock = async {
            // Time counts from when the last one has begun.
            while beginning.recv().await.is_some() {}
            self.run_out().await;
            drop(over);
            pending::<Infallible>().await
        };
        let mut outcomes = tokio::select! {
            outcomes = tasks.join_all() => outcomes,
            never = clock => match never {},
        };
        outcomes.sort_unstable_by_key(|(number, _)| *number);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// What `work` comes to, or nothing where `ends` does before. An answer that is there at the end is an answer.
    async fn until<T>(
        &self,
        mut ends: watch::Receiver<()>,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let start = Instant::now();
        tokio::select! {
            biased;
            done = work => {
                self.saw(start.elapsed());
                Some(done)
            }
            _ = ends.changed() => None,
        }
    }

    /// Waits for as long as answers take, by the answers that come meanwhile too.
    async fn run_out(&self) {
        let mut waited = Duration::ZERO;
        while waited < self.limit() {
            sleep(SLICE).await;
            waited += SLICE;
        }
    }

    /// The time that an answer has at present.
    pub fn limit(&self) -> Duration {
        self.lock().limit
    }

    fn saw(&self, round_trip: Duration) {
        self.lock().push(Instant::now(), round_trip);
    }

    fn lock(&self) -> MutexGuard<'_, RoundTrips> {
        self.round_trips
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn limit(round_trips: &mut [Duration]) -> Duration {
    let Some(last) = round_trips.len().checked_sub(1) else {
        return UNKNOWN;
    };
    let (_, slowest, _) = round_trips.select_nth_unstable((last * 99).div_ceil(100));
    (*slowest * FACTOR).clamp(FLOOR, CEILING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(times: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        times.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn fast_answers_leave_the_floor() {
        assert_eq!(limit(&mut []), UNKNOWN);
        assert_eq!(limit(&mut milliseconds([1, 2, 3])), FLOOR);
    }

    #[test]
    fn slow_answers_raise_the_limit_up_to_the_ceiling() {
        assert_eq!(
            limit(&mut milliseconds([20, 60, 30])),
            Duration::from_millis(240)
        );
        assert_eq!(limit(&mut milliseconds([900])), CEILING);
    }

    #[test]
    fn one_straggler_in_a_hundred_does_not_count() {
        let times = (0..200).map(|n| if n == 7 { 600 } else { 50 });
        assert_eq!(limit(&mut milliseconds(times)), Duration::from_millis(200));
    }

    #[test]
    fn the_limit_follows_what_is_seen() {
        let patience = Patience::default();
        assert_eq!(patience.limit(), UNKNOWN);
        for milliseconds in 1..=100 {
            patience.saw(Duration::from_millis(milliseconds));
        }
        assert!(
            patience.limit() > Duration::from_millis(4 * 85),
            "{:?}",
            patience.limit()
        );
    }

    #[test]
    fn a_busy_time_is_forgotten_and_the_last_answers_are_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (slow, fast) = (Duration::from_millis(600), Duration::from_millis(5));
        let mut round_trips = RoundTrips::default();
        (0..100).for_each(|_| round_trips.push(at(0), slow));
        assert_eq!(round_trips.limit, slow * FACTOR);
        (0..50).for_each(|_| round_trips.push(at(29), fast));
        assert_eq!(round_trips.limit, slow * FACTOR, "it may come again");
        (0..100).for_each(|_| round_trips.push(at(31), fast));
        assert_eq!(round_trips.limit, FLOOR);
        round_trips.push(at(900), fast);
        assert_eq!(round_trips.seen.len(), LEAST);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_works_those_that_never_end_are_given_up() {
        let patience = Arc::new(Patience::default());
        let works = (0..100).map(|number| async move {
            if number % 2 == 0 {
                pending::<()>().await;
            }
            number
        });
        let expected: Vec<Option<u32>> = (0..100).map(|it| (it % 2 == 1).then_some(it)).collect();
        assert_eq!(patience.wait_all(works).await, expected);
        assert!(patience.limit() < UNKNOWN, "those that ended are seen");
        let none: [std::future::Ready<()>; 0] = [];
        assert_eq!(patience.wait_all(none).await, []);
    }

    #[tokio::test]
    async fn what_is_there_at_the_end_is_an_answer() {
        let (over, ends) = watch::channel(());
        drop(over);
        assert_eq!(Patience::default().until(ends, async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn work_that_never_ends_is_given_up() {
        assert_eq!(Patience::default().wait(pending::<()>()).await, None);
    }
}
