//! Pods that come and go all the time: objects, one manifest each, that the policy under change selects.

use std::ops::Add;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use sluice_lab::Staged;

use super::flow;
use super::world;

/// So many are there at a time: from then on one goes with each that comes.
const THERE: u32 = 16;

/// How many came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Churned {
    pods: u32,
    within: Duration,
}

impl Churned {
    /// In a second; none where there was no time for any.
    pub(super) fn per_second(self) -> Option<f64> {
        let seconds = self.within.as_secs_f64();
        (seconds > 0.0).then(|| f64::from(self.pods) / seconds)
    }
}

impl Add for Churned {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            pods: self.pods + other.pods,
            within: self.within + other.within,
        }
    }
}

/// What a thread that makes pods goes by, and whoever waits for it.
#[derive(Default)]
struct Turn {
    stop: AtomicBool,
    pods: AtomicU32,
}

/// Does `what` while so many pods come in a second, and as many go: what came of it, and of them.
pub(super) fn meanwhile<T>(
    manifests: &Staged,
    rate: u32,
    what: impl FnOnce() -> Result<T>,
) -> Result<(T, Churned)> {
    let turn = Turn::default();
    let begun = Instant::now();
    thread::scope(|scope| {
        let coming = scope.spawn(|| turn.come_and_go(manifests, rate));
        let is_going = || coming.is_finished() || turn.pods.load(Ordering::Relaxed) > THERE;
        let done = flow::await_that("pods come and go", is_going).and_then(|()| what());
        let within = begun.elapsed();
        let pods = turn.pods.load(Ordering::Relaxed);
        turn.stop.store(true, Ordering::Relaxed);
        let came = coming.join();
        came.map_err(|_panic| anyhow!("pods do not come and go"))??;
        Ok((done?, Churned { pods, within }))
    })
}

impl Turn {
    fn come_and_go(&self, manifests: &Staged, rate: u32) -> Result<()> {
        let each = Duration::from_secs(1) / rate;
        let mut next = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.pods.load(Ordering::Relaxed);
            let file = format!("churn-{}.yaml", number % THERE);
            manifests.write(&file, &world::passer_by(number))?;
            self.pods.store(number + 1, Ordering::Relaxed);
            // What was held up is not made good.
            next = Instant::now().max(next + each);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_all_the_time_together() {
        let of = |pods, seconds| Churned {
            pods,
            within: Duration::from_secs(seconds),
        };
        assert_eq!(Churned::default().per_second(), None);
        let sum = Churned::default() + of(10, 1) + of(110, 2);
        assert_eq!(sum.per_second(), Some(40.0));
    }
}
