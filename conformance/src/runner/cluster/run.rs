//! One case under way in a room: the positive control, its steps, and how long each takes to come into force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Family};

use super::observe::{self, Asked, observe};
use super::room::Room;
use super::settle::{Looks, Next, PAUSE, Pace};
use super::{kept, later};
use crate::State;
use crate::case::{Case, Event, Object, Step};
use crate::expect::{self, Expected};
use crate::judge::{self, Observed};
use crate::profile::Profile;
use crate::runner::{Failure, Tally, asked};
use crate::world::world;

/// How long everybody may take to reach everybody where there is no policy: a new Service takes a second or more.
const CONTROL: Duration = Duration::from_secs(30);
/// Not before so long after a change is it looked at once more whether it stays as it is.
const STAYS: Duration = Duration::from_millis(300);
/// How often is asked again what may have been lost.
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
    /// How long changes took in this case and those before.
    pub(super) pace: &'r mut Pace,
    /// What there was at the step before.
    pub(super) before: Option<World>,
    /// Cells of connections that are kept.
    pub(super) open: BTreeMap<Arc<str>, Cell>,
}

impl Run<'_> {
    /// Judges the case. What steps made is asked once more when its policies are gone: what was denied of it was denied by
    /// them.
    pub(super) async fn case(&mut self) -> Result<Ended> {
        let bare = self.begin().await?;
        if let Some(reason) = self.lacks() {
            return Ok(Ended::Skipped(reason));
        }
        if let Err(failure) = self.control(&bare).await? {
            bail!("before any policy, {}", failure.reason);
        }
        let mut state = self.start()?;
        let ended = self.steps(&mut state).await?;
        // What got through although it must not did so whatever else does not.
        let is_leak = matches!(&ended, Ended::Failed(failure) if failure.has_leak());
        if later::makes_anything(self.case) && !is_leak {
            let bare = state.without_policies();
            self.room.show(&bare).await?;
            if let Err(failure) = self.control(&bare).await? {
                bail!("without its policies, {}", failure.reason);
            }
        }
        Ok(ended)
    }

    async fn steps(&mut self, state: &mut State) -> Result<Ended> {
        self.room.show(state).await?;
        // A person's matrix is about the addresses that are declared.
        let mut declared = self.case.start()?;
        for (number, step) in self.case.steps.iter().enumerate() {
            for event in later::events(step) {
                declared.apply(event)?;
                self.happens(event, state).await?;
            }
            let changed = Instant::now();
            if let Some(failure) = self.disagreement(&declared, number + 1, step) {
                return Ok(Ended::Failed(failure));
            }
            if let Err(failure) = self.step(state, number + 1, step, changed).await? {
                return Ok(Ended::Failed(failure));
            }
        }
        Ok(Ended::Passed)
    }

    /// Makes everything but policies, and nothing else, but that what steps make and take away again is there as well: that
    /// state.
    async fn begin(&mut self) -> Result<State> {
        let is_built = |it: &&Object| !it.name().is_policy();
        let mut state = self.room.places.settled(&world(&self.case.world)?);
        let passing = later::passing(self.case)?;
        for object in self.case.objects.iter().filter(is_built).chain(passing) {
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
        if asked::keeps_sctp(self.case) && !self.room.keeps_sctp() {
            return Some("keeps an SCTP association, of which nodes have no sockets".to_owned());
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
                kept::open(self.room, &wanted.name, &cell, self.convergence).await?;
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
        let mut kept = Vec::new();
        for (name, goes_on) in asked::kept(step, self.profile) {
            let cell = self.open.get(name);
            let cell = cell.with_context(|| format!("no connection {name}"))?;
            kept.push((&**name, cell, goes_on));
        }
        let not_so = kept::not_so(self.room, &kept, self.convergence).await?;
        Ok(match not_so.map(|at| kept[at]) {
            Some((name, _, goes_on)) => Err(asked::not_so(number, name, goes_on)),
            None => Ok(()),
        })
    }

    /// The cells of steps that somebody is there to answer.
    fn asked(&self, world: &World, steps: &[&Step]) -> Vec<Asked> {
        let cells = asked::cells(self.case, world, steps, &self.room.families());
        observe::answered(self.room, world, cells)
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
        let is_same = self.is_same(world, &cells, &expected);
        let least = if is_same {
            self.pace.usual().min(self.convergence)
        } else {
            STAYS
        };
        let mut looks = Looks::new(wait.limit, wait.again.then_some(least));
        let all: Vec<usize> = (0..cells.len()).collect();
        let mut observed = vec![Observed::Denied; cells.len()];
        let mut next = all.clone();
        loop {
            let began = wait.since.elapsed();
            let some: Vec<&Asked> = next.iter().map(|at| &asked[*at]).collect();
            for (at, seen) in next.iter().zip(observe(self.room, &some).await?) {
                observed[*at] = seen;
            }
            if looks.may_decide(began) {
                let all = (&asked[..], &expected[..]);
                self.look_for_lost(all, &next, &mut observed).await?;
            }
            let is_wrong = |at: &usize| !is_right(&expected[*at], &observed[*at]);
            let wrong: Vec<usize> = all.iter().copied().filter(is_wrong).collect();
            match looks.after(began, wrong.is_empty()) {
                Next::Right(took) => {
                    if wait.again && !is_same {
                        self.pace.saw(took);
                    }
                    return Ok(Ok(took));
                }
                Next::All(then) => {
                    next.clone_from(&all);
                    tokio::time::sleep(then.saturating_sub(wait.since.elapsed())).await;
                }
                Next::Wrong => {
                    next = wrong;
                    tokio::time::sleep(PAUSE).await;
                }
                Next::Failed => {
                    let failure = Failure::of_cells(number, &cells, &expected, &observed, is_right);
                    return Ok(failure.map_or(Ok(began), Err));
                }
            }
        }
    }

    /// Whether no cell is expected to be other than at the step before, whether or not it was asked then: nothing shows
    /// when a change is in force.
    fn is_same(&mut self, world: &World, cells: &[Cell], expected: &[Expected]) -> bool {
        let before = self.before.replace(world.clone());
        let readings = self.profile.readings();
        before.is_some_and(|before| expect::expected(&before, &readings, cells) == expected)
    }

    /// Asks what may have been lost of these again: a datagram is not sent twice by itself, and an answer may come late on a
    /// busy machine. What got through although it must not is not asked again.
    async fn look_for_lost(
        &self,
        (asked, expected): (&[Asked], &[Expected]),
        some: &[usize],
        observed: &mut [Observed],
    ) -> Result<()> {
        let mut lost = some.to_vec();
        for _ in 0..AGAIN {
            lost.retain(|at| observed[*at].may_be_lost(&expected[*at]));
            if lost.is_empty() {
                break;
            }
            let cells: Vec<&Asked> = lost.iter().map(|at| &asked[*at]).collect();
            for (at, seen) in lost.iter().zip(observe(self.room, &cells).await?) {
                observed[*at] = seen;
            }
        }
        Ok(())
    }
}

/// How long everything may take to be as expected.
struct Wait {
    since: Instant,
    limit: Duration,
    /// Whether it is all asked once more, to see that it stays.
    again: bool,
}

/// An enforcer may say no, rather than nothing.
fn is_right(expected: &Expected, observed: &Observed) -> bool {
    observed.meets(expected)
        || *observed == Observed::Refused && matches!(expected, Expected::Denied | Expected::Either)
}
