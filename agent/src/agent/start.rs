//! The start of an agent, in order: the source is read, the kernel half is laid under it, and only then is anything of
//! an earlier agent replaced.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use sluice_api::{Options, StartError};
use sluice_kubernetes::{Manifests, World};
use sluice_netlink::Conntrack;
use sluice_policy::Index;
use tracing::{info, warn};

use super::enforcer::{Groundwork, empty_index};
use super::leases::LeaseWriter;
use super::published::Reader;
use super::revoke::Denied;
use super::shared::Shared;
use super::source::Watcher;
use super::upstream::{Files, Objects, Upstream};
use super::watch::{attach_links, follow, guard_links};
use super::writer::{self, Work, Writer};
use super::{spawn, takeover};
use crate::config::{Config, Source};
use crate::exit::Failure;
use crate::queue::{Bound, Settings, Worker};
use crate::socket;

/// A source that was read once.
struct First {
    index: Index,
    upstream: Upstream,
    /// Tells of changes, where it does not by itself.
    watcher: Option<Watcher>,
    read_at: SystemTime,
}

/// Starts every thread and enforces the first snapshot.
pub(super) fn start(shared: &Arc<Shared>, unix: UnixListener) -> Result<(), Failure> {
    let asked = Arc::clone(shared);
    spawn("socket", move || socket::serve(&unix, &asked))?;
    let (sender, receiver) = channel();
    let first = read_source(shared, &sender, &receiver)?;
    let config = &shared.config;
    // Before anything is loaded or replaced: where another agent has the queues, nothing is touched.
    let queues = bind_queues(config)?;
    let (groundwork, readers) = Groundwork::lay(config, first.index)?;
    let settings = Settings::new(config, Arc::clone(&shared.metrics), Instant::now());
    let leases = groundwork.leases().cloned();
    let workers = start_workers(queues, settings, readers, leases.as_ref())?;
    shared.set_writer(sender.clone());
    shared.set_judging(groundwork.publisher().view(), workers);
    let conntrack = take_over(&groundwork, config).map_err(Failure::Unable)?;
    let mut writer = Writer {
        enforcer: groundwork.build(config)?,
        upstream: first.upstream,
        conntrack,
        shared: Arc::clone(shared),
        unjudged: true,
        denied: Denied::default(),
        untold: true,
        read_at: first.read_at,
    };
    let links = attach_links(&mut writer)?;
    let routes = guard_links(&mut writer)?;
    writer.adopt_connections();
    shared.set_ready();
    // Whoever enforces nothing has nothing to say, and keeps nobody else from saying it.
    shared.start_reporter();
    announce(&writer);
    follow(writer, first.watcher, links, routes, (sender, receiver))
}

fn read_source(
    shared: &Arc<Shared>,
    sender: &Sender<Work>,
    receiver: &Receiver<Work>,
) -> Result<First, Failure> {
    match &shared.config.source {
        Source::Manifests(paths) => read_manifests(shared, paths),
        Source::Kubernetes { kubeconfig, kinds } => {
            let options = Options {
                kubeconfig: kubeconfig.clone(),
                kinds: kinds.clone(),
            };
            let source = find_api(options, sender)?;
            shared.set_api(source);
            Ok(read_api(shared, receiver))
        }
    }
}

/// What names the API need not be usable yet: the source waits for it, and says what is wrong. What an earlier agent
/// left stays in force meanwhile.
fn find_api(options: Options, sender: &Sender<Work>) -> Result<sluice_api::Source, Failure> {
    let told = sender.clone();
    // The receiver is gone only with the whole agent.
    let listener = move |update| drop(told.send(Work::Told(update)));
    sluice_api::Source::start(options, listener).map_err(no_source)
}

fn no_source(error: StartError) -> Failure {
    match error {
        StartError::Access(error) => Failure::bad_input(error),
        StartError::Thread(_) => Failure::unable(error),
    }
}

fn read_manifests(shared: &Shared, paths: &[PathBuf]) -> Result<First, Failure> {
    // Watch before reading: a change in between is seen.
    let watcher = Watcher::new(paths)
        .context("--manifests")
        .map_err(Failure::Unable)?;
    let read_at = SystemTime::now();
    let mut manifests = Manifests::new(paths);
    let loaded = manifests
        .reload()
        .map_err(|error| Failure::BadInput(error.into()))?;
    writer::report(shared, &loaded.problems);
    for (kind, count) in &loaded.ignored {
        info!(kind, count, "objects of a kind that is not used");
    }
    let mut files = Files {
        manifests,
        world: World::default(),
    };
    let mut index = empty_index(&shared.config);
    let _everything_is_new = index.apply(files.replace(loaded.world));
    Ok(First {
        index,
        upstream: Upstream::Manifests(files),
        watcher: Some(watcher),
        read_at,
    })
}

/// Waits until everything that the API serves has been told of, and it is known whose policies are to be enforced.
/// Until then what an earlier agent left stays in force: an agent for a node that nobody knows would find no pod to be
/// local, and let everything pass.
fn read_api(shared: &Shared, receiver: &Receiver<Work>) -> First {
    let mut index = empty_index(&shared.config);
    let mut objects = Objects::default();
    let mut read_at = SystemTime::now();
    let mut has_subjects = false;
    while !objects.complete || !has_subjects {
        let Ok(Work::Told(update)) = receiver.recv() else {
            // The sender is this agent's own, and nobody else has work yet.
            continue;
        };
        read_at = SystemTime::now();
        let (events, _nothing_else) = objects.gather(update, receiver);
        let _everything_is_new = index.apply(events);
        has_subjects = objects.complete && writer::note_node(shared, &index).has_subjects();
    }
    let counts = index.snapshot().counts();
    info!(
        pods = counts.pods,
        network_policies = counts.network_policies,
        "everything that the Kubernetes API has was read"
    );
    objects.take_problems_changed();
    writer::report(shared, &objects.problems());
    First {
        index,
        upstream: Upstream::Kubernetes(objects),
        watcher: None,
        read_at,
    }
}

fn announce(writer: &Writer) {
    let config = &writer.shared.config;
    let local = writer.enforcer.snapshot().counts().local;
    info!(
        node = config.node_name,
        mode = config.mode.name(),
        pods = local,
        "ready"
    );
    if local == 0 && matches!(config.source, Source::Manifests(_)) {
        let node = &config.node_name;
        warn!(node, "no pod has this spec.nodeName: is --node-name right?");
    }
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
