//! As Go writes things: durations, quoted words and the lines of its logger. Pure.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const NANOSECONDS: u128 = 1_000_000_000;

/// A duration as Go's `time.Duration` prints it: `480.684213ms`, `1m6.5s`, `0s`.
pub fn duration(duration: SignedDuration) -> String {
    let sign = if duration.is_negative() { "-" } else { "" };
    let nanoseconds = duration.as_nanos().unsigned_abs();
    let text = match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => decimal(nanoseconds, 3) + "µs",
        1_000_000..NANOSECONDS => decimal(nanoseconds, 6) + "ms",
        _ => of_seconds(nanoseconds),
    };
    format!("{sign}{text}")
}

fn of_seconds(nanoseconds: u128) -> String {
    let minutes = nanoseconds / NANOSECONDS / 60;
    let seconds = decimal(nanoseconds - minutes * 60 * NANOSECONDS, 9);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `number` with its last `digits` behind the point, without zeros at the end.
fn decimal(number: u128, digits: usize) -> String {
    let unit = 10_u128.pow(u32::try_from(digits).unwrap_or_default());
    let fraction = format!("{:0digits$}", number % unit);
    match fraction.trim_end_matches('0') {
        "" => format!("{}", number / unit),
        fraction => format!("{}.{fraction}", number / unit),
    }
}

/// How grave a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Something is left out.
    Warning,
    /// Something goes wrong.
    Error,
    /// The program ends over it.
    Fatal,
}

impl Severity {
    const fn letter(self) -> char {
        match self {
            Self::Info => 'I',
            Self::Warning => 'W',
            Self::Error => 'E',
            Self::Fatal => 'F',
        }
    }
}

/// Where a line of a log comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The process.
    pub pid: u32,
    /// The name of the source file, without directories.
    pub file: &'a str,
    /// The line there.
    pub line: u32,
}

/// A line as klog writes it; its clock is UTC.
pub fn log_line(severity: Severity, at: Timestamp, origin: Origin<'_>, text: &str) -> String {
    let Origin { pid, file, line } = origin;
    let at = at.to_zoned(TimeZone::UTC);
    let at = at.strftime("%m%d %H:%M:%S%.6f");
    format!("{}{at} {pid:>7} {file}:{line}] {text}", severity.letter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (10_024_329, "10.024329ms"),
            (480_684_213, "480.684213ms"),
            (690_000_000, "690ms"),
            (6_337_975_588, "6.337975588s"),
            (1_000_000_000, "1s"),
            (66_500_000_000, "1m6.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            let given = SignedDuration::from_nanos(nanoseconds);
            assert_eq!(duration(given), expected);
        }
    }

    #[test]
    fn a_line_of_the_log_has_klogs_header() {
        let at: Timestamp = "2026-01-23T18:41:04.152852Z".parse().unwrap();
        let origin = Origin {
            pid: 1,
            file: "main.rs",
            line: 29,
        };
        assert_eq!(
            log_line(Severity::Info, at, origin, "Going into idle state"),
            "I0123 18:41:04.152852       1 main.rs:29] Going into idle state"
        );
        let half: Timestamp = "2026-11-01T08:01:04.5Z".parse().unwrap();
        let line = log_line(Severity::Fatal, half, origin, "x");
        assert!(line.starts_with("F1101 08:01:04.500000 "), "{line}");
    }
}
