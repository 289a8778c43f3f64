//! One case under way in a room: the positive control, its steps, and how long each takes to come into force.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Family, Port, Target};
use sluice_policy::Protocol;
use sluice_prober::Reply;
use sluice_prober::protocol::{Answer, Probed, Question, Received, Request, Transport};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::kept::Silence;
use super::room::Room;
use crate::State;
use crate::case::{Case, Event, Object, Step};
use crate::expect::{self, Expected};
use crate::judge::{self, Observed};
use crate::profile::Profile;
use crate::runner::{Failure, Tally, asked};
use crate::world::world;

/// So many pods are asked at once.
const PODS_AT_ONCE: usize = 32;
/// Between two looks at what is not as expected yet.
const PAUSE: Duration = Duration::from_millis(100);
/// How long everybody may take to reach everybody where there is no policy: a new Service takes a second or more.
const CONTROL: Duration = Duration::from_secs(30);

/// How long is waited at least for what a change that changes no cell could do.
const LEAST: Duration = Duration::from_secs(1);
/// How often a datagram is sent again that may have been lost.
const AGAIN: usize = 3;

/// How a case ended that could be judged.
pub(super) enum Ended {
    /// Every step was as expected.
    Passed,
    /// One was not.
    Failed(Failure),
    /// It cannot take place here, for this reason.
    Skipped(String),
}

/// A case under way.
pub(super) struct Run<'r> {
    pub(super) room: &'r mut Room,
    pub(super) case: &'r Case,
    pub(super) profile: Profile,
    /// By then a change is in force.
    pub(super) convergence: Duration,
    pub(super) tally: &'r mut Tally,
    /// The longest that a change took in the cases before.
    pub(super) longest: Option<Duration>,
    /// What was expected of the step before.
    pub(super) before: BTreeMap<Cell, Expected>,
    /// Cells of connections that are kept.
    pub(super) open: BTreeMap<Arc<str>, Cell>,
}

impl Run<'_> {
    pub(super) async fn case(&mut self) -> Result<Ended> {
        let bare = self.begin().await?;
        if let Some(reason) = self.lacks() {
            return Ok(Ended::Skipped(reason));
        }
        if let Err(failure) = self.control(&bare).await? {
            bail!("before any policy, {}", failure.reason);
        }
        let mut state = self.start()?;
        self.room.show(&state).await?;
        // A person's matrix is about the addresses that are declared.
        let mut declared = self.case.start()?;
        for (number, step) in self.case.steps.iter().enumerate() {
            for event in &step.events {
                declared.apply(event)?;
                self.happens(event, &mut state).await?;
            }
            let changed = Instant::now();
            if let Some(failure) = self.disagreement(&declared, number + 1, step) {
                return Ok(Ended::Failed(failure));
            }
            if let Err(failure) = self.step(&state, number + 1, step, changed).await? {
                return Ok(Ended::Failed(failure));
            }
        }
        Ok(Ended::Passed)
    }

    /// Makes everything but policies, and nothing else: that state.
    async fn begin(&mut self) -> Result<State> {
        let is_built = |it: &&Object| !it.name().is_policy();
        let mut state = self.room.places.settled(&world(&self.case.world)?);
        for object in self.case.objects.iter().filter(is_built) {
            let settled = self.room.places.settle(object);
            settled.iter().try_for_each(|it| state.put(it))?;
        }
        self.room.show(&state).await?;
        let ports = expect::ports(&state.load(&self.case.id).world, &self.case.ports);
        self.room.listen(&ports).await?;
        // Now it is known where everything is.
        Ok(self.room.places.settled(&state))
    }

    /// What there is before the first step, policies and all.
    fn start(&self) -> Result<State> {
        let mut state = self.room.places.settled(&world(&self.case.world)?);
        for object in &self.case.objects {
            let settled = self.room.places.settle(object);
            settled.iter().try_for_each(|it| state.put(it))?;
        }
        Ok(state)
    }

    /// What of the case's features this cluster does not have.
    fn lacks(&self) -> Option<String> {
        let asks = |feature: &str| self.case.features.contains(feature);
        let families = self.room.families();
        let has = |family: Family| families.contains(&family);
        if asks("np.ipv6") && !has(Family::Ipv6) || asks("np.dual") && families.len() < 2 {
            return Some("pods of this cluster have no IPv6 address beside an IPv4 one".to_owned());
        }
        let sctp = asks("np.sctp").then(|| self.room.no_sctp()).flatten();
        sctp.map(|why| format!("no SCTP: {why}"))
    }

    /// Before there is any policy, everybody reaches everybody: what is denied later is denied by policy.
    async fn control(&mut self, bare: &State) -> Result<Result<(), Failure>> {
        let world = bare.load(&self.case.id).world;
        let steps: Vec<&Step> = self.case.steps.iter().collect();
        let cells = self.asked(&world, &steps);
        let wait = Wait {
            since: Instant::now(),
            limit: CONTROL,
            again: false,
        };
        let settled = self.settle_down(&world, cells, 0, wait).await?;
        Ok(settled.map(drop))
    }

    async fn happens(&mut self, event: &Event, state: &mut State) -> Result<()> {
        match event {
            Event::Open(wanted) => {
                let family = *self.room.families().first().context("no family")?;
                let cell = asked::connection(wanted, family)?;
                self.open_connection(&wanted.name, &cell).await?;
                self.open.insert(Arc::clone(&wanted.name), cell);
                return Ok(());
            }
            Event::Apply(object) if !object.name().is_policy() => {
                let mut next = state.clone();
                let settled = self.room.places.settle(object);
                settled.iter().try_for_each(|it| next.put(it))?;
                self.room.build(&next).await?;
                let settled = self.room.places.settle(object);
                settled.iter().try_for_each(|it| state.put(it))?;
            }
            _ => state.apply(event)?,
        }
        self.room.show(state).await
    }

    /// Where what a person wrote down is not what the oracle says of the same addresses.
    fn disagreement(&self, declared: &State, number: usize, step: &Step) -> Option<Failure> {
        let world = declared.load(&self.case.id).world;
        let ports = expect::ports(&world, &self.case.ports);
        let cells = expect::cells(&world, &ports, &Family::ALL);
        let found = judge::disagreements(step, &world, &Family::ALL, &cells);
        let first = found.into_iter().next()?;
        Some(Failure::new(number, first))
    }

    async fn step(
        &mut self,
        state: &State,
        number: usize,
        step: &Step,
        changed: Instant,
    ) -> Result<Result<(), Failure>> {
        let world = state.load(&self.case.id).world;
        let cells = self.asked(&world, &[step]);
        let wait = Wait {
            since: changed,
            limit: self.convergence,
            again: true,
        };
        match self.settle_down(&world, cells, number, wait).await? {
            Ok(took) => self.tally.came_into_force(took),
            Err(failure) => return Ok(Err(failure)),
        }
        for (name, goes_on) in asked::kept(step, self.profile) {
            if !self.connection(name, goes_on).await? {
                return Ok(Err(asked::not_so(number, name, goes_on)));
            }
        }
        Ok(Ok(()))
    }

    async fn open_connection(&self, name: &str, cell: &Cell) -> Result<()> {
        let question = self.question(cell).with_context(|| cell.to_string())?;
        let deadline = Instant::now() + self.convergence;
        loop {
            let request = Request::Open(name.to_owned(), question);
            match self.prober(cell)?.session.ask(&request).await? {
                Answer::Opened(Reply::Name(_)) => return Ok(()),
                Answer::Opened(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
                Answer::Opened(reply) => bail!("connection {name}, {cell}: {reply:?}"),
                other => bail!("asked to connect, a pod answers {other:?}"),
            }
        }
    }

    /// Whether a connection goes on, or does not.
    async fn connection(&self, name: &Arc<str>, goes_on: bool) -> Result<bool> {
        let cell = self
            .open
            .get(name)
            .with_context(|| format!("no connection {name}"))?;
        let deadline = Instant::now() + self.convergence;
        let mut silence = Silence::default();
        loop {
            let said = Instant::now();
            let request = Request::GoOn(name.to_string());
            let Answer::GoesOn(is_alive) = self.prober(cell)?.session.ask(&request).await? else {
                bail!("asked for connection {name}, a pod answers something else");
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

    fn prober(&self, cell: &Cell) -> Result<&super::room::Prober> {
        let found = self.room.probers.get(&cell.from.to_string());
        found
            .map(|it| &**it)
            .with_context(|| format!("no pod {}", cell.from))
    }

    /// The cells of steps that somebody is there to answer.
    fn asked(&self, world: &World, steps: &[&Step]) -> Vec<Asked> {
        let cells = asked::cells(self.case, world, steps, &self.room.families());
        let probes = expect::probes(world, &cells);
        let pod = |place: usize| &world.pods[place].pod.name;
        let all = cells.into_iter().zip(probes).filter(|(_, probe)| {
            let listens =
                |(to, port): &(usize, Port)| self.room.listens(&pod(*to).to_string(), *port);
            !probe.ends.is_empty() && probe.ends.iter().all(listens)
        });
        all.map(|(cell, probe)| {
            let ends = probe.ends.iter();
            let answers = ends.map(|(to, _)| self.room.names.pod(pod(*to))).collect();
            Asked { cell, answers }
        })
        .collect()
    }

    /// Asks until everything is as expected: how long that took. What is not by the limit is wrong.
    async fn settle_down(
        &mut self,
        world: &World,
        asked: Vec<Asked>,
        number: usize,
        wait: Wait,
    ) -> Result<Result<Duration, Failure>> {
        if asked.is_empty() {
            return Ok(Err(asked::nobody(number)));
        }
        self.tally.cells += asked.len();
        let cells: Vec<Cell> = asked.iter().map(|it| it.cell.clone()).collect();
        let expected = expect::expected(world, &self.profile.readings(), &cells);
        let least = self.least(&cells, &expected);
        let all: Vec<usize> = (0..cells.len()).collect();
        let mut observed = vec![Observed::Denied; cells.len()];
        let mut next = all.clone();
        let mut seen_right: Option<Duration> = None;
        loop {
            let began = wait.since.elapsed();
            let some: Vec<&Asked> = next.iter().map(|at| &asked[*at]).collect();
            for (at, seen) in next.iter().zip(self.observe(&some).await?) {
                observed[*at] = seen;
            }
            if seen_right.is_some() || began > wait.limit {
                let all = (&asked[..], &expected[..]);
                self.look_for_lost(all, &next, &mut observed).await?;
            }
            let is_wrong = |at: &usize| !is_right(&expected[*at], &observed[*at]);
            let wrong: Vec<usize> = all.iter().copied().filter(is_wrong).collect();
            if wrong.is_empty() {
                if let Some(first) = seen_right.or((!wait.again).then_some(began)) {
                    return Ok(Ok(first));
                }
                seen_right = Some(began);
                next.clone_from(&all);
                tokio::time::sleep(least.saturating_sub(wait.since.elapsed())).await;
                continue;
            }
            // A look that began before may have seen what was before.
            if began > wait.limit {
                let failure = Failure::of_cells(number, &cells, &expected, &observed, is_right);
                return Ok(failure.map_or(Ok(began), Err));
            }
            seen_right = None;
            next = wrong;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How long after a change is looked once more: where it changes no cell, nothing shows when it is in force.
    fn least(&mut self, cells: &[Cell], expected: &[Expected]) -> Duration {
        let now = cells.iter().cloned().zip(expected.iter().cloned());
        let now: BTreeMap<Cell, Expected> = now.collect();
        let is_same = now
            .iter()
            .all(|(cell, it)| self.before.get(cell) == Some(it));
        self.before = now;
        let longest = self.tally.convergence.max(self.longest).unwrap_or_default();
        if is_same {
            longest.max(LEAST).min(self.convergence)
        } else {
            Duration::ZERO
        }
    }

    /// Asks what may have been lost of these again: a datagram is not sent twice by itself.
    async fn look_for_lost(
        &self,
        (asked, expected): (&[Asked], &[Expected]),
        some: &[usize],
        observed: &mut [Observed],
    ) -> Result<()> {
        let mut lost = some.to_vec();
        for _ in 0..AGAIN {
            lost.retain(|at| {
                let is_datagram = asked[*at].cell.port.protocol == Protocol::Udp;
                is_datagram && observed[*at].may_be_lost(&expected[*at])
            });
            if lost.is_empty() {
                break;
            }
            let cells: Vec<&Asked> = lost.iter().map(|at| &asked[*at]).collect();
            for (at, seen) in lost.iter().zip(self.observe(&cells).await?) {
                observed[*at] = seen;
            }
        }
        Ok(())
    }

    /// Asks all of these at once, one request a pod.
    async fn observe(&self, asked: &[&Asked]) -> Result<Vec<Observed>> {
        let mut rows: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, one) in asked.iter().enumerate() {
            rows.entry(one.cell.from.to_string()).or_default().push(at);
        }
        let mut requests = BTreeMap::new();
        for (pod, row) in &rows {
            let questions = row.iter().map(|at| {
                let cell = &asked[*at].cell;
                self.question(cell)
                    .with_context(|| format!("{cell}: no such destination"))
            });
            let questions = questions.collect::<Result<Vec<_>>>()?;
            requests.insert(pod.clone(), Request::Probe(questions));
        }
        let mut probed: Vec<Option<Probed>> = vec![None; asked.len()];
        for (pod, answer) in self.ask_all(requests).await? {
            let Answer::Probed(row) = answer else {
                bail!("asked for a row, pod {pod} answers {answer:?}");
            };
            for (at, one) in rows[&pod].iter().zip(row) {
                probed[*at] = Some(one);
            }
        }
        let delivered = self.delivered(&probed).await?;
        let all = asked.iter().zip(&probed);
        let observed = all.map(|(asked, one)| {
            let one = one
                .as_ref()
                .with_context(|| format!("{}: no answer", asked.cell))?;
            Ok(asked.observed(one, &delivered))
        });
        observed.collect()
    }

    /// What came to all pods since they were last asked; nobody is asked where every probe got a name. A refusal may come
    /// from a pod whose program was started again, which asking it shows.
    async fn delivered(&self, probed: &[Option<Probed>]) -> Result<Vec<Received>> {
        let is_denied = |it: &Probed| matches!(it.reply, Reply::Silence | Reply::Refused);
        if !probed.iter().flatten().any(is_denied) {
            return Ok(Vec::new());
        }
        let all = self.room.probers.keys();
        let requests = all.map(|pod| (pod.clone(), Request::Received)).collect();
        let mut delivered = Vec::new();
        for (pod, answer) in self.ask_all(requests).await? {
            let Answer::Received(own) = answer else {
                bail!("asked what came, pod {pod} answers {answer:?}");
            };
            delivered.extend(own);
        }
        Ok(delivered)
    }

    async fn ask_all(&self, requests: BTreeMap<String, Request>) -> Result<Vec<(String, Answer)>> {
        let room = Arc::new(Semaphore::new(PODS_AT_ONCE));
        let mut asked = JoinSet::new();
        for (pod, request) in requests {
            let prober = self.room.probers.get(&pod);
            let prober = Arc::clone(prober.with_context(|| format!("no pod {pod}"))?);
            let room = Arc::clone(&room);
            asked.spawn(async move {
                let _turn = room.acquire().await?;
                anyhow::Ok((pod, prober.session.ask(&request).await?))
            });
        }
        asked.join_all().await.into_iter().collect()
    }

    fn question(&self, cell: &Cell) -> Option<Question> {
        let to = SocketAddr::new(self.room.address(cell)?, cell.port.number);
        let transport = Transport::of(cell.port.protocol)?;
        Some(Question { to, transport })
    }
}

/// How long everything may take to be as expected.
struct Wait {
    since: Instant,
    limit: Duration,
    /// Whether it is all asked once more, to see that it stays.
    again: bool,
}

/// A cell, and who may answer.
struct Asked {
    cell: Cell,
    /// The names that the pods tell that it leads to.
    answers: Vec<String>,
}

impl Asked {
    fn observed(&self, probed: &Probed, delivered: &[Received]) -> Observed {
        match &probed.reply {
            Reply::Name(name) if self.answers.contains(name) => Observed::Allowed,
            Reply::Name(name) => Observed::WrongServer(name.clone()),
            Reply::Silence if delivered.iter().any(|it| self.is_from(probed, it)) => {
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

/// An enforcer may say no, rather than nothing.
fn is_right(expected: &Expected, observed: &Observed) -> bool {
    observed.meets(expected)
        || *observed == Observed::Refused && matches!(expected, Expected::Denied | Expected::Either)
}
