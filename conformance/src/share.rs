//! Work that threads share.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// So many workers for each core of this machine.
pub fn per_core(count: usize) -> usize {
    thread::available_parallelism().map_or(1, usize::from) * count
}

/// Has workers, each in a thread of its own, take one piece of work after another, by its number, until all are taken. One
/// that breaks off takes no more.
pub(crate) fn share<W: Send>(
    workers: &mut [W],
    pieces: usize,
    work: impl Fn(&mut W, usize) -> ControlFlow<()> + Sync,
) {
    let next = AtomicUsize::new(0);
    let work_off = |worker: &mut W| {
        let taken = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|it| *it < pieces);
        while let Some(number) = taken() {
            if work(worker, number).is_break() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for worker in workers {
            scope.spawn(|| work_off(worker));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_taken_once() {
        let mut workers = vec![Vec::new(); 3];
        share(&mut workers, 1000, |taken, number| {
            taken.push(number);
            ControlFlow::Continue(())
        });
        let mut all = workers.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
    }

    #[test]
    fn who_breaks_off_takes_no_more() {
        let mut workers = [0];
        share(&mut workers, 9, |taken, number| {
            *taken += 1;
            if number == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(workers, [3]);
    }
}
