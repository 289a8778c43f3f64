//! Policies as they are written, with the line of every field: for tools that talk about how, and not what.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::kinds::{Found, find as kind_of};
use crate::manifests::{LoadError, find};
use crate::metadata::Names;
use crate::node::{Node, Value};
use crate::problem::Place;
use crate::yaml;

/// A policy of any kind as it is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// `NetworkPolicy x/allow`.
    pub title: String,
    /// `NetworkPolicy`.
    pub kind: &'static str,
    /// `metadata.namespace`, or `default`; empty for kinds of the cluster.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    file: Arc<Path>,
    node: Node,
}

/// The policies of files and directories, in the order in which [`crate::load`] reads them. What cannot be read is left
/// out: [`crate::load`] says so.
pub fn written(paths: &[PathBuf]) -> Result<Vec<Written>, LoadError> {
    let mut all = Vec::new();
    for path in paths {
        for path in find(path)? {
            let content = fs::read(&path).map_err(|cause| LoadError {
                path: path.clone(),
                cause,
            })?;
            let text = String::from_utf8_lossy(&content);
            let file: Arc<Path> = path.into();
            for node in yaml::parse(&text).0 {
                visit(node, None, &file, &mut all);
            }
        }
    }
    Ok(all)
}

/// What the items of a typed list are, as they need not say so.
type Heading = (String, String);

fn visit(node: Node, within: Option<&Heading>, file: &Arc<Path>, all: &mut Vec<Written>) {
    let own = |key| node.text(key).map(ToOwned::to_owned);
    let (Some(version), Some(kind)) = (
        own("apiVersion").or(within.map(|it| it.0.clone())),
        own("kind").or(within.map(|it| it.1.clone())),
    ) else {
        return;
    };
    if let (Some(of), Some(items)) = (kind.strip_suffix("List"), node.entry("items")) {
        let heading = (!of.is_empty()).then(|| (version, of.to_owned()));
        if let Value::List(items) = &items.node.value {
            for item in items {
                visit(item.clone(), heading.as_ref(), file, all);
            }
        }
        return;
    }
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    let Found::Used(kind) = kind_of(&kind, group) else {
        return;
    };
    if kind.read.is_policy() {
        let names = Names::of(&node, kind);
        all.push(Written {
            title: names.title(kind),
            kind: kind.name,
            namespace: names.namespace,
            name: names.name,
            file: Arc::clone(file),
            node,
        });
    }
}

impl Written {
    /// What stands there.
    pub fn json(&self) -> Json {
        self.node.to_json()
    }

    /// Where a field stands, such as `spec.ingress[0].from[1]`: its key, or the item of the list. Of what is not there,
    /// what it would be in.
    pub fn place(&self, field: &str) -> Place {
        let (mut node, mut line) = (&self.node, self.node.line);
        for part in field.split(['.', '[']) {
            let next = match part.strip_suffix(']') {
                Some(number) => number.parse().ok().and_then(|at| item(node, at)),
                None => node.entry(part).map(|entry| (&entry.node, entry.line)),
            };
            let Some((there, at)) = next else { break };
            (node, line) = (there, at);
        }
        Place {
            file: Arc::clone(&self.file),
            line: Some(line),
            column: None,
        }
    }
}

fn item(node: &Node, at: usize) -> Option<(&Node, u32)> {
    match &node.value {
        Value::List(items) => items.get(at).map(|item| (item, item.line)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_field_of_a_policy_has_its_line() {
        let text = "\
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Namespace, metadata: {name: x}}
  - apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata:
      name: p
    spec:
      podSelector: {}
      ingress:
        - from:
            - podSelector: {}
            - ipBlock:
                cidr: 10.0.0.0/8
                except:
                  - 10.1.0.0/16
";
        let file: Arc<Path> = Path::new("a.yaml").into();
        let mut all = Vec::new();
        for node in yaml::parse(text).0 {
            visit(node, None, &file, &mut all);
        }
        let [policy] = &all[..] else {
            panic!("one policy");
        };
        assert_eq!(policy.title, "NetworkPolicy default/p");
        for (field, line) in [
            ("spec", 9),
            ("spec.ingress[0]", 12),
            ("spec.ingress[0].from[1]", 14),
            ("spec.ingress[0].from[1].ipBlock.except[0]", 17),
            ("spec.ingress[0].ports[0]", 12),
            ("spec.egress", 9),
        ] {
            assert_eq!(policy.place(field).line, Some(line), "{field}");
        }
    }
}
