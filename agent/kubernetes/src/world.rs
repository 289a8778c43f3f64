//! A cluster as its manifests describe it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1 as api;
use sluice_policy::{Event, Namespace, NetworkPolicy, Node, Pod, Protocol};

/// Everything that manifests say, with defaults, addresses and nodes assigned: each pod has a node, and addresses
/// unless it has ended.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Declared namespaces, and those that are only named.
    pub namespaces: Vec<Namespace>,
    /// Declared nodes, or `node-1` alone; and those only named by a pod.
    pub nodes: Vec<Node>,
    /// In order of declaration, workloads expanded.
    pub pods: Vec<PodFacts>,
    /// In order of declaration, each with an address unless headless.
    pub services: Vec<Service>,
    /// Valid policies, and what is left of invalid ones (see [`crate::Problem`]).
    pub policies: Vec<NetworkPolicy>,
    /// The valid policies as the API has them, defaults applied: for oracles that do not trust `policies`.
    pub api_policies: Vec<api::NetworkPolicy>,
}

/// A pod and what only tools want of it.
#[derive(Clone, Debug)]
pub struct PodFacts {
    /// What policies see. `hostNetwork` pods have their node's addresses here.
    pub pod: Pod,
}

/// A Service, as far as it translates addresses.
#[derive(Clone, Debug)]
pub struct Service {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `spec.clusterIPs`, or addresses from 10.96.0.0/16 and fd00:10:96::/112 in order of declaration.
    pub addresses: Vec<IpAddr>,
    /// `spec.selector`: labels that its pods have, in its own namespace.
    pub selector: BTreeMap<Arc<str>, Arc<str>>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Clone, Debug)]
pub struct ServicePort {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The Service's own port.
    pub port: u16,
    /// The pods' port behind it.
    pub target: TargetPort,
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// The same number on every pod.
    Number(u16),
    /// The container port of that name, per pod.
    Name(Arc<str>),
}

impl World {
    /// The state of this world as events for an index; in no particular order.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        std::iter::empty()
    }
}
