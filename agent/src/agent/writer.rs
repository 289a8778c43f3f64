//! The one writer: takes changes in, publishes, enforces, and ends what is no longer allowed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use sluice_kubernetes::{Loaded, Manifests, Problem};
use sluice_netlink::{Conntrack, Link, LinkEvent};
use sluice_policy::{Changes, Index};
use tracing::{error, info, warn};

use super::kernel::Kernel;
use super::leases::slot;
use super::published::Publisher;
use super::revoke::{Rejudged, Which, rejudge};
use super::shared::Shared;
use super::source::Known;
use crate::status::Invalid;

/// Something for the writer to do.
pub(crate) enum Work {
    /// The manifests may be different.
    Reload,
    /// An interface came, went, or changed its name.
    Link(LinkEvent),
}

/// How long a worker may take over one verdict before the writer goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Everything that only the writer touches.
pub(crate) struct Writer {
    pub(crate) index: Index,
    pub(crate) known: Known,
    pub(crate) manifests: Manifests,
    pub(crate) publisher: Publisher,
    pub(crate) kernel: Kernel,
    pub(crate) conntrack: Conntrack,
    pub(crate) shared: Arc<Shared>,
    /// The kernel refused something: the next change writes everything.
    pub(crate) behind: bool,
}

impl Writer {
    /// Works until nobody has work any more.
    pub(crate) fn run(mut self, work: &Receiver<Work>) {
        while let Ok(work) = work.recv() {
            match work {
                Work::Reload => self.reload(),
                Work::Link(event) => self.link(&event),
            }
        }
    }

    /// Judges every live connection that was judged before: an earlier agent's verdicts may not hold any more.
    pub(crate) fn adopt_connections(&mut self) {
        self.rejudge(&Which::All);
    }

    fn reload(&mut self) {
        let started = Instant::now();
        match self.manifests.reload() {
            Ok(loaded) => self.absorb(&loaded, started),
            Err(error) => warn!(%error, "manifests not read: the last ones stay in force"),
        }
    }

    fn absorb(&mut self, loaded: &Loaded, started: Instant) {
        report(&self.shared, &loaded.problems);
        let changes = self.index.apply(self.known.advance(&loaded.world));
        if changes.is_empty() && !self.behind {
            return;
        }
        self.enforce(&changes);
        self.rejudge(&Which::Touching(&changes.addresses));
        let took = started.elapsed();
        self.shared.metrics.sync_seconds.observe(took.as_secs_f64());
        info!(
            pods = changes.pods.len(),
            addresses = changes.addresses.len(),
            isolation = changes.isolation.len(),
            milliseconds = took.as_secs_f64() * 1e3,
            "change enforced"
        );
    }

    /// Publishes, then moves the kernel, then waits for verdicts from the old snapshot to be given.
    fn enforce(&mut self, changes: &Changes) {
        let slots: BTreeSet<u32> = changes
            .addresses
            .iter()
            .map(|&address| slot(address))
            .collect();
        let (epochs, raised) = self.publisher.current().epochs.raised(&slots);
        let snapshot = self.index.snapshot();
        self.publisher.publish(Arc::clone(&snapshot), epochs);
        let written = if self.behind {
            self.kernel.rebuild(&snapshot, &raised)
        } else {
            self.kernel.enforce(changes, &raised)
        };
        // Whatever was refused is written again, whole: once now, and then with every change until it is taken.
        let written = written.or_else(|error| {
            warn!(
                error = format!("{error:#}"),
                "the kernel refused a change: writing the whole state"
            );
            self.kernel.rebuild(&snapshot, &raised)
        });
        self.behind = written.is_err();
        self.shared.metrics.sync_errors.set(i64::from(self.behind));
        if let Err(error) = written {
            error!(
                error = format!("{error:#}"),
                "the kernel refuses the state: the last one stays in force"
            );
        }
        if !self.publisher.settle(PATIENCE) {
            error!("a worker holds a verdict from an older snapshot");
        }
    }

    fn rejudge(&mut self, which: &Which<'_>) {
        if !self.shared.config.revoke_established {
            return;
        }
        let snapshot = Arc::clone(&self.publisher.current().snapshot);
        match rejudge(
            &mut self.conntrack,
            &snapshot,
            self.shared.config.marks,
            which,
        ) {
            Ok(Rejudged {
                revoked: 0,
                restored: 0,
            }) => {}
            Ok(Rejudged { revoked, restored }) => {
                self.shared
                    .metrics
                    .tally
                    .revoked
                    .fetch_add(revoked, Ordering::Relaxed);
                info!(revoked, restored, "live connections judged again");
            }
            Err(error) => error!(%error, "live connections not judged again"),
        }
    }

    /// Follows an interface: the TC program is on it as long as its name says so.
    pub(crate) fn link(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Appeared(link) | LinkEvent::Changed(link) if self.wants(link) => {
                self.kernel.attach(link.index, &link.name);
            }
            LinkEvent::Appeared(_) => return,
            LinkEvent::Changed(link) | LinkEvent::Vanished(link) => self.kernel.detach(link.index),
        }
        let state = self.kernel.state();
        self.shared.update_facts(|facts| facts.kernel = state);
    }

    fn wants(&self, link: &Link) -> bool {
        !link.loopback && self.shared.config.interfaces.admits(&link.name)
    }
}

/// Puts the problems of a reading into status, metrics and, where they are new, the log.
pub(crate) fn report(shared: &Shared, problems: &[Problem]) {
    let invalid: Vec<Invalid> = problems.iter().map(invalid).collect();
    shared
        .metrics
        .invalid_objects
        .set(i64::try_from(invalid.len()).unwrap_or(i64::MAX));
    let known = shared.facts().invalid;
    for problem in invalid.iter().filter(|problem| !known.contains(problem)) {
        warn!(
            origin = problem.origin,
            object = problem.object,
            field = problem.field,
            problem = problem.message,
            "invalid object"
        );
    }
    shared.update_facts(|facts| facts.invalid = invalid);
}

fn invalid(problem: &Problem) -> Invalid {
    let file = problem.origin.file.display();
    Invalid {
        origin: problem
            .origin
            .line
            .map_or_else(|| file.to_string(), |line| format!("{file}:{line}")),
        object: problem.object.clone(),
        field: problem.field.clone(),
        message: problem.message.clone(),
    }
}
