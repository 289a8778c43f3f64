//! Signals that end a run.

use std::fs;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Those that end a run: whoever started it with `nohup` means it, and what is ignored stays so.
pub fn ending_signals() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let all = [SIGINT, SIGTERM, SIGHUP].into_iter();
    all.filter(|signal| !is_ignored(&status, *signal)).collect()
}

/// Whether this process was started with the signal ignored, by `/proc/self/status`.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_is_known() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        assert!(is_ignored(status, SIGHUP));
        assert!(!is_ignored(status, SIGINT));
        assert!(!is_ignored("", SIGHUP));
    }
}
