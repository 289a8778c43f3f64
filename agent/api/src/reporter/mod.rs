//! Tells the owners of policies what is the matter with them: Events, and conditions where a kind has them. One agent of
//! the cluster does, the elected one.
//!
//! It judges nothing: what there is to say is handed over, as an immutable list. What is written when is decided by
//! [`election`] and [`book`], which are pure; [`shape`] knows what it looks like. Whatever fails here, enforcement and
//! readiness know nothing of it.

mod book;
mod elect;
mod election;
mod finding;
mod shape;
mod state;
mod tell;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::hub::Hub;
pub use election::Terms;
pub use finding::{Finding, Findings, Known, Reason, Subject};
use state::State;
pub use state::{Counts, ReporterState};

/// How a reporter works.
#[derive(Clone, Debug)]
pub struct ReporterOptions {
    /// Who reports: the node's name.
    pub node: String,
    /// The namespace of the Lease object; none for that of the agent's credentials.
    pub namespace: Option<String>,
    /// Of the election.
    pub terms: Terms,
    /// For how long a policy has to select nothing before that is told.
    pub settles: Duration,
    /// How many objects are written to in a second, at most; at least one.
    pub per_second: u32,
    /// After how long what is refused is tried again.
    pub refused: Duration,
}

/// A reporter that runs.
#[derive(Debug)]
pub struct Reporter {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What its tasks share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: ReporterOptions,
    began: Instant,
    /// Until when this agent leads.
    leads: watch::Sender<Option<Instant>>,
    /// What is known, as of this term; none where nobody has said it yet.
    known: watch::Sender<Option<Arc<Findings>>>,
    state: State,
}

impl ReporterOptions {
    /// What is right for a cluster.
    pub fn new(node: String) -> Self {
        Self {
            node,
            namespace: None,
            terms: Terms::default(),
            settles: Duration::from_secs(10),
            per_second: 5,
            refused: Duration::from_mins(5),
        }
    }
}

impl Reporter {
    pub(crate) fn start(hub: &Arc<Hub>, runtime: &Handle, options: ReporterOptions) -> Self {
        let shared = Arc::new(Shared {
            options,
            began: {
                let _entered = runtime.enter();
                Instant::now()
            },
            leads: watch::Sender::new(None),
            known: watch::Sender::new(None),
            state: State::default(),
        });
        let stop = watch::Sender::new(false);
        let elector = elect::Elector::new(Arc::clone(hub), Arc::clone(&shared), stop.subscribe());
        let teller = tell::Teller::new(Arc::clone(hub), Arc::clone(&shared), stop.subscribe());
        let tasks = vec![runtime.spawn(elector.run()), runtime.spawn(teller.run())];
        Self {
            shared,
            stop,
            tasks,
        }
    }

    /// Whether this agent is the one that reports. Nobody else need find out what there is to say.
    pub fn leads(&self) -> Option<Leads> {
        let until = *self.shared.leads.borrow();
        until.filter(|until| Instant::now() < *until)?;
        let is_new = self.shared.known.borrow().is_none();
        Some(if is_new { Leads::Anew } else { Leads::Still })
    }

    /// Takes over what there is to say, all of it, in place of what was said before.
    pub fn hand_over(&self, findings: Findings) {
        let findings = Arc::new(findings);
        self.shared.known.send_if_modified(|known| {
            let differs = known.as_ref() != Some(&findings);
            if differs {
                self.shared.state.waits(findings.len());
            }
            *known = Some(findings);
            differs
        });
    }

    /// How it stands.
    pub fn state(&self) -> ReporterState {
        self.shared.state.report(self.leads().is_some())
    }

    /// Ends it, and gives the election back so that the next need not wait, within this time.
    pub async fn stop(mut self, within: Duration) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut self.tasks);
        let ended = async {
            for task in tasks {
                // A task that panicked has nothing to give back.
                drop(task.await);
            }
        };
        if timeout(within, ended).await.is_err() {
            tracing::debug!("the election was not given back in time");
        }
    }
}

/// Ends it at once, as a crash would: others wait until its time is over.
impl Drop for Reporter {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// How this agent leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// Since just now: it knows nothing yet.
    Anew,
    /// It has been told what there is to say.
    Still,
}
