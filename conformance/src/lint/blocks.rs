//! Blocks of addresses and what is taken out of them.

use ipnet::IpNet;

use super::scene::{PeerKind, PeerOf, Policy, Rule, Scene};
use super::{Remark, covers};

pub(super) fn except_reopened(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, rule) in scene.rules() {
        for peer in rule.peers.iter().flatten() {
            let PeerKind::Block(_, except) = &peer.kind else {
                continue;
            };
            for (at, net) in except.iter().enumerate() {
                if let Some(by) = opened(scene, policy, rule, peer, net) {
                    let field = format!("{}.ipBlock.except[{at}]", peer.field);
                    let message =
                        format!("{net} is allowed all the same, by {by}: an except denies nothing");
                    remarks.push(Remark::new(policy, field, message));
                }
            }
        }
    }
    remarks
}

/// What else allows some of a network to pods of a policy.
fn opened(
    scene: &Scene<'_>,
    policy: &Policy<'_>,
    rule: &Rule<'_>,
    peer: &PeerOf<'_>,
    net: &IpNet,
) -> Option<String> {
    let others = scene.rules().filter(|(other, it)| {
        it.direction == rule.direction
            && other.is_namespaced()
            && covers::share_a_port(it, rule)
            && share_a_pod(scene, other, policy)
    });
    others.into_iter().find_map(|(other, it)| {
        let is_own = other.number == policy.number;
        let title = if is_own {
            String::new()
        } else {
            format!(" of {}", other.written.title)
        };
        let Some(peers) = &it.peers else {
            return Some(format!("{}{title}", it.field));
        };
        let opens = peers
            .iter()
            .filter(|entry| !(is_own && entry.field == peer.field))
            .find(|entry| allows_some(scene, entry, net));
        opens.map(|entry| format!("{}{title}", entry.field))
    })
}

/// Whether two policies of the same kind are about a pod together; where there are no pods, about all of one's.
fn share_a_pod(scene: &Scene<'_>, one: &Policy<'_>, other: &Policy<'_>) -> bool {
    let pods = scene.selected(&one.subject);
    one.number == other.number
        || pods.iter().any(|pod| scene.selects(&other.subject, pod))
        || covers::pods(scene, &one.subject, &other.subject)
}

fn allows_some(scene: &Scene<'_>, entry: &PeerOf<'_>, net: &IpNet) -> bool {
    match &entry.kind {
        PeerKind::Block(cidr, except) => {
            covers::overlap(cidr, net).is_some_and(|part| !covers::is_covered(&part, except))
        }
        PeerKind::Pods(pods) => {
            let selected = scene.selected(pods);
            let mut addresses = selected.iter().flat_map(|pod| &pod.addresses);
            addresses.any(|it| net.contains(it))
        }
        PeerKind::Nodes(_) | PeerKind::Networks(_) => false,
    }
}

pub(super) fn covers_pods(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, rule) in scene.rules() {
        for peer in rule.peers.iter().flatten() {
            let PeerKind::Block(cidr, _) = &peer.kind else {
                continue;
            };
            let within: Vec<_> = scene
                .pods
                .iter()
                .filter(|pod| scene.is_peer(peer, pod))
                .collect();
            if let Some(first) = within.first() {
                let message = format!(
                    "{cidr} holds addresses of {} pods, {} among them: pods are meant as well, whatever their labels, and not every enforcer does that",
                    within.len(),
                    first.name
                );
                let field = format!("{}.ipBlock.cidr", peer.field);
                remarks.push(Remark::new(policy, field, message));
            }
        }
    }
    remarks
}
