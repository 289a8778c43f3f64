//! What the workers judge by, and how the writer knows that none judges by something older.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use sluice_policy::Snapshot;

use super::clock::Clock;
use super::epochs::Epochs;

/// A snapshot and the epochs that belong to it. A lease stores these epochs; the kernel's move only after this was
/// published, so a verdict from an older one is born stale.
pub(crate) struct Published {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) epochs: Epochs,
    version: u64,
}

/// The writer's end: not `Clone`.
pub(crate) struct Publisher {
    current: Arc<ArcSwap<Published>>,
    clocks: Vec<Arc<Clock>>,
}

/// A worker's end.
pub(crate) struct Reader {
    current: Arc<ArcSwap<Published>>,
    clock: Arc<Clock>,
}

impl Publisher {
    /// The first version, with as many readers as there are workers.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        epochs: Epochs,
        readers: usize,
    ) -> (Self, Vec<Reader>) {
        let current = Arc::new(ArcSwap::from_pointee(Published {
            snapshot,
            epochs,
            version: 1,
        }));
        let clocks: Vec<_> = (0..readers).map(|_| Arc::new(Clock::new())).collect();
        let readers = clocks
            .iter()
            .map(|clock| Reader {
                current: Arc::clone(&current),
                clock: Arc::clone(clock),
            })
            .collect();
        (Self { current, clocks }, readers)
    }

    /// A handle that only looks.
    pub(crate) fn view(&self) -> Arc<ArcSwap<Published>> {
        Arc::clone(&self.current)
    }

    /// The current version.
    pub(crate) fn current(&self) -> Arc<Published> {
        self.current.load_full()
    }

    /// Makes a newer one current.
    pub(crate) fn publish(&mut self, snapshot: Arc<Snapshot>, epochs: Epochs) {
        let version = self.current.load().version + 1;
        self.current.store(Arc::new(Published {
            snapshot,
            epochs,
            version,
        }));
    }

    /// Waits until no worker judges by anything older than the current version; false if one still does at the
    /// end of `patience`.
    #[must_use]
    pub(crate) fn settle(&self, patience: Duration) -> bool {
        let version = self.current.load().version;
        let deadline = Instant::now() + patience;
        Clock::settle(&self.clocks, version, || Instant::now() < deadline)
    }
}

impl Reader {
    /// Whether nothing newer has been published.
    pub(crate) fn is_current(&self, published: &Published) -> bool {
        self.current.load().version == published.version
    }

    /// Judges by the current version: the writer waits for `judge` to return, so the verdict must be given in it.
    pub(crate) fn judging<T>(&self, judge: impl FnOnce(&Published) -> T) -> T {
        let read = || self.current.load();
        let version = |published: &Guard<Arc<Published>>| published.version;
        self.clock
            .judging(read, version, |published| judge(published))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_policy::{Index, Scope};
    use std::sync::mpsc;

    fn publisher(readers: usize) -> (Publisher, Vec<Reader>, Arc<Snapshot>) {
        let snapshot = Index::new(Scope::Cluster).snapshot();
        let (publisher, readers) =
            Publisher::new(Arc::clone(&snapshot), Epochs::new(&[0; 256]), readers);
        (publisher, readers, snapshot)
    }

    #[test]
    fn idle_workers_are_settled_at_once() {
        let (mut publisher, _readers, snapshot) = publisher(2);
        publisher.publish(snapshot, Epochs::new(&[1; 256]));
        assert!(publisher.settle(Duration::ZERO));
    }

    #[test]
    fn a_worker_that_judges_by_the_old_snapshot_is_waited_for() {
        let (mut publisher, mut readers, snapshot) = publisher(1);
        let reader = readers.remove(0);
        let (entered, has_entered) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let worker = std::thread::spawn(move || {
            reader.judging(|_| {
                entered.send(()).unwrap();
                may_leave.recv().unwrap();
            });
        });
        has_entered.recv().unwrap();
        publisher.publish(snapshot, Epochs::new(&[1; 256]));
        assert!(
            !publisher.settle(Duration::from_millis(20)),
            "it still judges by the first version"
        );
        leave.send(()).unwrap();
        assert!(publisher.settle(Duration::from_mins(1)));
        worker.join().unwrap();
    }

    #[test]
    fn a_worker_that_judges_by_the_new_snapshot_is_not_waited_for() {
        let (mut publisher, mut readers, snapshot) = publisher(1);
        let reader = readers.remove(0);
        publisher.publish(snapshot, Epochs::new(&[9; 256]));
        let settled =
            reader.judging(|published| (published.epochs.get(5), publisher.settle(Duration::ZERO)));
        assert_eq!(settled, (9, true));
    }
}
