//! A cluster as its manifests describe it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::networking::v1 as api;
use sluice_policy::{
    AdminPolicy, Event, Labels, Namespace, NetworkPolicy, Node, Pod, PodName, Protocol,
};

/// The label that the API server gives every namespace: its name.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Everything that manifests say, with defaults, addresses and nodes assigned: each pod has a node, and addresses
/// unless it has ended, or is a `hostNetwork` pod of a node without.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Declared namespaces, and those that are only named.
    pub namespaces: Vec<Namespace>,
    /// Declared nodes, or `node-1`; and those only named by a pod.
    pub nodes: Vec<Node>,
    /// In order of declaration, workloads expanded.
    pub pods: Vec<PodFacts>,
    /// In order of declaration, each with an address unless headless.
    pub services: Vec<Service>,
    /// Valid policies, and what is left of invalid ones (see [`crate::Problem`]).
    pub policies: Vec<NetworkPolicy>,
    /// The valid policies as the API has them, defaults applied, remarks or not: for oracles that do not trust
    /// `policies`.
    pub api_policies: Vec<api::NetworkPolicy>,
    /// The invalid ones as they are written, for the same.
    pub api_invalid_policies: Vec<serde_json::Value>,
    /// Valid policies of the cluster-scoped kinds, and what is left of invalid ones.
    pub admin_policies: Vec<AdminPolicy>,
    /// The same as they are written, invalid ones too.
    pub api_admin_policies: Vec<serde_json::Value>,
}

/// A pod and what only tools want of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// What policies see. `hostNetwork` pods have their node's addresses here.
    pub pod: Pod,
    /// `status.phase` is Succeeded or Failed: it has no addresses and never will.
    pub ended: bool,
}

/// A Service, as far as it translates addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `spec.clusterIPs`, or addresses from 10.96.0.0/16 and `fd00:10:96::/112` in order of declaration; empty for
    /// headless Services and for those of the type `ExternalName`.
    pub addresses: Vec<IpAddr>,
    /// `spec.selector`: labels that its pods have, in its own namespace; empty where it has no pods of its own.
    pub selector: Labels,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`, where it has one.
    pub name: Option<Arc<str>>,
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

impl ServicePort {
    /// The port behind this one on a pod; none where the pod has none of that name.
    pub fn target_on(&self, pod: &Pod) -> Option<u16> {
        match &self.target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => pod
                .ports
                .iter()
                .find(|port| port.protocol == self.protocol && port.name.as_ref() == Some(name))
                .map(|port| port.port),
        }
    }
}

impl World {
    /// The state of this world as events for an index; in no particular order.
    pub fn events(&self) -> impl Iterator<Item = Event> + '_ {
        let namespaces = self.namespaces.iter().cloned().map(Event::Namespace);
        let nodes = self.nodes.iter().cloned().map(Event::Node);
        let pods = self.pods.iter().map(|facts| Event::Pod(facts.pod.clone()));
        let policies = self.policies.iter().cloned().map(Event::NetworkPolicy);
        let admin = self.admin_policies.iter().cloned().map(Event::AdminPolicy);
        namespaces
            .chain(nodes)
            .chain(pods)
            .chain(policies)
            .chain(admin)
    }

    /// What must happen to an index that knows an earlier world, so that it knows this one: what is new or different,
    /// and what is gone.
    pub fn events_since(&self, earlier: &World) -> Vec<Event> {
        let mut events = Vec::new();
        let gone = Event::NamespaceGone;
        difference(
            &earlier.namespaces,
            &self.namespaces,
            |it| &it.name,
            Event::Namespace,
            |it| gone(it.name),
            &mut events,
        );
        let gone = Event::NodeGone;
        difference(
            &earlier.nodes,
            &self.nodes,
            |it| &it.name,
            Event::Node,
            |it| gone(it.name),
            &mut events,
        );
        let there = |facts: PodFacts| Event::Pod(facts.pod);
        let gone = |facts: PodFacts| Event::PodGone(facts.pod.name);
        difference(
            &earlier.pods,
            &self.pods,
            |it| &it.pod.name,
            there,
            gone,
            &mut events,
        );
        let (policies, earlier_policies) = (by_name(&self.policies), by_name(&earlier.policies));
        let gone =
            |(_, it): ((_, _), NetworkPolicy)| Event::NetworkPolicyGone(it.namespace, it.name);
        difference(
            &earlier_policies,
            &policies,
            |it| &it.0,
            |it| Event::NetworkPolicy(it.1),
            gone,
            &mut events,
        );
        let gone = |it: AdminPolicy| Event::AdminPolicyGone(it.name);
        difference(
            &earlier.admin_policies,
            &self.admin_policies,
            |it| &it.name,
            Event::AdminPolicy,
            gone,
            &mut events,
        );
        events
    }

    /// The pod of that name.
    pub fn pod(&self, name: &PodName) -> Option<&Pod> {
        self.pods
            .iter()
            .map(|facts| &facts.pod)
            .find(|pod| pod.name == *name)
    }

    /// The pods behind a Service: those that its selector matches and that have an address.
    pub fn endpoints(&self, service: &Service) -> Vec<&Pod> {
        if service.selector.is_empty() {
            return Vec::new();
        }
        let is_behind = |pod: &&Pod| {
            pod.name.namespace == service.namespace
                && !pod.addresses.is_empty()
                && service
                    .selector
                    .iter()
                    .all(|(key, value)| pod.labels.get(key) == Some(value))
        };
        self.pods
            .iter()
            .map(|facts| &facts.pod)
            .filter(is_behind)
            .collect()
    }
}

type NamedPolicy = ((Arc<str>, Arc<str>), NetworkPolicy);

fn by_name(policies: &[NetworkPolicy]) -> Vec<NamedPolicy> {
    let name = |policy: &NetworkPolicy| (Arc::clone(&policy.namespace), Arc::clone(&policy.name));
    policies
        .iter()
        .map(|policy| (name(policy), policy.clone()))
        .collect()
}

/// Tells two states of one kind of object apart.
fn difference<T: Clone + PartialEq, K: Ord>(
    earlier: &[T],
    now: &[T],
    key: impl Fn(&T) -> &K,
    there: impl Fn(T) -> Event,
    gone: impl Fn(T) -> Event,
    events: &mut Vec<Event>,
) {
    let mut left: BTreeMap<&K, &T> = earlier.iter().map(|item| (key(item), item)).collect();
    for item in now {
        if left.remove(key(item)) != Some(item) {
            events.push(there(item.clone()));
        }
    }
    events.extend(left.into_values().cloned().map(gone));
}
