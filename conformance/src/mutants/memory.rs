//! What a mutant knows of a world, and what it makes of a change of it.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use sluice_policy::{ContainerPort, Labels, Namespace, Node, Pod, PodName};

use super::fault::{Fault, Faulty};
use super::policy::{Policy, Rule};
use super::tier::{TierPolicy, tiers};
use crate::case::Object;
use crate::runner::Scene;

#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) pods: BTreeMap<PodName, Pod>,
    pub(super) namespaces: BTreeMap<Arc<str>, Labels>,
    pub(super) nodes: Vec<Node>,
    pub(super) policies: Vec<Policy>,
    pub(super) tiers: Vec<TierPolicy>,
    /// Pods that came when there were policies already.
    pub(super) late_pods: BTreeSet<PodName>,
    /// Policies that came when there were pods already, by namespace and name.
    late_policies: BTreeSet<(String, String)>,
    /// The ports that a pod of a name had first.
    first_ports: BTreeMap<PodName, Arc<[ContainerPort]>>,
    /// The pods that addresses had first, as they are now or last were.
    pub(super) first_owners: BTreeMap<IpAddr, Pod>,
}

impl Memory {
    /// A world that has nothing to do with one before.
    pub(super) fn of(scene: &Scene, faulty: Faulty) -> Self {
        let world = &scene.world;
        let pods = world.pods.iter().map(|it| &it.pod);
        let namespaces = world.namespaces.iter();
        Self {
            pods: pods.map(|it| (it.name.clone(), it.clone())).collect(),
            namespaces: namespaces
                .map(|it| (Arc::clone(&it.name), namespace_labels(it, faulty)))
                .collect(),
            nodes: world.nodes.clone(),
            policies: policies(scene, faulty),
            tiers: tiers(&world.api_admin_policies, faulty),
            late_pods: BTreeSet::new(),
            late_policies: BTreeSet::new(),
            first_ports: BTreeMap::new(),
            first_owners: BTreeMap::new(),
        }
        .with_firsts(faulty)
    }

    /// What is there first, where that is kept.
    fn with_firsts(mut self, faulty: Faulty) -> Self {
        for pod in self.pods.values() {
            if faulty.has(Fault::KeepsNamedPorts) {
                let ports = Arc::clone(&pod.ports);
                self.first_ports.insert(pod.name.clone(), ports);
            }
            if faulty.has(Fault::KeepsAddresses) && !pod.host_network {
                let owned = pod.addresses.iter().map(|address| (*address, pod.clone()));
                self.first_owners.extend(owned);
            }
        }
        self
    }

    /// What became of the world.
    pub(super) fn follow(&mut self, scene: &Scene, faulty: Faulty) {
        let former = mem::replace(self, Self::of(scene, faulty));
        let Some(fault) = faulty.0 else { return };
        self.keep_firsts(&former);
        self.keep_of_pods(&former, fault);
        self.keep_of_policies(&former, fault);
        self.keep_of_tiers(&former, fault);
    }

    fn keep_firsts(&mut self, former: &Self) {
        let ports = former.first_ports.iter();
        self.first_ports
            .extend(ports.map(|(name, ports)| (name.clone(), Arc::clone(ports))));
        for (name, ports) in &self.first_ports {
            if let Some(pod) = self.pods.get_mut(name) {
                pod.ports.clone_from(ports);
            }
        }
        for (address, owner) in &former.first_owners {
            let owner = self.pods.get(&owner.name).unwrap_or(owner);
            self.first_owners.insert(*address, owner.clone());
        }
    }

    fn keep_of_pods(&mut self, former: &Self, fault: Fault) {
        if fault == Fault::KeepsNamespaceLabels {
            for (name, labels) in &mut self.namespaces {
                if let Some(own) = former.namespaces.get(name) {
                    labels.clone_from(own);
                }
            }
        }
        if fault == Fault::LatePodsFree {
            let is_new = |name: &&PodName| !former.pods.contains_key(name);
            self.late_pods.clone_from(&former.late_pods);
            if !former.policies.is_empty() {
                let new = self.pods.keys().filter(is_new);
                self.late_pods.extend(new.cloned());
            }
        }
        for (name, pod) in &mut self.pods {
            if let Some(own) = former.pods.get(name) {
                keep_of_pod(pod, own, fault);
            }
        }
    }

    fn keep_of_policies(&mut self, former: &Self, fault: Fault) {
        let own = |it: &Policy| former.policies.iter().find(|own| own.is(it));
        for policy in &mut self.policies {
            if let Some(own) = own(policy) {
                keep_of_policy(policy, own, fault);
            }
        }
        if fault == Fault::KeepsDeletedPolicies {
            let gone = |it: &&Policy| !self.policies.iter().any(|own| own.is(it));
            let gone: Vec<Policy> = former.policies.iter().filter(gone).cloned().collect();
            self.policies.extend(gone);
        }
        if fault == Fault::LatePoliciesIgnored {
            self.late_policies.clone_from(&former.late_policies);
            let late = self.policies.iter().filter(|it| own(it).is_none());
            self.late_policies.extend(late.map(Policy::key));
            let late = &self.late_policies;
            self.policies.retain(|it| !late.contains(&it.key()));
        }
    }

    fn keep_of_tiers(&mut self, former: &Self, fault: Fault) {
        let is = |one: &TierPolicy, other: &TierPolicy| {
            (&one.kind, &one.name) == (&other.kind, &other.name)
        };
        if fault == Fault::KeepsDeletedTiers {
            let gone = |it: &&TierPolicy| !self.tiers.iter().any(|own| is(own, it));
            let gone: Vec<TierPolicy> = former.tiers.iter().filter(gone).cloned().collect();
            self.tiers.extend(gone);
            self.tiers.sort_by_key(|it| it.priority);
        }
        if fault == Fault::KeepsTiers {
            for tier in &mut self.tiers {
                if let Some(own) = former.tiers.iter().find(|own| is(own, tier)) {
                    tier.clone_from(own);
                }
            }
        }
    }
}

impl Policy {
    fn is(&self, other: &Self) -> bool {
        (&self.namespace, &self.name) == (&other.namespace, &other.name)
    }

    fn key(&self) -> (String, String) {
        (self.namespace.clone(), self.name.clone())
    }
}

fn namespace_labels(namespace: &Namespace, faulty: Faulty) -> Labels {
    let is_name = |key: &str| key == sluice_kubernetes::NAMESPACE_NAME;
    let labels = namespace.labels.iter();
    let labels =
        labels.filter(|(key, _)| !(faulty.has(Fault::NamespaceWithoutName) && is_name(key)));
    labels.cloned().collect()
}

/// Policies in order: valid ones as they are written, and what is left of others.
fn policies(scene: &Scene, faulty: Faulty) -> Vec<Policy> {
    let valid: BTreeSet<(&str, &str)> = scene
        .world
        .api_policies
        .iter()
        .filter_map(|it| {
            Some((
                it.metadata.namespace.as_deref()?,
                it.metadata.name.as_deref()?,
            ))
        })
        .collect();
    let policy = |object: &Object| {
        let name = object.name();
        let is_valid = valid.contains(&(name.namespace.as_str(), &name.name));
        match (name.kind.as_str(), is_valid) {
            ("NetworkPolicy", true) => Some(Policy::of(name, &object.value()["spec"], faulty)),
            ("NetworkPolicy", false) if !faulty.has(Fault::InvalidIgnored) => {
                Some(Policy::closed(object, faulty))
            }
            _ => None,
        }
    };
    scene.state.objects().iter().filter_map(policy).collect()
}

fn keep_of_pod(pod: &mut Pod, own: &Pod, fault: Fault) {
    match fault {
        Fault::KeepsLabels => pod.labels.clone_from(&own.labels),
        Fault::KeepsLostLabels => {
            for (key, value) in &own.labels {
                if pod.labels.get(key).is_none() {
                    pod.labels.insert(Arc::clone(key), Arc::clone(value));
                }
            }
        }
        _ => {}
    }
}

fn keep_of_policy(policy: &mut Policy, own: &Policy, fault: Fault) {
    let keep = |rules: &mut Option<Vec<Rule>>, own: &Option<Vec<Rule>>| {
        let (Some(rules), Some(own)) = (rules, own) else {
            return;
        };
        match fault {
            Fault::KeepsRules => rules.clone_from(own),
            Fault::AddsRules => rules.extend(own.iter().cloned()),
            _ => {}
        }
    };
    if fault == Fault::KeepsSelector {
        policy.pods.clone_from(&own.pods);
    }
    keep(&mut policy.ingress, &own.ingress);
    keep(&mut policy.egress, &own.egress);
}
