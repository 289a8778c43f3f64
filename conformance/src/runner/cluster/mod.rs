//! Cases against whatever enforces policies in a cluster that a kubeconfig leads to, with real packets between its pods.
//!
//! The pods run `sluice-prober`, which is asked through the API server's `exec`. Each world that cases take place in is
//! made once, in namespaces of its own, and taken away when the runner is closed.

mod accepted;
mod access;
mod api;
mod make;
mod names;
mod places;
mod pods;
mod room;
mod run;
mod session;
mod unable;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{CaseResult, Outcome, Runner};
use crate::StateError;
use crate::case::Case;
use crate::profile::Profile;
use access::Found;
use api::Api;
use names::{Names, RUN};
use room::{RefusedPolicy, Room};
use run::{Ended, Run};

/// How long the cluster may take to let go of namespaces.
const GONE: Duration = Duration::from_mins(2);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(300);

/// Which cluster, and what is made there.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The kubeconfig; none: `KUBECONFIG`, or `.kube/config` in the home directory.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; none: its current one.
    pub context: Option<String>,
    /// The image of pods, which has `/sluice-prober`.
    pub image: String,
    /// What the names of all namespaces and cluster-scoped policies begin with.
    pub prefix: String,
    /// How long a change may take to come into force.
    pub convergence: Duration,
    /// Whether everything that was made stays when the runner is closed.
    pub keep: bool,
    /// Whether SIGINT and SIGTERM end the case that is under way, and no other begins.
    pub interruptible: bool,
    /// Told what takes its time.
    pub progress: fn(&str),
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            image: concat!("sluice-prober:", env!("CARGO_PKG_VERSION")).to_owned(),
            prefix: "conformance".to_owned(),
            convergence: Duration::from_secs(10),
            keep: false,
            interruptible: false,
            progress: |_| {},
        }
    }
}

/// Why a cluster cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// It does not answer, or does not let one do what is needed.
    #[error("{0}")]
    Access(String),
    /// It, or this machine, does not have what is needed.
    #[error("{0}")]
    Lacks(String),
}

/// What makes every other case pointless too.
#[derive(Debug)]
struct Fatal(String);

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// Judges cases in a cluster.
pub struct ClusterRunner {
    runtime: Runtime,
    site: Site,
    stop: Arc<Stop>,
    fatal: Option<String>,
    is_closed: bool,
}

/// Somebody wants it to end.
#[derive(Default)]
struct Stop {
    is_asked: AtomicBool,
    asked: Notify,
}

/// The cluster, and what was made there.
struct Site {
    api: Api,
    options: ClusterOptions,
    found: Found,
    /// What tells this run from others.
    run: String,
    rooms: BTreeMap<Arc<str>, Room>,
    /// Rooms that were made, as each has a name of its own.
    made: u32,
    /// The names of objects that are only asked about, and their namespaces that there are.
    objects: Names,
    namespaces: BTreeSet<String>,
}

impl ClusterRunner {
    /// Finds the cluster, and whether it lets one do what is needed. Nothing is made yet.
    pub fn connect(options: ClusterOptions) -> Result<Self, ClusterError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| ClusterError::Lacks(format!("threads: {error}")))?;
        let stop = Arc::new(Stop::default());
        if options.interruptible {
            let _context = runtime.enter();
            for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
                let signals = signal(kind);
                let mut signals =
                    signals.map_err(|error| ClusterError::Lacks(format!("signals: {error}")))?;
                let stop = Arc::clone(&stop);
                runtime.spawn(async move {
                    signals.recv().await;
                    stop.is_asked.store(true, Ordering::Relaxed);
                    stop.asked.notify_one();
                });
            }
        }
        let site = runtime.block_on(Site::find(options))?;
        Ok(Self {
            runtime,
            site,
            stop,
            fatal: None,
            is_closed: false,
        })
    }

    /// The label, `KEY=VALUE`, of everything that this run makes.
    pub fn label(&self) -> String {
        format!("{RUN}={}", self.site.run)
    }

    /// Why no further case can be judged, if that is so.
    pub fn fatal(&self) -> Option<&str> {
        self.fatal.as_deref()
    }

    /// Whether a signal has asked for the end.
    pub fn is_interrupted(&self) -> bool {
        self.stop.is_asked.load(Ordering::Relaxed)
    }

    /// Takes away everything that was made, unless it is to be kept.
    pub fn close(mut self) -> Result<(), ClusterError> {
        self.clean()
    }

    fn clean(&mut self) -> Result<(), ClusterError> {
        self.is_closed = true;
        if self.site.options.keep {
            return Ok(());
        }
        let cleaned = self.runtime.block_on(self.site.clean());
        cleaned.map_err(|error| ClusterError::Access(format!("{error:#}")))
    }
}

impl Drop for ClusterRunner {
    fn drop(&mut self) {
        if self.is_closed {
            return;
        }
        if let Err(error) = self.clean() {
            (self.site.options.progress)(&format!("{}: {error}", self.label()));
        }
    }
}

impl Runner for ClusterRunner {
    fn unable(&self, case: &Case) -> Option<String> {
        if self.is_interrupted() {
            return Some("interrupted".to_owned());
        }
        unable::unable(case, &self.site.found)
    }

    fn run(&mut self, case: &Case, profile: Profile) -> CaseResult {
        let started = Instant::now();
        let mut seen = Seen::default();
        let Self {
            runtime,
            site,
            stop,
            ..
        } = self;
        let ended = runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.asked.notified() => Ok(Ended::Skipped("interrupted".to_owned())),
                ended = site.judge(case, profile, &mut seen) => ended,
            }
        });
        let (steps, outcome) = match ended {
            Ok(Ended::Passed) => (case.steps.len(), Outcome::Passed),
            Ok(Ended::Failed(failure)) => (failure.step, Outcome::from(failure)),
            Ok(Ended::Skipped(reason)) => (0, Outcome::Skipped(reason)),
            Err(error) => {
                if let Some(fatal) = error.downcast_ref::<Fatal>() {
                    self.fatal = Some(fatal.to_string());
                }
                (0, Outcome::Error(format!("{error:#}")))
            }
        };
        CaseResult {
            id: Arc::clone(&case.id),
            outcome,
            steps,
            cells: seen.cells,
            took: started.elapsed(),
            convergence: seen.converged,
        }
    }
}

/// What is counted of a case.
#[derive(Default)]
struct Seen {
    cells: usize,
    converged: Option<Duration>,
}

impl Site {
    async fn find(options: ClusterOptions) -> Result<Self, ClusterError> {
        let api = access::connect(&options).await?;
        access::review(&api).await?;
        let found = access::look(&api).await?;
        let run = format!("{:05x}", RandomState::new().hash_one(0) & 0xf_ffff);
        let objects = Names::new(&options.prefix, &run, "objects", BTreeMap::new());
        Ok(Self {
            api,
            options,
            found,
            run,
            rooms: BTreeMap::new(),
            made: 0,
            objects,
            namespaces: BTreeSet::new(),
        })
    }

    async fn judge(&mut self, case: &Case, profile: Profile, seen: &mut Seen) -> Result<Ended> {
        if accepted::is_all(case) {
            self.make_namespaces(case).await?;
            return accepted::judge(&self.api, &self.objects, case).await;
        }
        let mut room = self.room(case)?;
        let mut run = Run {
            room: &mut room,
            case,
            profile,
            convergence: self.options.convergence,
            cells: &mut seen.cells,
            converged: &mut seen.converged,
            open: BTreeMap::new(),
        };
        let ended = run.case().await;
        let cleared = room.clear_policies().await;
        match ended {
            Ok(ended) => {
                cleared?;
                self.rooms.insert(Arc::clone(&case.world), room);
                Ok(ended)
            }
            // It is as if the policy were not there, so the room is what it was.
            Err(error) if error.is::<RefusedPolicy>() => {
                cleared?;
                self.rooms.insert(Arc::clone(&case.world), room);
                if case.is_about_problems() {
                    return Ok(Ended::Skipped(error.to_string()));
                }
                Err(error)
            }
            // An address of a family that pods do not have here; nothing was made of it.
            Err(error) if matches!(error.downcast_ref(), Some(StateError::Address(_))) => {
                cleared?;
                self.rooms.insert(Arc::clone(&case.world), room);
                let reason = format!("pods of this cluster have no such address: {error}");
                Ok(Ended::Skipped(reason))
            }
            // What the room is now, nobody knows; it goes with the rest.
            Err(error) => Err(error),
        }
    }

    /// The room of a case's world.
    fn room(&mut self, case: &Case) -> Result<Room> {
        if let Some(room) = self.rooms.remove(&case.world) {
            return Ok(room);
        }
        self.made += 1;
        let name = format!("{}-{}", case.world, self.made);
        (self.options.progress)(&format!("world {}: making its pods", case.world));
        Room::new(
            &self.api,
            &self.options,
            &self.run,
            (&case.world, &name),
            &self.found.nodes,
        )
    }

    /// Namespaces for objects that are only asked about.
    async fn make_namespaces(&mut self, case: &Case) -> Result<()> {
        let steps = || case.steps.iter();
        let taken = steps().flat_map(|step| &step.accepted);
        let refused = steps().flat_map(|step| step.rejected.iter().map(|(object, _)| object));
        for object in taken.chain(refused) {
            let name = &object.name().namespace;
            if name.is_empty() || self.namespaces.contains(name) {
                continue;
            }
            let real = self.objects.namespace(name);
            let labels = self.objects.labels("Namespace", serde_json::Map::new());
            let manifest = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": real, "labels": labels},
            });
            make::make_namespace(&self.api, "/api/v1/namespaces", &manifest).await?;
            self.namespaces.insert(name.clone());
        }
        Ok(())
    }

    /// Takes away everything with this run's label, and waits until it is gone.
    async fn clean(&mut self) -> Result<()> {
        self.rooms.clear();
        let selector = format!("labelSelector={RUN}%3D{}", self.run);
        for resource in &self.found.admin {
            let is_policy = resource.ends_with("networkpolicies");
            if !is_policy {
                continue;
            }
            let collection = format!("/apis/policy.networking.k8s.io/{resource}");
            for object in self.api.list(&format!("{collection}?{selector}")).await? {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                self.api.delete(&format!("{collection}/{name}")).await?;
            }
        }
        let namespaces = format!("/api/v1/namespaces?{selector}");
        for object in self.api.list(&namespaces).await? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            self.api
                .delete(&format!("/api/v1/namespaces/{name}"))
                .await?;
        }
        let deadline = Instant::now() + GONE;
        loop {
            let left = self.api.list(&namespaces).await?.len();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(anyhow!("{left} namespaces are there after {GONE:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
