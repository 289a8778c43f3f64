//! Durations as Go's flags take them (`time.ParseDuration`): `30m0s`, `1h`, `250ms`, `.5s`.

use std::time::Duration;

/// Units, and their nanoseconds.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("\u{b5}s", 1e3),
    ("\u{3bc}s", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];
/// The longest: 2^63 nanoseconds, 292 years.
const LONGEST: f64 = 9_223_372_036_854_775_808.0;

/// # Errors
/// For people: what is wrong.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let nanoseconds = nanoseconds(text)
        .ok_or_else(|| format!("`{text}` is no duration such as 30s, 30m0s or 250ms"))?;
    if nanoseconds >= LONGEST {
        return Err("a duration of less than 292 years is needed".to_owned());
    }
    let duration = Duration::from_secs_f64(nanoseconds / 1e9);
    if duration.is_zero() {
        return Err("a duration above zero is needed".to_owned());
    }
    Ok(duration)
}

/// The sum of numbers with a unit each; zero needs none.
fn nanoseconds(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c| !is_of_number(c))?);
        let (unit, next) = behind.split_at(behind.find(is_of_number).unwrap_or(behind.len()));
        let (_, each) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number.parse::<f64>().ok()? * each;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

/// As Go's flags take it.
pub(crate) fn shown(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, microseconds) in [
            ("30m0s", Some(1_800_000_000)),
            ("30s", Some(30_000_000)),
            ("1h2m", Some(3_720_000_000)),
            ("250ms", Some(250_000)),
            ("1.5s", Some(1_500_000)),
            (".5s", Some(500_000)),
            ("5\u{b5}s", Some(5)),
            ("5\u{3bc}s", Some(5)),
            ("7us8000ns", Some(15)),
            ("2562047h", Some(9_223_369_200_000_000)),
            ("0s", None),
            ("0", None),
            ("-5s", None),
            ("30", None),
            ("", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("5seconds", None),
            ("5 s", None),
            ("soon", None),
            ("P1D", None),
            // What would overflow a clock.
            ("2562048h", None),
            ("9223372036854775807s", None),
            ("99999999999999999999999999999999999999999h", None),
        ] {
            let parsed = parse(text).ok().map(|it| it.as_micros());
            assert_eq!(parsed, microseconds, "{text}");
        }
        assert_eq!(
            parse(&shown(Duration::from_millis(1_500))),
            Ok(Duration::from_millis(1_500))
        );
    }

    #[test]
    fn the_longest_can_be_added_to_a_clock() {
        let longest = parse("2562047h").unwrap();
        assert!(std::time::Instant::now().checked_add(2 * longest).is_some());
    }
}
