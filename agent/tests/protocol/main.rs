//! The third invariant in every order that threads can run in, and every order in which they can see each other's
//! writes: once a change has returned, no lease is live that it denies, and no connection is accepted that it denies.
//!
//! How workers are waited for is the agent's own code, [`clock`]. The rest is a model with the agent's order of steps:
//! maps, marks and the current snapshot are a word each. The snapshot before the change allows, the one after it denies;
//! their epochs are 1 and 2. What the agent does on top, to be quick about it (connections under review, a second look
//! before a verdict is given), is left out: it has to hold without.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use atomic::{AtomicU64, Ordering};
use clock::Clock;

mod atomic;
#[path = "../../src/agent/clock.rs"]
mod clock;

/// Before and after, as versions of the snapshot and as epochs.
const OLD: u64 = 1;
const NEW: u64 = 2;
/// No lease; not accepted.
const NONE: u64 = 0;

/// What is done otherwise than it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slip {
    Nothing,
    /// The kernel's epochs are raised before the snapshot that has them is published.
    RaisedFirst,
    NeverRaised,
    /// A lease has the epochs of the kernel at that moment, not those of the snapshot that was judged by.
    EpochsOfTheMoment,
    /// A worker announces after it has read what is current.
    AnnouncedLate,
    /// A worker gives its verdict when it says that it judges no more.
    AcceptedLate,
    /// Connections are judged again before workers are waited for.
    SweptEarly,
    NotWaited,
    /// Workers are waited for before the new snapshot is published.
    PublishedLate,
}

struct World {
    slip: Slip,
    /// The version of the current snapshot.
    current: AtomicU64,
    clocks: Vec<std::sync::Arc<Clock>>,
    /// What the kernel has.
    epoch: AtomicU64,
    lease: AtomicU64,
    accepted: AtomicU64,
}

impl World {
    fn new(slip: Slip, workers: usize) -> Self {
        Self {
            slip,
            current: AtomicU64::new(OLD),
            clocks: (0..workers)
                .map(|_| std::sync::Arc::new(Clock::new()))
                .collect(),
            epoch: AtomicU64::new(OLD),
            lease: AtomicU64::new(NONE),
            accepted: AtomicU64::new(NONE),
        }
    }

    /// A packet that was queued.
    fn work(&self, worker: usize) {
        let read = || self.current.load(Ordering::Acquire);
        let early = (self.slip == Slip::AnnouncedLate).then(read);
        let read = || early.unwrap_or_else(read);
        let allowed =
            self.clocks[worker].judging(read, |version| *version, |version| self.judge(*version));
        if allowed && self.slip == Slip::AcceptedLate {
            self.accepted.store(1, Ordering::Release);
        }
    }

    fn judge(&self, version: u64) -> bool {
        let allowed = version == OLD;
        if allowed {
            let epoch = match self.slip {
                Slip::EpochsOfTheMoment => self.epoch.load(Ordering::Acquire),
                _ => version,
            };
            self.lease.store(epoch, Ordering::Release);
            if self.slip != Slip::AcceptedLate {
                self.accepted.store(1, Ordering::Release);
            }
        }
        allowed
    }

    /// The writer's.
    fn change(&self) {
        match self.slip {
            Slip::RaisedFirst => {
                self.raise();
                self.publish();
            }
            Slip::NeverRaised => self.publish(),
            Slip::PublishedLate => self.raise(),
            _ => {
                self.publish();
                self.raise();
            }
        }
        if self.slip == Slip::SweptEarly {
            self.sweep();
        }
        if self.slip != Slip::NotWaited {
            assert!(Clock::settle(&self.clocks, NEW, || true));
        }
        if self.slip == Slip::PublishedLate {
            self.publish();
        }
        if self.slip != Slip::SweptEarly {
            self.sweep();
        }
    }

    fn publish(&self) {
        self.current.store(NEW, Ordering::Release);
    }

    fn raise(&self) {
        self.epoch.store(NEW, Ordering::Release);
    }

    /// What was accepted is denied now.
    fn sweep(&self) {
        self.accepted.store(NONE, Ordering::Release);
    }

    /// A packet that the kernel decides on once the change has returned.
    fn look(&self) {
        let lease = self.lease.load(Ordering::Acquire);
        let is_live = lease != NONE && lease == self.epoch.load(Ordering::Acquire);
        assert!(!is_live, "a lease of what is denied is live");
        let accepted = self.accepted.load(Ordering::Acquire);
        assert_eq!(accepted, NONE, "a connection that is denied is accepted");
    }
}

/// Tries every order of the writer and some workers, with as many preemptions of a thread that could go on as given. A
/// packet is decided on by the kernel as soon as the change has returned, whatever workers do meanwhile, and when they
/// are done.
fn check(slip: Slip, workers: usize, preemptions: usize) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let world = Arc::new(World::new(slip, workers));
        let work = |worker| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.work(worker))
        };
        let threads: Vec<_> = (0..workers).map(work).collect();
        world.change();
        world.look();
        for thread in threads {
            thread.join().expect("a worker that ends");
        }
        world.look();
    });
}

#[test]
fn what_is_denied_has_no_live_lease_and_is_not_accepted_in_any_order() {
    check(Slip::Nothing, 1, 5);
}

#[test]
fn nor_with_two_workers() {
    check(Slip::Nothing, 2, 2);
}

#[test]
fn it_does_not_matter_that_the_snapshot_comes_first_as_it_has_the_epochs_of_its_leases() {
    check(Slip::RaisedFirst, 1, 5);
}

#[test]
fn every_other_slip_is_found() {
    for slip in [
        Slip::NeverRaised,
        Slip::EpochsOfTheMoment,
        Slip::AnnouncedLate,
        Slip::AcceptedLate,
        Slip::SweptEarly,
        Slip::NotWaited,
        Slip::PublishedLate,
    ] {
        let found = std::panic::catch_unwind(|| check(slip, 1, 3)).is_err();
        assert!(found, "{slip:?} goes unnoticed");
    }
}
