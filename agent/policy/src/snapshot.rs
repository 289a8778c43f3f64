//! What readers see.

use std::net::IpAddr;

use crate::{Pod, Step, Tuple, Verdict};

/// In which directions policies isolate a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Isolation {
    /// Some policy selects it for ingress.
    pub ingress: bool,
    /// Some policy selects it for egress.
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
}

/// An immutable state of the index. Reading never waits and never allocates, but for [`Snapshot::trace`].
pub struct Snapshot {}

impl Snapshot {
    /// Whether a connection may open, and who says so.
    pub fn evaluate(&self, _tuple: &Tuple) -> Verdict<'_> {
        todo!()
    }

    /// How [`Snapshot::evaluate`] came to its verdict: every tier asked, egress first.
    pub fn trace(&self, _tuple: &Tuple) -> Vec<Step<'_>> {
        todo!()
    }

    /// The pod that has an address, if any has.
    pub fn pod_at(&self, _address: IpAddr) -> Option<&Pod> {
        todo!()
    }

    /// How an address of the scope is isolated; none where no pod of the scope has it.
    pub fn isolation(&self, _address: IpAddr) -> Option<Isolation> {
        todo!()
    }

    /// Every address of the scope's pods, with its isolation.
    pub fn local_addresses(&self) -> impl Iterator<Item = (IpAddr, Isolation)> + '_ {
        std::iter::empty()
    }

    /// How much it holds.
    pub fn counts(&self) -> Counts {
        todo!()
    }
}
