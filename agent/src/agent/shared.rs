//! What the agent's threads tell each other without waiting: health, readiness, and what status reports.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use sluice_api::{Findings, Leads, Reporter, ReporterOptions, ReporterState, Source};
use sluice_kubernetes::live::Kind;
use sluice_policy::Snapshot;

use super::published::Published;
use super::writer::Work;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::status::{Invalid, KernelState};

/// The writer answers within this time, or is not waited for: less than who asks waits for an answer.
const WRITER_ANSWERS: Duration = Duration::from_secs(4);

/// Handles that HTTP and the socket answer from.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) started: Instant,
    /// Once there are workers.
    judging: OnceLock<Judging>,
    /// Who asks the writer; once there are workers as well.
    writer: OnceLock<Sender<Work>>,
    /// Once it runs, where it is the Kubernetes API.
    api: OnceLock<Source>,
    /// Where it writes what is the matter with policies; none any more once the agent stops.
    reporter: Mutex<Option<Reporter>>,
    ready: AtomicBool,
    facts: Mutex<Facts>,
}

/// What workers judge by, and whether they live.
struct Judging {
    published: Arc<ArcSwap<Published>>,
    workers: Vec<Arc<AtomicBool>>,
}

/// What the writer knows and others report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// How the kernel half is set up.
    pub(crate) kernel: KernelState,
    /// Invalid objects, as messages.
    pub(crate) invalid: Vec<Invalid>,
    /// What is wrong with the name of this agent's node, as the Kubernetes API has it.
    pub(crate) node_problem: Option<String>,
    /// The resource versions that are enforced.
    pub(crate) versions: BTreeMap<Kind, String>,
}

impl Shared {
    pub(crate) fn new(config: Config, metrics: Arc<Metrics>) -> Self {
        Self {
            config,
            metrics,
            started: Instant::now(),
            judging: OnceLock::new(),
            writer: OnceLock::new(),
            api: OnceLock::new(),
            reporter: Mutex::default(),
            ready: AtomicBool::new(false),
            facts: Mutex::default(),
        }
    }

    /// Workers judge by this from now on.
    pub(crate) fn set_judging(
        &self,
        published: Arc<ArcSwap<Published>>,
        workers: Vec<Arc<AtomicBool>>,
    ) {
        // It is set once, by who starts the workers.
        let _first = self.judging.set(Judging { published, workers });
    }

    /// What workers judge by; none while there are none.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let judging = self.judging.get()?;
        Some(Arc::clone(&judging.published.load().snapshot))
    }

    /// The writer takes questions from now on.
    pub(crate) fn set_writer(&self, writer: Sender<Work>) {
        let _first = self.writer.set(writer);
    }

    /// What is in force, as if the pods at these addresses were of this node; none where the writer has no time.
    pub(crate) fn snapshot_about(&self, ends: [IpAddr; 2]) -> Option<Box<Snapshot>> {
        let (answer, answered) = sync_channel(1);
        self.writer.get()?.send(Work::Asked { ends, answer }).ok()?;
        answered.recv_timeout(WRITER_ANSWERS).ok()
    }

    /// The source is the Kubernetes API.
    pub(crate) fn set_api(&self, source: Source) {
        let _first = self.api.set(source);
    }

    /// How the Kubernetes API stands, where it is the source.
    pub(crate) fn api(&self) -> Option<sluice_api::Report> {
        self.api.get().map(Source::report)
    }

    /// Policies' owners are to be told what is the matter, by one agent of the cluster.
    pub(crate) fn start_reporter(&self) {
        let Some(api) = self.api.get().filter(|_| self.config.report_events) else {
            return;
        };
        let mut options = ReporterOptions::new(self.config.node_name.clone());
        options.namespace.clone_from(&self.config.namespace);
        *self.reporter_slot() = Some(api.start_reporter(options));
    }

    /// Whether this agent is the one that tells them.
    pub(crate) fn leads(&self) -> Option<Leads> {
        self.reporter_slot().as_ref().and_then(Reporter::leads)
    }

    /// Tells them.
    pub(crate) fn hand_over(&self, findings: Findings) {
        if let Some(reporter) = &*self.reporter_slot() {
            reporter.hand_over(findings);
        }
    }

    /// How that goes.
    pub(crate) fn reporter(&self) -> ReporterState {
        let reporter = self.reporter_slot();
        reporter.as_ref().map(Reporter::state).unwrap_or_default()
    }

    /// Whoever stops it takes it out.
    pub(crate) fn take_reporter(&self) -> Option<Reporter> {
        self.reporter_slot().take()
    }

    fn reporter_slot(&self) -> MutexGuard<'_, Option<Reporter>> {
        self.reporter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate is in place and the first snapshot is enforced.
    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Why it is not.
    pub(crate) fn why_not_ready(&self) -> String {
        let Some(report) = self.api().filter(|report| !report.synced) else {
            let problem = self.facts().node_problem;
            return problem.unwrap_or_else(|| "the first snapshot is not enforced yet".to_owned());
        };
        // None where nobody could read yet where it is; the trouble says why.
        let at = report.server.as_ref();
        let at = at.map_or_else(String::new, |server| format!(" at {server}"));
        if !report.troubles.is_empty() {
            return format!("the Kubernetes API{at}: {}", report.troubles.join("; "));
        }
        let missing = report
            .kinds
            .iter()
            .filter(|kind| kind.served && !kind.synced);
        let missing: Vec<&str> = missing.map(|kind| kind.kind.resource()).collect();
        format!(
            "waiting for the Kubernetes API{at} to list {}",
            missing.join(", ")
        )
    }

    /// Every queue has a worker.
    pub(crate) fn healthy(&self) -> bool {
        let workers = self.judging.get().map(|judging| &judging.workers);
        let mut workers = workers.into_iter().flatten();
        workers.all(|alive| alive.load(Ordering::Relaxed))
    }

    /// What the source said at that time is enforced, on open connections too.
    pub(crate) fn set_enforced_as_of(&self, time: SystemTime) {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.enforced_as_of.set(since_epoch.as_secs_f64());
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn update_facts<T>(&self, update: impl FnOnce(&mut Facts) -> T) -> T {
        update(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
