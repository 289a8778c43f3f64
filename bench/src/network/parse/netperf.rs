//! The lines `NAME=VALUE` that `netperf … -- -k NAMES` prints. Latencies are in microseconds.

use super::{
    Figure, LATENCY_MEAN, LATENCY_P50, LATENCY_P90, LATENCY_P99, LATENCY_STDDEV, RETRANSMITS,
    THROUGHPUT, TRANSACTIONS, Unreadable, figures,
};

const TOOL: &str = "netperf";
const MICROSECOND: f64 = 1e-6;
const MEGABIT: f64 = 1e6;

struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    /// Of a whole line: what was cut may be another number.
    fn text(&self, name: &'static str) -> Result<&'a str, Unreadable> {
        let lines = self.0.split_inclusive('\n');
        let whole = lines.filter(|line| line.ends_with('\n'));
        let mut pairs = whole.filter_map(|line| line.split_once('='));
        let found = pairs.find(|(key, _)| *key == name);
        found
            .map(|(_, value)| value.trim())
            .ok_or(Unreadable::Lacks(name, TOOL))
    }

    fn number(&self, name: &'static str) -> Result<f64, Unreadable> {
        let text = self.text(name)?;
        text.parse().ok().ok_or(Unreadable::Lacks(name, TOOL))
    }

    /// The throughput, which is to be in this unit.
    fn throughput(&self, unit: &'static str) -> Result<f64, Unreadable> {
        if self.text("THROUGHPUT_UNITS")? == unit {
            self.number("THROUGHPUT")
        } else {
            Err(Unreadable::Lacks(unit, TOOL))
        }
    }
}

pub(super) fn read_rr(output: &str) -> Result<Vec<Figure>, Unreadable> {
    let lines = Lines(output);
    let seconds = |name| Ok(lines.number(name)? * MICROSECOND);
    Ok(figures([
        (TRANSACTIONS, lines.throughput("Trans/s")?),
        (LATENCY_MEAN, seconds("MEAN_LATENCY")?),
        (LATENCY_STDDEV, seconds("STDDEV_LATENCY")?),
        (LATENCY_P50, seconds("P50_LATENCY")?),
        (LATENCY_P90, seconds("P90_LATENCY")?),
        (LATENCY_P99, seconds("P99_LATENCY")?),
    ]))
}

pub(super) fn read_stream(output: &str) -> Result<Vec<Figure>, Unreadable> {
    let lines = Lines(output);
    Ok(figures([
        (THROUGHPUT, lines.throughput("10^6bits/s")? * MEGABIT),
        (RETRANSMITS, lines.number("LOCAL_TRANSPORT_RETRANS")?),
    ]))
}
