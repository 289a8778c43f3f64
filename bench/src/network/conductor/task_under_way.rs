//! The steps of one task: its server starts, its client measures, both end.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Conductor, Ended, GRACE, Order, Orders, Outcome, Stage, TaskId, WorkerId};
use crate::network::task::Status;

/// A task that was begun.
pub(super) struct UnderWay {
    number: usize,
    step: Step,
    until: Duration,
    /// Who runs something for it. Nobody else runs anything.
    busy: BTreeSet<WorkerId>,
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The server is to listen. → `Measuring` when it does; → `Ending` when it cannot, or at the time.
    Serving,
    /// The client measures. → `Ending` when either of them ends, or at the time.
    Measuring,
    /// It came to something, and what still runs is told to stop, so that nothing of it disturbs the next one. → the next task
    /// once nobody is busy; who still is at the time counts as gone.
    Ending,
}

impl UnderWay {
    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn until(&self) -> Duration {
        self.until
    }

    pub(super) fn is_busy(&self, id: WorkerId) -> bool {
        self.busy.contains(&id)
    }

    /// Whether a message about a task is about this one, and from somebody who runs something for it.
    fn is_about(&self, id: WorkerId, task: TaskId) -> bool {
        self.number == task as usize && self.is_busy(id)
    }

    fn id(&self) -> TaskId {
        TaskId::try_from(self.number).unwrap_or(TaskId::MAX)
    }
}

impl Conductor {
    /// Begins the first task that was not begun; those of a worker that is gone are lost.
    pub(super) fn begin_next(&mut self, now: Duration, orders: &mut Orders) {
        let number = loop {
            let number = self.decided();
            let Some(task) = self.tasks.get(number) else {
                return self.leave(now, orders);
            };
            let parties = [task.client, task.server];
            let Some(gone) = parties.into_iter().find(|id| !self.is_here(*id)) else {
                break number;
            };
            let why = format!("worker {} is gone", self.name(gone));
            self.settle(number, Status::Lost, &why);
        };
        let task = &mut self.tasks[number];
        task.status = Status::Running;
        let under_way = UnderWay {
            number,
            step: Step::Serving,
            until: now + self.terms.timeout,
            busy: BTreeSet::from([task.server]),
        };
        let serve = Order::Serve {
            task: under_way.id(),
            call: task.benchmark.server(),
            port: task.benchmark.port(),
        };
        orders.push((task.server, serve));
        self.stage = Stage::Measuring(under_way);
    }

    /// What a task comes to by itself, as time goes by.
    pub(super) fn advance_task(&mut self, now: Duration, orders: &mut Orders) {
        let Stage::Measuring(task) = &self.stage else {
            return;
        };
        let is_late = now >= task.until;
        match task.step {
            Step::Ending if task.busy.is_empty() => self.begin_next(now, orders),
            _ if !is_late => {}
            Step::Serving => {
                let why = "the server did not listen in time";
                self.end_task(now, Status::TimedOut, why, orders);
            }
            Step::Measuring => {
                let why = "the client's worker did not answer in time";
                self.end_task(now, Status::TimedOut, why, orders);
            }
            Step::Ending => {
                let number = task.number;
                for id in task.busy.clone() {
                    orders.push((id, Order::Leave));
                    if let Some(present) = self.workers.get_mut(&id) {
                        present.here = false;
                        present.lost = true;
                    }
                    self.blame(number, id);
                }
                self.begin_next(now, orders);
            }
        }
    }

    pub(super) fn ready(&mut self, now: Duration, id: WorkerId, task: TaskId, orders: &mut Orders) {
        let Stage::Measuring(under_way) = &mut self.stage else {
            return;
        };
        if !under_way.is_about(id, task) || under_way.step != Step::Serving {
            return;
        }
        let planned = &self.tasks[under_way.number];
        let timeout_seconds = planned.benchmark.timeout(self.terms.seconds);
        let server = self.workers[&planned.server].worker.ip;
        let measure = Order::Measure {
            task,
            call: planned.benchmark.client(server, self.terms.seconds),
            timeout_seconds,
        };
        orders.push((planned.client, measure));
        under_way.busy.insert(planned.client);
        under_way.step = Step::Measuring;
        under_way.until = now + Duration::from_secs(timeout_seconds.into()) + GRACE;
    }

    pub(super) fn ended(
        &mut self,
        now: Duration,
        id: WorkerId,
        task: TaskId,
        ended: Ended,
        orders: &mut Orders,
    ) {
        let Stage::Measuring(under_way) = &mut self.stage else {
            return;
        };
        if !under_way.is_about(id, task) {
            return;
        }
        under_way.busy.remove(&id);
        if under_way.step == Step::Ending {
            return;
        }
        let planned = &mut self.tasks[under_way.number];
        let is_client = id == planned.client;
        if ended.outcome == Outcome::NotInstalled {
            let [server, client] = planned.benchmark.programs();
            planned.lacks = Some(if is_client { client } else { server }.to_owned());
        }
        let (status, output) = if is_client {
            let said = planned.benchmark.read(&ended.output);
            // Some tools exit with 0 though they could not measure.
            let is_done = ended.outcome != Outcome::Done || said.is_ok();
            let status = if is_done {
                ended.outcome.status()
            } else {
                Status::Failed
            };
            (status, ended.output)
        } else {
            let worker = self.name(id);
            let said = format!("the server on {worker} ended: {}", ended.output);
            (Status::Failed, said)
        };
        self.end_task(now, status, &output, orders);
    }

    /// Somebody is gone who may be a party of the task.
    pub(super) fn lose_party(
        &mut self,
        now: Duration,
        id: WorkerId,
        name: &str,
        orders: &mut Orders,
    ) {
        let Stage::Measuring(under_way) = &mut self.stage else {
            return;
        };
        under_way.busy.remove(&id);
        let (number, step) = (under_way.number, under_way.step);
        let planned = &self.tasks[number];
        let is_party = id == planned.client || id == planned.server;
        if is_party && step == Step::Ending {
            self.blame(number, id);
        } else if is_party {
            let why = went_away(name);
            self.end_task(now, Status::Lost, &why, orders);
        }
    }

    /// A failure is heard of first where a tool notices sooner than the orchestrator that a worker is gone: then the task is
    /// as lost as it is the other way round.
    fn blame(&mut self, number: usize, gone: WorkerId) {
        let why = went_away(self.name(gone));
        let task = &mut self.tasks[number];
        // Who lacks a program fails whatever becomes of the other.
        if task.status == Status::Failed && task.lacks.is_none() {
            task.status = Status::Lost;
            task.output = format!("{why}; before that was known: {}", task.output);
        }
    }

    /// Decides the task, and has everything end that still runs for it.
    fn end_task(&mut self, now: Duration, status: Status, output: &str, orders: &mut Orders) {
        let until = now + self.terms.timeout;
        let Stage::Measuring(under_way) = &mut self.stage else {
            return;
        };
        under_way.step = Step::Ending;
        under_way.until = until;
        let task = under_way.id();
        orders.extend(under_way.busy.iter().map(|id| (*id, Order::Stop(task))));
        let number = under_way.number;
        self.settle(number, status, output);
    }
}

fn went_away(worker: &str) -> String {
    format!("worker {worker} went away")
}

impl Outcome {
    /// What it makes of a task whose client ended so.
    const fn status(self) -> Status {
        match self {
            Self::Done => Status::Done,
            Self::TimedOut => Status::TimedOut,
            Self::Failed | Self::Stopped | Self::NotInstalled => Status::Failed,
        }
    }
}
