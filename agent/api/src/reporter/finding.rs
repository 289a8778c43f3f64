//! What there is to say about policies, as whoever enforces them hands it over.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_kubernetes::live::{Kind, ObjectName};
use sluice_policy::{AdminKind, AdminName, PolicyId};

/// A policy by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject {
    /// NetworkPolicy, or an admin kind.
    pub kind: Kind,
    /// Without a namespace for the admin kinds.
    pub name: ObjectName,
}

/// What is the matter with a policy; spelled as in an Event's `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// A part of it cannot be read, and allows nothing.
    Invalid,
    /// A part of it is not supported, and allows nothing.
    Unsupported,
    /// A part of it is not as the API wants it, and is enforced as it is written all the same.
    BadlyWritten,
    /// Another policy of its tier has its priority.
    PriorityTie,
    /// No pod is its subject.
    SelectsNothing,
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Finding {
    /// What it is about.
    pub reason: Reason,
    /// Names the field: `spec.priority: …`.
    pub message: String,
}

/// What is known of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The `metadata.generation` that is enforced.
    pub generation: i64,
    /// Sorted, one for each reason; none where all is well.
    pub findings: Vec<Finding>,
}

/// Every policy that there is something to say about, and every admin policy: where all is well with one of these, its
/// status says so.
pub type Findings = BTreeMap<Subject, Known>;

impl Reason {
    /// As an Event and a condition spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::Unsupported => "Unsupported",
            Self::BadlyWritten => "BadlyWritten",
            Self::PriorityTie => "PriorityTie",
            Self::SelectsNothing => "SelectsNothing",
        }
    }
}

impl From<&AdminName> for Subject {
    fn from(AdminName { kind, name }: &AdminName) -> Self {
        Self {
            kind: Kind::Admin(*kind),
            name: ObjectName {
                namespace: "".into(),
                name: Arc::clone(name),
            },
        }
    }
}

impl From<&PolicyId> for Subject {
    fn from(id: &PolicyId) -> Self {
        let admin = |kind, name: &Arc<str>| {
            let name = Arc::clone(name);
            Self::from(&AdminName { kind, name })
        };
        match id {
            PolicyId::NetworkPolicy { namespace, name } => Self {
                kind: Kind::NetworkPolicy,
                name: ObjectName {
                    namespace: Arc::clone(namespace),
                    name: Arc::clone(name),
                },
            },
            PolicyId::AdminNetworkPolicy(name) => admin(AdminKind::AdminNetworkPolicy, name),
            PolicyId::BaselineAdminNetworkPolicy(name) => {
                admin(AdminKind::BaselineAdminNetworkPolicy, name)
            }
            PolicyId::ClusterNetworkPolicy(name) => admin(AdminKind::ClusterNetworkPolicy, name),
        }
    }
}
