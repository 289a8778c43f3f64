//! What objects are called, and whether they may be called that.

use std::sync::Arc;

use crate::field::Field;
use crate::kinds::{Kind, Read};
use crate::node::{Node, quote};
use crate::syntax;

/// What an object is called, as far as that can be read.
pub(crate) struct Names {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Names {
    pub(crate) fn of(node: &Node, kind: &Kind) -> Self {
        let metadata = node.entry("metadata").map(|entry| &entry.node);
        let text = |key| {
            metadata
                .and_then(|metadata| metadata.text(key))
                .filter(|text| !text.is_empty())
        };
        let namespace = if kind.namespaced {
            text("namespace").unwrap_or("default")
        } else {
            ""
        };
        // A policy isolates even where it has no name; its line tells it from others.
        let name = text("name").map_or_else(
            || format!("(unnamed, line {})", node.line).into(),
            Arc::from,
        );
        Self {
            namespace: namespace.into(),
            name,
        }
    }

    pub(crate) fn title(&self, kind: &Kind) -> String {
        title(kind.name, &self.namespace, &self.name)
    }

    /// Whether an object of that name can be in the world: any policy, as it fails closed.
    pub(crate) fn are_usable(&self, kind: &Kind) -> bool {
        kind.read.is_policy()
            || ((kind.is_name)(&self.name)
                && (!kind.namespaced || syntax::is_dns_label(&self.namespace)))
    }
}

pub(crate) fn title(kind: &str, namespace: &str, name: &str) -> String {
    let separator = if namespace.is_empty() { "" } else { "/" };
    format!("{kind} {namespace}{separator}{name}")
}

/// The fields that every object's metadata can have.
const METADATA: &[&str] = &[
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
    "clusterName",
];

pub(crate) fn check_metadata(root: &Field<'_>, kind: &Kind, names: &Names) {
    let Some(metadata) = root.get("metadata") else {
        root.missing("metadata");
        return;
    };
    let _ = metadata.only(METADATA);
    if !metadata.is_object() {
        return;
    }
    match metadata.get("name").map(|field| (field.text(), field)) {
        None => {
            metadata.missing("name");
        }
        Some((Ok(text), field)) if !(kind.is_name)(text) => {
            field.wrong(bad_name(kind, text));
        }
        Some(_) => {}
    }
    if let Some(field) = metadata.get("namespace").filter(|_| kind.namespaced)
        && let Ok(text) = field.text()
        && !syntax::is_dns_label(&names.namespace)
    {
        field.wrong(format!(
            "must be a DNS label (lowercase letters, digits and '-', at most 63), got {}",
            quote(text)
        ));
    }
}

fn bad_name(kind: &Kind, text: &str) -> String {
    let wanted = match kind.read {
        Read::Namespace => "a DNS label (lowercase letters, digits and '-', at most 63)",
        Read::Service => {
            "a DNS label that starts with a letter (lowercase letters, digits and '-', at most 63)"
        }
        _ => "a DNS subdomain (lowercase letters, digits, '-' and '.', at most 253)",
    };
    format!("must be {wanted}, got {}", quote(text))
}
