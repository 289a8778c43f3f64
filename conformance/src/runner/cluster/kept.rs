//! Connections that are kept, and when one counts as cut: one answer that is missing may be a packet that was lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sluice_oracle::Cell;
use sluice_prober::Reply;
use sluice_prober::protocol::{Answer, Request};
use tokio::task::JoinSet;

use super::observe::{prober, question};
use super::room::{Prober, Room};
use super::settle::PAUSE;

/// So many words without an answer, one after another.
const MISSES: u32 = 3;
/// And so long: by then TCP has sent a word four times.
const SILENT: Duration = Duration::from_secs(3);

/// Opens a connection, which may have to wait until what allows it is in force.
pub(super) async fn open(room: &Room, name: &str, cell: &Cell, patience: Duration) -> Result<()> {
    let question = question(room, cell)?;
    let pod = prober(room, &cell.from.to_string())?;
    let deadline = Instant::now() + patience;
    loop {
        let request = Request::Open(name.to_owned(), question);
        match pod.session.ask(&request).await? {
            Answer::Opened(Reply::Name(_)) => return Ok(()),
            Answer::Opened(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
            Answer::Opened(reply) => bail!("connection {name}, {cell}: {reply:?}"),
            other => bail!("asked to connect, a pod answers {other:?}"),
        }
    }
}

/// Connections, with what each is called and whether it ought to go on; of those that do something else, the first. One
/// that must be cut has to be silent for a while: all are looked at together.
pub(super) async fn not_so(
    room: &Room,
    all: &[(&str, &Cell, bool)],
    patience: Duration,
) -> Result<Option<usize>> {
    let mut looks = JoinSet::new();
    for (number, (name, cell, goes_on)) in all.iter().enumerate() {
        let pod = Arc::clone(prober(room, &cell.from.to_string())?);
        let (name, goes_on) = ((*name).to_owned(), *goes_on);
        looks.spawn(async move {
            let is_so = is_so(&pod, name, goes_on, patience).await?;
            anyhow::Ok((number, is_so))
        });
    }
    let looked = looks.join_all().await;
    let looked = looked.into_iter().collect::<Result<Vec<_>>>()?;
    let not_so = looked.into_iter().filter(|(_, is_so)| !is_so);
    Ok(not_so.map(|(number, _)| number).min())
}

/// Whether a connection goes on, or does not, as it ought to.
async fn is_so(pod: &Prober, name: String, goes_on: bool, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    let mut silence = Silence::default();
    let request = Request::GoOn(name);
    loop {
        let said = Instant::now();
        let answer = pod.session.ask(&request).await?;
        let Answer::GoesOn(is_alive) = answer else {
            bail!("asked for a connection, a pod answers {answer:?}");
        };
        silence.saw(is_alive, said);
        let is_cut = silence.is_cut(Instant::now());
        if (goes_on && is_alive) || (!goes_on && is_cut) {
            return Ok(true);
        }
        // One that has just fallen silent is looked at until that is long enough.
        if said > deadline && (goes_on || is_alive) {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The words since the last one that was answered.
#[derive(Debug, Default)]
struct Silence {
    misses: u32,
    since: Option<Instant>,
}

impl Silence {
    /// Takes down what came of a word that was said at some time, and is known now.
    fn saw(&mut self, is_answered: bool, said: Instant) {
        if is_answered {
            *self = Self::default();
        } else {
            self.misses += 1;
            self.since.get_or_insert(said);
        }
    }

    /// Whether that is more than packets that were lost.
    fn is_cut(&self, now: Instant) -> bool {
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
