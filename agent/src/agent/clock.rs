//! How the writer knows that no worker judges by something older: a word per worker that says what it judges by. What
//! is judged, and by what, is not known here.
//!
//! This file is also compiled into `agent/tests/protocol`, where its atomics are those of a checker that tries every
//! order.

use std::sync::Arc;

use crate::atomic::{AtomicU64, Ordering, fence, yield_now};

/// What a worker judges by. It is written by that worker alone.
pub(crate) struct Clock(AtomicU64);

/// By nothing.
const IDLE: u64 = u64::MAX;
/// It is about to read: it may get any version.
const READING: u64 = 0;

impl Clock {
    /// That of a worker which judges nothing.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(IDLE))
    }

    /// Reads what is current, and judges by it: the writer waits for `judge` to return, so the verdict must be given in
    /// it.
    pub(crate) fn judging<P, T>(
        &self,
        read: impl FnOnce() -> P,
        version: impl FnOnce(&P) -> u64,
        judge: impl FnOnce(&P) -> T,
    ) -> T {
        // Announce before reading. If the writer saw the clock idle, it looked before this store, and published
        // before it looked: then the reading below gets the newer version.
        self.0.store(READING, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let current = read();
        self.0.store(version(&current), Ordering::SeqCst);
        let outcome = judge(&current);
        self.0.store(IDLE, Ordering::SeqCst);
        outcome
    }

    /// Waits until no worker judges by anything older than `version`, which was published before; false if one still
    /// does when the writer is not `patient` any more.
    #[must_use]
    pub(crate) fn settle(
        clocks: &[Arc<Self>],
        version: u64,
        mut patient: impl FnMut() -> bool,
    ) -> bool {
        fence(Ordering::SeqCst);
        clocks.iter().all(|clock| {
            loop {
                if clock.0.load(Ordering::SeqCst) >= version {
                    return true;
                }
                if !patient() {
                    return false;
                }
                yield_now();
            }
        })
    }
}
