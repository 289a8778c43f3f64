//! Kubernetes objects as a case writes them, and their names.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

/// Which object: `KIND NAME` or `KIND NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`; empty for cluster-scoped kinds.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// What is no name of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectNameError {
    /// A kind that cases do not know.
    #[error("no kind that a case can have: {0}")]
    Kind(String),
    /// A kind that lives in a namespace, without one, or the other way round.
    #[error("{0}: `KIND NAMESPACE/NAME`, or `KIND NAME` for kinds of the cluster")]
    Shape(String),
}

/// The kinds that cases know: their `apiVersion`, and whether they live in a namespace.
pub(crate) const KINDS: &[(&str, &str, bool)] = &[
    ("NetworkPolicy", "networking.k8s.io/v1", true),
    (
        "AdminNetworkPolicy",
        "policy.networking.k8s.io/v1alpha1",
        false,
    ),
    (
        "BaselineAdminNetworkPolicy",
        "policy.networking.k8s.io/v1alpha1",
        false,
    ),
    (
        "ClusterNetworkPolicy",
        "policy.networking.k8s.io/v1alpha2",
        false,
    ),
    ("Namespace", "v1", false),
    ("Node", "v1", false),
    ("Pod", "v1", true),
    ("Service", "v1", true),
];

fn kind(name: &str) -> Result<(&'static str, bool), ObjectNameError> {
    let found = KINDS.iter().find(|(kind, ..)| *kind == name);
    found
        .map(|(_, version, namespaced)| (*version, *namespaced))
        .ok_or_else(|| ObjectNameError::Kind(name.to_owned()))
}

impl FromStr for ObjectName {
    type Err = ObjectNameError;

    /// `NAMESPACE/NAME` alone is a `NetworkPolicy`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ObjectNameError::Shape(text.to_owned());
        let (kind_name, rest) = text
            .trim()
            .split_once(' ')
            .unwrap_or(("NetworkPolicy", text));
        let (_, namespaced) = kind(kind_name)?;
        let (namespace, name) = rest.trim().split_once('/').unwrap_or(("", rest.trim()));
        if namespaced == namespace.is_empty() || name.is_empty() || name.contains(['/', ' ']) {
            return Err(wrong());
        }
        Ok(Self {
            kind: kind_name.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        if namespace.is_empty() {
            write!(f, "{kind} {name}")
        } else {
            write!(f, "{kind} {namespace}/{name}")
        }
    }
}

/// A Kubernetes object as its YAML says it; `$(…)` in it stands for addresses (see [`crate::State`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    name: ObjectName,
    value: Value,
}

impl Object {
    /// An object of the API: `apiVersion`, `kind`, `metadata` and the rest.
    pub fn new(value: Value) -> Result<Self, ObjectNameError> {
        let text = |of: &Value, field: &str| match of.get(field) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let name = ObjectName {
            kind: text(&value, "kind"),
            namespace: text(&value["metadata"], "namespace"),
            name: text(&value["metadata"], "name"),
        };
        kind(&name.kind)?;
        // The name in full is what the check of names sees, so that both forms obey one rule.
        let name = name.to_string().parse()?;
        Ok(Self { name, value })
    }

    /// An object of a policy's kind, or a Pod, Service or Namespace, from its name and `spec` alone.
    pub fn with_spec(name: ObjectName, spec: &Value) -> Result<Self, ObjectNameError> {
        let (version, namespaced) = kind(&name.kind)?;
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(name.name));
        if namespaced {
            metadata.insert("namespace".to_owned(), json!(name.namespace));
        }
        let value = json!({
            "apiVersion": version, "kind": name.kind, "metadata": metadata, "spec": spec,
        });
        Ok(Self { name, value })
    }

    /// Which one.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// All of it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// All of it, to be changed; its name must stay.
    pub(crate) fn value_mut(&mut self) -> &mut Value {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_kind_and_where_it_lives() {
        let same = |text: &str| text.parse::<ObjectName>().map(|it| it.to_string());
        assert_eq!(same("x/p").unwrap(), "NetworkPolicy x/p");
        assert_eq!(same("Namespace x").unwrap(), "Namespace x");
        for wrong in [
            "p",
            "Pod a",
            "Namespace x/y",
            "Secret x/s",
            "Pod x/",
            "Pod x/a/b",
        ] {
            assert!(same(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_object_needs_a_name() {
        let nameless = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x"}});
        assert!(Object::new(nameless).is_err());
    }
}
