//! Which connections pure NFQUEUE mode has to queue: the proof that a run in that mode was one. Verdicts are not
//! known here.

use sluice_kubernetes::World;
use sluice_policy::{Operator, Pod, Requirement, Selector};

use crate::{Cell, Lab, Reply};

/// How many of `cells` were answered by another pod, and have an end that a policy isolates: either what opens the
/// connection or its first reply needs a verdict then. Pods on the host's network are left out: some of their packets
/// are the node's own.
pub(crate) fn judged_connections(lab: &Lab, cells: &[Cell], replies: &[Reply]) -> u64 {
    let world = lab.world();
    let pod = |name: &str| {
        world
            .pods
            .iter()
            .map(|facts| &facts.pod)
            .find(|pod| pod.name.to_string() == name)
    };
    let is_judged = |cell: &Cell, reply: &Reply| {
        let Reply::Name(name) = reply else {
            return false;
        };
        let (Some(from), Some(to)) = (pod(&cell.from.to_string()), pod(name)) else {
            return false;
        };
        let both_routed = from.name != to.name && !from.host_network && !to.host_network;
        both_routed && [from, to].into_iter().any(|end| is_isolated(world, end))
    };
    let judged = cells
        .iter()
        .zip(replies)
        .filter(|(cell, reply)| is_judged(cell, reply))
        .count();
    u64::try_from(judged).unwrap_or(u64::MAX)
}

/// In some direction: every policy has one.
fn is_isolated(world: &World, pod: &Pod) -> bool {
    let mut policies = world.policies.iter();
    policies.any(|policy| policy.namespace == pod.name.namespace && selects(&policy.pods, pod))
}

fn selects(selector: &Selector, pod: &Pod) -> bool {
    selector
        .requirements
        .iter()
        .all(|Requirement { key, operator }| {
            let value = pod.labels.get(key);
            match operator {
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
}
