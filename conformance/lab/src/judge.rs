//! A round of probes, judged. A probe that came to nothing although it should have come to something is repeated, as
//! packets do get lost on a busy machine; one that got through although it must not is not: a leak is a leak.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::expect::Expectation;
use crate::{Cell, Lab, Reply};

/// For so long a probe without an answer is repeated.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What came back to each probe.
    pub replies: Vec<Reply>,
    /// Whether each reply is as expected.
    pub right: Vec<bool>,
}

impl Judged {
    /// How many came out as expected.
    pub fn correct(&self) -> usize {
        self.right.iter().filter(|right| **right).count()
    }
}

/// Sends every probe of `cells`, and compares what comes back with `expected`.
pub fn judge(lab: &Lab, cells: &[Cell], expected: &[Expectation]) -> Result<Judged> {
    let mut replies = lab.ask(cells)?;
    let last = Instant::now() + PATIENCE;
    loop {
        let unanswered = unanswered(&replies, expected);
        if unanswered.is_empty() || Instant::now() > last {
            break;
        }
        let again: Vec<_> = unanswered
            .iter()
            .map(|number| cells[*number].clone())
            .collect();
        for (number, reply) in unanswered.into_iter().zip(lab.ask(&again)?) {
            replies[number] = reply;
        }
    }
    let right = expected
        .iter()
        .zip(&replies)
        .map(|(expected, reply)| expected.is_met_by(reply))
        .collect();
    Ok(Judged { replies, right })
}

fn unanswered(replies: &[Reply], expected: &[Expectation]) -> Vec<usize> {
    let is_unanswered = |reply: &Reply, expected: &Expectation| {
        // A neighbour that the kernel could not find in three seconds looks like a refusal.
        let is_refused = *reply == Reply::Refused && !expected.answers.is_empty();
        let is_lost = is_refused || matches!(reply, Reply::Silence | Reply::Error(_));
        is_lost && !expected.is_met_by(reply)
    };
    let pairs = replies.iter().zip(expected).enumerate();
    pairs
        .filter(|(_, (reply, expected))| is_unanswered(reply, expected))
        .map(|(number, _)| number)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_leak_is_not_asked_about_again() {
        let name = || Reply::Name("x/a".to_owned());
        let allow = Expectation {
            answers: BTreeSet::from(["x/a".to_owned()]),
            silence: false,
        };
        let deny = Expectation {
            answers: BTreeSet::new(),
            silence: true,
        };
        let replies = [
            name(),
            Reply::Silence,
            name(),
            Reply::Silence,
            Reply::Error("no buffers".to_owned()),
            Reply::Refused,
            Reply::Refused,
        ];
        let denied = [deny.clone(), deny.clone(), deny.clone()];
        let expected = [&[allow.clone(), allow.clone()], &denied[..], &[allow, deny]].concat();
        assert_eq!(unanswered(&replies, &expected), [1, 4, 5]);
    }
}
