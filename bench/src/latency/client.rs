//! The clients of a cluster: what the API says goes through the bookkeeping, targets are sent to, and what comes of it is
//! observed and logged. Log lines are perf-tests' by the letter: whoever reads them finds what is looked for.

mod pods;
mod policy;
mod transitions;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::api::Api;
use super::config::{Config, Flags, PolicyFlags, Test};
use super::metrics::{Metrics, Took, Transition};
use super::{log, serve, wire};
use crate::interrupt::Interrupted;

/// What a request of `/metrics` that is under way may still take at the end.
const LAST: Duration = Duration::from_secs(1);

/// What came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// perf-tests' name of the client.
    pub test: &'static str,
    /// What answered, in this order.
    pub reached: Vec<Reached>,
    /// Targets that did not.
    pub unreached: usize,
    /// Answers to the policy client from before its policy was made: what a pod gets through before it is isolated.
    pub early: u64,
    /// The policy client's own changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<Changed>,
}

/// A change of the policy by the client itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// Which.
    pub transition: Transition,
    /// From the API's answer to the first handshake, or the last; 0 where that was before the answer came; in seconds.
    pub since_answer: f64,
    /// From before the API was asked; in seconds.
    pub since_request: f64,
}

/// A target that answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// The pod.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its address.
    pub ip: IpAddr,
    /// Since its address was known, or since the policy's creation timestamp, which has whole seconds; in seconds.
    pub latency: f64,
    /// Since this client had that from the API, by its monotonic clock, to the handshake; in seconds.
    pub precise: Option<f64>,
}

/// What both clients go by.
struct Client {
    api: Api,
    config: Config,
    metrics: Arc<Metrics>,
    /// To end rather than to idle.
    once: bool,
}

/// An end that was asked for.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Test {
    /// perf-tests' name of the client.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PodCreation => "pod-creation-reachability-latency",
            Self::PolicyCreation { .. } => "policy-creation-enforcement-latency",
        }
    }

    /// In a sentence.
    const fn title(&self) -> &'static str {
        match self {
            Self::PodCreation => "pod creation reachability latency",
            Self::PolicyCreation { .. } => "policy creation enforcement latency",
        }
    }
}

/// Is the client that the flags describe until it is told to end; with `policy`, the policy client.
///
/// # Errors
/// A [`ConfigError`](super::config::ConfigError) where the flags make no sense, [`Interrupted`] for Ctrl-C.
pub fn run(flags: &Flags, policy: Option<&PolicyFlags>) -> Result<Report> {
    let title = match policy {
        None => Test::PodCreation.title(),
        Some(_) => "policy creation enforcement latency",
    };
    log::info(format_args!("Starting {title} client"));
    for line in flags.lines(policy) {
        log::info(line);
    }
    log::info("Verifying test client configuration");
    let config = flags.check(policy)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(config, flags.once));
    runtime.shutdown_timeout(LAST);
    report
}

async fn measure(config: Config, once: bool) -> Result<Report> {
    let mut stop = Stop::new()?;
    let api = tokio::select! {
        api = Api::connect() => api?,
        told = stop.told() => return Err(told.err().unwrap_or_else(|| Interrupted.into())),
    };
    let metrics = Arc::new(Metrics::new(&config.test)?);
    let (end, server) = start_server(config.metrics_port, Arc::clone(&metrics)).await?;
    let client = Client {
        api,
        config,
        metrics,
        once,
    };
    let report = match &client.config.test {
        Test::PodCreation => pods::measure(&client, &mut stop).await,
        Test::PolicyCreation {
            allow_policy,
            transitions,
        } => policy::measure(&client, allow_policy, *transitions, &mut stop).await,
    };
    log::info("Shutting down metrics server");
    let _nobody_serves = end.send(());
    let _ended = timeout(LAST, server).await;
    log::info(format_args!(
        "Closing {} client",
        client.config.test.title()
    ));
    report
}

/// The server, and what ends it.
async fn start_server(
    port: u16,
    metrics: Arc<Metrics>,
) -> Result<(oneshot::Sender<()>, JoinHandle<()>)> {
    log::info(format_args!("Starting HTTP server on \":{port}\"."));
    let listener = serve::bind(port).await;
    let listener = listener
        .with_context(|| format!("Metrics server failed to start, error: listen :{port}"))?;
    let (end, ended) = oneshot::channel();
    let server = tokio::spawn(async move {
        let stop = async move {
            let _told_or_dropped = ended.await;
        };
        if let Err(error) = serve::serve(listener, metrics, stop).await {
            log::error(format_args!("Metrics server failed, error: {error}"));
        }
    });
    Ok((end, server))
}

impl Stop {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits until the end is asked for; an error where it is by Ctrl-C.
    async fn told(&mut self) -> Result<()> {
        tokio::select! {
            _ = self.terminate.recv() => Ok(()),
            _ = self.interrupt.recv() => Err(Interrupted.into()),
        }
    }

    /// Idles until then, as a client whose pod would be started again if it ended.
    async fn idle(&mut self) -> Result<()> {
        log::info("Going into idle state");
        let told = self.told().await;
        log::info("Exiting idle state");
        told
    }
}

impl Client {
    /// The path of the targets.
    fn pods(&self) -> String {
        let Config {
            target_namespace,
            target_label_selector,
            ..
        } = &self.config;
        let selector = wire::escaped(target_label_selector);
        format!("/api/v1/namespaces/{target_namespace}/pods?labelSelector={selector}")
    }

    /// Where a target is connected to.
    fn target(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.config.target_port)
    }

    /// A target that answered: counted, and said `how`.
    fn reached(
        &self,
        pod: String,
        ip: IpAddr,
        took: Took,
        how: impl Fn(&Reached) -> String,
    ) -> Reached {
        self.metrics.reached(took);
        let reached = Reached {
            pod,
            namespace: self.config.target_namespace.clone(),
            ip,
            latency: took.compatible.as_secs_f64(),
            precise: took.precise.map(|it| it.as_secs_f64()),
        };
        log::info(how(&reached));
        reached
    }

    fn report(&self, reached: Vec<Reached>, targets: usize) -> Report {
        Report {
            test: self.config.test.name(),
            unreached: targets.saturating_sub(reached.len()),
            reached,
            early: 0,
            transitions: Vec::new(),
        }
    }
}
