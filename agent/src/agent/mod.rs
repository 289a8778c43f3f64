//! `sluice agent`: the wiring, in start order.

mod bounds;
mod clock;
mod enforcer;
mod epochs;
mod findings;
mod guards;
mod http;
pub(crate) mod kernel;
pub(crate) mod leases;
mod ledger;
pub(crate) mod lock;
mod own_node;
pub(crate) mod pinned;
mod pods;
#[cfg(feature = "ebpf-log")]
mod program_log;
pub(crate) mod published;
mod redirect;
pub(crate) mod report;
mod revoke;
pub(crate) mod shared;
mod source;
mod start;
mod takeover;
mod upstream;
mod watch;
mod writer;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::{confine, privilege, socket};
pub use enforcer::Enforcer;
use lock::Lock;
use shared::Shared;

/// Which signal ended the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// SIGTERM: what a supervisor sends.
    Terminated,
    /// SIGINT: a person's Ctrl-C.
    Interrupted,
}

impl Stopped {
    /// The exit code.
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Self::Terminated => ExitCode::SUCCESS,
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

/// How long answers that are being given may take once the agent is to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long it may take to let another agent report.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs until SIGTERM or SIGINT. Rules and pins stay behind: the data path outlives the agent.
pub fn run(config: Config) -> Result<Stopped, Failure> {
    privilege::for_agent(config.mode)?;
    if let Err(error) = confine::forbid_programs() {
        warn!(
            error = format!("{error:#}"),
            "could not give up running programs"
        );
    }
    abort_on_panic();
    let runtime = runtime()?;
    let outcome = runtime.block_on(serve(config));
    // A start that is still under way is not waited for.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config) -> Result<Stopped, Failure> {
    let _lock = Lock::take(&config.socket)?;
    let (stop, stopped) = stop_on_signal().map_err(Failure::Unable)?;
    let http = bind_http(&config).await?;
    let unix = socket::listen(&config.socket)
        .with_context(|| format!("--socket {}", config.socket.display()))
        .map_err(Failure::Unable)?;
    let metrics = Metrics::new(config.mode, config.policy_metrics);
    let metrics = metrics.context("metrics").map_err(Failure::Unable)?;
    let shared = Arc::new(Shared::new(config, Arc::new(metrics)));
    let answering = tokio::spawn(answer(http, Arc::clone(&shared), stop.clone()));
    let reporting = Arc::clone(&shared);
    let starting = tokio::task::spawn_blocking(move || start::start(&shared, unix));
    tokio::select! {
        started = starting => {
            started.map_err(|error| Failure::Unable(error.into()))??;
            answering.await.map_err(|error| Failure::Unable(error.into()))?;
        }
        () = stop.cancelled() => {}
    }
    let signal = stopped
        .await
        .map_err(|error| Failure::Unable(error.into()))?;
    if let Some(reporter) = reporting.take_reporter() {
        reporter.stop(LAST_WORDS).await;
    }
    info!("stopping: rules and pins stay in force");
    Ok(signal)
}

/// Serves HTTP until the agent is to stop, and a little longer for those who are being answered.
async fn answer(http: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = http::serve(http, shared, stop.clone()) => {
            if let Err(error) = served {
                error!(%error, "http is no longer served");
            }
        }
        () = late => {}
    }
}

/// A thread that panics would leave its queue, or policy, to nobody, and the agent looking well. The kernel half goes
/// on without the agent, and whoever supervises the agent starts it again.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

async fn bind_http(config: &Config) -> Result<TcpListener, Failure> {
    http::bind(config.metrics).await.map_err(|error| {
        let address = config.metrics;
        let taken = error.kind() == std::io::ErrorKind::AddrInUse;
        Failure::unable(if taken {
            format!("--metrics-bind-address {address}: taken, by another agent or something else")
        } else {
            format!("--metrics-bind-address {address}: {error}")
        })
    })
}

/// For all that waits, on the calling thread.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")
        .map_err(Failure::Unable)
}

/// A token that SIGTERM and SIGINT cancel, and which of them it was.
pub(crate) fn stop_on_signal()
-> anyhow::Result<(CancellationToken, tokio::task::JoinHandle<Stopped>)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    let task = tokio::spawn(async move {
        let stopped = tokio::select! {
            _ = terminate.recv() => Stopped::Terminated,
            _ = interrupt.recv() => Stopped::Interrupted,
        };
        token.cancel();
        stopped
    });
    Ok((stop, task))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .with_context(|| format!("thread {name}"))
        .map_err(Failure::Unable)
}
