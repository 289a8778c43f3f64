//! What is to be written, and what has been: events once for each state of a policy, conditions where they are to be
//! others. Pure: what is known and what was written come in with the time.
//!
//! What selects nothing is news only once it stayed so: policies are often there before their pods. Who has a turn is
//! decided by [`turns`]: nobody waits for the owner of another namespace who changes policies all the time.

mod turns;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use sluice_kubernetes::live::Kind;

use super::election::Time;
use super::finding::{Finding, Findings, Known, Reason, Subject};
use turns::{Turn, Turns};

/// Where something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Events.
    Events,
    /// The status of a kind that has conditions.
    Status(Kind),
}

/// What is written where.
type Key = (Target, Subject);

/// Something to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) target: Target,
    pub(crate) subject: Subject,
    /// As of this generation.
    pub(crate) known: Known,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Write(Work),
    /// Nothing before then, or before something else is known.
    Nothing(Option<Time>),
}

/// One leader's account.
#[derive(Debug)]
pub(crate) struct Book {
    settles: Duration,
    known: Arc<Findings>,
    /// Since when each selects nothing.
    empty: HashMap<Subject, Time>,
    /// A digest of what each was last told.
    done: HashMap<Key, u64>,
    /// What failed, or is refused, is not tried before.
    postponed: HashMap<Key, Time>,
    blocked: HashMap<Target, Time>,
    queue: Turns,
    /// When the queue is to be made again.
    due: Option<Time>,
}

impl Target {
    /// All that is written about a policy.
    fn of(subject: &Subject) -> impl Iterator<Item = Self> {
        let status = matches!(subject.kind, Kind::Admin(_)).then_some(Self::Status(subject.kind));
        std::iter::once(Self::Events).chain(status)
    }
}

impl Book {
    /// `settles` is for how long a policy has to select nothing.
    pub(crate) fn new(settles: Duration) -> Self {
        Self {
            settles,
            known: Arc::default(),
            empty: HashMap::new(),
            done: HashMap::new(),
            postponed: HashMap::new(),
            blocked: HashMap::new(),
            queue: Turns::default(),
            due: None,
        }
    }

    /// Takes over what is known now.
    pub(crate) fn take(&mut self, known: Arc<Findings>, now: Time) {
        let is_empty = |known: &Known| {
            let mut findings = known.findings.iter();
            findings.any(|finding| finding.reason == Reason::SelectsNothing)
        };
        self.empty
            .retain(|subject, _| known.get(subject).is_some_and(is_empty));
        for (subject, _) in known.iter().filter(|(_, known)| is_empty(known)) {
            if !self.empty.contains_key(subject) {
                self.empty.insert(subject.clone(), now);
            }
        }
        self.done
            .retain(|(_, subject), _| known.contains_key(subject));
        self.postponed
            .retain(|(_, subject), _| known.contains_key(subject));
        self.known = known;
        self.fill(now);
    }

    /// What is to be written now; the same until something becomes of it.
    pub(crate) fn next(&mut self, now: Time) -> Next {
        if self.due.is_some_and(|due| due <= now) {
            self.fill(now);
        }
        loop {
            let (target, subject) = match self.queue.next(now) {
                Turn::Of(key) => key,
                Turn::Not(before) => return Next::Nothing(Some(earlier(self.due, before))),
                Turn::Nobody => return Next::Nothing(self.due),
            };
            if let Some(known) = self.wanted(target, &subject, now) {
                return Next::Write(Work {
                    target,
                    subject,
                    known,
                });
            }
            self.queue.leave(&(target, subject));
        }
    }

    /// It is written, or there is nothing to write it to.
    pub(crate) fn wrote(&mut self, work: Work, now: Time) {
        let digest = digest(&work.known);
        let key = work.key();
        self.queue.took(&key, now);
        self.done.insert(key, digest);
    }

    /// It could not be written, and is not tried before then.
    pub(crate) fn postpone(&mut self, work: Work, now: Time, until: Time) {
        let key = work.key();
        self.queue.took(&key, now);
        self.postponed.insert(key, until);
        self.is_due(until);
    }

    /// Nothing of the sort can be written, and is not tried before then.
    pub(crate) fn block(&mut self, target: Target, until: Time) {
        self.blocked.insert(target, until);
        self.is_due(until);
    }

    /// How much waits, whether for its time or for its turn.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len() + self.postponed.len()
    }

    /// Looks at everything there is.
    fn fill(&mut self, now: Time) {
        self.postponed.retain(|_, until| *until > now);
        self.blocked.retain(|_, until| *until > now);
        let settling = self.empty.values().map(|since| *since + self.settles);
        let settling = settling.filter(|due| *due > now);
        let failed = self
            .postponed
            .values()
            .chain(self.blocked.values())
            .copied();
        self.due = settling.chain(failed).min();
        let subjects = self.known.keys();
        let all = subjects.flat_map(|subject| Target::of(subject).map(move |it| (it, subject)));
        let wanted = all.filter(|(target, subject)| self.wanted(*target, subject, now).is_some());
        let wanted: Vec<Key> = wanted.map(|(target, it)| (target, it.clone())).collect();
        self.queue.update(wanted, now);
    }

    /// What is to be written, if anything is.
    fn wanted(&self, target: Target, subject: &Subject, now: Time) -> Option<Known> {
        let key = (target, subject.clone());
        if self.blocked.contains_key(&target) || self.postponed.contains_key(&key) {
            return None;
        }
        let known = self.known.get(subject)?;
        let settled = |finding: &&Finding| {
            let since = self.empty.get(subject);
            finding.reason != Reason::SelectsNothing
                || since.is_some_and(|since| now >= *since + self.settles)
        };
        let findings: Vec<Finding> = known.findings.iter().filter(settled).cloned().collect();
        if target == Target::Events && findings.is_empty() {
            return None;
        }
        let known = Known {
            generation: known.generation,
            findings,
        };
        (self.done.get(&key) != Some(&digest(&known))).then_some(known)
    }

    fn is_due(&mut self, at: Time) {
        self.due = Some(earlier(self.due, at));
    }
}

impl Work {
    fn key(self) -> Key {
        (self.target, self.subject)
    }
}

fn earlier(due: Option<Time>, at: Time) -> Time {
    due.map_or(at, |due| due.min(at))
}

fn digest(known: &Known) -> u64 {
    let mut hasher = DefaultHasher::new();
    (known.generation, &known.findings).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
