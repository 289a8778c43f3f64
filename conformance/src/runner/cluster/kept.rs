//! Connections that are kept, and whether they go on.

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
use crate::runner::silence::Silence;

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
