//! The cluster-scoped kinds of `policy.networking.k8s.io` as values: three API kinds, two tiers, one shape.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use crate::{PolicyId, PortMatch, Selector};

/// Which of the API group's kinds an admin policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminKind {
    /// `policy.networking.k8s.io/v1alpha1`, the Admin tier.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`, the Baseline tier; there is one, named `default`.
    BaselineAdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2`, of either tier.
    ClusterNetworkPolicy,
}

/// An admin policy's name within the cluster; prints as `KIND/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdminName {
    /// Its kind.
    pub kind: AdminKind,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl From<&AdminName> for PolicyId {
    fn from(AdminName { kind, name }: &AdminName) -> Self {
        let name = Arc::clone(name);
        match kind {
            AdminKind::AdminNetworkPolicy => Self::AdminNetworkPolicy(name),
            AdminKind::BaselineAdminNetworkPolicy => Self::BaselineAdminNetworkPolicy(name),
            AdminKind::ClusterNetworkPolicy => Self::ClusterNetworkPolicy(name),
        }
    }
}

impl fmt::Display for AdminName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        PolicyId::from(self).fmt(f)
    }
}

/// Before or after the NetworkPolicies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminTier {
    /// Asked before them.
    Admin,
    /// Asked where none isolates the pod.
    Baseline,
}

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminAction {
    /// `Allow`, or v1alpha2's `Accept`: final.
    Allow,
    /// `Deny`: final.
    Deny,
    /// `Pass`: the rest of the tier has no say.
    Pass,
}

/// Pods by namespace and by label, both. Host-network pods are never among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodsOf {
    /// `namespaces`, or `pods.namespaceSelector`.
    pub namespaces: Selector,
    /// `pods.podSelector`; empty where only `namespaces` is given.
    pub pods: Selector,
}

/// One entry of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminPeer {
    /// `namespaces` or `pods`.
    Pods(PodsOf),
    /// `nodes`: the addresses of the nodes that the selector matches (egress only).
    Nodes(Selector),
    /// `networks`: any destination with such an address, pods included (egress only).
    Networks(Vec<IpNet>),
}

/// The peers of a rule. Unlike a NetworkPolicy's, a missing or empty list is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminPeers {
    /// Every peer: where an entry of a Deny or Pass rule cannot be understood.
    Any,
    /// Any of these; entries of an Allow rule that cannot be understood are left out.
    Of(Vec<AdminPeer>),
}

/// The ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminPorts {
    /// Missing: every port of every protocol, and protocols without ports.
    Any,
    /// Any of these; none at all where an entry of an Allow rule was left out.
    Of(Vec<AdminPort>),
}

/// One entry of `ports` or `protocols`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminPort {
    /// All or some ports of one protocol.
    Numbered(PortMatch),
    /// `namedPort`, `destinationNamedPort`: each port of that name that the destination pod declares, in number and
    /// protocol.
    Named(Arc<str>),
}

/// A rule: peers and ports must both match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminRule {
    /// `action`.
    pub action: AdminAction,
    /// `from` or `to`.
    pub peers: AdminPeers,
    /// `ports` or `protocols`.
    pub ports: AdminPorts,
}

/// An AdminNetworkPolicy, BaselineAdminNetworkPolicy or ClusterNetworkPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPolicy {
    /// Kind and `metadata.name`.
    pub name: AdminName,
    /// The kind's tier, or `spec.tier`.
    pub tier: AdminTier,
    /// `spec.priority`, 0 to 1000, lower first. Of equal ones the name decides, then the kind. A
    /// BaselineAdminNetworkPolicy has none and comes last: [`AdminPolicy::LAST`].
    pub priority: u16,
    /// `spec.subject`.
    pub subject: PodsOf,
    /// In order; the first that matches counts.
    pub ingress: Vec<AdminRule>,
    /// In order; the first that matches counts.
    pub egress: Vec<AdminRule>,
}

impl AdminPolicy {
    /// Behind every priority there is.
    pub const LAST: u16 = 1001;
}
