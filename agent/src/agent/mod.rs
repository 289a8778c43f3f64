//! `sluice agent`: the wiring, in start order.

mod clock;
mod enforcer;
mod epochs;
mod guards;
mod http;
pub(crate) mod kernel;
pub(crate) mod leases;
mod ledger;
pub(crate) mod lock;
pub(crate) mod pinned;
mod pods;
#[cfg(feature = "ebpf-log")]
mod program_log;
pub(crate) mod published;
pub(crate) mod report;
mod revoke;
pub(crate) mod shared;
mod source;
mod takeover;
mod writer;

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sluice_kubernetes::{Loaded, Manifests};
use sluice_netlink::{Conntrack, LinkWatch, RouteWatch};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::queue::{Bound, Denials, Settings, Untracked, Worker};
use crate::{confine, privilege, socket};
pub use enforcer::Enforcer;
use enforcer::Groundwork;
use leases::LeaseWriter;
use lock::Lock;
use published::Reader;
use shared::Shared;
use source::Watcher;
use writer::{Work, Writer};

/// Which signal ended the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// SIGTERM: what a supervisor sends.
    Terminated,
    /// SIGINT: a person's Ctrl-C.
    Interrupted,
}

/// How long answers that are being given may take once the agent is to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How often routes are compared with what was told of them: some go without a word.
const ROUTES_COMPARED: Duration = Duration::from_secs(30);

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")
        .map_err(Failure::Unable)?;
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
    let starting = tokio::task::spawn_blocking(move || start(config, unix));
    tokio::select! {
        started = starting => {
            let shared = started.map_err(|error| Failure::Unable(error.into()))??;
            answer(http, shared, stop).await;
        }
        () = stop.cancelled() => {}
    }
    let signal = stopped
        .await
        .map_err(|error| Failure::Unable(error.into()))?;
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

/// Starts every thread and enforces the first snapshot.
fn start(config: Config, unix: UnixListener) -> Result<Arc<Shared>, Failure> {
    let metrics = Arc::new(Metrics::new().context("metrics").map_err(Failure::Unable)?);
    // Watch before reading: a change in between is seen.
    let watcher = Watcher::new(&config.manifests)
        .context("--manifests")
        .map_err(Failure::Unable)?;
    let read_at = SystemTime::now();
    let mut manifests = Manifests::new(&config.manifests);
    let loaded = manifests
        .reload()
        .map_err(|error| Failure::BadInput(error.into()))?;
    // Before anything is loaded or replaced: where another agent has the queues, nothing is touched.
    let queues = bind_queues(&config)?;
    let (groundwork, readers) = Groundwork::lay(&config, loaded.world.events())?;
    let settings = Settings {
        marks: config.marks,
        metrics: Arc::clone(&metrics),
        untracked: Untracked::new(Instant::now()),
        denials: Denials::new(Instant::now()),
    };
    let leases = groundwork.leases().cloned();
    let workers = start_workers(queues, settings, readers, leases.as_ref())?;
    let shared = Arc::new(Shared::new(
        config,
        metrics,
        groundwork.publisher().view(),
        workers,
    ));
    let asked = Arc::clone(&shared);
    spawn("socket", move || socket::serve(&unix, &asked))?;
    let conntrack = take_over(&groundwork, &shared.config).map_err(Failure::Unable)?;
    let enforcer = groundwork.build(&shared.config)?;
    announce(&shared, &loaded);
    let mut writer = Writer {
        enforcer,
        world: loaded.world,
        manifests,
        conntrack,
        shared: Arc::clone(&shared),
        unjudged: true,
        read_at,
    };
    let links = attach_links(&mut writer)?;
    let routes = guard_links(&mut writer)?;
    writer.adopt_connections();
    shared.set_ready();
    let local = writer.enforcer.snapshot().counts().local;
    info!(
        node = shared.config.node_name,
        mode = shared.config.mode.name(),
        pods = local,
        "ready"
    );
    if local == 0 {
        let node = &shared.config.node_name;
        warn!(node, "no pod has this spec.nodeName: is --node-name right?");
    }
    follow(writer, watcher, links, routes)?;
    Ok(shared)
}

/// Hands the writer over to its thread, and starts what gives it work.
fn follow(
    writer: Writer,
    watcher: Watcher,
    links: LinkWatch,
    routes: RouteWatch,
) -> Result<(), Failure> {
    let (sender, receiver) = channel();
    let (changes, ways) = (sender.clone(), sender.clone());
    spawn("writer", move || writer.run(&receiver))?;
    spawn("links", move || watch_links(links, &sender))?;
    spawn("routes", move || watch_routes(routes, &ways))?;
    spawn("manifests", move || {
        watch_manifests(&Arc::new(watcher), &changes);
    })
}

fn bind_queues(config: &Config) -> Result<Vec<Bound>, Failure> {
    (config.queue_num..=config.queue_num + (config.queues - 1))
        .map(|number| {
            Bound::bind(number, config.fail_open).map_err(|error| {
                let taken = error.kind() == std::io::ErrorKind::PermissionDenied;
                Failure::unable(if taken {
                    format!(
                        "queue {number} is taken: another agent or policy enforcer listens to it"
                    )
                } else {
                    format!("queue {number}: {error}")
                })
            })
        })
        .collect()
}

fn start_workers(
    queues: Vec<Bound>,
    settings: Settings,
    readers: Vec<Reader>,
    leases: Option<&LeaseWriter>,
) -> Result<Vec<Arc<AtomicBool>>, Failure> {
    let settings = Arc::new(settings);
    let start = |(number, (bound, reader)): (usize, (Bound, Reader))| {
        let worker = Worker::new(bound, reader, leases.cloned(), Arc::clone(&settings));
        let alive = worker.alive();
        spawn(&format!("queue-{number}"), move || worker.run())?;
        Ok(alive)
    };
    queues
        .into_iter()
        .zip(readers)
        .enumerate()
        .map(start)
        .collect()
}

/// Open connections are accepted before their leases end, or revoked before their review does.
fn take_over(groundwork: &Groundwork, config: &Config) -> anyhow::Result<Conntrack> {
    let mut conntrack = Conntrack::open().context("conntrack")?;
    let snapshot = &groundwork.publisher().current().snapshot;
    let revoke = config.revoke_established;
    let changed = takeover::accept_open(&mut conntrack, snapshot, config.marks, revoke);
    let changed = changed.context("conntrack")?;
    if changed > 0 {
        info!(changed, "open connections taken over");
    }
    Ok(conntrack)
}

fn announce(shared: &Arc<Shared>, loaded: &Loaded) {
    writer::report(shared, &loaded.problems);
    for (kind, count) in &loaded.ignored {
        info!(kind, count, "objects of a kind that is not used");
    }
}

/// Attaches to the interfaces there are.
fn attach_links(writer: &mut Writer) -> Result<LinkWatch, Failure> {
    let unable = |error| Failure::Unable(anyhow::Error::new(error).context("links"));
    let mut links = LinkWatch::open().map_err(unable)?;
    while let Some(event) = links.next().map_err(unable)? {
        writer.link(&event);
    }
    Ok(links)
}

/// Guards the interfaces that local pods are behind by now.
fn guard_links(writer: &mut Writer) -> Result<RouteWatch, Failure> {
    let unable = |error| Failure::Unable(anyhow::Error::new(error).context("routes"));
    let mut routes = RouteWatch::open().map_err(unable)?;
    let mut events = Vec::new();
    while let Some(event) = routes.next().map_err(unable)? {
        events.push(event);
    }
    writer.enforcer.routes(events);
    Ok(routes)
}

/// Has the writer told of routes that come and go.
fn watch_routes(mut routes: RouteWatch, sender: &Sender<Work>) {
    let outcome: anyhow::Result<()> = (|| {
        let patience = Timespec::try_from(ROUTES_COMPARED)?;
        let mut compared = Instant::now();
        loop {
            let mut ready = [PollFd::new(&routes, PollFlags::IN)];
            rustix::io::retry_on_intr(|| poll(&mut ready, Some(&patience)))?;
            if compared.elapsed() >= ROUTES_COMPARED {
                routes.resynchronise()?;
                compared = Instant::now();
            }
            let mut events = Vec::new();
            while let Some(event) = routes.next()? {
                events.push(event);
            }
            sender.send(Work::Routes(events))?;
        }
    })();
    if let Err(error) = outcome {
        error!(
            error = format!("{error:#}"),
            "routes are no longer watched: no interface is guarded"
        );
        // The writer is gone only with the whole agent.
        drop(sender.send(Work::NoRoutes));
    }
}

/// Has the writer told of interfaces that come and go.
fn watch_links(mut links: LinkWatch, sender: &Sender<Work>) {
    let outcome: anyhow::Result<()> = (|| {
        loop {
            rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&links, PollFlags::IN)], None))?;
            while let Some(event) = links.next()? {
                sender.send(Work::Link(event))?;
            }
        }
    })();
    if let Err(error) = outcome {
        error!(
            error = format!("{error:#}"),
            "interfaces are no longer watched: new ones take the slow path"
        );
    }
}

fn watch_manifests(watcher: &Arc<Watcher>, sender: &Sender<Work>) {
    loop {
        if let Err(error) = watcher.wait() {
            error!(%error, "manifests are no longer watched");
            return;
        }
        if sender.send(Work::Reload(Arc::clone(watcher))).is_err() {
            return;
        }
    }
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
