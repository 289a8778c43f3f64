//! Durations as Go's flags take them: `30m0s`, `1h`, `250ms`.

use std::time::Duration;

use jiff::SignedDuration;

/// # Errors
/// For people: what is wrong.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration such as 30s, 30m0s or 250ms");
    let has_unit = text.ends_with(|c: char| c.is_ascii_lowercase());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    if !has_unit || !text.chars().all(is_plain) {
        return Err(wrong());
    }
    let signed: SignedDuration = text.parse().map_err(|_unread| wrong())?;
    let duration = Duration::try_from(signed).map_err(|_unread| wrong())?;
    if duration.is_zero() {
        return Err("a duration above zero is needed".to_owned());
    }
    Ok(duration)
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
        for (text, milliseconds) in [
            ("30m0s", Some(1_800_000)),
            ("30s", Some(30_000)),
            ("1h2m", Some(3_720_000)),
            ("250ms", Some(250)),
            ("1.5s", Some(1_500)),
            ("0s", None),
            ("-5s", None),
            ("30", None),
            ("", None),
            ("soon", None),
            ("P1D", None),
        ] {
            let parsed = parse(text).ok().map(|it| it.as_millis());
            assert_eq!(parsed, milliseconds, "{text}");
        }
        assert_eq!(
            parse(&shown(Duration::from_millis(1_500))),
            Ok(Duration::from_millis(1_500))
        );
    }
}
