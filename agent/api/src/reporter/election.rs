//! Who of all agents writes: an election by a Lease object (`coordination.k8s.io/v1`), as client-go's. Pure: what was
//! read and written comes in with the time, what is to be done next comes out.
//!
//! Nobody's clock is believed: a candidate takes over what it has seen unchanged for as long as its holder asked for,
//! and a leader counts from before it sent what the server took. So there is one leader at most while clocks run at
//! about the same speed: a leader stops writing after two thirds of the time that others wait.
//!
//! Unlike client-go's, candidates look less often than the leader renews: they are as many as the cluster has nodes.

use std::time::Duration;

/// Time since the reporter began.
pub(crate) type Time = Duration;

/// How long an election's steps take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a leader that says nothing more stays one to others: `spec.leaseDurationSeconds`, whole seconds.
    pub lasts: Duration,
    /// How long a leader believes itself to be one without having been able to say so.
    pub renewed_by: Duration,
    /// How often a leader says so; how long to wait after what failed.
    pub retry: Duration,
    /// How often a candidate looks.
    pub look: Duration,
}

impl Default for Terms {
    /// client-go's, but for `look`.
    fn default() -> Self {
        Self {
            lasts: Duration::from_secs(15),
            renewed_by: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            look: Duration::from_secs(5),
        }
    }
}

/// What the Lease object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Empty where it was given back.
    pub(crate) holder: String,
    pub(crate) lasts: Duration,
    /// How often it changed hands.
    pub(crate) transitions: i64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before then.
    Wait(Time),
    /// Read it.
    Look,
    /// Make it.
    Create(Record),
    /// Replace it, if its resource version is still this one.
    Update(Record, String),
}

/// One agent's view.
#[derive(Debug)]
pub(crate) struct Election {
    identity: String,
    terms: Terms,
    state: State,
    next: Time,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing is known, or not any more: it is looked at next.
    Blind,
    /// There is none: it is made next.
    Vacant,
    /// Somebody else's, or nobody's, unchanged since `since`: looked at again, or taken over.
    Following { seen: Seen, since: Time },
    /// Ours, until `until` at least; renewed next. Ends as `Blind`.
    Leading { seen: Seen, until: Time },
}

/// What was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) record: Record,
    /// `metadata.resourceVersion`: changes with each write.
    pub(crate) version: String,
}

impl Election {
    pub(crate) fn new(identity: String, terms: Terms) -> Self {
        Self {
            identity,
            terms,
            state: State::Blind,
            next: Time::ZERO,
        }
    }

    /// Until when this one leads.
    pub(crate) const fn leads_until(&self) -> Option<Time> {
        match self.state {
            State::Leading { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Whether this one leads.
    #[cfg(test)]
    pub(crate) fn leads(&self, now: Time) -> bool {
        self.leads_until().is_some_and(|until| now < until)
    }

    /// What is due.
    pub(crate) fn step(&mut self, now: Time) -> Step {
        if self.leads_until().is_some_and(|until| now >= until) {
            self.state = State::Blind;
        }
        if now < self.next {
            return Step::Wait(self.next);
        }
        match &self.state {
            State::Blind => Step::Look,
            State::Vacant => Step::Create(self.own(0)),
            State::Following { seen, since } if !self.may_take(&seen.record, *since, now) => {
                Step::Look
            }
            State::Leading { seen, .. } | State::Following { seen, .. } => self.update(seen),
        }
    }

    /// It was read: what is there. `spread`, between 0 and 1, keeps candidates from coming together.
    pub(crate) fn saw(&mut self, found: Option<Seen>, now: Time, spread: f64) {
        let Some(seen) = found else {
            self.state = State::Vacant;
            self.next = now;
            return;
        };
        let since = match &self.state {
            State::Following { seen: known, since } if *known == seen => *since,
            _ => now,
        };
        self.next = if self.may_take(&seen.record, since, now) {
            now
        } else {
            let look = self.terms.look.mul_f64(0.8 + 0.4 * spread);
            (now + look).min(since + seen.record.lasts)
        };
        self.state = State::Following { seen, since };
    }

    /// The server took what was sent at `sent`.
    pub(crate) fn wrote(&mut self, seen: Seen, sent: Time) {
        self.next = sent + self.terms.retry;
        self.state = State::Leading {
            seen,
            until: sent + self.terms.renewed_by,
        };
    }

    /// The server did not take it, as somebody else wrote in between: whoever thought to lead does not know any more.
    pub(crate) fn lost(&mut self, now: Time) {
        self.next = match self.state {
            State::Leading { .. } => now,
            _ => now + self.terms.retry,
        };
        self.state = State::Blind;
    }

    /// Nobody knows what became of a request. A leader stays one for as long as it has, and before that is over it tries
    /// once more however long it is to wait: another one would be elected, and ask for as much.
    pub(crate) fn failed(&mut self, now: Time, wait: Duration) {
        self.next = now + wait;
        let retry = self.terms.retry;
        match self.state {
            State::Leading { until, .. } => {
                let last = until.saturating_sub(retry);
                if now < last {
                    self.next = self.next.min(last.max(now + retry));
                }
            }
            // It may have been taken.
            _ => self.state = State::Blind,
        }
    }

    /// What a leader that stops leaves behind, so that the next one need not wait.
    pub(crate) fn release(&mut self) -> Option<(Record, String)> {
        let State::Leading { seen, .. } = std::mem::replace(&mut self.state, State::Blind) else {
            return None;
        };
        let record = Record {
            holder: String::new(),
            lasts: Duration::from_secs(1),
            transitions: seen.record.transitions,
        };
        Some((record, seen.version))
    }

    fn own(&self, transitions: i64) -> Record {
        Record {
            holder: self.identity.clone(),
            lasts: self.terms.lasts,
            transitions,
        }
    }

    fn update(&self, Seen { record, version }: &Seen) -> Step {
        let changes_hands = record.holder != self.identity;
        let record = self.own(record.transitions + i64::from(changes_hands));
        Step::Update(record, version.clone())
    }

    /// What is ours, nobody's, or was left alone for long enough. No two agents have the same identity.
    fn may_take(&self, record: &Record, since: Time, now: Time) -> bool {
        record.holder.is_empty() || record.holder == self.identity || now >= since + record.lasts
    }
}

#[cfg(test)]
mod tests;
