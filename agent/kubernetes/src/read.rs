//! One policy as the Kubernetes API serves it, through the same reading and validation as manifests.

use serde_json::Value as Json;
use sluice_policy::{AdminKind, AdminPolicy, NetworkPolicy};

use crate::field::{Field, Report};
use crate::kinds::Kind;
use crate::metadata::Names;
use crate::node::Node;
use crate::object::{Content, read};
use crate::problem::Problem;

/// A kind of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy.networking.k8s.io`, each kind in the version that it is of.
    Admin(AdminKind),
}

/// A policy of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A `NetworkPolicy`.
    NetworkPolicy(NetworkPolicy),
    /// Of any other kind.
    Admin(AdminPolicy),
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct PolicyRead {
    /// The policy, failed closed where it is invalid; none where it has no name, as no object of the API is.
    pub policy: Option<Policy>,
    /// Everything that is wrong with it.
    pub problems: Vec<Problem>,
}

/// Reads a policy of a kind from the API. `apiVersion` and `kind` need not be there, as in the items of a list, and are
/// not looked at.
pub fn read_policy(kind: PolicyKind, object: &Json) -> PolicyRead {
    let kind = &match kind {
        PolicyKind::NetworkPolicy => Kind::network_policy(),
        PolicyKind::Admin(kind) => Kind::admin_policy(kind),
    };
    let node = Node::from_json(object);
    let names = Names::of(&node, kind);
    let report = Report::of_api(names.title(kind));
    let content = read(&Field::root(&node, &report), kind, &names);
    let policy = match content {
        Some(Content::Policy(policy, _)) => Some(Policy::NetworkPolicy(*policy)),
        Some(Content::AdminPolicy(policy, _)) => Some(Policy::Admin(*policy)),
        _ => None,
    };
    let has_name = object["metadata"]["name"]
        .as_str()
        .is_some_and(|name| !name.is_empty());
    PolicyRead {
        policy: policy.filter(|_| has_name),
        problems: report.into_problems(),
    }
}
