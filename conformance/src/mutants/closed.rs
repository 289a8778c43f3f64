//! What an invalid `NetworkPolicy` says to a mutant: what is left when everything is gone that cannot be read.

use serde_json::{Map, Value, json};

use super::fault::{Fault, Faulty};
use super::selector::{Network, items};

/// A spec in the place of an object's own.
pub(super) fn closed(object: &Value, faulty: Faulty) -> Value {
    let top = ["apiVersion", "kind", "metadata", "spec", "status"];
    let empty = json!({});
    let spec = match &object["spec"] {
        Value::Null if has_only(object, &top) => &empty,
        written => written,
    };
    let is_known = has_only(spec, &["podSelector", "ingress", "egress", "policyTypes"]);
    let pods = &spec["podSelector"];
    let is_read = pods.is_null() || is_selector(pods);
    let rules = |field: &str, peers: &str| -> Value {
        let rules = items(&spec[field]).iter();
        let rules = rules.filter(|_| is_known && is_read);
        rules.filter_map(|it| rule(it, peers, faulty)).collect()
    };
    json!({
        "podSelector": match pods {
            written if is_read && !written.is_null() => written.clone(),
            _ if !is_read && faulty.has(Fault::UnreadableNobody) => {
                json!({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]})
            }
            _ => empty.clone(),
        },
        "policyTypes": types(spec, is_known, faulty),
        "ingress": rules("ingress", "from"),
        "egress": rules("egress", "to"),
    })
}

/// Both where they cannot be read.
fn types(spec: &Value, is_known: bool, faulty: Faulty) -> Value {
    let (written, egress) = (&spec["policyTypes"], &spec["egress"]);
    let listed = items(written);
    let is_type = |it: &Value| it == "Ingress" || it == "Egress";
    let is_read = is_list(written) && listed.len() < 3 && listed.iter().all(is_type);
    if is_read && !listed.is_empty() {
        return written.clone();
    }
    let is_certain = is_read && is_known && is_list(egress);
    let has_egress = !is_certain || !items(egress).is_empty();
    if has_egress && (is_certain || !faulty.has(Fault::UnreadableIngress)) {
        json!(["Ingress", "Egress"])
    } else {
        json!(["Ingress"])
    }
}

/// None where it matches nothing.
fn rule(rule: &Value, peers: &str, faulty: Faulty) -> Option<Value> {
    let is_known = has_only(rule, &[peers, "ports"]);
    let mut left = Map::new();
    for (field, is_read) in [(peers, is_peer as fn(&Value) -> bool), ("ports", is_port)] {
        let written = &rule[field];
        let read = items(written).iter().filter(|it| is_read(it));
        let read: Vec<Value> = read.cloned().collect();
        let means_everything = is_list(written) && items(written).is_empty();
        if read.is_empty() && !means_everything && !faulty.has(Fault::UnreadableEverything) {
            return None;
        }
        left.insert(field.to_owned(), read.into());
    }
    is_known.then_some(Value::Object(left))
}

fn is_peer(peer: &Value) -> bool {
    let block = &peer["ipBlock"];
    let selectors = [&peer["podSelector"], &peer["namespaceSelector"]];
    let mut selectors = selectors.iter().filter(|it| !it.is_null()).peekable();
    let has_selector = selectors.peek().is_some();
    has_only(peer, &["podSelector", "namespaceSelector", "ipBlock"])
        && has_selector == block.is_null()
        && (block.is_null() || is_block(block))
        && selectors.all(|it| is_selector(it))
}

fn is_block(block: &Value) -> bool {
    let except = &block["except"];
    let Some(whole) = Network::of(&block["cidr"]) else {
        return false;
    };
    let is_part = |it: &Value| Network::of(it).is_some_and(|part| part.is_within(whole));
    has_only(block, &["cidr", "except"]) && is_list(except) && items(except).iter().all(is_part)
}

fn is_port(port: &Value) -> bool {
    let (first, last) = (&port["port"], &port["endPort"]);
    let number = |it: &Value| it.as_u64().filter(|it| (1..=65_535).contains(it));
    let is_name = |it: &str| {
        let is_of_it = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let hyphens = it.starts_with('-') || it.ends_with('-') || it.contains("--");
        let has_letter = it.contains(|c: char| c.is_ascii_lowercase());
        it.len() <= 15 && has_letter && !hyphens && it.chars().all(is_of_it)
    };
    let protocol = &port["protocol"];
    let is_protocol = protocol.is_null() || super::policy::protocol(protocol).is_some();
    let numbers = match (first, last) {
        (Value::Null, last) => last.is_null(),
        (Value::String(name), last) => last.is_null() && is_name(name),
        (first, Value::Null) => number(first).is_some(),
        (first, last) => number(first).is_some_and(|it| number(last) >= Some(it)),
    };
    has_only(port, &["protocol", "port", "endPort"]) && is_protocol && numbers
}

fn is_selector(selector: &Value) -> bool {
    let (labels, expressions) = (&selector["matchLabels"], &selector["matchExpressions"]);
    let is_label = |(key, value): (&String, &Value)| is_key(key) && is_value(value);
    let is_map = labels.is_null() || labels.is_object();
    has_only(selector, &["matchLabels", "matchExpressions"])
        && is_map
        && labels.as_object().into_iter().flatten().all(is_label)
        && is_list(expressions)
        && items(expressions).iter().all(is_expression)
}

fn is_expression(expression: &Value) -> bool {
    let values = &expression["values"];
    let wants_values = match expression["operator"].as_str() {
        Some("In" | "NotIn") => true,
        Some("Exists" | "DoesNotExist") => false,
        _ => return false,
    };
    has_only(expression, &["key", "operator", "values"])
        && expression["key"].as_str().is_some_and(is_key)
        && is_list(values)
        && items(values).is_empty() != wants_values
        && items(values).iter().all(is_value)
}

/// A prefix may be before a slash.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("a", key));
    let prefix_is_lower = prefix.chars().all(|c| !c.is_ascii_uppercase() && c != '_');
    let mut parts = prefix.split('.');
    !name.is_empty()
        && is_text(name)
        && prefix_is_lower
        && prefix.len() <= 253
        && parts.all(|it| !it.is_empty() && it.starts_with(is_end) && it.chars().all(is_inner))
}

fn is_value(value: &Value) -> bool {
    value.as_str().is_some_and(is_text)
}

fn is_text(text: &str) -> bool {
    let ends = text.is_empty() || (text.starts_with(is_end) && text.ends_with(is_end));
    text.len() <= 63 && ends && text.chars().all(is_inner)
}

fn is_end(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

fn is_inner(c: char) -> bool {
    is_end(c) || matches!(c, '-' | '_' | '.')
}

/// What is missing is an empty list.
fn is_list(value: &Value) -> bool {
    value.is_null() || value.is_array()
}

fn has_only(value: &Value, fields: &[&str]) -> bool {
    let map = value.as_object();
    map.is_some_and(|map| map.keys().all(|key| fields.contains(&&**key)))
}
