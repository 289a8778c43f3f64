//! Who measures when: every ordered pair of workers, strictly one at a time, so that no measurement disturbs another.
//! Pure: time is passed in, and what is to be sent comes out.

mod task_under_way;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::task_under_way::UnderWay;
use super::benchmark::{Benchmark, Call};
use super::task::{Measured, Results, Status, Task, TaskOptions, Worker};

/// A worker, for as long as it is there: a number that is never given again.
pub type WorkerId = u64;
/// A task: its place in the results.
pub type TaskId = u32;

/// What is measured, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// One after another, each between all pairs.
    pub benchmarks: Vec<Benchmark>,
    /// How long each measures.
    pub seconds: u32,
    /// How long workers may take to register, a server to listen, and each of them to end what it was told to.
    pub timeout: Duration,
    /// How many workers there will be; once so many are there nobody waits for more. None: whoever is there by the
    /// timeout.
    pub expected: Option<usize>,
}

/// What came of a run on a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub outcome: Outcome,
    /// What the program printed, or why there is nothing.
    pub output: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With exit code 0.
    Done,
    /// With another one, or it did not start.
    Failed,
    /// It was killed as it took longer than it had.
    TimedOut,
    /// It was killed because it was told to stop.
    Stopped,
    /// There is no such program.
    NotInstalled,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker is there; [`Conductor::admit`] has let it in.
    Joined(WorkerId, Worker),
    /// A worker is gone.
    Lost(WorkerId),
    /// The server that a worker was told to start listens.
    Ready(WorkerId, TaskId),
    /// A run is over.
    Ended(WorkerId, TaskId, Ended),
    /// Whoever started all this wants it to end.
    Told,
}

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Run a server until told to stop, and tell once something listens on the port.
    Serve {
        /// For which task.
        task: TaskId,
        /// The server.
        call: Call,
        /// Where it will listen.
        port: u16,
    },
    /// Run a client to its end.
    Measure {
        /// For which task.
        task: TaskId,
        /// The client.
        call: Call,
        /// How long it may take.
        timeout_seconds: u32,
    },
    /// Kill what runs for a task.
    Stop(TaskId),
    /// Go.
    Leave,
}

/// Why somebody may not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two workers of one name cannot be told apart in the results.
    #[error("there is a worker {0} already")]
    Taken(String),
    /// The pairs are made.
    #[error("registration is over")]
    Late,
}

/// What all of it came to.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every pair was measured.
    Complete,
    /// Fewer than two workers registered.
    TooFew {
        /// How many did.
        there: usize,
    },
    /// Programs are not installed where they are needed.
    Lacks(BTreeSet<String>),
    /// Something was not measured.
    Incomplete {
        /// So many tasks were not done.
        undone: usize,
        /// Of so many.
        tasks: usize,
        /// So many workers of those that were expected did not come.
        absent: usize,
        /// Somebody wanted it to end.
        told: bool,
    },
}

/// How long a client may be silent past its own timeout, at which its worker kills it.
const GRACE: Duration = Duration::from_secs(10);

struct Present {
    worker: Worker,
    here: bool,
    /// It went before it was told to.
    lost: bool,
}

impl Present {
    const fn new(worker: Worker) -> Self {
        Self {
            worker,
            here: true,
            lost: false,
        }
    }
}

struct Planned {
    benchmark: Benchmark,
    client: WorkerId,
    server: WorkerId,
    status: Status,
    output: String,
    /// A program that was not there.
    lacks: Option<String>,
}

enum Stage {
    /// Workers register. → `Measuring` once those expected are there, or at the time, with whoever is there; → `Leaving`
    /// then, with fewer than two.
    Gathering { until: Duration },
    /// A task is under way. → the next one, or `Leaving` after the last.
    Measuring(UnderWay),
    /// Workers go. → `Over` once all are gone, or at the time.
    Leaving { until: Duration },
    /// Nothing happens any more.
    Over,
}

/// The orders that a step leads to.
type Orders = Vec<(WorkerId, Order)>;

/// Decides what happens next.
pub struct Conductor {
    terms: Terms,
    stage: Stage,
    workers: BTreeMap<WorkerId, Present>,
    tasks: Vec<Planned>,
    told: bool,
}

impl Conductor {
    /// Nobody is there yet. `now`, here and below, is the time since some beginning.
    pub fn new(terms: Terms, now: Duration) -> Self {
        Self {
            stage: Stage::Gathering {
                until: now + terms.timeout,
            },
            terms,
            workers: BTreeMap::new(),
            tasks: Vec::new(),
            told: false,
        }
    }

    /// Whether a worker may join.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(&self, name: &str) -> Result<(), Refusal> {
        if !matches!(self.stage, Stage::Gathering { .. }) {
            return Err(Refusal::Late);
        }
        if self.present().any(|(_, worker)| worker.worker == name) {
            return Err(Refusal::Taken(name.to_owned()));
        }
        Ok(())
    }

    /// Takes in what happened, if anything, and what time it is; tells what is to be sent.
    #[must_use]
    pub fn step(&mut self, now: Duration, event: Option<Event>) -> Orders {
        let mut orders = Orders::new();
        if let Some(event) = event {
            self.take_in(now, event, &mut orders);
        }
        self.advance(now, &mut orders);
        orders
    }

    /// When to step again, though nothing happens.
    pub fn wake(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Gathering { until } | Stage::Leaving { until } => Some(*until),
            Stage::Measuring(task) => Some(task.until()),
            Stage::Over => None,
        }
    }

    /// Whether nothing happens any more.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// How many tasks are decided for good; they are the first ones. The one under way is not, even where its client
    /// has ended: a failure may turn out to be a loss.
    pub fn settled(&self) -> usize {
        match &self.stage {
            Stage::Measuring(task) => task.number(),
            _ => self.decided(),
        }
    }

    /// How many tasks have come to something; they are the first ones.
    fn decided(&self) -> usize {
        let mut tasks = self.tasks.iter();
        let unsettled = tasks.position(|task| !task.status.is_settled());
        unsettled.unwrap_or(self.tasks.len())
    }

    /// As far as there are any.
    pub fn results(&self) -> Results {
        Results {
            results: self.tasks.iter().map(|task| self.measured(task)).collect(),
        }
    }

    /// What it came to, once it is over.
    pub fn verdict(&self) -> Verdict {
        let lacks: BTreeSet<_> = self
            .tasks
            .iter()
            .filter_map(|it| it.lacks.clone())
            .collect();
        if !lacks.is_empty() {
            return Verdict::Lacks(lacks);
        }
        let parties = self.workers.len();
        if self.tasks.is_empty() && !self.told {
            return Verdict::TooFew { there: parties };
        }
        let undone = self
            .tasks
            .iter()
            .filter(|it| it.status != Status::Done)
            .count();
        let absent = self.terms.expected.unwrap_or(0).saturating_sub(parties);
        if undone + absent == 0 && !self.told {
            return Verdict::Complete;
        }
        Verdict::Incomplete {
            undone,
            tasks: self.tasks.len(),
            absent,
            told: self.told,
        }
    }

    fn take_in(&mut self, now: Duration, event: Event, orders: &mut Orders) {
        match event {
            Event::Joined(id, worker) => {
                self.workers.insert(id, Present::new(worker));
            }
            Event::Lost(id) => self.lose(now, id, orders),
            Event::Ready(id, task) => self.ready(now, id, task, orders),
            Event::Ended(id, task, ended) => self.ended(now, id, task, ended, orders),
            Event::Told => self.tell(now, orders),
        }
    }

    /// Whatever time and state lead to by themselves.
    fn advance(&mut self, now: Duration, orders: &mut Orders) {
        match &self.stage {
            Stage::Gathering { until } => {
                let there = self.present().count();
                let are_all_there = self.terms.expected.is_some_and(|all| there >= all);
                if are_all_there || now >= *until {
                    self.plan();
                    self.begin_next(now, orders);
                }
            }
            Stage::Measuring(_) => self.advance_task(now, orders),
            Stage::Leaving { until } => {
                if now >= *until || self.present().count() == 0 {
                    self.stage = Stage::Over;
                }
            }
            Stage::Over => {}
        }
    }

    /// All ordered pairs, by name, for each benchmark.
    fn plan(&mut self) {
        // Who came and went meanwhile is no part of it.
        self.workers.retain(|_, present| present.here);
        let mut ids: Vec<_> = self.workers.keys().copied().collect();
        ids.sort_by_key(|id| self.workers[id].worker.worker.clone());
        for benchmark in self.terms.benchmarks.clone() {
            for client in &ids {
                let servers = ids.iter().filter(|server| *server != client);
                self.tasks.extend(servers.map(|server| Planned {
                    benchmark,
                    client: *client,
                    server: *server,
                    status: Status::Waiting,
                    output: String::new(),
                    lacks: None,
                }));
            }
        }
    }

    fn lose(&mut self, now: Duration, id: WorkerId, orders: &mut Orders) {
        let Some(present) = self.workers.get_mut(&id) else {
            return;
        };
        present.here = false;
        present.lost = !matches!(self.stage, Stage::Leaving { .. } | Stage::Over);
        let name = present.worker.worker.clone();
        self.lose_party(now, id, &name, orders);
    }

    fn tell(&mut self, now: Duration, orders: &mut Orders) {
        if matches!(self.stage, Stage::Leaving { .. } | Stage::Over) {
            return;
        }
        self.told = true;
        if let Stage::Measuring(task) = &self.stage {
            let number = task.number();
            self.settle(number, Status::Failed, "told to end");
        }
        self.leave(now, orders);
    }

    /// Sends everybody away; who still runs something kills it.
    fn leave(&mut self, now: Duration, orders: &mut Orders) {
        orders.extend(self.present().map(|(id, _)| (id, Order::Leave)));
        self.stage = Stage::Leaving {
            until: now + self.terms.timeout,
        };
        self.advance(now, orders);
    }

    /// Decides a task, unless it is decided already.
    fn settle(&mut self, number: usize, status: Status, output: &str) {
        let task = &mut self.tasks[number];
        if !task.status.is_settled() {
            task.status = status;
            output.clone_into(&mut task.output);
        }
    }

    fn present(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        let here = self.workers.iter().filter(|(_, present)| present.here);
        here.map(|(id, present)| (*id, &present.worker))
    }

    fn is_here(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|present| present.here)
    }

    fn name(&self, id: WorkerId) -> &str {
        self.workers.get(&id).map_or("", |it| &it.worker.worker)
    }

    fn client_call(&self, task: &Planned) -> Call {
        let server = self.workers[&task.server].worker.ip;
        task.benchmark.client(server, self.terms.seconds)
    }

    fn measured(&self, task: &Planned) -> Measured {
        let call = self.client_call(task);
        let party = |id: WorkerId| {
            let present = &self.workers[&id];
            let is_busy = matches!(&self.stage, Stage::Measuring(it) if it.is_busy(id));
            Worker {
                idle: !present.lost && !is_busy,
                ..present.worker.clone()
            }
        };
        Measured {
            output: task.output.clone(),
            task: Task {
                command: call.command,
                args: call.args,
                task_options: TaskOptions {
                    timeout_seconds: task.benchmark.timeout(self.terms.seconds),
                },
                status: task.status,
                client: party(task.client),
                server: party(task.server),
            },
        }
    }
}
