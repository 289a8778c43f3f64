//! Waiting for a condition, with a limit and a message that says what did not happen; ended early by Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

/// How often it is looked at.
const STEP: Duration = Duration::from_millis(20);

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Whoever catches signals sets this; whatever waits then gives up.
pub fn interrupted() -> Arc<AtomicBool> {
    Arc::clone(&INTERRUPTED)
}

/// Waits until `look` finds something.
///
/// # Errors
/// What did not come about within the limit, or that somebody pressed Ctrl-C; whatever `look` fails with.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    regardless(what, limit, || match look()? {
        None => go_on().map(|()| None),
        found => Ok(found),
    })
}

/// Fails where somebody pressed Ctrl-C.
pub(crate) fn go_on() -> Result<()> {
    ensure!(!INTERRUPTED.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// The same for what has to be done all the more where somebody pressed Ctrl-C.
pub(crate) fn regardless<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("{what} did not happen within {} s", limit.as_secs());
        }
        thread::sleep(STEP);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::until;

    #[test]
    fn a_condition_is_found_once_it_holds() {
        let mut looks = 0;
        let found = until("three looks", Duration::from_secs(10), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn what_does_not_happen_is_named() {
        let error = until("rain", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert_eq!(error.to_string(), "rain did not happen within 0 s");
    }
}
