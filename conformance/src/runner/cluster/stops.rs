//! Signals that end a run.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

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
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    // Whoever started it with `nohup` means it.
    for kind in kinds.into_iter().filter(|it| !is_ignored(&status, *it)) {
        let mut signals = signal(kind)?;
        let (stop, left) = (Arc::clone(stop), left.to_owned());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if stop.is_asked.swap(true, Ordering::Relaxed) {
                    warn(&left);
                    std::process::exit(128 + kind.as_raw_value());
                }
                stop.asked.notify_waiters();
            }
        });
    }
    Ok(())
}

/// Whether this process was started with the signal ignored, by `/proc/self/status`.
fn is_ignored(status: &str, kind: SignalKind) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_is_known() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, SignalKind::hangup()));
        assert!(!is_ignored(status, SignalKind::interrupt()));
        assert!(!is_ignored("", SignalKind::hangup()));
    }
}
