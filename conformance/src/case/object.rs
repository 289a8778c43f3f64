//! Kubernetes objects as a case writes them, and their names.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

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

impl ObjectName {
    /// Whether it is a policy, of whichever kind.
    pub fn is_policy(&self) -> bool {
        self.kind.ends_with("NetworkPolicy")
    }
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
/// Copies share what they have in common until one is changed.
#[derive(Clone)]
pub struct Object(Arc<Content>);

#[derive(Clone)]
struct Content {
    name: ObjectName,
    value: Value,
    /// The value as JSON, once somebody wanted it.
    text: OnceLock<Arc<str>>,
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.value() == other.value()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(self.value()).finish()
    }
}

impl fmt::Display for Object {
    /// `NAME: SPEC`, where a name and a `spec` are all of it; otherwise all of it, as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value) = (self.name(), self.value());
        let spec = &value["spec"];
        let short = Self::with_spec(name.clone(), spec);
        if short.is_ok_and(|short| short.value() == value) {
            write!(f, "{name}: {spec}")
        } else {
            write!(f, "{name}: {value}")
        }
    }
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
        Ok(Self::of(name, value))
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
        Ok(Self::of(name, value))
    }

    fn of(name: ObjectName, value: Value) -> Self {
        Self(Arc::new(Content {
            name,
            value,
            text: OnceLock::new(),
        }))
    }

    /// Which one.
    pub fn name(&self) -> &ObjectName {
        &self.0.name
    }

    /// All of it.
    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// All of it as JSON; equal for equal objects.
    pub fn text(&self) -> &Arc<str> {
        let text = || self.0.value.to_string().into();
        self.0.text.get_or_init(text)
    }

    /// All of it, to be changed; its name must stay.
    pub(crate) fn value_mut(&mut self) -> &mut Value {
        let content = Arc::make_mut(&mut self.0);
        content.text = OnceLock::new();
        &mut content.value
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
    fn an_object_is_shown_in_short_where_that_is_all_of_it() {
        let name: ObjectName = "x/p".parse().unwrap();
        let mut object = Object::with_spec(name, &json!({"podSelector": {}})).unwrap();
        assert_eq!(
            object.to_string(),
            r#"NetworkPolicy x/p: {"podSelector":{}}"#
        );
        object.value_mut()["metadata"]["labels"] = json!({"a": "b"});
        assert!(object.to_string().contains(r#""labels":{"a":"b"}"#));
    }

    #[test]
    fn an_object_needs_a_name() {
        let nameless = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "x"}});
        assert!(Object::new(nameless).is_err());
    }
}
