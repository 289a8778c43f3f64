//! What the spec says must become of packets. It knows clusters, and whether the agent lives; nothing of how Sluice
//! works but its promises: what changed is enforced once it is waited for, and without the agent what was accepted or
//! leased flows on while everything new that needs a verdict is dropped.

use std::collections::BTreeSet;
use std::rc::Rc;

use sluice_lab::Mode;

use crate::cluster::{Cluster, State};
use crate::event::{Event, Path};

/// What must become of a packet and its answer.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    Pass,
    Drop,
    /// An edit is under way, or it depends on what is remembered from before it.
    Either,
}

/// The reference.
pub(crate) struct Model {
    mode: Mode,
    /// What the manifests say.
    now: Rc<State>,
    /// What may be in force: one state once edits are waited for; without an agent they stay.
    in_force: Vec<Rc<State>>,
    pub(crate) alive: bool,
    /// What is open, in the order in which it was opened.
    pub(crate) open: Vec<Open>,
    /// Paths that may have been judged since the agent started: whatever is remembered is of one of these.
    judged: BTreeSet<Path>,
    /// Paths that were judged, and allowed, by what is in force.
    leased: BTreeSet<Path>,
}

/// An open connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) path: Path,
    /// It was used under what is in force.
    held: bool,
}

impl Model {
    pub(crate) fn new(mode: Mode) -> Self {
        let first = State::of(Cluster::FIRST);
        Self {
            mode,
            now: Rc::clone(&first),
            in_force: vec![first],
            alive: true,
            open: Vec::new(),
            judged: BTreeSet::new(),
            leased: BTreeSet::new(),
        }
    }

    /// What the manifests say now.
    pub(crate) fn cluster(&self) -> Cluster {
        self.now.cluster
    }

    /// Takes an edit in; whether it is one.
    pub(crate) fn edit(&mut self, event: Event) -> bool {
        let after = self.cluster().after(event);
        after != self.cluster() && {
            self.become_(after);
            true
        }
    }

    /// Back to the start; what was judged is not forgotten.
    pub(crate) fn reset(&mut self) {
        self.open.clear();
        self.become_(Cluster::FIRST);
    }

    fn become_(&mut self, cluster: Cluster) {
        self.now = State::of(cluster);
        if self.alive {
            self.in_force.push(Rc::clone(&self.now));
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.leased.clear();
        self.open.iter_mut().for_each(|open| open.held = false);
    }

    /// The agent has enforced all edits.
    pub(crate) fn settled(&mut self) {
        if self.alive {
            self.in_force = vec![Rc::clone(&self.now)];
        }
    }

    /// An agent has started, and is ready.
    pub(crate) fn started(&mut self) {
        self.alive = true;
        self.settled();
        self.forget();
        // What is open may be judged again at any time.
        self.judged = self.open.iter().map(|open| open.path).collect();
    }

    pub(crate) fn must_connect(&self, path: &Path) -> Must {
        // An answer needs no verdict of its own where the programs have seen what it answers.
        let both_ways = self.mode == Mode::Nfqueue;
        let remembered = self.leased.contains(path);
        self.must(path, remembered, both_ways, self.is_new(path))
    }

    /// By the server if `back`. What a server sends to a client that it is closed to might as well open a connection the
    /// other way: where nothing isolates the two from that, it may arrive.
    pub(crate) fn must_send(&self, open: &Open, back: bool) -> Must {
        let must = self.must(&open.path, open.held, true, false);
        let other_way = open.path.reversed();
        let mut states = self.in_force.iter();
        if back && must == Must::Drop && !states.all(|it| it.cluster.isolates(&other_way)) {
            return Must::Either;
        }
        must
    }

    /// Whether nothing can be remembered of a path.
    fn is_new(&self, path: &Path) -> bool {
        self.mode == Mode::Nfqueue || !self.judged.contains(path)
    }

    /// Without an agent, what is allowed passes if it is `remembered`, or needs no verdict: neither end is isolated,
    /// in `both_ways` where it matters. What is `new` and needs one is dropped.
    fn must(&self, path: &Path, remembered: bool, both_ways: bool, new: bool) -> Must {
        let all = self.in_force.len();
        let count = |holds: &dyn Fn(&State) -> bool| {
            let states = self.in_force.iter();
            states.filter(|state| holds(state)).count()
        };
        match count(&|state| state.allows(path)) {
            0 => return Must::Drop,
            allowed if allowed < all => return Must::Either,
            _ if self.alive || remembered => return Must::Pass,
            _ => {}
        }
        let isolated = count(&|state| state.cluster.isolates(path));
        let answers = count(&|state| state.cluster.isolates(&path.reversed()));
        match isolated {
            0 if !both_ways || answers == 0 => Must::Pass,
            isolated if new && isolated == all => Must::Drop,
            _ => Must::Either,
        }
    }

    /// A connection was tried.
    pub(crate) fn tried(&mut self, path: Path) {
        self.judged.insert(path);
    }

    /// A connection was opened, both ways.
    pub(crate) fn opened(&mut self, path: Path) {
        self.open.push(Open { path, held: false });
        self.used(self.open.len() - 1);
        let hybrid = self.mode == Mode::Hybrid;
        if self.is_settled() && hybrid && self.now.cluster.isolates(&path) {
            self.leased.insert(path);
        }
    }

    /// A packet and its answer went through on an open connection. That gives no lease: where the connection was accepted
    /// before, nobody was asked.
    pub(crate) fn used(&mut self, connection: usize) {
        if self.is_settled() {
            self.open[connection].held = true;
        }
    }

    /// Whether an agent enforces what the manifests say, and nothing else.
    fn is_settled(&self) -> bool {
        self.alive && self.in_force.len() == 1
    }
}
