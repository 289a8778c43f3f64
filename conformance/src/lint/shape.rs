//! How a `NetworkPolicy` is written, where that is not how it is read.

use serde_json::{Map, Value};

use super::Remark;
use super::scene::{Direction, Policy, Scene};

/// `NetworkPolicy`s with their `spec`.
fn specs<'s>(
    scene: &'s Scene<'_>,
) -> impl Iterator<Item = (&'s Policy<'s>, &'s Map<String, Value>)> {
    let policies = scene.policies.iter().filter(|it| it.is_namespaced());
    policies.filter_map(|policy| Some((policy, policy.json["spec"].as_object()?)))
}

/// Every rule as it is written, with its field.
fn rules(
    spec: &Map<String, Value>,
) -> impl Iterator<Item = (Direction, String, &Map<String, Value>)> {
    Direction::ALL.into_iter().flat_map(|direction| {
        let name = direction.name();
        let rules = spec
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        rules.enumerate().filter_map(move |(at, rule)| {
            Some((direction, format!("spec.{name}[{at}]"), rule.as_object()?))
        })
    })
}

fn is_empty_list(value: Option<&Value>) -> bool {
    value.and_then(Value::as_array).is_some_and(Vec::is_empty)
}

fn has_items(value: Option<&Value>) -> bool {
    value
        .and_then(Value::as_array)
        .is_some_and(|it| !it.is_empty())
}

pub(super) fn empty_peers(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, spec) in specs(scene) {
        for (direction, field, rule) in rules(spec) {
            let list = direction.list();
            if is_empty_list(rule.get(list)) {
                let message =
                    format!("an empty {list} means everybody; for nobody leave the rule out");
                remarks.push(Remark::new(policy, format!("{field}.{list}"), message));
            }
        }
    }
    remarks
}

pub(super) fn empty_ports(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, spec) in specs(scene) {
        for (_, field, rule) in rules(spec) {
            if is_empty_list(rule.get("ports")) {
                let message = "an empty ports means every port of every protocol";
                remarks.push(Remark::new(policy, format!("{field}.ports"), message));
            }
        }
    }
    remarks
}

pub(super) fn or_for_and(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, spec) in specs(scene) {
        for (direction, field, rule) in rules(spec) {
            let list = direction.list();
            let peers = rule.get(list).and_then(Value::as_array);
            let peers = peers.map(Vec::as_slice).unwrap_or_default();
            for (at, pair) in peers.windows(2).enumerate() {
                if is_split(&pair[0], &pair[1]) {
                    let message = "either of this and the item before suffices; for pods of that label in those namespaces write both into one item";
                    let field = format!("{field}.{list}[{}]", at + 1);
                    remarks.push(Remark::new(policy, field, message));
                }
            }
        }
    }
    remarks
}

/// One with a podSelector that selects by something and nothing else, the other with a namespaceSelector alone.
fn is_split(one: &Value, other: &Value) -> bool {
    let only = |value: &Value, key: &str| match value.as_object() {
        Some(map) if map.len() == 1 => map.get(key).cloned(),
        _ => None,
    };
    let is_pair = |pods: &Value, namespaces: &Value| {
        let selects = only(pods, "podSelector").is_some_and(|it| it != Value::Object(Map::new()));
        selects && only(namespaces, "namespaceSelector").is_some()
    };
    is_pair(one, other) || is_pair(other, one)
}

pub(super) fn ignored_rules(scene: &Scene<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for (policy, spec) in specs(scene) {
        let Some(types) = spec.get("policyTypes").and_then(Value::as_array) else {
            continue;
        };
        for (direction, kind) in [
            (Direction::Ingress, "Ingress"),
            (Direction::Egress, "Egress"),
        ] {
            let name = direction.name();
            if !types.is_empty() && !types.contains(&kind.into()) && has_items(spec.get(name)) {
                let message =
                    format!("policyTypes does not have {kind}, so these rules do nothing");
                remarks.push(Remark::new(policy, format!("spec.{name}"), message));
            }
        }
    }
    remarks
}

fn has_no_types(spec: &Map<String, Value>) -> bool {
    !has_items(spec.get("policyTypes"))
}

pub(super) fn egress_not_isolated(scene: &Scene<'_>) -> Vec<Remark> {
    let found =
        specs(scene).filter(|(_, spec)| has_no_types(spec) && is_empty_list(spec.get("egress")));
    let message =
        "without policyTypes an empty egress isolates nothing; add policyTypes with Egress";
    found
        .map(|(policy, _)| Remark::new(policy, "spec.egress", message))
        .collect()
}

pub(super) fn ingress_isolated_too(scene: &Scene<'_>) -> Vec<Remark> {
    let found = specs(scene).filter(|(_, spec)| {
        has_no_types(spec) && has_items(spec.get("egress")) && !spec.contains_key("ingress")
    });
    let message = "without policyTypes ingress is isolated as well, and nothing of it allowed; add policyTypes with Egress alone";
    found
        .map(|(policy, _)| Remark::new(policy, "spec.egress", message))
        .collect()
}
