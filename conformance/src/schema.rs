//! The JSON Schema of case files, for editors: what a file may hold, as far as that can be said without the world that a
//! case takes place in.

use serde_json::{Value, json};

use crate::case::KINDS;
use crate::features::FEATURES;
use crate::world::WORLDS;

/// 1 to 65535.
const NUMBER: &str =
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
/// What is neither empty nor has a separator.
const NAME: &str = "[^/ ]+";

/// The schema as text, as `case.schema.json` has it.
pub fn text() -> String {
    // A value of strings and lists can be written.
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}

/// The schema.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A case of the truth-table suite",
        "type": "object",
        "required": ["id", "sentence"],
        "additionalProperties": false,
        "properties": properties(),
        "$defs": {
            "port": {
                "description": "80/TCP",
                "type": "string",
                "pattern": format!("^{NUMBER}/(TCP|UDP|SCTP)$"),
            },
            "matrix": matrix(),
            "name": {
                "description": "KIND NAMESPACE/NAME, KIND NAME for kinds of the cluster, NAMESPACE/NAME for a NetworkPolicy",
                "type": "string",
                "pattern": name(),
            },
            "object": object(),
            "step": step(),
        },
    })
}

fn list(description: &str, items: &Value) -> Value {
    json!({"description": description, "type": "array", "items": items})
}

fn properties() -> Value {
    let worlds = WORLDS.iter().map(|(name, _)| json!(name));
    let worlds: Vec<Value> = worlds.chain([Value::Null]).collect();
    let features: Vec<Value> = FEATURES
        .iter()
        .map(|(name, meaning)| json!({"const": name, "description": meaning}))
        .collect();
    let object = json!({"$ref": "#/$defs/object"});
    json!({
        "id": {
            "description": "THEME/NAME, the file's path below cases; it stays for good",
            "type": "string",
            "pattern": "^[a-z0-9-]+/[a-z0-9-]+$",
        },
        "sentence": {
            "description": "what is true of a right enforcer",
            "type": "string",
            "pattern": "\\S",
        },
        "tags": list("words to choose it by", &json!({"type": "string"})),
        "features": list("what an enforcer must offer for it", &json!({"oneOf": features})),
        "source": {
            "description": "where the sentence comes from: the API's field, a report's address",
            "type": ["string", "null"],
        },
        "world": {
            "description": "the world that it takes place in; without it, grid",
            "enum": worlds,
        },
        "ports": list(
            "ports to ask about besides those of the world's containers",
            &json!({"$ref": "#/$defs/port"}),
        ),
        "objects": list("more objects, before the first step", &object),
        "policies": list("policies, before the first step", &object),
        "matrix": {"$ref": "#/$defs/matrix"},
        "accepted": list("objects that an API server takes", &object),
        "rejected": list(
            "objects that an API server refuses, each with the field that it names",
            &json!({
                "type": "object",
                "required": ["object", "field"],
                "additionalProperties": false,
                "properties": {"object": object, "field": {"type": "string"}},
            }),
        ),
        "steps": list("what happens then, one after another", &json!({"$ref": "#/$defs/step"})),
    })
}

/// Two forms; what is in the text depends on the world.
fn matrix() -> Value {
    json!({
        "description": "which connections are open: a text for all, or one for each port, family or both",
        "oneOf": [
            {"type": "null"},
            {"type": "string"},
            {
                "type": "object",
                "propertyNames": {
                    "pattern": format!("^({NUMBER}/(TCP|UDP|SCTP)( IPv[46])?|IPv[46]( {NUMBER}/(TCP|UDP|SCTP))?)$"),
                },
                "additionalProperties": {"type": "string"},
            },
        ],
    })
}

fn name() -> String {
    let of = |wanted: bool| {
        let kinds = KINDS
            .iter()
            .filter(|(_, _, namespaced)| *namespaced == wanted);
        kinds.map(|(kind, ..)| *kind).collect::<Vec<_>>().join("|")
    };
    let (namespaced, cluster) = (of(true), of(false));
    format!("^(({namespaced}) )?{NAME}/{NAME}$|^({cluster}) {NAME}$")
}

fn object() -> Value {
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
    json!({
        "description": "an object of the API, or its name and its spec",
        "type": "object",
        "oneOf": [
            {
                "required": ["kind", "metadata"],
                "properties": {
                    "kind": {"enum": kinds},
                    "metadata": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string", "pattern": format!("^{NAME}$")}},
                    },
                },
            },
            {
                "not": {"required": ["kind"]},
                "minProperties": 1,
                "maxProperties": 1,
                "propertyNames": {"$ref": "#/$defs/name"},
            },
        ],
    })
}

fn step() -> Value {
    let names = json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "title": {"description": "what is special about it", "type": ["string", "null"]},
            "order": {
                "description": "any: whatever the order of the events, what comes of them is the same",
                "enum": ["fixed", "any"],
            },
            "events": {"type": "array", "items": event()},
            "matrix": {"$ref": "#/$defs/matrix"},
            "alive": names,
            "cut": names,
        },
    })
}

fn event() -> Value {
    let one = |field: &str, schema: Value| {
        json!({
            "type": "object",
            "required": [field],
            "additionalProperties": false,
            "properties": {field: schema},
        })
    };
    let labels = json!({
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/name"},
        "additionalProperties": {
            "type": "object",
            "additionalProperties": {"type": ["string", "null"]},
        },
    });
    let open = json!({
        "type": "object",
        "required": ["name", "from", "to", "port"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string"},
            "from": {"type": "string"},
            "to": {"type": "string"},
            "port": {"$ref": "#/$defs/port"},
        },
    });
    json!({
        "oneOf": [
            one("apply", json!({"$ref": "#/$defs/object"})),
            one("delete", json!({"$ref": "#/$defs/name"})),
            one("label", labels),
            one("open", open),
            one("agent", json!({"enum": ["restart", "kill"]})),
        ],
    })
}
