//! Whether the machine was quiet enough for a slice to mean anything.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Rounds of the loop that is timed before and after a slice: some 2 ms.
const SPIN: u64 = 2_000_000;
/// Times that it is run to find out what it takes when nothing disturbs it.
const CALIBRATIONS: usize = 25;
/// How much longer than that it may take.
const DRIFT: f64 = 1.10;
/// The share of a slice that the hypervisor may give to others.
const STEAL: f64 = 0.05;

/// The counters of `/proc/stat` (proc(5)): all processors together, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// Everything.
    pub total: u64,
    /// Neither `idle` nor `iowait`.
    pub busy: u64,
    /// What the hypervisor gave to others.
    pub steal: u64,
    /// Context switches since boot.
    pub switches: u64,
}

impl CpuTimes {
    /// As they are now.
    pub fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        Self::parse(&text).context("/proc/stat: no lines `cpu` and `ctxt` as expected")
    }

    fn parse(text: &str) -> Option<Self> {
        let line = |name| text.lines().find_map(|line| line.strip_prefix(name));
        let ticks: Option<Vec<u64>> = line("cpu ")?
            .split_whitespace()
            .take(8)
            .map(|word| word.parse().ok())
            .collect();
        let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks?[..] else {
            return None;
        };
        let busy = user + nice + system + irq + softirq;
        Some(Self {
            total: busy + idle + iowait + steal,
            busy,
            steal,
            switches: line("ctxt ")?.trim().parse().ok()?,
        })
    }

    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            busy: self.busy.saturating_sub(earlier.busy),
            steal: self.steal.saturating_sub(earlier.steal),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }

    /// The share that was stolen, of 1.
    #[expect(clippy::cast_precision_loss, reason = "ticks of a slice")]
    pub fn stolen(self) -> f64 {
        self.steal as f64 / (self.total.max(1)) as f64
    }
}

/// What was wrong with the machine during a slice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// The hypervisor gave this share to others.
    Steal(f64),
    /// A loop took so many times as long as undisturbed.
    Drift(f64),
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steal(share) => write!(f, "{:.0} % of the time was stolen", share * 100.0),
            Self::Drift(times) => write!(f, "the processor was {times:.2} times as slow"),
        }
    }
}

/// Watches the machine while a slice runs.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    undisturbed: Duration,
}

impl Guard {
    /// Finds out what the loop takes undisturbed: the least of several times.
    pub fn calibrate() -> Self {
        let times = (0..CALIBRATIONS).map(|_| spin());
        Self {
            undisturbed: times.min().unwrap_or_default(),
        }
    }

    /// How many times as long as undisturbed the loop takes now.
    pub fn drift(&self) -> f64 {
        spin().as_secs_f64() / self.undisturbed.as_secs_f64().max(1e-9)
    }
}

/// Judges a slice by what was stolen from it, and by the drifts before and after it.
pub fn judge(times: CpuTimes, drifts: [f64; 2]) -> Option<Noise> {
    let drift = drifts[0].max(drifts[1]);
    // One tick of a short slice is more than that, and says little.
    if times.steal > 1 && times.stolen() > STEAL {
        Some(Noise::Steal(times.stolen()))
    } else if drift > DRIFT {
        Some(Noise::Drift(drift))
    } else {
        None
    }
}

fn spin() -> Duration {
    let started = Instant::now();
    let mut state = 1_u64;
    for number in 0..SPIN {
        state = black_box(state.rotate_left(5) ^ number);
    }
    black_box(state);
    started.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 1 50 800 9 2 8 30 0 0\ncpu0 50 0 25 400 4 1 4 15 0 0\nintr 5 0\nctxt 12345\nbtime 1\n";

    #[test]
    fn proc_stat_is_read() {
        let times = CpuTimes::parse(STAT).unwrap();
        let expected = CpuTimes {
            total: 1000,
            busy: 161,
            steal: 30,
            switches: 12345,
        };
        assert_eq!(times, expected);
        for broken in [
            "",
            "cpu  1 2 3\nctxt 1",
            "cpu  a b c d e f g h\nctxt 1",
            "cpu  1 2 3 4 5 6 7 8\n",
        ] {
            assert_eq!(CpuTimes::parse(broken), None, "{broken}");
        }
        assert!(CpuTimes::now().is_ok());
    }

    #[test]
    fn what_disturbs_a_slice_is_named() {
        let times = |steal| CpuTimes {
            total: 100,
            steal,
            ..CpuTimes::default()
        };
        for (steal, drifts, expected) in [
            (5, [1.0, 1.1], None),
            (6, [1.0, 1.0], Some(Noise::Steal(0.06))),
            (0, [1.0, 1.2], Some(Noise::Drift(1.2))),
            (0, [1.3, 1.0], Some(Noise::Drift(1.3))),
        ] {
            assert_eq!(
                judge(times(steal), drifts),
                expected,
                "{steal} % {drifts:?}"
            );
        }
    }
}
