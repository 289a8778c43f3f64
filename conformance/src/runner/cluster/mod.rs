//! Cases against whatever enforces policies in a cluster that a kubeconfig leads to, with real packets between its pods.
//!
//! The pods run `sluice-prober`, which is asked through the API server's `exec`. Each world that cases take place in is
//! made once, in namespaces of its own, and taken away when the runner is closed.

mod accepted;
mod access;
mod api;
mod kept;
mod make;
mod names;
mod places;
mod pods;
mod room;
mod run;
mod session;
mod stops;
mod unable;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;
use tokio::runtime::Runtime;

use super::{CaseResult, Outcome, Runner, Tally};
use crate::StateError;
use crate::case::Case;
use crate::profile::Profile;
use access::Found;
use api::{Api, ApiError};
use names::{Names, RUN};
use room::{RefusedPolicy, Room};
use run::{Ended, Run};
use stops::Stop;

/// How long the cluster may take to let go of namespaces.
const GONE: Duration = Duration::from_mins(2);
/// So many cases in a row are not judged, and their world is not made again.
const FAILURES: u32 = 2;
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
    /// Whether SIGINT, SIGTERM and SIGHUP end the case that is under way, and no other begins; a second one ends the
    /// program, after it has said what it leaves.
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

/// The cluster, and what was made there.
struct Site {
    api: Api,
    options: ClusterOptions,
    found: Found,
    /// What tells this run from others.
    run: String,
    rooms: BTreeMap<Arc<str>, Room>,
    /// Of what was not judged of late: how often in a row, and why.
    failures: BTreeMap<String, (u32, String)>,
    /// The longest that a change took to come into force.
    longest: Option<Duration>,
    /// The paths of the cluster-scoped policies that there may be of this run.
    admin: BTreeSet<String>,
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
        let run = format!("{:05x}", RandomState::new().hash_one(0) & 0xf_ffff);
        let stop = Arc::new(Stop::default());
        if options.interruptible {
            let left = format!("left: kubectl get namespaces --selector {RUN}={run}");
            let _context = runtime.enter();
            stops::hear(&stop, options.progress, &left)
                .map_err(|error| ClusterError::Lacks(format!("signals: {error}")))?;
        }
        let site = runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.asked.notified() => Err(ClusterError::Access("interrupted".to_owned())),
                site = Site::find(options, run) => site,
            }
        })?;
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
        let mut tally = Tally::default();
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
                ended = site.judge(case, profile, &mut tally) => ended,
            }
        });
        let ended = match ended {
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
        CaseResult::of(case, started, &tally, ended)
    }
}

impl Site {
    async fn find(options: ClusterOptions, run: String) -> Result<Self, ClusterError> {
        let api = access::connect(&options).await?;
        access::review(&api).await?;
        let found = access::look(&api).await?;
        let objects = Names::new(&options.prefix, &run, "objects", BTreeMap::new());
        Ok(Self {
            api,
            options,
            found,
            run,
            rooms: BTreeMap::new(),
            failures: BTreeMap::new(),
            longest: None,
            admin: BTreeSet::new(),
            made: 0,
            objects,
            namespaces: BTreeSet::new(),
        })
    }

    async fn judge(&mut self, case: &Case, profile: Profile, tally: &mut Tally) -> Result<Ended> {
        if accepted::is_all(case) {
            self.make_namespaces(case).await?;
            return accepted::judge(&self.api, &self.objects, case).await;
        }
        let account = account(case);
        if let Some((_, why)) = self
            .failures
            .get(&account)
            .filter(|(it, _)| *it >= FAILURES)
        {
            bail!("world {account} is not made again: {why}");
        }
        let mut room = self.room(case)?;
        let admin = unable::objects(case).filter(|it| names::admin_resource(it).is_some());
        self.admin.extend(admin.map(|it| room.names.collection(it)));
        let mut run = Run {
            room: &mut room,
            case,
            profile,
            convergence: self.options.convergence,
            tally,
            longest: self.longest,
            before: BTreeMap::new(),
            open: BTreeMap::new(),
        };
        let ended = run.case().await;
        self.longest = self.longest.max(tally.convergence);
        let cleared = room.clear_policies().await;
        let (ended, is_as_before) = match (ended, cleared) {
            (Ok(ended), Ok(())) => (Ok(ended), true),
            (Ok(_), Err(error)) => (Err(error), false),
            (Err(error), cleared) => {
                let (ended, is_as_before) = excused(case, error);
                (ended, is_as_before && cleared.is_ok())
            }
        };
        if is_as_before {
            self.rooms.insert(Arc::clone(&case.world), room);
            self.failures.remove(&account);
            return ended;
        }
        room.abandon().await;
        if let Err(error) = &ended {
            let failed = self.failures.entry(account).or_default();
            *failed = (failed.0 + 1, format!("{error:#}"));
        }
        ended
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

    /// Takes away everything with this run's label, and waits until it is gone. What goes wrong keeps nothing else.
    async fn clean(&mut self) -> Result<()> {
        self.rooms.clear();
        let namespaces = "/api/v1/namespaces".to_owned();
        let mut wrong = Vec::new();
        for collection in std::iter::once(&namespaces).chain(&self.admin) {
            if let Err(error) = self.take_away(collection).await {
                wrong.push(format!("{error:#}"));
            }
        }
        if let Err(error) = self.await_gone(&namespaces).await {
            wrong.push(format!("{error:#}"));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{}", wrong.join("; "))
    }

    /// The objects of a collection that are of this run.
    async fn own(&self, collection: &str) -> Result<Vec<serde_json::Value>, ApiError> {
        let path = format!("{collection}?labelSelector={RUN}%3D{}", self.run);
        self.api.list(&path).await
    }

    async fn take_away(&self, collection: &str) -> Result<()> {
        let mut wrong = Vec::new();
        for object in self.own(collection).await? {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let path = format!("{collection}/{name}");
            if let Err(error) = self.api.delete_one(&path, &object).await {
                wrong.push(format!("{path}: {error}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{}", wrong.join("; "))
    }

    async fn await_gone(&self, collection: &str) -> Result<()> {
        let deadline = Instant::now() + GONE;
        loop {
            let left = self.own(collection).await?.len();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{left} namespaces are there after {GONE:?}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What an error means for a case, and whether the room is what it was all the same.
fn excused(case: &Case, error: anyhow::Error) -> (Result<Ended>, bool) {
    // It is as if the policy were not there.
    if error.is::<RefusedPolicy>() {
        let is_skipped = case.is_about_problems();
        let skipped = Ended::Skipped(error.to_string());
        return (if is_skipped { Ok(skipped) } else { Err(error) }, true);
    }
    // An address of a family that pods do not have here; nothing was made of it.
    if matches!(error.downcast_ref(), Some(StateError::Address(_))) {
        let reason = format!("pods of this cluster have no such address: {error}");
        return (Ok(Ended::Skipped(reason)), true);
    }
    (Err(error), false)
}

/// What fails together: a world, and what of the network it takes. Where there is no SCTP, TCP is judged all the same.
fn account(case: &Case) -> String {
    let means = ["np.sctp", "np.ipv6", "np.dual"];
    let means = means.iter().filter(|it| case.features.contains(**it));
    let mut account = case.world.to_string();
    means.for_each(|it| account.extend([" with ", it]));
    account
}
