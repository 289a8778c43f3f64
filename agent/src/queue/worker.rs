//! A thread per queue: receive, judge, remember, give the verdict.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use nfq::{Message, Queue, Verdict as NfqVerdict};
use sluice_ebpf::Marks;
use sluice_policy::Action;
use tracing::{debug, error};

use super::buffer;
use super::hold::{self, Point};
use super::judge::{Hints, Judgement, judge};
use super::packet::{Packet, PacketError};
use super::untracked::Untracked;
use super::verdicts::VerdictLog;
use crate::agent::leases::{LeaseWriter, Remembered};
use crate::agent::published::{Published, Reader};
use crate::config::Config;
use crate::metrics::{Arrival, Counted, Metrics, bump};

/// Bytes of a packet that are looked at: any chain of extension headers that fits into an Ethernet frame can be judged.
const COPY_RANGE: u16 = 2048;
/// Packets that wait for a verdict before the kernel drops (or, with fail-open, accepts) further ones.
const QUEUE_LENGTH: u32 = 4096;

/// What every worker is told.
pub(crate) struct Settings {
    marks: Marks,
    metrics: Arc<Metrics>,
    untracked: Untracked,
    verdicts: VerdictLog,
}

impl Settings {
    /// From what the agent was told.
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>, now: Instant) -> Self {
        let (which, sample) = (config.log_verdicts, config.log_allowed_sample);
        Self {
            marks: config.marks,
            metrics,
            untracked: Untracked::new(now),
            verdicts: VerdictLog::new(&config.node_name, which, sample, now),
        }
    }
}

/// A queue that is this agent's: its packets wait for a worker. A queue has one listener, so whoever has bound it is the
/// only agent of the network namespace.
pub(crate) struct Bound {
    queue: Queue,
    number: u16,
}

impl Bound {
    /// Binds a queue; `fail_open` says what becomes of packets that do not fit into it.
    pub(crate) fn bind(number: u16, fail_open: bool) -> io::Result<Self> {
        let mut queue = Queue::open()?;
        queue.bind(number)?;
        queue.set_copy_range(number, COPY_RANGE)?;
        queue.set_queue_max_len(number, QUEUE_LENGTH)?;
        queue.set_recv_gso(number, true)?;
        queue.set_fail_open(number, fail_open)?;
        buffer::enlarge()?;
        Ok(Self { queue, number })
    }
}

/// One queue and what its packets are judged by.
pub(crate) struct Worker {
    queue: Queue,
    number: u16,
    reader: Reader,
    leases: Option<LeaseWriter>,
    settings: Arc<Settings>,
    alive: Arc<AtomicBool>,
}

/// What the kernel is told about a packet.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accept { mark: u32 },
    Drop,
}

impl Worker {
    /// A worker for a bound queue.
    pub(crate) fn new(
        bound: Bound,
        reader: Reader,
        leases: Option<LeaseWriter>,
        settings: Arc<Settings>,
    ) -> Self {
        let Bound { queue, number } = bound;
        Self {
            queue,
            number,
            reader,
            leases,
            settings,
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Turns false when the worker has ended.
    pub(crate) fn alive(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.alive)
    }

    /// Serves the queue for as long as the process lives.
    pub(crate) fn run(mut self) {
        loop {
            match self.queue.recv() {
                Ok(message) => self.serve(message),
                // The kernel's answer to a verdict on a packet that it has given up meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    error!(queue = self.number, %error, "queue lost");
                    break;
                }
            }
        }
        self.alive.store(false, Ordering::Relaxed);
    }

    fn serve(&mut self, message: Message) {
        let Self {
            queue,
            reader,
            leases,
            settings,
            number,
            ..
        } = self;
        let (read, stamped) = (Instant::now(), message.get_timestamp());
        let mut waiting = Some(message);
        while let Some(message) = waiting.take() {
            let given = reader.judging(|published| {
                let answer = answer(published, &message, leases.as_ref(), settings);
                if !reader.is_current(published) {
                    // What held until a moment ago is judged by what holds now.
                    waiting = Some(message);
                    return Ok(());
                }
                hold::at(Point::Answered);
                give(queue, message, answer)
            });
            if let Err(error) = given {
                debug!(queue = number, %error, "verdict refused");
            }
        }
        settings.metrics.timing.answered(Arrival {
            stamped,
            read: read.elapsed(),
        });
    }
}

fn give(queue: &mut Queue, mut message: Message, answer: Answer) -> io::Result<()> {
    match answer {
        Answer::Accept { mark } => {
            message.set_nfmark(mark);
            message.set_verdict(NfqVerdict::Accept);
        }
        Answer::Drop => message.set_verdict(NfqVerdict::Drop),
    }
    queue.verdict(message)
}

fn answer(
    published: &Published,
    message: &Message,
    leases: Option<&LeaseWriter>,
    settings: &Settings,
) -> Answer {
    let started = Instant::now();
    let tally = &settings.metrics.tally;
    bump(&tally.queued);
    let packet = match Packet::parse(message.get_payload()) {
        Ok(packet) => packet,
        Err(error) => return unreadable(error, settings),
    };
    let hints = Hints::from_mark(message.get_nfmark(), settings.marks);
    let answers = || settings.untracked.answers(&packet, started);
    let judgement = judge(&published.snapshot, &packet, hints, answers);
    settings.metrics.timing.evaluated(started.elapsed());
    hold::at(Point::Judged);
    let action = judgement.action();
    if hints.untracked && action == Action::Allow {
        let answer = judgement.reversed;
        settings.untracked.remember(&packet, answer, started);
    }
    count(&judgement, settings);
    if let Some(leases) = leases {
        remember(leases, published, &judgement, packet.opens, settings);
    }
    let snapshot = &published.snapshot;
    settings
        .verdicts
        .log(snapshot, &judgement, &packet, started);
    settings.metrics.packet(
        packet.protocol,
        packet.source.is_ipv6(),
        action,
        started.elapsed(),
    );
    reply(&judgement, hints, message.get_nfmark(), settings.marks)
}

fn count(judgement: &Judgement<'_>, settings: &Settings) {
    let Metrics {
        tally, policies, ..
    } = &*settings.metrics;
    bump(match judgement.action() {
        Action::Allow => &tally.allowed,
        Action::Deny => &tally.denied,
    });
    for (direction, decision) in judgement.decisions() {
        if policies.count(direction, &decision) == Counted::No {
            bump(&tally.policies_uncounted);
        }
    }
}

/// Writes the lease. Without it, the next connection is judged as well.
fn remember(
    leases: &LeaseWriter,
    published: &Published,
    judgement: &Judgement<'_>,
    opens: bool,
    settings: &Settings,
) {
    let tally = &settings.metrics.tally;
    match leases.remember(published, judgement, opens) {
        Ok(Remembered::Written) => {}
        Ok(Remembered::Displacing) => bump(&tally.leases_displaced),
        Err(error) => {
            bump(&tally.lease_errors);
            debug!(%error, tuple = %judgement.tuple, "lease not written");
        }
    }
}

fn reply(judgement: &Judgement<'_>, hints: Hints, mark: u32, marks: Marks) -> Answer {
    let others = mark & !marks.packet();
    match judgement.action() {
        Action::Deny => Answer::Drop,
        // Conntrack has the connection the wrong way round: it must be judged that way round ever after.
        Action::Allow if judgement.reversed != hints.reply => Answer::Accept {
            mark: others | marks.accepted | marks.reply,
        },
        Action::Allow => Answer::Accept {
            mark: others | marks.accepted,
        },
    }
}

/// Fail-open is for the time without an agent: a packet that cannot be read must not be a way past one.
fn unreadable(error: PacketError, settings: &Settings) -> Answer {
    bump(&settings.metrics.tally.parse_errors);
    debug!(%error, "packet unreadable");
    Answer::Drop
}
