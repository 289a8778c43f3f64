//! Index, publication and kernel as one: a change goes through all three, in the order that keeps verdicts safe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sluice_netlink::RouteEvent;
use sluice_policy::{Changes, Event, Index, Scope, Snapshot};
use tracing::error;

use super::epochs::Epochs;
use super::kernel::{Foundation, Kernel};
use super::leases::{LeaseWriter, slot};
use super::published::{Publisher, Reader};
use crate::config::Config;
use crate::exit::Failure;

/// How long a worker may take over one verdict before the writer goes on without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The enforcer before the gate is in place: workers can judge already, and must be there before anything is queued.
pub(crate) struct Groundwork {
    index: Index,
    publisher: Publisher,
    foundation: Foundation,
    raised: Vec<(u32, u32)>,
}

/// Enforces what it is told. The single writer of policy, snapshots and the kernel half.
pub struct Enforcer {
    index: Index,
    publisher: Publisher,
    pub(crate) kernel: Kernel,
    /// Epochs that are published and that the kernel has not taken yet.
    pending: BTreeMap<u32, u32>,
    /// The kernel refused something, so everything is to be written.
    behind: bool,
    /// No worker judges by an older snapshot than the current one.
    settled: bool,
}

impl Groundwork {
    /// Loads the kernel half and publishes the first snapshot, for as many readers as there are queues.
    pub(crate) fn lay(config: &Config, index: Index) -> Result<(Self, Vec<Reader>), Failure> {
        let foundation = Foundation::open(config)?;
        let snapshot = index.snapshot();
        let (epochs, raised) = first_epochs(&foundation, &snapshot).map_err(Failure::Unable)?;
        let (publisher, readers) = Publisher::new(snapshot, epochs, usize::from(config.queues));
        Ok((
            Self {
                index,
                publisher,
                foundation,
                raised,
            },
            readers,
        ))
    }

    /// A handle for the workers; none without eBPF.
    pub(crate) const fn leases(&self) -> Option<&LeaseWriter> {
        self.foundation.leases()
    }

    pub(crate) const fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Enforces the first snapshot.
    pub(crate) fn build(self, config: &Config) -> Result<Enforcer, Failure> {
        let Self {
            index,
            publisher,
            foundation,
            raised,
        } = self;
        let kernel = foundation.build(config, &index.snapshot(), &raised)?;
        Ok(Enforcer {
            index,
            publisher,
            kernel,
            pending: BTreeMap::new(),
            behind: false,
            settled: true,
        })
    }
}

impl Enforcer {
    /// An enforcer without workers: what it isolates and has no lease waits in queues that nobody serves.
    pub fn open(config: &Config, events: impl IntoIterator<Item = Event>) -> Result<Self, Failure> {
        let mut index = empty_index(config);
        let _everything_is_new = index.apply(events);
        let (groundwork, _readers) = Groundwork::lay(config, index)?;
        groundwork.build(config)
    }

    /// Whether the kernel has yet to take what was published.
    pub const fn behind(&self) -> bool {
        self.behind
    }

    /// What is known, beside what verdicts need.
    pub(crate) const fn index(&self) -> &Index {
        &self.index
    }

    /// The state that verdicts come from.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.publisher.current().snapshot)
    }

    /// Takes events in and enforces them: publishes, then moves the kernel, then waits until no worker judges by an
    /// older snapshot. When it returns, no connection opens that the events deny, and none goes on without a new
    /// verdict that they may deny, until [`Enforcer::reviewed`].
    pub fn apply(&mut self, events: impl IntoIterator<Item = Event>) -> Changes {
        let changes = self.index.apply(events);
        // What changes no verdict is still counted, as a policy that goes after the pods that it selected.
        let counts_anew = || self.index.snapshot().counts() != self.snapshot().counts();
        if !changes.is_empty() || self.behind || counts_anew() {
            self.enforce(&changes);
        }
        changes
    }

    /// Writes the whole state again: after a refusal, or when somebody removed what was written.
    pub(crate) fn restore(&mut self) {
        let snapshot = self.snapshot();
        let raised: Vec<_> = self
            .pending
            .iter()
            .map(|(&slot, &epoch)| (slot, epoch))
            .collect();
        let written = self.kernel.rebuild(&snapshot, &raised);
        self.take_note(written);
    }

    /// Whether no worker judges by an older snapshot. Until then a connection may still become accepted by one, so
    /// judging connections again would come too early.
    pub fn settled(&mut self) -> bool {
        self.settled = self.settled || self.publisher.settle(Duration::ZERO);
        self.settled
    }

    /// Whether connections keep the longer way, as they are to be judged again.
    pub(crate) fn is_reviewing(&self) -> bool {
        self.kernel.is_reviewing()
    }

    /// Every connection that was accepted before has been judged again: what is accepted now is so by the current
    /// snapshot. Until the kernel takes that, connections under review keep the longer way.
    pub fn reviewed(&mut self) {
        if let Err(error) = self.kernel.reviewed() {
            self.take_note(Err(error));
        }
    }

    /// Guards interfaces by what is routed to them.
    pub(crate) fn routes(&mut self, events: impl IntoIterator<Item = RouteEvent>) {
        let written = self.kernel.routes(events);
        if written.is_err() {
            self.take_note(written);
        }
    }

    /// Takes in whether an interface's peer is elsewhere.
    pub(crate) fn link(&mut self, index: u32, peer_elsewhere: bool) {
        let written = self.kernel.link(index, peer_elsewhere);
        if written.is_err() {
            self.take_note(written);
        }
    }

    /// Guards no interface any more.
    pub(crate) fn forget_routes(&mut self) {
        let written = self.kernel.forget_routes();
        if written.is_err() {
            self.take_note(written);
        }
    }

    fn enforce(&mut self, changes: &Changes) {
        let slots: BTreeSet<u32> = changes
            .addresses
            .iter()
            .map(|&address| slot(address))
            .collect();
        let (epochs, raised) = self.publisher.current().epochs.raised(&slots);
        self.publisher.publish(self.index.snapshot(), epochs);
        self.pending.extend(raised.iter().copied());
        if self.behind {
            self.restore();
        } else {
            let snapshot = self.snapshot();
            let written = self.kernel.enforce(changes, &raised, &snapshot);
            let refused = written.is_err();
            self.take_note(written);
            if refused {
                self.restore();
            }
        }
        self.settled = self.publisher.settle(PATIENCE);
        if !self.settled {
            error!("a worker holds a verdict from an older snapshot");
        }
        self.kernel.forget_pods(changes);
    }

    fn take_note(&mut self, written: anyhow::Result<()>) {
        match written {
            Ok(()) => {
                self.pending.clear();
                self.behind = false;
            }
            Err(error) => {
                if !self.behind {
                    let error = format!("{error:#}");
                    error!(
                        error,
                        "the kernel refused the state: it is written again until it is taken"
                    );
                }
                self.behind = true;
            }
        }
    }
}

/// An index of nothing, for the pods of the agent's node.
pub(crate) fn empty_index(config: &Config) -> Index {
    Index::new(Scope::Node(config.node_name.as_str().into()))
}

/// The kernel's epochs, raised for every address that this agent or an earlier one enforces: what changed while
/// none ran is unknown, so their leases are given anew.
fn first_epochs(
    foundation: &Foundation,
    snapshot: &Snapshot,
) -> anyhow::Result<(Epochs, Vec<(u32, u32)>)> {
    let mut addresses = foundation.adopted()?;
    addresses.extend(snapshot.local_addresses().map(|(address, _)| address));
    let slots: BTreeSet<u32> = addresses.into_iter().map(slot).collect();
    Ok(foundation.epochs()?.raised(&slots))
}
