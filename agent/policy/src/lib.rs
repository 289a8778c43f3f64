//! Kubernetes network policies as values, and their evaluation.
//!
//! Pure: no async, no I/O, no clock, no Kubernetes types. [`Index`] is the single writer: it takes
//! [`Event`]s in any order and says what changed. [`Snapshot`] is what it publishes: immutable, cheap
//! to share, and the one place where a [`Tuple`] becomes a [`Verdict`].
#![forbid(unsafe_code)]

mod address;
mod admin;
mod compile;
mod cow;
mod evaluate;
mod identity;
mod index;
mod intern;
mod labels;
mod nodes;
mod object;
mod objects;
mod pods;
mod policies;
mod ports;
mod resolve;
mod review;
mod same;
mod selection;
mod settle;
mod sight;
mod slab;
mod snapshot;
mod table;
mod tiers;
mod tuple;
mod verdict;

pub use admin::{
    AdminAction, AdminKind, AdminName, AdminPeer, AdminPeers, AdminPolicy, AdminPort, AdminPorts,
    AdminRule, AdminTier, PodsOf,
};
pub use index::{Changes, Event, Index, Scope};
pub use labels::Labels;
pub use object::{
    ContainerPort, Namespace, Namespaces, NetworkPolicy, Node, Operator, Peer, Peers, Pod, PodName,
    PolicyId, Port, PortMatch, Ports, Requirement, Rule, Selector,
};
pub use snapshot::{Counts, Isolation, Snapshot};
pub use tuple::{Protocol, Tuple};
pub use verdict::{Action, Decision, Direction, Step, Tier, Verdict};
