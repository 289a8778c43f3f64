//! What is known of the API right now: which kinds are complete, since when it does not answer, and what is wrong. Says
//! each change in one log line. Does no I/O and makes no requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sluice_kubernetes::live::Kind;
use tracing::{info, warn};

use crate::trouble::Trouble;

/// What all tasks of the source write down.
#[derive(Debug)]
pub(crate) struct Board(Mutex<State>);

/// Who has trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// The task that asks what is served.
    Discovery,
    /// The task that lists and watches a kind.
    Kind(Kind),
}

#[derive(Debug, Default)]
struct State {
    server: Option<String>,
    kinds: BTreeMap<Kind, KindState>,
    troubles: BTreeMap<Who, Trouble>,
    /// Since when somebody has trouble with the server as a whole.
    disconnected: Option<SystemTime>,
    /// Troubles with the server that were told of since then.
    told: BTreeSet<String>,
    /// Every kind that is served has been complete once.
    synced: bool,
    /// What is served is known.
    discovered: bool,
}

/// One kind.
#[derive(Clone, Debug, Default)]
struct KindState {
    served: bool,
    synced: bool,
    objects: usize,
    heard: Option<SystemTime>,
}

/// The state of the source, for those who report it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The API's URL; none before it could be read.
    pub server: Option<String>,
    /// Every kind that is served has been complete once.
    pub synced: bool,
    /// Since when the API does not answer as it should; none while it does.
    pub disconnected: Option<SystemTime>,
    /// What is wrong, each once.
    pub troubles: Vec<String>,
    /// The kinds that are served, or may be.
    pub kinds: Vec<KindReport>,
}

/// The state of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct KindReport {
    /// Which.
    pub kind: Kind,
    /// Whether the API serves it.
    pub served: bool,
    /// Whether it was complete once.
    pub synced: bool,
    /// How many objects there are.
    pub objects: usize,
    /// When the API last said anything of it.
    pub heard: Option<SystemTime>,
    /// What is wrong with it alone.
    pub trouble: Option<String>,
}

impl Board {
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let state = |kind: &Kind| KindState {
            served: !kind.is_optional(),
            ..KindState::default()
        };
        let kinds = kinds.iter().map(|kind| (*kind, state(kind)));
        Self(Mutex::new(State {
            kinds: kinds.collect(),
            ..State::default()
        }))
    }

    /// Where the API is, as was just read.
    pub(crate) fn leads_to(&self, server: String) {
        self.state().server = Some(server);
    }

    pub(crate) fn report(&self) -> Report {
        let state = self.state();
        let texts: BTreeSet<String> = state.troubles.iter().map(said).collect();
        let kind = |(&kind, it): (&Kind, &KindState)| KindReport {
            kind,
            served: it.served,
            synced: it.synced,
            objects: it.objects,
            heard: it.heard,
            trouble: state
                .troubles
                .get(&Who::Kind(kind))
                .map(ToString::to_string),
        };
        Report {
            server: state.server.clone(),
            synced: state.synced,
            disconnected: state.disconnected,
            troubles: texts.into_iter().collect(),
            kinds: state.kinds.iter().map(kind).collect(),
        }
    }

    /// What is served; true where that makes the source complete for the first time.
    pub(crate) fn serves(&self, served: &BTreeSet<Kind>) -> bool {
        let mut state = self.state();
        for (kind, it) in &mut state.kinds {
            it.served = served.contains(kind);
            if !it.served {
                *it = KindState::default();
            }
        }
        state.discovered = true;
        state.is_newly_complete()
    }

    /// A batch of a kind was handed on; true where that makes the source complete for the first time.
    pub(crate) fn delivered(&self, kind: Kind, objects: usize, complete: bool) -> bool {
        let mut state = self.state();
        let it = state.kinds.entry(kind).or_default();
        it.objects = objects;
        it.synced |= complete;
        state.is_newly_complete()
    }

    /// The API said something of a kind.
    pub(crate) fn heard(&self, kind: Kind) {
        self.state().kinds.entry(kind).or_default().heard = Some(SystemTime::now());
    }

    /// Somebody's requests are answered as they should be; whether they were not before.
    pub(crate) fn well(&self, who: Who) -> bool {
        let mut state = self.state();
        let Some(trouble) = state.troubles.remove(&who) else {
            return false;
        };
        if !trouble.is_of_server() {
            info!(resource = who.resource(), "watched again");
        }
        state.reconnect();
        true
    }

    /// Somebody's are not.
    pub(crate) fn trouble(&self, who: Who, trouble: &Trouble) {
        let mut state = self.state();
        let former = state.troubles.insert(who, trouble.clone());
        if trouble.is_of_server() {
            state.disconnect(trouble);
        } else {
            if former.as_ref() != Some(trouble) {
                let error = trouble.to_string();
                let resource = who.resource();
                warn!(resource, error, "not watched: {}", state.meanwhile());
            }
            state.reconnect();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_newly_complete(&mut self) -> bool {
        let complete = self.discovered && self.kinds.values().all(|it| !it.served || it.synced);
        let newly = complete && !self.synced;
        self.synced |= complete;
        newly
    }

    /// Each trouble is told of once, until the API is back.
    fn disconnect(&mut self, trouble: &Trouble) {
        self.disconnected.get_or_insert_with(SystemTime::now);
        let error = trouble.to_string();
        if self.told.insert(error.clone()) {
            let (server, meanwhile) = (self.server(), self.meanwhile());
            if let Trouble::Access(_) = trouble {
                warn!(error, "no way to the Kubernetes API: {meanwhile}");
            } else {
                warn!(
                    server,
                    error, "the Kubernetes API does not answer: {meanwhile}"
                );
            }
        }
    }

    fn server(&self) -> &str {
        self.server.as_deref().unwrap_or_default()
    }

    const fn meanwhile(&self) -> &'static str {
        if self.synced {
            "the last state stays enforced"
        } else {
            "nothing new is enforced before that"
        }
    }

    fn reconnect(&mut self) {
        if self.troubles.values().any(Trouble::is_of_server) {
            return;
        }
        self.told.clear();
        if let Some(since) = self.disconnected.take() {
            let seconds = since.elapsed().unwrap_or_default().as_secs_f64();
            info!(
                server = self.server(),
                seconds, "the Kubernetes API answers again"
            );
        }
    }
}

impl Who {
    const fn resource(self) -> &'static str {
        match self {
            Self::Discovery => "policy.networking.k8s.io",
            Self::Kind(kind) => kind.resource(),
        }
    }
}

/// A trouble with one kind names it; one with the server is the same whoever has it.
fn said((who, trouble): (&Who, &Trouble)) -> String {
    match trouble {
        _ if trouble.is_of_server() => trouble.to_string(),
        Trouble::Forbidden { .. } => trouble.to_string(),
        _ => format!("{}: {trouble}", who.resource()),
    }
}
