//! How the reporter stands, for metrics, and the one log line that says so when that changes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::trouble::Trouble;

/// What was asked of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// The Lease object.
    Election,
    /// Events.
    Events,
    /// Conditions of this resource.
    Status(&'static str),
}

/// How often something was written, and was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The API took it.
    pub written: u64,
    /// The API does not allow it.
    pub refused: u64,
    /// It failed otherwise.
    pub failed: u64,
}

/// How a reporter stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReporterState {
    /// This agent is the one that reports.
    pub leads: bool,
    /// What is known and not written yet.
    pub waiting: usize,
    /// Of the Lease object.
    pub election: Counts,
    /// Of Events.
    pub events: Counts,
    /// Of conditions.
    pub status: Counts,
    /// What is refused, each once.
    pub troubles: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: usize,
    counts: BTreeMap<What, Counts>,
    refused: BTreeMap<What, String>,
}

impl What {
    fn name(self) -> String {
        match self {
            Self::Election => "the election".to_owned(),
            Self::Events => "events".to_owned(),
            Self::Status(resource) => format!("the status of {resource}"),
        }
    }
}

impl State {
    pub(crate) fn report(&self, leads: bool) -> ReporterState {
        let state = self.inner();
        let sum = |is: fn(&What) -> bool| {
            let counts = state.counts.iter().filter(|(what, _)| is(what));
            counts.fold(Counts::default(), |sum, (_, it)| Counts {
                written: sum.written + it.written,
                refused: sum.refused + it.refused,
                failed: sum.failed + it.failed,
            })
        };
        ReporterState {
            leads,
            waiting: state.waiting,
            election: sum(|what| *what == What::Election),
            events: sum(|what| *what == What::Events),
            status: sum(|what| matches!(what, What::Status(_))),
            troubles: state.refused.values().cloned().collect(),
        }
    }

    pub(crate) fn waits(&self, waiting: usize) {
        self.inner().waiting = waiting;
    }

    pub(crate) fn wrote(&self, what: What) {
        let mut state = self.inner();
        state.counts.entry(what).or_default().written += 1;
        if state.refused.remove(&what).is_some() {
            info!(what = what.name(), "written again");
        }
    }

    pub(crate) fn failed(&self, what: What, trouble: &Trouble) {
        self.inner().counts.entry(what).or_default().failed += 1;
        tracing::debug!(what = what.name(), %trouble, "not written: to be tried again");
    }

    /// Says each refusal once.
    pub(crate) fn refused(&self, what: What, why: String) {
        let mut state = self.inner();
        state.counts.entry(what).or_default().refused += 1;
        if state.refused.get(&what) != Some(&why) {
            warn!(
                what = what.name(),
                error = why,
                "policies' owners are not told: enforcement goes on"
            );
            state.refused.insert(what, why);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
