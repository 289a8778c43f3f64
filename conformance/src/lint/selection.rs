//! Selectors that select nothing, or what the API leaves open. Of manifests without pods nothing can be said.

use sluice_policy::{Pod, Selector};

use super::Remark;
use super::scene::{PeerKind, Policy, Scene};

fn subject(policy: &Policy<'_>) -> &'static str {
    if policy.is_namespaced() {
        "spec.podSelector"
    } else {
        "spec.subject"
    }
}

/// The pods that are in the network of their node.
fn hosts<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = &'s Pod> {
    let pods = scene.world.pods.iter().filter(|facts| !facts.ended);
    pods.map(|facts| &facts.pod).filter(|pod| pod.host_network)
}

pub(super) fn selects_no_pod(scene: &Scene<'_>) -> Vec<Remark> {
    if scene.pods.is_empty() {
        return Vec::new();
    }
    let policies = scene.policies.iter();
    let idle = policies.filter(|policy| scene.selected(&policy.subject).is_empty());
    let remark = |policy: &Policy<'_>| {
        Remark::new(
            policy,
            subject(policy),
            "no pod of the manifests is selected, so the policy does nothing here",
        )
    };
    idle.map(remark).collect()
}

pub(super) fn selects_host_network(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    // Of the other kinds the API says that they are not about such pods.
    for policy in scene.policies.iter().filter(|it| it.is_namespaced()) {
        if let Some(pod) = hosts(scene).find(|pod| scene.selects(&policy.subject, pod)) {
            let message = format!(
                "{} is in the network of its node: whether policies are about it is left open, and mostly they are not",
                pod.name
            );
            remarks.push(Remark::new(policy, subject(policy), message));
        }
    }
    remarks
}

pub(super) fn peer_selects_nothing(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, rule) in scene.rules() {
        for peer in rule.peers.iter().flatten() {
            let is_nobody = match &peer.kind {
                PeerKind::Pods(pods) => !scene.pods.is_empty() && scene.selected(pods).is_empty(),
                PeerKind::Nodes(selector) => has_no_node(scene, selector),
                PeerKind::Block(..) | PeerKind::Networks(_) => false,
            };
            if is_nobody {
                let message = "nobody of the manifests is selected, so the entry does nothing here";
                remarks.push(Remark::new(policy, peer.field.as_str(), message));
            }
        }
    }
    remarks
}

fn has_no_node(scene: &Scene<'_>, selector: &Selector) -> bool {
    let nodes = &scene.world.nodes;
    !nodes.is_empty() && !nodes.iter().any(|node| selector.matches(&node.labels))
}
