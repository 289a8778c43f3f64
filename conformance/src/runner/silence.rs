//! When a connection that is kept counts as cut: one answer that is missing may be a packet that was lost.

use std::time::{Duration, Instant};

/// So many words without an answer, one after another.
const MISSES: u32 = 3;
/// And so long: by then TCP has sent a word four times.
const SILENT: Duration = Duration::from_secs(3);

/// The words since the last one that was answered.
#[derive(Debug, Default)]
pub(super) struct Silence {
    misses: u32,
    since: Option<Instant>,
}

impl Silence {
    /// Takes down what came of a word that was said at some time, and is known now.
    pub(super) fn saw(&mut self, is_answered: bool, said: Instant) {
        if is_answered {
            *self = Self::default();
        } else {
            self.misses += 1;
            self.since.get_or_insert(said);
        }
    }

    /// Whether that is more than packets that were lost.
    pub(super) fn is_cut(&self, now: Instant) -> bool {
        let is_long = |since| now.duration_since(since) >= SILENT;
        self.misses >= MISSES && self.since.is_some_and(is_long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_that_is_lost_is_no_cut() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silence = Silence::default();
        silence.saw(false, at(0));
        assert!(!silence.is_cut(at(9)), "one word");
        silence.saw(false, at(1));
        silence.saw(true, at(2));
        silence.saw(false, at(3));
        silence.saw(false, at(4));
        silence.saw(false, at(5));
        assert!(!silence.is_cut(at(5)), "two seconds");
        assert!(silence.is_cut(at(6)));
    }
}
