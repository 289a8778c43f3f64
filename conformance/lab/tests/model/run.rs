//! Running sequences: each event done, what is observed compared with what must be, and a failure made short.

use std::path::PathBuf;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sluice_lab::Mode;

use crate::bench::{Bench, Conversation, Seen};
use crate::event::{Event, Path, Wire, script, sequence};
use crate::model::{Model, Must};

/// More open connections than this are not opened.
const OPEN: usize = 8;

/// What is to be run.
pub(crate) struct Plan {
    pub(crate) binary: PathBuf,
    pub(crate) mode: Mode,
    /// Of the agent, beside the lab's.
    pub(crate) arguments: Vec<String>,
    pub(crate) home: usize,
    pub(crate) sequences: usize,
    pub(crate) length: usize,
    /// That of the first sequence; each has the next one.
    pub(crate) seed: u64,
}

/// What was done and seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) edits: usize,
    pub(crate) settled: usize,
    pub(crate) kills: usize,
    pub(crate) restarts: usize,
    /// Packets that had to pass, and did.
    pub(crate) passed: usize,
    /// Packets that had to be dropped, and were.
    pub(crate) dropped: usize,
    /// Packets that might have been either.
    pub(crate) either: usize,
    /// As `passed`, without an agent.
    pub(crate) passed_dead: usize,
    /// As `dropped`, without an agent.
    pub(crate) dropped_dead: usize,
    /// Packets that went from link to link.
    pub(crate) redirected: u64,
}

/// That something is wrong, and after how many events.
struct Wrong {
    after: usize,
    what: String,
}

/// A lab, its model, and the sockets of what is open in both, in the same order.
struct Rig {
    bench: Bench,
    model: Model,
    open: Vec<Conversation>,
}

impl Plan {
    /// Whether packets may go from link to link.
    pub(crate) fn redirects(&self) -> bool {
        !self.arguments.is_empty()
    }

    /// Runs all; panics with a script at the first that comes out wrong.
    pub(crate) fn run(&self) -> Tally {
        let mut rig = Rig::up(self);
        let mut tally = Tally::default();
        for seed in (self.seed..).take(self.sequences) {
            let events = self.draw(seed);
            if let Err(wrong) = rig.play(&events, &mut tally) {
                panic!("{}", self.explain(seed, &mut rig, events, wrong));
            }
        }
        rig.reset().unwrap();
        tally.redirected = rig.bench.redirected();
        tally
    }

    fn draw(&self, seed: u64) -> Vec<Event> {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let tree = sequence(self.length).new_tree(&mut runner);
        tree.unwrap().current()
    }

    /// Leaves out what can be left out, the last first, and tries what is left in a new lab.
    fn explain(&self, seed: u64, rig: &mut Rig, mut events: Vec<Event>, wrong: Wrong) -> String {
        let mut last = wrong;
        events.truncate(last.after);
        let mut number = events.len();
        while number > 0 {
            number = (number - 1).min(events.len() - 1);
            let mut fewer = events.clone();
            fewer.remove(number);
            if let Err(wrong) = rig.play(&fewer, &mut Tally::default()) {
                fewer.truncate(wrong.after);
                (events, last) = (fewer, wrong);
            }
        }
        let again = Rig::up(self).play(&events, &mut Tally::default());
        let again = again.map_or_else(|wrong| wrong.what, |()| "nothing goes wrong".to_owned());
        format!(
            "{}\nSLUICE_MODEL_SEED={seed} SLUICE_MODEL_SEQUENCES=1, made short:\n{}in a new lab: {again}",
            last.what,
            script(&events)
        )
    }
}

impl Rig {
    fn up(plan: &Plan) -> Self {
        Self {
            bench: Bench::up(plan),
            model: Model::new(plan.mode),
            open: Vec::new(),
        }
    }

    /// A whole sequence, from the start.
    fn play(&mut self, events: &[Event], tally: &mut Tally) -> Result<(), Wrong> {
        let wrong = |after, what| Wrong { after, what };
        self.reset().map_err(|what| wrong(0, what))?;
        for (number, event) in events.iter().enumerate() {
            let done = self.step(*event, tally);
            done.map_err(|what| wrong(number + 1, format!("{}. {event}: {what}", number + 1)))?;
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), String> {
        self.open.clear();
        self.model.reset();
        self.bench.write(&self.model.cluster());
        if !self.model.alive {
            self.bench.restart()?;
            self.model.started();
        }
        self.settle()
    }

    fn settle(&mut self) -> Result<(), String> {
        self.bench.settle()?;
        self.model.settled();
        Ok(())
    }

    fn step(&mut self, event: Event, tally: &mut Tally) -> Result<(), String> {
        match event {
            Event::Settle if self.model.alive => {
                tally.settled += 1;
                self.settle()
            }
            Event::Kill if self.model.alive => {
                tally.kills += 1;
                self.bench.kill();
                self.model.alive = false;
                Ok(())
            }
            Event::Restart | Event::Settle => {
                tally.restarts += 1;
                self.bench.restart()?;
                self.model.started();
                Ok(())
            }
            Event::Connect(path) => self.connect(path, tally),
            Event::Again(connection) => match self.chosen(connection) {
                Some(connection) => self.connect(self.model.open[connection].path, tally),
                None => Ok(()),
            },
            Event::Send { connection, back } => match self.chosen(connection) {
                Some(connection) => self.send(connection, back, tally),
                None => Ok(()),
            },
            Event::Close(connection) => {
                if let Some(connection) = self.chosen(connection) {
                    self.close(connection);
                }
                Ok(())
            }
            edit => {
                if self.model.edit(edit) {
                    tally.edits += 1;
                    self.bench.write(&self.model.cluster());
                }
                Ok(())
            }
        }
    }

    /// Which of the open connections a number means.
    fn chosen(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.open.len())
    }

    fn connect(&mut self, path: Path, tally: &mut Tally) -> Result<(), String> {
        if self.open.len() == OPEN {
            return Ok(());
        }
        let must = self.model.must_connect(&path);
        self.model.tried(path);
        let (seen, conversation) = self.bench.connect(&path)?;
        self.compare(must, seen, tally)?;
        if let (Seen::Both, Some(conversation)) = (seen, conversation) {
            self.open.push(conversation);
            self.model.opened(path);
        }
        Ok(())
    }

    fn send(&mut self, connection: usize, back: bool, tally: &mut Tally) -> Result<(), String> {
        let open = self.model.open[connection];
        let must = self.model.must_send(&open, back);
        let seen = self.bench.send(&mut self.open[connection], back)?;
        self.compare(must, seen, tally)
            .map_err(|error| format!("{error} ({})", open.path))?;
        match seen {
            Seen::Both => self.model.used(connection),
            // TCP would send it again, at some time or other.
            Seen::OneWay | Seen::Nothing if open.path.wire == Wire::Tcp => self.close(connection),
            Seen::OneWay | Seen::Nothing => {}
        }
        Ok(())
    }

    fn close(&mut self, connection: usize) {
        self.open.remove(connection);
        self.model.open.remove(connection);
    }

    fn compare(&self, must: Must, seen: Seen, tally: &mut Tally) -> Result<(), String> {
        let alive = self.model.alive;
        let count = match (must, seen) {
            (Must::Either, _) => &mut tally.either,
            (Must::Pass, Seen::Both) if alive => &mut tally.passed,
            (Must::Pass, Seen::Both) => &mut tally.passed_dead,
            (Must::Drop, Seen::Nothing) if alive => &mut tally.dropped,
            (Must::Drop, Seen::Nothing) => &mut tally.dropped_dead,
            (Must::Drop, Seen::Both | Seen::OneWay) => {
                return Err(format!("a leak: denied, and seen: {seen:?}"));
            }
            (Must::Pass, Seen::OneWay | Seen::Nothing) => {
                return Err(format!("a cut: allowed, and seen: {seen:?}"));
            }
        };
        *count += 1;
        Ok(())
    }
}
