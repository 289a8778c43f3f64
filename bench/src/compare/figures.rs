//! What a slice came to.

use std::collections::BTreeMap;

use crate::load::Workload;
use crate::mode::Mode;
use crate::stage::Slice;

/// Figures by name: `p50_us`, `p90_us`, `p99_us`, `mean_us`, `per_second` (connections, or questions and answers),
/// `gbit_s` (streams), `agent_us` and `machine_us` (processor time of the agent and of everything, for each of these),
/// `switches` (context switches for each), `late_us` (how long after it was due the median connection began).
pub(super) type Figures = BTreeMap<&'static str, f64>;

/// `USER_HZ`: the ticks of `/proc/stat` in a second.
const TICKS: f64 = 100.0;

/// The figures of `slice`; those that it has nothing for are left out, and what the machine did in a slice of the cold
/// mode, which is a few ticks long.
#[expect(clippy::cast_precision_loss, reason = "counts of a slice")]
pub(super) fn figures(workload: Workload, mode: Mode, slice: &Slice) -> Figures {
    let mut figures = Figures::new();
    let sent = &slice.sent;
    let seconds = sent.wall.as_secs_f64();
    if workload.streams() {
        if sent.bytes > 0 && seconds > 0.0 {
            figures.insert("gbit_s", sent.bytes as f64 * 8e-9 / seconds);
        }
        return figures;
    }
    if sent.latency.is_empty() || seconds <= 0.0 {
        return figures;
    }
    let at = |quantile| sent.latency.value_at_quantile(quantile) as f64 / 1e3;
    figures.insert("p50_us", at(0.5));
    figures.insert("p90_us", at(0.9));
    figures.insert("p99_us", at(0.99));
    figures.insert("mean_us", sent.latency.mean() / 1e3);
    figures.insert("per_second", sent.in_time as f64 / seconds);
    if workload.share().is_some() {
        let late = sent.lateness.value_at_quantile(0.5);
        figures.insert("late_us", late as f64 / 1e3);
    }
    // What is measured from outside is of the warm-up too, as these are.
    let each = |value: f64| value / sent.exchanges as f64;
    figures.insert("agent_us", each(slice.agent.as_secs_f64() * 1e6));
    if mode != Mode::HybridCold {
        figures.insert("machine_us", each(slice.machine.busy as f64 / TICKS * 1e6));
        figures.insert("switches", each(slice.machine.switches as f64));
    }
    figures
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::*;
    use crate::load::Sent;
    use crate::noise::CpuTimes;
    use crate::proof::Seen;

    fn slice(latencies: &[u64], bytes: u64) -> Slice {
        let mut latency = Histogram::new(3).unwrap();
        for value in latencies {
            latency.record(*value).unwrap();
        }
        Slice {
            sent: Sent {
                in_time: latency.len(),
                latency,
                lateness: Histogram::new(3).unwrap(),
                connections: 8,
                exchanges: 8,
                failed: None,
                bytes,
                wall: Duration::from_millis(500),
                flooded: None,
            },
            seen: Seen::default(),
            machine: CpuTimes {
                busy: 40,
                switches: 80,
                ..CpuTimes::default()
            },
            spins: [Duration::from_millis(2); 2],
            agent: Duration::from_millis(80),
        }
    }

    #[test]
    fn figures_are_for_each_connection() {
        let figures = figures(
            Workload::TcpCrr,
            Mode::Hybrid,
            &slice(&[1_000, 2_000, 3_000, 50_000], 0),
        );
        let near = |name: &str, expected: f64| {
            let value = figures[name];
            assert!(
                (value - expected).abs() < expected * 0.002,
                "{name}: {value}"
            );
        };
        near("p50_us", 2.0);
        near("p99_us", 50.0);
        near("mean_us", 14.0);
        near("per_second", 8.0);
        near("agent_us", 10_000.0);
        near("machine_us", 50_000.0);
        near("switches", 10.0);
    }

    #[test]
    fn a_few_ticks_are_no_figure() {
        let figures = figures(Workload::TcpCrr, Mode::HybridCold, &slice(&[1_000], 0));
        assert!(figures.contains_key("p50_us") && !figures.contains_key("machine_us"));
    }

    #[test]
    fn a_stream_has_a_rate_and_nothing_else() {
        let figures = figures(
            Workload::TcpStream,
            Mode::Hybrid,
            &slice(&[], 1_000_000_000),
        );
        assert_eq!(figures.len(), 1);
        assert!((figures["gbit_s"] - 16.0).abs() < 1e-9, "{figures:?}");
    }

    #[test]
    fn nothing_that_was_answered_has_no_figures() {
        assert!(figures(Workload::TcpCrr, Mode::Hybrid, &slice(&[], 0)).is_empty());
    }
}
