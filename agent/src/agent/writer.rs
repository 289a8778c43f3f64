//! The one writer: takes changes in, publishes, enforces, and ends what is no longer allowed.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use sluice_api::{Leads, Update};
use sluice_kubernetes::{Loaded, Origin, Place, Problem};
use sluice_netlink::{Conntrack, LinkEvent, RouteEvent};
use sluice_policy::{Changes, Event, Index, Snapshot};
use tracing::{error, info, warn};

use super::enforcer::Enforcer;
use super::findings::findings;
use super::own_node::OwnNode;
use super::revoke::{Denied, Rejudged, Which, rejudge, revive};
use super::shared::Shared;
use super::source::Watcher;
use super::upstream::{Files, Upstream};
use super::watch;
use crate::metrics::bump;
use crate::status::{self, Invalid};

/// Something for the writer to do.
pub(crate) enum Work {
    /// The manifests may be different.
    Reload(Arc<Watcher>),
    /// The Kubernetes API told something.
    Told(Update),
    /// Somebody asks about a connection between these addresses.
    Asked {
        ends: [IpAddr; 2],
        answer: SyncSender<Box<Snapshot>>,
    },
    /// An interface came, went, or changed its name.
    Link(LinkEvent),
    /// Addresses came, went or moved behind interfaces.
    Routes(Vec<RouteEvent>),
    /// Nobody knows any more what is behind which interface: no guard may stay, and the agent ends.
    NoRoutes,
}

/// How often what failed is repeated, and the gate looked after.
const TENDED: Duration = Duration::from_secs(1);

/// Of the new problems of one reading, so many are logged: whoever may write a policy may fill it with problems.
const MOST_LOGGED: usize = 20;

/// Everything that only the writer touches.
pub(crate) struct Writer {
    pub(crate) enforcer: Enforcer,
    /// What was last read, as far as it is needed to tell what is new.
    pub(crate) upstream: Upstream,
    pub(crate) conntrack: Conntrack,
    pub(crate) shared: Arc<Shared>,
    /// Live connections could not be judged again, so all of them are to be.
    pub(crate) unjudged: bool,
    /// What may be revived.
    pub(crate) denied: Denied,
    /// Something changed since policies' owners were told what is the matter.
    pub(crate) untold: bool,
    /// When the reading of the source that is in force, or is about to be, began.
    pub(crate) read_at: SystemTime,
}

impl Writer {
    /// Works until nobody has work any more.
    pub(crate) fn run(mut self, work: &Receiver<Work>) {
        let mut tended = Instant::now();
        loop {
            // Also where there is always more to do.
            if tended.elapsed() >= TENDED {
                self.tend();
                tended = Instant::now();
            }
            let mut next = match work.recv_timeout(TENDED.saturating_sub(tended.elapsed())) {
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(next) => Some(next),
            };
            while let Some(work_now) = next.take() {
                next = self.work(work_now, work);
            }
        }
    }

    /// Does one thing; returns what was found to be next.
    fn work(&mut self, now: Work, work: &Receiver<Work>) -> Option<Work> {
        match now {
            Work::Reload(watcher) => self.reload(&watcher),
            Work::Told(update) => return self.told(update, work),
            Work::Asked { ends, answer } => {
                let snapshot = self.enforcer.index().snapshot_about(&ends);
                // Who asked may have lost patience.
                drop(answer.try_send(Box::new(snapshot)));
            }
            Work::Link(event) => self.link(&event),
            Work::Routes(events) => self.enforcer.routes(events),
            Work::NoRoutes => {
                self.enforcer.forget_routes();
                watch::end();
            }
        }
        None
    }

    /// Repeats what failed, and puts back what somebody took away.
    fn tend(&mut self) {
        let kernel = &mut self.enforcer.kernel;
        let lost = !kernel.gate_is_intact();
        if lost {
            bump(&self.shared.metrics.tally.gate_losses);
            error!("the gate is gone or changed, and not all was enforced: putting it back");
        }
        for interface in kernel.reattach() {
            bump(&self.shared.metrics.tally.tc_losses);
            error!(interface, "the tc program was taken off: put back");
        }
        if lost || self.enforcer.behind() {
            self.enforcer.restore();
            self.unjudged = true;
            self.note_behind();
        }
        if self.unjudged {
            self.rejudge(Which::All);
        }
        self.note_enforced();
        self.tell();
    }

    /// Has policies' owners told what is the matter, where this agent is the one that does: only it finds that out, and
    /// no more often than it looks after the gate.
    fn tell(&mut self) {
        let Upstream::Kubernetes(objects) = &self.upstream else {
            return;
        };
        match self.shared.leads() {
            None => return,
            Some(Leads::Still) if !self.untold => return,
            Some(_) => {}
        }
        self.untold = false;
        self.shared
            .hand_over(findings(self.enforcer.index(), objects));
    }

    /// Judges every live connection that was judged before: an earlier agent's verdicts may not hold any more.
    pub(crate) fn adopt_connections(&mut self) {
        self.rejudge(Which::All);
        self.note_enforced();
    }

    /// Reads the manifests, and once more when something was finished meanwhile.
    fn reload(&mut self, watcher: &Watcher) {
        loop {
            let read_at = SystemTime::now();
            let started = watcher.begin_reading();
            let unfinished = |emptied: &[_]| watcher.disturbed(emptied);
            let Upstream::Manifests(Files { manifests, .. }) = &mut self.upstream else {
                return;
            };
            match manifests.reload_except(unfinished) {
                Ok(loaded) => {
                    self.absorb(loaded, started);
                    self.read_at = read_at;
                    self.note_enforced();
                }
                Err(error) => warn!(%error, "manifests not read: the last ones stay in force"),
            }
            if !watcher.take_changed() {
                return;
            }
        }
    }

    fn absorb(&mut self, loaded: Loaded, started: Instant) {
        report(&self.shared, &loaded.problems);
        if let Upstream::Manifests(files) = &mut self.upstream {
            let events = files.replace(loaded.world);
            self.enforce(events, started);
        }
    }

    /// Enforces what the API told, and what it told meanwhile: together, but no more than is told anyway.
    fn told(&mut self, first: Update, work: &Receiver<Work>) -> Option<Work> {
        let Upstream::Kubernetes(objects) = &mut self.upstream else {
            return None;
        };
        let started = match &first {
            Update::Batch(delivery) => delivery.read_at,
            Update::Complete => Instant::now(),
        };
        let read_at = SystemTime::now();
        let (events, next) = objects.gather(first, work);
        self.untold = true;
        if objects.take_problems_changed() {
            report(&self.shared, &objects.problems());
        }
        self.enforce(events, started);
        // Whose policies were enforced so far still are, whatever becomes of the Node.
        let _problem_is_told = note_node(&self.shared, self.enforcer.index());
        self.read_at = read_at;
        self.note_enforced();
        next
    }

    fn enforce(&mut self, events: Vec<Event>, started: Instant) {
        let counted = &self.shared.metrics.policies;
        let gone = counted.gone(&events);
        let changes = self.enforcer.apply(events);
        counted.forget(&gone);
        self.note_behind();
        if changes.is_empty() {
            return;
        }
        if !self.revived(&changes) {
            self.rejudge(Which::Touching(&changes.addresses));
        }
        let took = started.elapsed();
        self.shared.metrics.timing.sync.observe(took.as_secs_f64());
        info!(
            pods = changes.pods.len(),
            addresses = changes.addresses.len(),
            isolation = changes.isolation.len(),
            milliseconds = (took.as_secs_f64() * 1e6).round() / 1e3,
            "change enforced"
        );
    }

    /// Says how new a state of the source is enforced, once it is: in the kernel, and on open connections.
    fn note_enforced(&self) {
        if !self.enforcer.behind() && !self.unjudged {
            self.shared.set_enforced_as_of(self.read_at);
            if let Upstream::Kubernetes(objects) = &self.upstream {
                let versions = objects.versions.clone();
                self.shared.update_facts(|facts| facts.versions = versions);
            }
        }
    }

    fn note_behind(&self) {
        let behind = i64::from(self.enforcer.behind());
        self.shared.metrics.sync_errors.set(behind);
    }

    /// Whether a change was one that ends no live connection, and those that it allows again are: then nobody has to
    /// look for others. For that the kernel walks its whole table, for milliseconds in which that CPU does nothing else.
    fn revived(&mut self, changes: &Changes) -> bool {
        let owed = self.unjudged || self.enforcer.is_reviewing() || !self.enforcer.settled();
        if owed || !changes.only_allows {
            return false;
        }
        let snapshot = self.enforcer.snapshot();
        let marks = self.shared.config.marks;
        let which = Which::Touching(&changes.addresses);
        match revive(
            &mut self.conntrack,
            &snapshot,
            marks,
            which,
            &mut self.denied,
        ) {
            Ok(Some(restored)) => {
                note_judged(0, restored, &self.shared);
                true
            }
            // Where the kernel refuses, that is said by who tries it next.
            Ok(None) | Err(_) => false,
        }
    }

    fn rejudge(&mut self, which: Which<'_>) {
        if !self.enforcer.settled() {
            self.unjudged = true;
            return;
        }
        let which = if self.unjudged { Which::All } else { which };
        let (marks, revoke) = (
            self.shared.config.marks,
            self.shared.config.revoke_established,
        );
        let snapshot = self.enforcer.snapshot();
        match rejudge(&mut self.conntrack, &snapshot, marks, which, revoke) {
            Ok(Rejudged {
                revoked,
                restored,
                denied,
            }) => {
                self.unjudged = false;
                self.denied = denied;
                self.enforcer.reviewed();
                note_judged(revoked, restored, &self.shared);
            }
            Err(error) => {
                self.unjudged = true;
                error!(%error, "live connections not judged again: to be repeated");
            }
        }
    }

    /// Follows an interface: the TC program is on it as long as its name says so.
    pub(crate) fn link(&mut self, event: &LinkEvent) {
        let (LinkEvent::Appeared(link) | LinkEvent::Changed(link) | LinkEvent::Vanished(link)) =
            event;
        let wants = !link.loopback && self.shared.config.interfaces.admits(&link.name);
        let kernel = &mut self.enforcer.kernel;
        let there = !matches!(event, LinkEvent::Vanished(_));
        if wants && there {
            kernel.attach(link.index, &link.name);
        } else {
            kernel.detach(link.index, &link.name);
        }
        self.enforcer.link(link.index, there && link.peer_elsewhere);
        let state = self.enforcer.kernel.state();
        self.shared.update_facts(|facts| facts.kernel = state);
    }
}

fn note_judged(revoked: u64, restored: u64, shared: &Shared) {
    if revoked + restored > 0 {
        let tally = &shared.metrics.tally;
        tally.revoked.fetch_add(revoked, Ordering::Relaxed);
        info!(revoked, restored, "live connections judged again");
    }
}

/// Puts the problems of a reading into status, metrics and, where they are new, the log.
pub(crate) fn report(shared: &Shared, problems: &[Problem]) {
    let invalid: Vec<Invalid> = problems.iter().map(invalid).collect();
    let count = status::objects(&invalid);
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    shared.metrics.invalid_objects.set(count);
    let former = shared.facts().invalid;
    let known: HashSet<&Invalid> = former.iter().collect();
    let mut new = invalid.iter().filter(|problem| !known.contains(problem));
    for problem in new.by_ref().take(MOST_LOGGED) {
        warn!(
            origin = problem.origin,
            object = problem.object,
            field = problem.field,
            problem = problem.message,
            "invalid object"
        );
    }
    let more = new.count();
    if more > 0 {
        warn!(
            more,
            "problems of invalid objects: `sluice status -o json` has all"
        );
    }
    shared.update_facts(|facts| facts.invalid = invalid);
}

/// Puts what the API has of this agent's node into status and, where there is a problem and was none, the log.
pub(crate) fn note_node(shared: &Shared, index: &Index) -> OwnNode {
    let name = &shared.config.node_name;
    let own = OwnNode::of(index, name);
    let was_well = shared.update_facts(|facts| {
        let was_well = facts.node_problem.is_none();
        if facts.node_problem.as_deref() != own.problem() {
            facts.node_problem = own.problem().map(str::to_owned);
        }
        was_well
    });
    match (own.problem(), was_well) {
        (Some(problem), true) if own.has_subjects() => {
            warn!("{problem}; policies of pods that are bound to it are enforced");
        }
        (Some(problem), true) => error!("{problem}; no pod is bound to it: nothing to enforce"),
        (None, false) => info!(node = name, "there is a Node that is called that now"),
        _ => {}
    }
    own
}

fn invalid(problem: &Problem) -> Invalid {
    let origin = match &problem.origin {
        Origin::Api => problem.origin.to_string(),
        Origin::File(place) => Place {
            column: None,
            ..place.clone()
        }
        .to_string(),
    };
    Invalid {
        origin,
        object: problem.object.clone(),
        field: problem.field.clone(),
        message: problem.message.clone(),
    }
}
