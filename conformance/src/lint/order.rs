//! Rules that come too late, or change nothing.

use std::collections::HashSet;

use sluice_kubernetes::ties;
use sluice_policy::AdminPolicy;

use super::scene::{Policy, Rule, Scene};
use super::{Remark, covers};

pub(super) fn unreachable(scene: &Scene<'_>) -> Vec<Remark> {
    let admin = scene.policies.iter().filter(|it| !it.is_namespaced());
    admin.flat_map(|policy| within(scene, policy)).collect()
}

fn within(scene: &Scene<'_>, policy: &Policy<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (at, rule) in policy.rules.iter().enumerate() {
        let earlier = policy.rules[..at].iter();
        if let Some(first) = earlier.rev().find(|it| covers::rule(scene, it, rule)) {
            let message = format!(
                "never asked: {} comes first and is about all that this is about",
                first.field
            );
            remarks.push(Remark::new(policy, rule.field.as_str(), message));
        }
    }
    remarks
}

pub(super) fn shadowed(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, rule) in scene.rules() {
        let Some(admin) = policy.admin else { continue };
        let before = scene.rules().find(|(other, earlier)| {
            is_before(scene, other, admin, policy) && covers::rule(scene, earlier, rule)
        });
        if let Some((other, earlier)) = before {
            let message = format!(
                "never asked: {} of {} comes first and is about all that this is about",
                earlier.field, other.written.title
            );
            remarks.push(Remark::new(policy, rule.field.as_str(), message));
        }
    }
    remarks
}

/// Whether a policy is asked before another one of its tier, about all of its pods. Of equal priorities nobody knows.
fn is_before(
    scene: &Scene<'_>,
    other: &Policy<'_>,
    admin: &AdminPolicy,
    policy: &Policy<'_>,
) -> bool {
    other
        .admin
        .is_some_and(|it| it.tier == admin.tier && it.priority < admin.priority)
        && covers::pods(scene, &other.subject, &policy.subject)
}

pub(super) fn redundant(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for policy in scene.policies.iter().filter(|it| it.is_namespaced()) {
        for (at, rule) in policy.rules.iter().enumerate() {
            let is_wider = |(number, it): &(usize, &Rule<'_>)| {
                // Of two that mean the same the first is kept.
                *number != at
                    && covers::rule(scene, it, rule)
                    && (*number < at || !covers::rule(scene, rule, it))
            };
            if let Some((_, wider)) = policy.rules.iter().enumerate().find(is_wider) {
                let message = format!("{} allows all of this", wider.field);
                remarks.push(Remark::new(policy, rule.field.as_str(), message));
            }
        }
    }
    remarks
}

pub(super) fn tied(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for tie in ties(&scene.world.admin_policies) {
        let names: HashSet<_> = tie.names.iter().collect();
        let all: Vec<String> = tie.names.iter().map(ToString::to_string).collect();
        for policy in &scene.policies {
            if policy.admin.is_some_and(|it| names.contains(&it.name)) {
                let message = format!(
                    "{} have one priority in one tier, and the API does not say which comes first",
                    all.join(", ")
                );
                remarks.push(Remark::new(policy, "spec.priority", message));
            }
        }
    }
    remarks
}
