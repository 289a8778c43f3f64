//! What is seen of cells: who is asked, and what comes of it. What ought to come of it is not known here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Port, Target};
use sluice_prober::Reply;
use sluice_prober::protocol::{Answer, Probed, Question, Received, Request, Transport};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::room::{Prober, Room};
use crate::expect;
use crate::judge::Observed;

/// So many pods are asked at once.
const PODS_AT_ONCE: usize = 32;

/// A cell, and who may answer.
pub(super) struct Asked {
    pub(super) cell: Cell,
    /// The names that the pods tell that it leads to.
    answers: Vec<String>,
}

/// Those of the cells that somebody is there to answer.
pub(super) fn answered(room: &Room, world: &World, cells: Vec<Cell>) -> Vec<Asked> {
    let probes = expect::probes(world, &cells);
    let pod = |place: usize| &world.pods[place].pod.name;
    let all = cells.into_iter().zip(probes).filter(|(_, probe)| {
        let listens = |(to, port): &(usize, Port)| room.listens(&pod(*to).to_string(), *port);
        !probe.ends.is_empty() && probe.ends.iter().all(listens)
    });
    all.map(|(cell, probe)| {
        let ends = probe.ends.iter();
        let answers = ends.map(|(to, _)| room.names.pod(pod(*to))).collect();
        Asked { cell, answers }
    })
    .collect()
}

/// Asks all of these at once, one request a pod.
pub(super) async fn observe(room: &Room, asked: &[&Asked]) -> Result<Vec<Observed>> {
    let mut rows: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, one) in asked.iter().enumerate() {
        rows.entry(one.cell.from.to_string()).or_default().push(at);
    }
    let mut requests = BTreeMap::new();
    for (pod, row) in &rows {
        let questions = row.iter().map(|at| question(room, &asked[*at].cell));
        let questions = questions.collect::<Result<Vec<_>>>()?;
        requests.insert(pod.clone(), Request::Probe(questions));
    }
    let mut probed: Vec<Option<Probed>> = vec![None; asked.len()];
    for (pod, answer) in ask_all(room, requests).await? {
        let Answer::Probed(row) = answer else {
            bail!("asked for a row, pod {pod} answers {answer:?}");
        };
        for (at, one) in rows[&pod].iter().zip(row) {
            probed[*at] = Some(one);
        }
    }
    let delivered = delivered(room, &probed).await?;
    let all = asked.iter().zip(&probed);
    let observed = all.map(|(asked, one)| {
        let one = one.as_ref();
        let one = one.with_context(|| format!("{}: no answer", asked.cell))?;
        Ok(asked.observed(one, &delivered))
    });
    observed.collect()
}

/// What came to all pods since they were last asked; nobody is asked where every probe got a name. A refusal may come
/// from a pod whose program was started again, which asking it shows.
async fn delivered(room: &Room, probed: &[Option<Probed>]) -> Result<Vec<Received>> {
    let is_denied = |it: &Probed| matches!(it.reply, Reply::Silence | Reply::Refused);
    if !probed.iter().flatten().any(is_denied) {
        return Ok(Vec::new());
    }
    let all = room.probers.keys();
    let requests = all.map(|pod| (pod.clone(), Request::Received)).collect();
    let mut delivered = Vec::new();
    for (pod, answer) in ask_all(room, requests).await? {
        let Answer::Received(own) = answer else {
            bail!("asked what came, pod {pod} answers {answer:?}");
        };
        delivered.extend(own);
    }
    Ok(delivered)
}

async fn ask_all(
    room: &Room,
    requests: BTreeMap<String, Request>,
) -> Result<Vec<(String, Answer)>> {
    let turns = Arc::new(Semaphore::new(PODS_AT_ONCE));
    let mut asked = JoinSet::new();
    for (pod, request) in requests {
        let prober = Arc::clone(prober(room, &pod)?);
        let turns = Arc::clone(&turns);
        asked.spawn(async move {
            let _turn = turns.acquire().await?;
            anyhow::Ok((pod, prober.session.ask(&request).await?))
        });
    }
    asked.join_all().await.into_iter().collect()
}

/// A pod, by the name that cases know.
pub(super) fn prober<'r>(room: &'r Room, pod: &str) -> Result<&'r Arc<Prober>> {
    let found = room.probers.get(pod);
    found.with_context(|| format!("no pod {pod}"))
}

/// What a cell's source is asked.
pub(super) fn question(room: &Room, cell: &Cell) -> Result<Question> {
    let address = room.address(cell);
    let address = address.with_context(|| format!("{cell}: no such destination"))?;
    let transport = Transport::of(cell.port.protocol);
    let transport = transport.with_context(|| format!("{cell}: nobody speaks that"))?;
    let to = SocketAddr::new(address, cell.port.number);
    Ok(Question { to, transport })
}

impl Asked {
    fn observed(&self, probed: &Probed, delivered: &[Received]) -> Observed {
        match &probed.reply {
            Reply::Name(name) if self.answers.contains(name) => Observed::Allowed,
            Reply::Name(name) => Observed::WrongServer(name.clone()),
            // What arrives was not denied, whatever comes back.
            Reply::Silence | Reply::Refused
                if delivered.iter().any(|it| self.is_from(probed, it)) =>
            {
                Observed::ReplyLost
            }
            Reply::Silence => Observed::Denied,
            Reply::Refused => Observed::Refused,
            Reply::Error(error) => Observed::Error(error.clone()),
        }
    }

    /// Whether what came is what was sent. What goes to a Service comes to another port.
    fn is_from(&self, probed: &Probed, received: &Received) -> bool {
        let is_service = matches!(self.cell.to, Target::Service(_));
        Some(received.from) == probed.from
            && Some(received.transport) == Transport::of(self.cell.port.protocol)
            && (is_service || received.port == self.cell.port.number)
    }
}
