//! The same objects in other words.

use serde_json::{Map, Value, json};

/// Label keys that are renamed; what Kubernetes itself gives keeps its name.
const RENAMED: [&str; 5] = ["app", "tier", "team", "env", "zone"];

fn renamed(key: &str) -> String {
    if RENAMED.contains(&key) {
        // Kept apart by their prefixes alone.
        format!("{key}.example/key")
    } else {
        key.to_owned()
    }
}

/// Other keys for labels, in objects and selectors alike.
pub(super) fn keys(value: &mut Value) {
    if let Value::Array(items) = value {
        items.iter_mut().for_each(keys);
    }
    let Value::Object(map) = value else { return };
    for (field, value) in map.iter_mut() {
        match (field.as_str(), &mut *value) {
            ("labels" | "matchLabels" | "selector", Value::Object(labels)) => {
                let all = std::mem::take(labels).into_iter();
                labels.extend(all.map(|(key, value)| (renamed(&key), value)));
            }
            ("key", Value::String(key)) => *key = renamed(key),
            _ => keys(value),
        }
    }
}

/// `matchExpressions` for `matchLabels`.
pub(super) fn labels(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(labels),
        Value::Object(map) => {
            map.values_mut().for_each(labels);
            as_expressions(map);
        }
        _ => {}
    }
}

fn as_expressions(selector: &mut Map<String, Value>) {
    let Some(Value::Object(labels)) = selector.remove("matchLabels") else {
        return;
    };
    let label =
        |(key, value): (String, Value)| json!({"key": key, "operator": "In", "values": [value]});
    let expressions = selector.entry("matchExpressions").or_insert(json!([]));
    if let Value::Array(expressions) = expressions {
        expressions.extend(labels.into_iter().map(label));
    }
}
