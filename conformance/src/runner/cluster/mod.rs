//! Cases against whatever enforces policies in a cluster that a kubeconfig leads to, with real packets between its pods.
//!
//! The pods run `sluice-prober`, which is asked through the API server's `exec`. Each world that cases take place in is
//! made once, in namespaces of its own, and taken away when the runner is closed.

mod accepted;
mod access;
mod api;
mod clean;
mod kept;
mod later;
mod make;
mod names;
mod observe;
mod places;
mod pods;
mod room;
mod run;
mod session;
mod settle;
mod site;
mod stops;
mod unable;

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::{CaseResult, Outcome, Runner, Tally};
use crate::case::Case;
use crate::profile::Profile;
use names::RUN;
use run::Ended;
use site::Site;
use stops::Stop;

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
    /// Told what is left in the cluster, where it stays.
    pub warn: fn(&str),
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
            warn: |_| {},
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
    /// A signal came before it was known whether it can be used.
    #[error("interrupted")]
    Interrupted,
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
            stops::hear(&stop, options.warn, &left)
                .map_err(|error| ClusterError::Lacks(format!("signals: {error}")))?;
        }
        let site = runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.asked() => Err(ClusterError::Interrupted),
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

    /// Whether a signal has asked for the end, then and later.
    pub fn interruption(&self) -> impl Fn() -> bool + Send + use<> {
        let stop = Arc::clone(&self.stop);
        move || stop.is_asked()
    }

    /// Why no further case can be judged, if that is so.
    pub fn fatal(&self) -> Option<&str> {
        self.fatal.as_deref()
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
            (self.site.options.warn)(&format!("{}: {error}", self.label()));
        }
    }
}

impl Runner for ClusterRunner {
    fn name(&self) -> &'static str {
        "cluster"
    }

    fn unable(&self, case: &Case) -> Option<String> {
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
                () = stop.asked() => Err(ClusterError::Interrupted.into()),
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

    fn is_over(&self) -> bool {
        self.fatal.is_some() || self.stop.is_asked()
    }
}
