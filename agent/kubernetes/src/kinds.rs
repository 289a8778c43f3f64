//! Which kinds are used, and how each is called and read.

use crate::field::near;
use crate::syntax;

/// A kind that is used.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
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
    Policy,
    /// Used, but not evaluated by this release.
    Unsupported,
}

/// Every kind that is used.
pub(crate) const KINDS: &[Kind] = {
    const fn kind(
        name: &'static str,
        group: &'static str,
        version: &'static str,
        read: Read,
    ) -> Kind {
        Kind {
            name,
            group,
            version,
            namespaced: true,
            is_name: syntax::is_dns_subdomain,
            read,
        }
    }
    const fn unsupported(name: &'static str, version: &'static str) -> Kind {
        let group = "policy.networking.k8s.io";
        Kind {
            namespaced: false,
            ..kind(name, group, version, Read::Unsupported)
        }
    }
    &[
        Kind {
            namespaced: false,
            is_name: syntax::is_dns_label,
            ..kind("Namespace", "", "v1", Read::Namespace)
        },
        Kind {
            namespaced: false,
            ..kind("Node", "", "v1", Read::Node)
        },
        kind("Pod", "", "v1", Read::Pod),
        Kind {
            is_name: syntax::is_service_name,
            ..kind("Service", "", "v1", Read::Service)
        },
        kind("Deployment", "apps", "v1", Read::Workload),
        kind("StatefulSet", "apps", "v1", Read::Workload),
        kind("DaemonSet", "apps", "v1", Read::Workload),
        kind("ReplicaSet", "apps", "v1", Read::Workload),
        kind("Job", "batch", "v1", Read::Workload),
        kind("CronJob", "batch", "v1", Read::Workload),
        kind("NetworkPolicy", "networking.k8s.io", "v1", Read::Policy),
        unsupported("AdminNetworkPolicy", "v1alpha1"),
        unsupported("BaselineAdminNetworkPolicy", "v1alpha1"),
        unsupported("ClusterNetworkPolicy", "v1alpha2"),
    ]
};

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
