//! What `qperf … tcp_bw tcp_lat` prints: a line per test, and below it lines `NAME = VALUE UNIT`.

use super::{Figure, LATENCY_MEAN, THROUGHPUT, Unreadable, figures};

const TOOL: &str = "qperf";

/// Units of bytes per second, in bits.
const RATES: [(&str, f64); 5] = [
    ("bytes/sec", 8.0),
    ("KB/sec", 8e3),
    ("MB/sec", 8e6),
    ("GB/sec", 8e9),
    ("TB/sec", 8e12),
];
/// Units of time, in seconds.
const TIMES: [(&str, f64); 4] = [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("sec", 1.0)];

pub(super) fn read(output: &str) -> Result<Vec<Figure>, Unreadable> {
    Ok(figures([
        (THROUGHPUT, value(output, "tcp_bw", "bw", &RATES)?),
        (LATENCY_MEAN, value(output, "tcp_lat", "latency", &TIMES)?),
    ]))
}

/// The value of a name below the line of a test.
fn value(
    output: &str,
    test: &'static str,
    name: &'static str,
    units: &[(&str, f64)],
) -> Result<f64, Unreadable> {
    let is_test = |line: &&str| line.trim_end() == format!("{test}:");
    let below = output.lines().skip_while(|line| !is_test(line)).skip(1);
    let mut below = below.take_while(|line| line.starts_with(' '));
    let found = below.find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let (number, unit) = value.trim().split_once(' ')?;
        let (_, factor) = units.iter().find(|(it, _)| *it == unit.trim())?;
        // Thousands have commas.
        let number: f64 = number.replace(',', "").parse().ok()?;
        (key.trim() == name).then_some(number * factor)
    });
    found.ok_or(Unreadable::Lacks(test, TOOL))
}
