//! Whether the machine was quiet enough for a slice to mean anything.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Rounds of the loop that is timed before and after a slice: some 2 ms.
const SPIN: u64 = 2_000_000;
/// How many times as long it may take as in half of its round: ratios are made within a round, so a clock rate that
/// changes from one round to the next harms none.
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
    /// A loop took so many times as long as usual.
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

/// What the loop took before and after each slice of a round, in the middle.
pub fn usual(spins: impl IntoIterator<Item = [Duration; 2]>) -> Duration {
    let mut spins: Vec<Duration> = spins.into_iter().flatten().collect();
    spins.sort_unstable();
    spins.get(spins.len() / 2).copied().unwrap_or_default()
}

/// Judges a slice by what was stolen from it, and by what the loop took before and after it and usually did in its round.
pub fn judge(times: CpuTimes, spins: [Duration; 2], usual: Duration) -> Option<Noise> {
    let drift = spins[0].max(spins[1]).as_secs_f64() / usual.as_secs_f64().max(1e-9);
    // One tick of a short slice is more than that, and says little.
    if times.steal > 1 && times.stolen() > STEAL {
        Some(Noise::Steal(times.stolen()))
    } else if drift > DRIFT {
        Some(Noise::Drift(drift))
    } else {
        None
    }
}

/// What the loop takes now.
pub fn spin() -> Duration {
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
        for (steal, spins, expected) in [
            (5, [100, 110], None),
            (6, [100, 100], Some("6 % of the time was stolen")),
            (0, [100, 120], Some("the processor was 1.20 times as slow")),
            (0, [130, 100], Some("the processor was 1.30 times as slow")),
            (0, [50, 60], None),
        ] {
            let (spins, usual) = (spins.map(Duration::from_micros), Duration::from_micros(100));
            let noise = judge(times(steal), spins, usual).map(|it| it.to_string());
            assert_eq!(noise.as_deref(), expected, "{steal} % {spins:?}");
        }
    }

    #[test]
    fn what_is_usual_is_in_the_middle() {
        let spins = [[9, 2], [3, 8], [2, 2]].map(|it| it.map(Duration::from_micros));
        assert_eq!(usual(spins), Duration::from_micros(3));
        assert_eq!(usual([]), Duration::ZERO);
    }
}
