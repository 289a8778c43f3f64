//! Which kinds are used, and how each is called and read.

use crate::syntax;

/// A kind that is used.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    /// None where every version is as good, as nothing of it is read.
    pub(crate) version: Option<&'static str>,
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
            version: Some(version),
            namespaced: true,
            is_name: syntax::is_dns_subdomain,
            read,
        }
    }
    const fn unsupported(name: &'static str) -> Kind {
        Kind {
            version: None,
            namespaced: false,
            ..kind(name, "policy.networking.k8s.io", "", Read::Unsupported)
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
        unsupported("AdminNetworkPolicy"),
        unsupported("BaselineAdminNetworkPolicy"),
        unsupported("ClusterNetworkPolicy"),
    ]
};

/// Whether an object of that group is ours to judge. Former groups of a kind are, as passing over a policy would open
/// what it closes.
pub(crate) fn serves(kind: &Kind, group: &str) -> bool {
    kind.group == group
        || (group == "extensions" && matches!(kind.group, "apps" | "networking.k8s.io"))
}
