//! What readers see.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::address::Address;
use crate::cow::{AddressMap, CowVec};
use crate::evaluate::Connection;
use crate::identity::IdentityId;
use crate::selection::SelectionId;
use crate::tiers::Tiers;
use crate::{Direction, Pod, Step, Tuple, Verdict};

/// In which directions a pod's connections need a verdict: a NetworkPolicy isolates it there, or an admin policy of
/// either tier has a rule that can deny it something. In the others everything is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Isolation {
    /// What is opened to it.
    pub ingress: bool,
    /// What it opens.
    pub egress: bool,
}

/// How much a snapshot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods of the scope that have an address.
    pub local: usize,
    /// Those of them that are isolated in some direction.
    pub isolated: usize,
    /// Pods of the cluster.
    pub pods: usize,
    /// NetworkPolicies.
    pub network_policies: usize,
    /// Policies of the kind `AdminNetworkPolicy`.
    pub admin_network_policies: usize,
    /// Policies of the kind `BaselineAdminNetworkPolicy`.
    pub baseline_admin_network_policies: usize,
    /// Policies of the kind `ClusterNetworkPolicy`, of either tier.
    pub cluster_network_policies: usize,
}

/// An immutable state of the index. Reading never waits and never allocates, but for [`Snapshot::trace`].
///
/// Snapshots are equal that hold the same addressed pods, node addresses and rules, in whatever order those became
/// known.
pub struct Snapshot {
    pub(crate) addresses: AddressMap<Entry>,
    pub(crate) identities: CowVec<IdentityView>,
    pub(crate) counts: Counts,
    /// Identities that policies of some tier select.
    pub(crate) ruled: usize,
}

/// What is behind an address.
#[derive(Clone, Default)]
pub(crate) struct Entry {
    /// The pod that has it.
    pub(crate) pod: Option<Arc<PodView>>,
    /// What a verdict needs of the pod, so that it need not be visited.
    pub(crate) standing: Standing,
    /// The nodes that have it. Behind one pointer, so that an entry is half a cache line.
    pub(crate) nodes: Option<Arc<NodesAt>>,
}

/// The nodes that have an address.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct NodesAt {
    /// Their names, sorted.
    pub(crate) names: Vec<Arc<str>>,
    /// The selections of nodes that one of them belongs to, sorted.
    pub(crate) selections: Vec<SelectionId>,
}

/// A pod and what the index found out about it.
pub(crate) struct PodView {
    /// The object.
    pub(crate) pod: Pod,
    /// What the index found out.
    pub(crate) standing: Standing,
}

/// What the index found out about a pod.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its namespace and labels.
    pub(crate) identity: IdentityId,
    /// Whether it is of the scope.
    pub(crate) local: bool,
}

/// What the index found out about an identity.
#[derive(Clone, Default)]
pub(crate) struct IdentityView {
    /// The selections that it belongs to, sorted.
    pub(crate) selections: SmallVec<[SelectionId; 6]>,
    /// The rules that apply to its pods of the scope; none where there are no such pods or no such rules.
    pub(crate) tiers: Tiers,
}

impl Snapshot {
    /// Whether a connection may open, and who says so.
    pub fn evaluate(&self, tuple: &Tuple) -> Verdict<'_> {
        let connection = Connection::of(self, tuple);
        Verdict {
            egress: connection.decide(Direction::Egress),
            ingress: connection.decide(Direction::Ingress),
        }
    }

    /// How [`Snapshot::evaluate`] came to its verdict: every tier asked, egress first.
    pub fn trace(&self, tuple: &Tuple) -> Vec<Step<'_>> {
        let connection = Connection::of(self, tuple);
        let mut steps = connection.explain(Direction::Egress);
        steps.extend(connection.explain(Direction::Ingress));
        steps
    }

    /// The pod that has an address, if any has. Addresses of host-network pods are their node's.
    pub fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        Some(&self.owner(address.into())?.pod)
    }

    /// Every pod that has an address of its own, once per address, in no order.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> + '_ {
        self.addresses
            .iter()
            .filter_map(|(_, entry)| Some(&entry.pod.as_deref()?.pod))
    }

    /// How an address of the scope is isolated; none where no pod of the scope has it.
    pub fn isolation(&self, address: IpAddr) -> Option<Isolation> {
        self.isolation_of(self.owner(address.into())?)
    }

    /// Every address of the scope's pods, with its isolation, in no order.
    pub fn local_addresses(&self) -> impl Iterator<Item = (IpAddr, Isolation)> + '_ {
        self.addresses.iter().filter_map(|(address, entry)| {
            Some((address.into(), self.isolation_of(entry.pod.as_deref()?)?))
        })
    }

    /// How much it holds.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The pod that has an address.
    pub(crate) fn owner(&self, address: Address) -> Option<&PodView> {
        self.addresses.get(address)?.pod.as_deref()
    }

    /// The tables of a pod of the scope.
    pub(crate) fn tiers(&self, pod: &PodView) -> Option<&Tiers> {
        let view = self.identities.get(pod.standing.identity)?;
        pod.standing.local.then_some(&view.tiers)
    }

    /// The selections that a pod belongs to.
    pub(crate) fn selections(&self, pod: &PodView) -> &[SelectionId] {
        self.identities
            .get(pod.standing.identity)
            .map_or(&[], |view| &view.selections)
    }

    /// How a pod is isolated; none where it is not of the scope.
    pub(crate) fn isolation_of(&self, pod: &PodView) -> Option<Isolation> {
        let isolation = self.tiers(pod).map(Tiers::isolation);
        pod.standing.local.then(|| isolation.unwrap_or_default())
    }
}

impl Entry {
    /// Gives the address to another pod, or to none.
    pub(crate) fn set_pod(&mut self, pod: Option<Arc<PodView>>) {
        self.standing = pod.as_ref().map(|pod| pod.standing).unwrap_or_default();
        self.pod = pod;
    }

    /// The names of the nodes that have the address.
    pub(crate) fn nodes(&self) -> &[Arc<str>] {
        self.nodes.as_ref().map_or(&[], |nodes| &nodes.names)
    }

    /// The selections of nodes that those belong to.
    #[inline]
    pub(crate) fn node_selections(&self) -> &[SelectionId] {
        self.nodes.as_ref().map_or(&[], |nodes| &nodes.selections)
    }
}

impl PartialEq for Entry {
    /// Identity of the pod, not its equality: entries are compared to see whether they are empty.
    fn eq(&self, other: &Self) -> bool {
        let same_pod = match (&self.pod, &other.pod) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same_pod && self.nodes == other.nodes
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
