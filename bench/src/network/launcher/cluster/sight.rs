//! What the API says of nodes and pods, as a launcher sees it. Pure.

use std::fmt::Write as _;

use serde_json::Value;

/// The zone of a node, by its label.
const ZONE: &str = "topology.kubernetes.io/zone";

/// A node that takes pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    /// Empty where its label does not say.
    pub(super) zone: String,
}

/// How a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does not run yet: why.
    Waiting(String),
    /// It runs.
    Running,
    /// It has ended, with this exit code; none, where it never ran. And why.
    Ended(Option<i32>, String),
}

/// The nodes that take pods, by name; and of the others, why they do not.
pub(super) fn nodes(listed: &[Value]) -> (Vec<Node>, Vec<String>) {
    let (mut nodes, mut others) = (Vec::new(), Vec::new());
    for node in listed {
        let metadata = &node["metadata"];
        let name = text(&metadata["name"]).to_owned();
        match why_not(node) {
            Some(why) => others.push(format!("{name} {why}")),
            None => nodes.push(Node {
                name,
                zone: text(&metadata["labels"][ZONE]).to_owned(),
            }),
        }
    }
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    (nodes, others)
}

/// Why a node takes no pods that tolerate nothing.
fn why_not(node: &Value) -> Option<String> {
    let is_ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
    if !all(&node["status"]["conditions"]).any(is_ready) {
        return Some("is not ready".to_owned());
    }
    if node["spec"]["unschedulable"] == true {
        return Some("is unschedulable".to_owned());
    }
    let keeps_away = |it: &&Value| it["effect"] == "NoSchedule" || it["effect"] == "NoExecute";
    let taint = all(&node["spec"]["taints"]).find(keeps_away)?;
    Some(format!("has the taint {}", text(&taint["key"])))
}

/// How a container of a pod does.
pub(super) fn standing(pod: &Value, container: &str) -> Standing {
    let status = &pod["status"];
    let mut of = all(&status["containerStatuses"]).filter(|it| it["name"] == container);
    let state = of.next().map_or(&Value::Null, |it| &it["state"]);
    let ended = &state["terminated"];
    if ended.is_object() {
        let code = ended["exitCode"].as_i64();
        let code = code.and_then(|code| i32::try_from(code).ok());
        return Standing::Ended(code, said(ended));
    }
    if status["phase"] == "Failed" {
        return Standing::Ended(None, said(status));
    }
    if state["running"].is_object() {
        return Standing::Running;
    }
    let waiting = &state["waiting"];
    if waiting.is_object() {
        return Standing::Waiting(said(waiting));
    }
    let is_unscheduled = |it: &&Value| it["type"] == "PodScheduled" && it["status"] == "False";
    let unscheduled = all(&status["conditions"]).find(is_unscheduled);
    Standing::Waiting(unscheduled.map_or_else(|| "nobody has begun it yet".to_owned(), said))
}

/// Reason and message, on one line.
fn said(of: &Value) -> String {
    let mut said = text(&of["reason"]).to_owned();
    let message = text(&of["message"]).trim();
    if !message.is_empty() {
        let _infallible = write!(said, ": {}", message.replace('\n', " "));
    }
    said
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn all(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_that_take_pods_are_told_from_others() {
        let node = |name: &str, ready: &str, spec: Value| {
            json!({
                "metadata": {"name": name, "labels": {ZONE: format!("zone-{name}")}}, "spec": spec,
                "status": {"conditions": [{"type": "Ready", "status": ready}]},
            })
        };
        let taint = |effect: &str| json!({"taints": [{"key": "x/y", "effect": effect}]});
        let listed = [
            node("d", "True", taint("PreferNoSchedule")),
            node("a", "True", json!({})),
            node("b", "Unknown", json!({})),
            node("c", "True", json!({"unschedulable": true})),
            node("e", "True", taint("NoSchedule")),
            node("f", "True", taint("NoExecute")),
        ];
        let (nodes, others) = nodes(&listed);
        let zones: Vec<_> = nodes.iter().map(|node| &node.zone[..]).collect();
        assert_eq!(zones, ["zone-a", "zone-d"]);
        let expected = [
            "b is not ready",
            "c is unschedulable",
            "e has the taint x/y",
            "f has the taint x/y",
        ];
        assert_eq!(others, expected);
    }

    #[test]
    fn a_container_stands_as_its_pod_says() {
        let of = |state: Value| json!({"phase": "Pending", "containerStatuses": [{"name": "side", "state": {"running": {}}}, {"name": "c", "state": state}]});
        let waiting = |why: &str| Standing::Waiting(why.to_owned());
        for (status, expected) in [
            (
                of(json!({"running": {"startedAt": "x"}})),
                Standing::Running,
            ),
            (
                of(json!({"terminated": {"exitCode": 3, "reason": "Error"}})),
                Standing::Ended(Some(3), "Error".to_owned()),
            ),
            (
                of(json!({"waiting": {"reason": "ErrImagePull", "message": "no\nsuch host"}})),
                waiting("ErrImagePull: no such host"),
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "no memory"}),
                Standing::Ended(None, "Evicted: no memory".to_owned()),
            ),
            (
                json!({"phase": "Pending", "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"},
                ]}),
                waiting("Unschedulable: 0/2 nodes"),
            ),
            (
                json!({"phase": "Pending"}),
                waiting("nobody has begun it yet"),
            ),
        ] {
            assert_eq!(
                standing(&json!({"status": status}), "c"),
                expected,
                "{status}"
            );
        }
    }
}
