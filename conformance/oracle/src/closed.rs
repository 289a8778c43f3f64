//! What is left of a `NetworkPolicy` that is not valid. The API text says nothing of such, as an API server stores none:
//! that they fail closed for what they select is this project's rule. A policy isolates whatever it may have meant to,
//! and of its rules those parts allow that can be read for certain; what is left is a valid policy, which the text
//! speaks of.
//!
//! For certain is what has the API's shape and no field besides, and values that its validation takes.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::network;

/// What is left of an object.
pub(super) fn closed(object: &Value) -> NetworkPolicy {
    let namespace = object["metadata"]["namespace"].as_str();
    let namespace = namespace.filter(|name| !name.is_empty());
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(namespace.unwrap_or("default").to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(spec(object)),
    }
}

fn spec(object: &Value) -> NetworkPolicySpec {
    let spec = &object["spec"];
    if spec.is_null() {
        // Without a spec it selects every pod, for ingress. What has another name may have been meant for one.
        let known = has_only(
            object,
            &["apiVersion", "kind", "metadata", "spec", "status"],
        );
        return isolating(LabelSelector::default(), true, !known);
    }
    let known = has_only(spec, &["podSelector", "ingress", "egress", "policyTypes"]);
    let pods = match &spec["podSelector"] {
        Value::Null => Some(LabelSelector::default()),
        written => selector(written),
    };
    let (ingress, egress) = types(spec, known);
    // Other policies may isolate pods that this one did not mean: of those it allows nothing.
    let is_certain = known && pods.is_some();
    let mut closed = isolating(pods.unwrap_or_default(), ingress, egress);
    if is_certain {
        closed.ingress = decoded(rules(&spec["ingress"], "from"));
        closed.egress = decoded(rules(&spec["egress"], "to"));
    }
    closed
}

/// One that allows nothing.
fn isolating(pods: LabelSelector, ingress: bool, egress: bool) -> NetworkPolicySpec {
    let types = [(ingress, "Ingress"), (egress, "Egress")];
    let types = types.iter().filter(|(is_there, _)| *is_there);
    NetworkPolicySpec {
        pod_selector: Some(pods),
        policy_types: Some(types.map(|(_, name)| (*name).to_owned()).collect()),
        ..NetworkPolicySpec::default()
    }
}

/// Whether it isolates for ingress and for egress: for both where that cannot be read.
fn types(spec: &Value, known: bool) -> (bool, bool) {
    let egress = &spec["egress"];
    match &spec["policyTypes"] {
        Value::Array(listed) if !listed.is_empty() => {
            let names = ["Ingress", "Egress"];
            let is_known = |it: &Value| it.as_str().is_some_and(|it| names.contains(&it));
            let has = |name: &str| listed.iter().any(|it| it == name);
            if listed.len() <= names.len() && listed.iter().all(is_known) {
                (has("Ingress"), has("Egress"))
            } else {
                (true, true)
            }
        }
        // What is not known may have been meant for them, or for egress, by which they are filled in.
        Value::Null | Value::Array(_) if known && (egress.is_null() || egress.is_array()) => (
            true,
            egress.as_array().is_some_and(|rules| !rules.is_empty()),
        ),
        _ => (true, true),
    }
}

/// The rules that match anything.
fn rules(written: &Value, peers: &str) -> Vec<Value> {
    let written = written.as_array().map_or(&[][..], Vec::as_slice);
    let rule = |rule: &Value| {
        let map = rule.as_object()?;
        let known = has_only(rule, &[peers, "ports"]);
        let (own, ports) = (
            entries(map, peers, is_peer)?,
            entries(map, "ports", is_port)?,
        );
        known.then(|| json!({peers: own, "ports": ports}))
    };
    written.iter().filter_map(rule).collect()
}

/// The entries that can be read. Empty where the field is missing or empty, which means everything; none where there is
/// something, and nothing of it can be read.
fn entries(
    rule: &Map<String, Value>,
    field: &str,
    is_read: fn(&Value) -> bool,
) -> Option<Vec<Value>> {
    match rule.get(field) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(written)) => {
            let read: Vec<Value> = written.iter().filter(|it| is_read(it)).cloned().collect();
            (written.is_empty() || !read.is_empty()).then_some(read)
        }
        Some(_) => None,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Peer {
    pod_selector: Option<Value>,
    namespace_selector: Option<Value>,
    ip_block: Option<Block>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    cidr: String,
    except: Option<Vec<String>>,
}

/// A block alone, or selectors, at least one.
fn is_peer(written: &Value) -> bool {
    let Some(peer) = read::<Peer>(written) else {
        return false;
    };
    let mut selectors = peer
        .pod_selector
        .iter()
        .chain(&peer.namespace_selector)
        .peekable();
    let is_alone = selectors.peek().is_none();
    match &peer.ip_block {
        Some(block) => {
            let mut except = block.except.iter().flatten();
            is_alone
                && network::read(&block.cidr).is_some()
                && except.all(|part| network::is_strict_part(part, &block.cidr))
        }
        None => !is_alone && selectors.all(|it| selector(it).is_some()),
    }
}

/// What `ports` lists.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    protocol: Option<String>,
    port: Option<IntOrString>,
    end_port: Option<i32>,
}

fn is_port(written: &Value) -> bool {
    let Some(entry) = read::<Entry>(written) else {
        return false;
    };
    let is_number = |number: i32| (1..=65_535).contains(&number);
    let protocol = entry.protocol.as_deref().unwrap_or("TCP");
    ["TCP", "UDP", "SCTP"].contains(&protocol)
        && match (&entry.port, entry.end_port) {
            (None, end) => end.is_none(),
            (Some(IntOrString::String(name)), end) => end.is_none() && is_port_name(name),
            (Some(IntOrString::Int(first)), None) => is_number(*first),
            (Some(IntOrString::Int(first)), Some(last)) => {
                is_number(*first) && is_number(last) && *first <= last
            }
        }
}

/// "At most 15 characters, lowercase letters, digits and hyphens, at least one letter, no hyphen at either end, and no
/// two of them in a row."
fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && name.contains(|c: char| c.is_ascii_lowercase())
        && is_dns_label(name)
        && !name.contains("--")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Requirement>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: String,
    values: Option<Vec<String>>,
}

/// A selector of which everything can be read.
fn selector(written: &Value) -> Option<LabelSelector> {
    let Selector {
        match_labels,
        match_expressions,
    } = read(written)?;
    let is_label = |(key, value): (&String, &String)| is_label_key(key) && is_label_value(value);
    let is_read = match_labels.iter().flatten().all(is_label)
        && match_expressions.iter().flatten().all(is_requirement);
    is_read.then(|| read(written))?
}

/// "If the operator is In or `NotIn`, the values array must be non-empty. If the operator is Exists or `DoesNotExist`,
/// the values array must be empty."
fn is_requirement(written: &Requirement) -> bool {
    let values = written.values.as_deref().unwrap_or_default();
    let is_complete = match written.operator.as_str() {
        "In" | "NotIn" => !values.is_empty(),
        "Exists" | "DoesNotExist" => values.is_empty(),
        _ => false,
    };
    is_complete && is_label_key(&written.key) && values.iter().all(|it| is_label_value(it))
}

/// A name, and before it, where there is a slash, a DNS subdomain.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_subdomain = |it: &str| it.len() <= 253 && it.split('.').all(is_dns_label);
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_subdomain)
}

/// "Must be 63 characters or less (can be empty); unless empty, must begin and end with an alphanumeric character; could
/// contain dashes, underscores, dots, and alphanumerics between."
fn is_label_value(value: &str) -> bool {
    let marks = ['-', '_', '.'];
    value.len() <= 63
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || marks.contains(&c))
        && !value.starts_with(marks)
        && !value.ends_with(marks)
}

/// Lowercase letters, digits and hyphens, none of these at either end.
fn is_dns_label(name: &str) -> bool {
    let is_it = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(is_it) && !name.starts_with('-') && !name.ends_with('-')
}

/// Whether a value is an object without fields but these.
fn has_only(written: &Value, fields: &[&str]) -> bool {
    let only = |map: &Map<String, Value>| map.keys().all(|key| fields.contains(&key.as_str()));
    written.as_object().is_some_and(only)
}

fn read<T: DeserializeOwned>(written: &Value) -> Option<T> {
    // A list would be read as the fields in order.
    let is_object = written.is_object();
    is_object.then(|| T::deserialize(written).ok())?
}

/// Rules that were found to have the API's shape.
fn decoded<T: DeserializeOwned>(rules: Vec<Value>) -> Option<Vec<T>> {
    serde_json::from_value(rules.into()).ok()
}
