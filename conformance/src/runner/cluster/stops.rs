//! How signals end a run in a cluster.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::ending_signals;

/// Somebody wants it to end.
#[derive(Default)]
pub(super) struct Stop {
    is_asked: AtomicBool,
    asked: Notify,
}

impl Stop {
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Waits until it is asked for.
    pub(super) async fn asked(&self) {
        let asked = self.asked.notified();
        if !self.is_asked() {
            asked.await;
        }
    }
}

/// Hears signals from now on, within a runtime: the first asks for the end; at the second it says what is `left`, and
/// ends the program at once.
pub(super) fn hear(stop: &Arc<Stop>, warn: fn(&str), left: &str) -> io::Result<()> {
    for number in ending_signals() {
        let mut signals = signal(SignalKind::from_raw(number))?;
        let (stop, left) = (Arc::clone(stop), left.to_owned());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if stop.is_asked.swap(true, Ordering::Relaxed) {
                    warn(&left);
                    std::process::exit(128 + number);
                }
                stop.asked.notify_waiters();
            }
        });
    }
    Ok(())
}
