//! `sluice agent`: the wiring, in start order.

mod enforcer;
mod epochs;
mod http;
pub(crate) mod kernel;
pub(crate) mod leases;
mod lock;
#[cfg(feature = "ebpf-log")]
mod program_log;
pub(crate) mod published;
pub(crate) mod report;
mod revoke;
pub(crate) mod shared;
mod source;
mod writer;

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, poll};
use sluice_kubernetes::{Loaded, Manifests};
use sluice_netlink::{Conntrack, LinkWatch};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::Config;
use crate::exit::Failure;
use crate::metrics::Metrics;
use crate::queue::{Settings, Worker};
use crate::socket;
pub use enforcer::Enforcer;
use enforcer::Groundwork;
use leases::LeaseWriter;
use lock::Lock;
use published::Reader;
use shared::Shared;
use source::Watcher;
use writer::{Work, Writer};

/// Runs until SIGTERM or SIGINT. Rules and pins stay behind: the data path outlives the agent.
pub(crate) fn run(config: Config) -> Result<(), Failure> {
    require_root()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")
        .map_err(Failure::Unable)?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), Failure> {
    let lock = Lock::take(&config.socket)?;
    let (stop, stopped) = stop_on_signal().map_err(Failure::Unable)?;
    let http = bind_http(&config).await?;
    let unix = socket::listen(&config.socket)
        .with_context(|| format!("--socket {}", config.socket.display()))
        .map_err(Failure::Unable)?;
    let shared = start(config, unix)?;
    let served = http::serve(http, Arc::clone(&shared), stop).await;
    if let Err(error) = served {
        error!(%error, "http stopped");
        stopped
            .await
            .map_err(|error| Failure::Unable(error.into()))?;
    }
    info!("stopping: rules and pins stay in force");
    lock.release(&shared.config.socket);
    Ok(())
}

/// Starts every thread and enforces the first snapshot.
fn start(config: Config, unix: UnixListener) -> Result<Arc<Shared>, Failure> {
    let metrics = Arc::new(Metrics::new().context("metrics").map_err(Failure::Unable)?);
    // Watch before reading: a change in between is seen.
    let watcher = Watcher::new(&config.manifests)
        .context("--manifests")
        .map_err(Failure::Unable)?;
    let mut manifests = Manifests::new(&config.manifests);
    let loaded = manifests
        .reload()
        .map_err(|error| Failure::BadInput(error.into()))?;
    let (groundwork, readers) = Groundwork::lay(&config, loaded.world.events())?;
    let workers = start_workers(&config, &metrics, readers, groundwork.leases().as_ref())?;
    let shared = Arc::new(Shared::new(
        config,
        metrics,
        groundwork.publisher().view(),
        workers,
    ));
    let asked = Arc::clone(&shared);
    spawn("socket", move || socket::serve(&unix, &asked))?;
    let enforcer = groundwork.build(&shared.config)?;
    let conntrack = Conntrack::open()
        .context("conntrack")
        .map_err(Failure::Unable)?;
    announce(&shared, &loaded);
    let mut writer = Writer {
        enforcer,
        world: loaded.world,
        manifests,
        conntrack,
        shared: Arc::clone(&shared),
    };
    let links = attach_links(&mut writer)?;
    writer.adopt_connections();
    shared.set_ready();
    let local = writer.enforcer.snapshot().counts().local;
    info!(
        node = shared.config.node_name,
        mode = shared.config.mode.name(),
        pods = local,
        "ready"
    );
    follow(writer, watcher, links)?;
    Ok(shared)
}

/// Hands the writer over to its thread, and starts what gives it work.
fn follow(writer: Writer, watcher: Watcher, links: LinkWatch) -> Result<(), Failure> {
    let (sender, receiver) = channel();
    let changes = sender.clone();
    spawn("writer", move || writer.run(&receiver))?;
    spawn("links", move || watch_links(links, &sender))?;
    spawn("manifests", move || {
        watch_manifests(&Arc::new(watcher), &changes);
    })
}

fn start_workers(
    config: &Config,
    metrics: &Arc<Metrics>,
    readers: Vec<Reader>,
    leases: Option<&LeaseWriter>,
) -> Result<Vec<Arc<AtomicBool>>, Failure> {
    let settings = Arc::new(Settings {
        marks: config.marks,
        fail_open: config.fail_open,
        metrics: Arc::clone(metrics),
    });
    (config.queue_num..)
        .zip(readers)
        .map(|(number, reader)| {
            let worker = Worker::bind(number, reader, leases.cloned(), Arc::clone(&settings))
                .with_context(|| format!("queue {number}: is another agent bound to it?"))
                .map_err(Failure::Unable)?;
            let alive = worker.alive();
            spawn(&format!("queue-{number}"), move || worker.run())?;
            Ok(alive)
        })
        .collect()
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
    http::bind(config.metrics)
        .await
        .with_context(|| format!("--metrics-bind-address {}", config.metrics))
        .map_err(Failure::Unable)
}

/// A token that SIGTERM and SIGINT cancel, and the task that waits for them.
fn stop_on_signal() -> anyhow::Result<(CancellationToken, tokio::task::JoinHandle<()>)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
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

fn require_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::unable(
        "the agent needs root: CAP_NET_ADMIN for netfilter, CAP_BPF and CAP_SYS_ADMIN for eBPF",
    ))
}
