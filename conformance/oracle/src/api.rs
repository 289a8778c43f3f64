//! The cluster-scoped kinds of `policy.networking.k8s.io` as the API has them: fields and nothing else. There are no
//! published types for them in Rust, and those of the project under test are not to be trusted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;

/// An `AdminNetworkPolicy`, `BaselineAdminNetworkPolicy` or `ClusterNetworkPolicy`.
#[derive(Debug, Deserialize)]
pub(super) struct AdminObject {
    pub(super) kind: String,
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Spec {
    /// `ClusterNetworkPolicy` alone.
    pub(super) tier: Option<String>,
    /// All but `BaselineAdminNetworkPolicy`.
    pub(super) priority: Option<u32>,
    pub(super) subject: Pods,
    pub(super) ingress: Option<Vec<Rule>>,
    pub(super) egress: Option<Vec<Rule>>,
}

/// A subject, or the part of a peer that selects pods: exactly one of these.
#[derive(Debug, Deserialize)]
pub(super) struct Pods {
    pub(super) namespaces: Option<LabelSelector>,
    pub(super) pods: Option<NamespacedPod>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NamespacedPod {
    /// v1alpha2 lets it be missing, for an empty one.
    #[serde(default)]
    pub(super) namespace_selector: LabelSelector,
    pub(super) pod_selector: LabelSelector,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) action: String,
    pub(super) from: Option<Vec<Peer>>,
    pub(super) to: Option<Vec<Peer>>,
    /// v1alpha1.
    pub(super) ports: Option<Vec<Port>>,
    /// v1alpha2.
    pub(super) protocols: Option<Vec<Protocol>>,
}

/// Exactly one of these, or one that is not known here.
#[derive(Debug, Deserialize)]
pub(super) struct Peer {
    #[serde(flatten)]
    pub(super) pods: Pods,
    pub(super) nodes: Option<LabelSelector>,
    pub(super) networks: Option<Vec<String>>,
}

/// Exactly one of these.
#[derive(Debug, Deserialize)]
pub(super) struct Port {
    #[serde(rename = "portNumber")]
    pub(super) number: Option<PortNumber>,
    #[serde(rename = "namedPort")]
    pub(super) name: Option<String>,
    #[serde(rename = "portRange")]
    pub(super) range: Option<PortRange>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PortNumber {
    pub(super) protocol: Option<String>,
    pub(super) port: u16,
}

#[derive(Debug, Deserialize)]
pub(super) struct PortRange {
    pub(super) protocol: Option<String>,
    pub(super) start: u16,
    pub(super) end: u16,
}

/// Exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) tcp: Option<ProtocolPort>,
    pub(super) udp: Option<ProtocolPort>,
    pub(super) sctp: Option<ProtocolPort>,
    pub(super) destination_named_port: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProtocolPort {
    pub(super) destination_port: DestinationPort,
}

/// Exactly one of these.
#[derive(Debug, Deserialize)]
pub(super) struct DestinationPort {
    pub(super) number: Option<u16>,
    pub(super) range: Option<Range>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Range {
    pub(super) start: u16,
    pub(super) end: u16,
}
