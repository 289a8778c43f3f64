//! Cases against the real agent, with real packets between network namespaces of this machine. Needs root.

mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sluice_kubernetes::World;
use sluice_lab::{Agent, Connection, Mode};
use sluice_oracle::{Cell, Family};

use super::silence::Silence;
use super::{CaseResult, Failure, Outcome, Runner, Tally, asked};
use crate::State;
use crate::case::{AgentEvent, Case, Event, Step};
use crate::expect::{self, Expected};
use crate::judge::{self, Observed};
use crate::profile::Profile;
use room::Room;

/// When a probe that came to nothing although it should have come to something is repeated: packets do get lost on
/// a busy machine. One that got through although it must not is not repeated: a leak is a leak.
const AGAIN: [Duration; 3] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
];
/// How long a connection that must end may go on: TCP sends again what was lost while it was judged anew.
const ENDS: Duration = Duration::from_secs(5);

/// Between two words on a connection that is kept.
const PAUSE: Duration = Duration::from_millis(100);

/// What laboratories are made of.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The `sluice` binary.
    pub agent: PathBuf,
    /// With or without eBPF.
    pub mode: Mode,
    /// The address families that pods get.
    pub families: Vec<Family>,
}

/// Judges cases in laboratories, one for each world; those of cases with pods of their own last as long as the case.
pub struct LabRunner {
    options: LabOptions,
    rooms: BTreeMap<Arc<str>, Room>,
}

impl LabRunner {
    /// So many for each core: they mostly wait for answers that do not come.
    pub const PER_CORE: usize = 2;

    /// A runner without any laboratory yet.
    pub fn new(options: LabOptions) -> Self {
        Self {
            options,
            rooms: BTreeMap::new(),
        }
    }

    /// The laboratory that a case takes place in: its world's, or one of its own.
    fn room(&mut self, case: &Case, shared: bool) -> Result<Room> {
        let kept = shared.then(|| self.rooms.remove(&case.world)).flatten();
        kept.map_or_else(|| Room::open(case, &self.options), Ok)
    }
}

impl Runner for LabRunner {
    fn name(&self) -> &'static str {
        "lab"
    }

    fn unable(&self, case: &Case) -> Option<String> {
        room::unable(case, &self.options.families)
    }

    fn run(&mut self, case: &Case, profile: Profile) -> CaseResult {
        let started = Instant::now();
        let mut tally = Tally::default();
        let outcome = self.take_place(case, profile, &mut tally);
        let ended = match outcome {
            Ok(Ok(steps)) => (steps, Outcome::Passed),
            Ok(Err(failure)) => (failure.step, Outcome::from(failure)),
            Err(error) => (0, Outcome::Error(format!("{error:#}"))),
        };
        CaseResult::of(case, started, &tally, ended)
    }
}

impl LabRunner {
    /// What the machine cannot do is an error, and says nothing about policy; the laboratory is not used again then.
    fn take_place(
        &mut self,
        case: &Case,
        profile: Profile,
        tally: &mut Tally,
    ) -> Result<Result<usize, Failure>> {
        let shared = room::is_shared(case)?;
        let mut room = self.room(case, shared)?;
        let mut run = Run {
            families: &self.options.families,
            room: &mut room,
            case,
            profile,
            tally,
            open: BTreeMap::new(),
        };
        let judged = run.case()?;
        if shared {
            self.rooms.insert(Arc::clone(&case.world), room);
        }
        Ok(judged)
    }
}

/// One case under way.
struct Run<'r> {
    families: &'r [Family],
    room: &'r mut Room,
    case: &'r Case,
    profile: Profile,
    tally: &'r mut Tally,
    /// Connections that are kept, with the cells that they are of.
    open: BTreeMap<Arc<str>, Connection>,
}

impl Run<'_> {
    fn case(&mut self) -> Result<Result<usize, Failure>> {
        let denied = self.ever_denied()?;
        self.control(&denied).context("before any policy")?;
        let mut state = self.case.start()?;
        self.show(&state)?;
        for (number, step) in self.case.steps.iter().enumerate() {
            if step.any_order
                && let Err(failure) = self.the_other_way_round(&state, number + 1, step)?
            {
                self.excuse(&failure, &denied)?;
                return Ok(Err(failure));
            }
            for event in &step.events {
                state.apply(event)?;
                self.happens(event, &state)?;
            }
            if let Err(failure) = self.step(&state, number + 1, step)? {
                self.excuse(&failure, &denied)?;
                return Ok(Err(failure));
            }
        }
        Ok(Ok(self.case.steps.len()))
    }

    /// A step whose events may happen in any order, with the last of them first; then everything is as it was. The
    /// evaluator is tried with the other orders. One in which an event has nothing to happen to is none.
    fn the_other_way_round(
        &mut self,
        before: &State,
        number: usize,
        step: &Step,
    ) -> Result<Result<(), Failure>> {
        let is_told =
            |event: &Event| matches!(event, Event::Apply(_) | Event::Delete(_) | Event::Label(..));
        let mut after = before.clone();
        let mut states = Vec::new();
        for event in step.events.iter().rev() {
            if !is_told(event) || after.apply(event).is_err() {
                return Ok(Ok(()));
            }
            states.push(after.clone());
        }
        for state in &states {
            self.show(state)?;
        }
        let judged = self.step(&after, number, step)?;
        self.show(before)?;
        Ok(judged)
    }

    /// What some step denies, or may.
    fn ever_denied(&self) -> Result<BTreeSet<Cell>> {
        let mut state = self.case.start()?;
        let mut denied = BTreeSet::new();
        for step in &self.case.steps {
            for event in &step.events {
                state.apply(event)?;
            }
            let world = state.load(&self.case.id).world;
            let cells = asked::cells(self.case, &world, &[step], self.families);
            let expected = expect::expected(&world, &self.profile.readings(), &cells);
            let said = cells.into_iter().zip(expected);
            denied.extend(said.filter_map(|(cell, it)| (it != Expected::Allowed).then_some(cell)));
        }
        Ok(denied)
    }

    /// Without any policy these connections open: what is denied of them later is denied by policy. Where they do not,
    /// nothing is found out about policy.
    fn control(&mut self, cells: &BTreeSet<Cell>) -> Result<()> {
        let bare = room::built(self.case)?.without_policies();
        self.room.show(&bare)?;
        let is_served = |cell: &&Cell| self.room.serves(cell);
        let cells: Vec<Cell> = cells.iter().filter(is_served).cloned().collect();
        let world = bare.load(&self.case.id).world;
        match self.look(&world, &cells, 0)? {
            Some(failure) => bail!("{}", failure.reason),
            None => Ok(()),
        }
    }

    /// Nobody is to blame for what does not get through without policies either; but where something else is wrong too,
    /// such as a leak, that remains.
    fn excuse(&mut self, failure: &Failure, asked: &BTreeSet<Cell>) -> Result<()> {
        let lost = never_reached(failure, asked);
        if lost.is_empty() || lost.len() < failure.wrong.len() {
            return Ok(());
        }
        let Failure { step, reason, .. } = failure;
        self.control(&lost)
            .with_context(|| format!("step {step}: {reason}; without policies"))
    }

    /// Has a state enforced, and keeps how long that took at most.
    fn show(&mut self, state: &State) -> Result<()> {
        if let Some(took) = self.room.show(state)? {
            self.tally.came_into_force(took);
        }
        Ok(())
    }

    fn happens(&mut self, event: &Event, state: &State) -> Result<()> {
        match event {
            Event::Open(wanted) => {
                let cell = asked::connection(wanted, self.families[0])?;
                let connection = self.room.lab().connect(&cell).with_context(|| {
                    format!(
                        "connection {} from {} to {}",
                        wanted.name, wanted.from, wanted.to
                    )
                })?;
                self.open.insert(Arc::clone(&wanted.name), connection);
                Ok(())
            }
            Event::Agent(AgentEvent::Restart) => self.room.start_again(Agent::stop),
            Event::Agent(AgentEvent::Kill) => self.room.start_again(Agent::kill),
            Event::Apply(_) | Event::Delete(_) | Event::Label(..) => self.show(state),
        }
    }

    fn step(&mut self, state: &State, number: usize, step: &Step) -> Result<Result<(), Failure>> {
        let world = state.load(&self.case.id).world;
        for (name, goes_on) in asked::kept(step, self.profile) {
            if !self.connection(name, goes_on)? {
                return Ok(Err(asked::not_so(number, name, goes_on)));
            }
        }
        let cells = asked::cells(self.case, &world, &[step], self.families);
        if let Some(first) = judge::disagreements(step, &world, self.families, &cells).first() {
            return Ok(Err(Failure::new(number, first.clone())));
        }
        self.compare(&world, cells, number)
    }

    /// Whether a connection goes on, or does not.
    fn connection(&mut self, name: &str, goes_on: bool) -> Result<bool> {
        let lab = self.room.lab();
        let connection = self
            .open
            .get_mut(name)
            .with_context(|| format!("no connection {name}"))?;
        let deadline = Instant::now() + ENDS;
        let mut silence = Silence::default();
        loop {
            let said = Instant::now();
            let is_alive = lab.is_alive(connection);
            silence.saw(is_alive, said);
            let is_so = if goes_on {
                is_alive
            } else {
                silence.is_cut(Instant::now())
            };
            // One that has just fallen silent is looked at until that is long enough.
            if is_so || said > deadline && (goes_on || is_alive) {
                return Ok(is_so);
            }
            thread::sleep(PAUSE);
        }
    }

    fn compare(
        &mut self,
        world: &World,
        mut cells: Vec<Cell>,
        number: usize,
    ) -> Result<Result<(), Failure>> {
        cells.retain(|cell| self.room.serves(cell));
        if cells.is_empty() {
            return Ok(Err(asked::nobody(number)));
        }
        Ok(self.look(world, &cells, number)?.map_or(Ok(()), Err))
    }

    /// Asks cells, and compares what comes of them with what ought to.
    fn look(&mut self, world: &World, cells: &[Cell], number: usize) -> Result<Option<Failure>> {
        self.tally.cells += cells.len();
        let expected = expect::expected(world, &self.profile.readings(), cells);
        let observed = self.observe(cells, &expected)?;
        let meets = |expected: &Expected, observed: &Observed| observed.meets(expected);
        Ok(Failure::of_cells(
            number, cells, &expected, &observed, meets,
        ))
    }

    fn observe(&self, cells: &[Cell], expected: &[Expected]) -> Result<Vec<Observed>> {
        let lab = self.room.lab();
        let mut observed: Vec<Observed> =
            lab.probe(cells)?.into_iter().map(Observed::from).collect();
        for pause in AGAIN {
            let unanswered: Vec<usize> = (0..cells.len())
                .filter(|at| observed[*at].may_be_lost(&expected[*at]))
                .collect();
            if unanswered.is_empty() {
                break;
            }
            // reason: whoever had no processor to answer with may have one by then
            thread::sleep(pause);
            let again: Vec<Cell> = unanswered.iter().map(|at| cells[*at].clone()).collect();
            for (at, outcome) in unanswered.into_iter().zip(lab.probe(&again)?) {
                observed[at] = Observed::from(outcome);
            }
        }
        Ok(observed)
    }
}

/// What did not get through although it must, and was not asked without policies yet, as no step denies it.
fn never_reached(failure: &Failure, asked: &BTreeSet<Cell>) -> BTreeSet<Cell> {
    let wrong = failure.wrong.iter();
    let lost = wrong.filter(|it| it.expected == Expected::Allowed && !asked.contains(&it.cell));
    lost.map(|it| it.cell.clone()).collect()
}

impl From<sluice_lab::Outcome> for Observed {
    fn from(outcome: sluice_lab::Outcome) -> Self {
        match outcome {
            sluice_lab::Outcome::Allowed => Self::Allowed,
            sluice_lab::Outcome::Denied => Self::Denied,
            sluice_lab::Outcome::ReplyLost => Self::ReplyLost,
            sluice_lab::Outcome::WrongServer(name) => Self::WrongServer(name),
            sluice_lab::Outcome::Refused => Self::Refused,
            sluice_lab::Outcome::Error(error) => Self::Error(error),
        }
    }
}
