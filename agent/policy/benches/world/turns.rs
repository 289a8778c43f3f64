//! Events that change something every time.

use sluice_policy::{Event, NetworkPolicy, Pod, Ports};

use super::{APPS, PODS, pod, policy, rule, tcp};

/// The event of a turn in a cluster of so many pods.
pub(crate) type Turn = fn(usize, usize) -> Event;

/// A policy that changes its mind about a port with every event.
pub(crate) fn edited(pods: usize, turn: usize) -> Event {
    let mut policy: NetworkPolicy = policy(0, pods / PODS);
    let port = 9000 + u16::try_from(turn % 1000).expect("a port");
    let ports = vec![tcp(port, port)];
    policy
        .ingress
        .get_or_insert_default()
        .push(rule(Vec::new(), ports.clone()));
    if let Some(rule) = policy.ingress.iter_mut().flatten().next() {
        rule.ports = Ports::Of(ports);
    }
    Event::NetworkPolicy(policy)
}

/// A policy that goes and comes.
pub(crate) fn made_and_deleted(pods: usize, turn: usize) -> Event {
    let policy = policy(0, pods / PODS);
    if turn.is_multiple_of(2) {
        Event::NetworkPolicy(policy)
    } else {
        Event::NetworkPolicyGone(policy.namespace, policy.name)
    }
}

/// A pod of the node that moves to another app with every event, so that its rules and its peers' view change.
pub(crate) fn relabelled(pods: usize, turn: usize) -> Event {
    let mut moved: Pod = pod(0, pods / PODS);
    moved.labels = pod(1 + turn % (APPS - 1), pods / PODS).labels;
    Event::Pod(moved)
}

/// A pod of another node that goes and comes.
pub(crate) fn coming_and_going(pods: usize, turn: usize) -> Event {
    let pod = pod(7, pods / PODS);
    if turn.is_multiple_of(2) {
        Event::Pod(pod)
    } else {
        Event::PodGone(pod.name)
    }
}
