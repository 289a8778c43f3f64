//! Which kinds are used, and how each is called and read.

use sluice_policy::AdminKind;

use crate::field::near;
use crate::syntax;

/// A kind that is used.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    /// Another version with the same fields and the same meaning.
    pub(crate) alias: Option<&'static str>,
    pub(crate) namespaced: bool,
    /// What its names must look like.
    pub(crate) is_name: fn(&str) -> bool,
    pub(crate) read: Read,
}

/// How a kind is read.
#[derive(Clone, Copy)]
pub(crate) enum Read {
    Namespace,
    Node,
    Pod,
    Workload,
    Service,
    NetworkPolicy,
    AdminPolicy(AdminKind),
}

impl Read {
    /// Whether it can close something, so that nothing of the kind is passed over.
    pub(crate) const fn is_policy(self) -> bool {
        matches!(self, Self::NetworkPolicy | Self::AdminPolicy(_))
    }
}

impl Kind {
    const fn namespaced(
        name: &'static str,
        group: &'static str,
        version: &'static str,
        read: Read,
    ) -> Self {
        Self {
            name,
            group,
            version,
            alias: None,
            namespaced: true,
            is_name: syntax::is_dns_subdomain,
            read,
        }
    }

    /// `NetworkPolicy`.
    pub(crate) const fn network_policy() -> Self {
        let (name, group) = ("NetworkPolicy", "networking.k8s.io");
        Self::namespaced(name, group, "v1", Read::NetworkPolicy)
    }

    /// One of the cluster-scoped kinds of policies.
    pub(crate) const fn admin_policy(kind: AdminKind) -> Self {
        let (name, version, alias) = match kind {
            AdminKind::AdminNetworkPolicy => ("AdminNetworkPolicy", "v1alpha1", None),
            AdminKind::BaselineAdminNetworkPolicy => {
                ("BaselineAdminNetworkPolicy", "v1alpha1", None)
            }
            // What kubectl prints where release 0.3 of the group is installed; its two schemas are one.
            AdminKind::ClusterNetworkPolicy => {
                ("ClusterNetworkPolicy", "v1alpha2", Some("v1beta1"))
            }
        };
        let group = "policy.networking.k8s.io";
        Self {
            alias,
            namespaced: false,
            ..Self::namespaced(name, group, version, Read::AdminPolicy(kind))
        }
    }
}

/// Every kind that is used.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        namespaced: false,
        is_name: syntax::is_dns_label,
        ..Kind::namespaced("Namespace", "", "v1", Read::Namespace)
    },
    Kind {
        namespaced: false,
        ..Kind::namespaced("Node", "", "v1", Read::Node)
    },
    Kind::namespaced("Pod", "", "v1", Read::Pod),
    Kind {
        is_name: syntax::is_service_name,
        ..Kind::namespaced("Service", "", "v1", Read::Service)
    },
    Kind::namespaced("Deployment", "apps", "v1", Read::Workload),
    Kind::namespaced("StatefulSet", "apps", "v1", Read::Workload),
    Kind::namespaced("DaemonSet", "apps", "v1", Read::Workload),
    Kind::namespaced("ReplicaSet", "apps", "v1", Read::Workload),
    Kind::namespaced("Job", "batch", "v1", Read::Workload),
    Kind::namespaced("CronJob", "batch", "v1", Read::Workload),
    Kind::network_policy(),
    Kind::admin_policy(AdminKind::AdminNetworkPolicy),
    Kind::admin_policy(AdminKind::BaselineAdminNetworkPolicy),
    Kind::admin_policy(AdminKind::ClusterNetworkPolicy),
];

/// What an object is, by its kind and group.
pub(crate) enum Found {
    /// Of a used kind; its version is yet to be checked.
    Used(&'static Kind),
    /// Of a kind that does not exist, but for a slip of the keyboard.
    Misspelled(&'static Kind),
    /// Of another kind.
    Other,
}

/// Recognizes an object. What looks like ours and is not is ours to judge, as passing over a policy would open what it
/// closes; namesakes in the groups of others are not.
pub(crate) fn find(name: &str, group: &str) -> Found {
    let of_others = group.contains('.') && !group.ends_with(".k8s.io");
    if of_others {
        return Found::Other;
    }
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return Found::Used(kind);
    }
    let names: Vec<&str> = KINDS
        .iter()
        .filter(|kind| kind.group == group)
        .map(|kind| kind.name)
        .collect();
    match near(name, &names) {
        Some(meant) => KINDS
            .iter()
            .find(|kind| kind.name == meant)
            .map_or(Found::Other, Found::Misspelled),
        None => Found::Other,
    }
}
