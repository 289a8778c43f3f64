//! What gives the writer work: changed manifests, interfaces and routes, a thread each.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sluice_netlink::{LinkWatch, RouteWatch};
use tracing::error;

use super::source::Watcher;
use super::spawn;
use super::writer::{Work, Writer};
use crate::exit::Failure;

/// How often routes are compared with what was told of them: some go without a word.
const ROUTES_COMPARED: Duration = Duration::from_secs(30);

/// Hands the writer over to its thread, and starts what gives it work.
pub(super) fn follow(
    writer: Writer,
    watcher: Option<Watcher>,
    links: LinkWatch,
    routes: RouteWatch,
    (sender, receiver): (Sender<Work>, Receiver<Work>),
) -> Result<(), Failure> {
    let (changes, ways) = (sender.clone(), sender.clone());
    spawn("writer", move || writer.run(&receiver))?;
    spawn("links", move || watch_links(links, &sender))?;
    spawn("routes", move || watch_routes(routes, &ways))?;
    match watcher {
        Some(watcher) => spawn("manifests", move || {
            watch_manifests(&Arc::new(watcher), &changes);
        }),
        None => Ok(()),
    }
}

/// Attaches to the interfaces there are.
pub(super) fn attach_links(writer: &mut Writer) -> Result<LinkWatch, Failure> {
    let unable = |error| Failure::Unable(anyhow::Error::new(error).context("links"));
    let mut links = LinkWatch::open().map_err(unable)?;
    while let Some(event) = links.next().map_err(unable)? {
        writer.link(&event);
    }
    Ok(links)
}

/// Guards the interfaces that local pods are behind by now.
pub(super) fn guard_links(writer: &mut Writer) -> Result<RouteWatch, Failure> {
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
        let error = format!("{error:#}");
        error!(error, "routes are no longer watched");
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
        let error = format!("{error:#}");
        error!(error, "interfaces are no longer watched");
        end();
    }
}

/// Ends an agent that would miss changes from now on. The kernel half goes on without it, and whoever supervises the
/// agent starts it again.
pub(super) fn end() -> ! {
    error!("ending, to be started again: rules and pins stay in force");
    std::process::exit(1)
}

fn watch_manifests(watcher: &Arc<Watcher>, sender: &Sender<Work>) {
    loop {
        if let Err(error) = watcher.wait() {
            error!(%error, "manifests are no longer watched");
            end();
        }
        if sender.send(Work::Reload(Arc::clone(watcher))).is_err() {
            return;
        }
    }
}
