//! What is wrong with values is said by name: of another type, out of bounds, not known, or not to be had together.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use crate::documented::schema;
use crate::{lacks_helm, render};

/// Values that are wrong, and what the refusal has to name.
const WRONG: [(&str, &[&str]); 20] = [
    ("agent.mode=fast", &["/agent/mode", "'hybrid', 'nfqueue'"]),
    ("agent.modus=hybrid", &["/agent", "'modus'"]),
    ("agents.mode=hybrid", &["'agents'"]),
    ("agent.failOpen=maybe", &["/agent/failOpen", "boolean"]),
    ("agent.queueNum=70000", &["/agent/queueNum", "65,535"]),
    ("agent.queues=0", &["/agent/queues", "minimum"]),
    ("agent.queues=65", &["/agent/queues", "maximum"]),
    (
        "agent.queueNum=65535,agent.queues=2",
        &["agent.queueNum 65535 with 2 agent.queues: queue numbers end at 65535"],
    ),
    ("agent.markBits=seventy", &["/agent/markBits"]),
    (
        "agent.markBits=0x11",
        &["agent.markBits 0x11: at least three bits of 32 are needed"],
    ),
    (
        "agent.kubeconfig=/etc/kube/config,agent.manifests={/etc/a}",
        &["agent.kubeconfig and agent.manifests: policies come from one source"],
    ),
    ("agent.interfaces={a b}", &["/agent/interfaces/0"]),
    (
        "agent.adminNetworkPolicy=1",
        &["/agent/adminNetworkPolicy", "boolean"],
    ),
    ("metrics.port=0", &["/metrics/port"]),
    ("metrics.address=localhost", &["/metrics/address"]),
    ("metrics.address=127.0.0.256", &["/metrics/address"]),
    ("image.digest=sha256:0", &["/image/digest"]),
    (
        "securityContext.seccomp=none",
        &["/securityContext/seccomp"],
    ),
    (
        "updateStrategy.rollingUpdate.maxUnavailable=0",
        &["/updateStrategy/rollingUpdate/maxUnavailable"],
    ),
    (
        "monitoring.podMonitor.enable=true",
        &["/monitoring/podMonitor", "'enable'"],
    ),
];

/// What is said of wrong values.
fn refusal(arguments: &[&str]) -> Result<String> {
    let output = render(arguments)?;
    assert!(!output.status.success(), "{arguments:?} was taken");
    Ok(String::from_utf8(output.stderr)?)
}

#[test]
fn wrong_values_are_refused_by_name() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    for (values, named) in WRONG {
        let said = refusal(&["--set", values])?;
        for name in named {
            assert!(said.contains(name), "{values}: {name} in: {said}");
        }
    }
    Ok(())
}

/// Values of which each is wrong in one way, made from the schema, and the paths of those.
struct Wrong {
    values: Value,
    paths: Vec<String>,
}

impl Wrong {
    fn new(schema: &Value, wrong: impl Fn(&Value) -> Option<Value>) -> Self {
        let mut paths = Vec::new();
        let values = wrongs(schema, "", &wrong, &mut paths);
        Self {
            values: values.unwrap_or_default(),
            paths,
        }
    }

    /// That each is named.
    fn is_refused(&self, what: &str, least: usize) -> Result<()> {
        assert!(self.paths.len() >= least, "{what}: {:?}", self.paths);
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("values.yaml");
        fs::write(&file, self.values.to_string())?;
        let said = refusal(&["--values", file.to_str().context("path")?])?;
        for path in &self.paths {
            assert!(
                said.contains(&format!("'{path}'")),
                "{what}: {path} in:\n{said}"
            );
        }
        Ok(())
    }
}

fn wrongs(
    schema: &Value,
    path: &str,
    wrong: &impl Fn(&Value) -> Option<Value>,
    paths: &mut Vec<String>,
) -> Option<Value> {
    if let Some(found) = wrong(schema) {
        paths.push(path.to_owned());
        return Some(found);
    }
    let parts = schema["properties"].as_object()?;
    let parts: Map<_, _> = parts
        .iter()
        // helm's own is not ours to describe.
        .filter(|(name, _)| *name != "global")
        .filter_map(|(name, part)| {
            let path = format!("{path}/{name}");
            Some((name.clone(), wrongs(part, &path, wrong, paths)?))
        })
        .collect();
    (!parts.is_empty()).then(|| parts.into())
}

#[test]
fn every_value_of_another_type_is_refused_by_name() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    let other = |schema: &Value| {
        let is_map = schema["properties"].is_object();
        (!is_map).then(|| match schema["type"].as_str() {
            Some("object" | "array") => json!(7),
            _ => json!({"a": 1}),
        })
    };
    Wrong::new(&schema()?, other).is_refused("type", 50)
}

#[test]
fn every_number_out_of_bounds_is_refused_by_name() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    let schema = schema()?;
    let less = |schema: &Value| schema["minimum"].as_i64().map(|least| json!(least - 1));
    Wrong::new(&schema, less).is_refused("minimum", 9)?;
    let more = |schema: &Value| schema["maximum"].as_i64().map(|most| json!(most + 1));
    Wrong::new(&schema, more).is_refused("maximum", 9)
}

#[test]
fn every_text_that_is_none_is_refused_by_name() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    let blank = |schema: &Value| {
        let is_checked = schema["pattern"].is_string() || schema["enum"].is_array();
        is_checked.then(|| json!("\t@ /"))
    };
    Wrong::new(&schema()?, blank).is_refused("text", 12)
}

#[test]
fn names_that_are_not_known_are_refused_wherever_they_are() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    let unknown = |schema: &Value| {
        let parts = schema["properties"].as_object()?;
        // The innermost maps: an outer one is wrong by its own name.
        let is_innermost = parts.values().all(|part| !part["properties"].is_object());
        is_innermost.then(|| json!({"unknown": 1}))
    };
    Wrong::new(&schema()?, unknown).is_refused("name", 12)
}
