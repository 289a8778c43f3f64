//! What all generators build with: directions, choices with their words, and the frame of a case.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::case::{Case, Object, ObjectName, Origin, Step};

/// One of the two ways that a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    pub(super) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The field of a spec that has the rules, and the tag of cases about them.
    pub(super) const fn rules(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }

    /// The field of a rule that has the peers.
    pub(super) const fn peers(self) -> &'static str {
        match self {
            Self::Ingress => "from",
            Self::Egress => "to",
        }
    }

    /// The entry of `policyTypes`.
    pub(super) const fn policy_type(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Egress => "Egress",
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Ingress => Self::Egress,
            Self::Egress => Self::Ingress,
        }
    }
}

/// One thing that a dimension can be.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// Its part of an id.
    pub(super) name: String,
    /// Its part of a sentence.
    pub(super) words: String,
    /// What stands in the field; none where the field is missing.
    pub(super) value: Option<Value>,
}

impl Choice {
    pub(super) fn new(name: impl Into<String>, words: impl Into<String>, value: Value) -> Self {
        Self {
            name: name.into(),
            words: words.into(),
            value: Some(value),
        }
    }

    pub(super) fn missing() -> Self {
        Self {
            name: "missing".to_owned(),
            words: "not named".to_owned(),
            value: None,
        }
    }

    /// Two choices that are lists, one behind the other.
    pub(super) fn and(&self, other: &Self) -> Self {
        let items = |choice: &Self| {
            let list = choice.value.as_ref().and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        Self::new(
            format!("{}-and-{}", self.name, other.name),
            format!("{}, and {}", self.words, other.words),
            Value::Array([items(self), items(other)].concat()),
        )
    }

    /// Puts it into a field of an object.
    pub(super) fn put(&self, object: &mut Value, field: &str) {
        let Some(map) = object.as_object_mut() else {
            return;
        };
        match &self.value {
            Some(value) => map.insert(field.to_owned(), value.clone()),
            None => map.remove(field),
        };
    }
}

/// Every two of some choices, both in order.
pub(super) fn pairs(choices: &[Choice]) -> Vec<Choice> {
    let firsts = choices.iter().enumerate();
    firsts
        .flat_map(|(at, first)| {
            choices[at + 1..]
                .iter()
                .map(move |second| first.and(second))
        })
        .collect()
}

/// A selector of one label.
pub(super) fn label(key: &str, value: &str) -> Value {
    json!({"matchLabels": {key: value}})
}

/// A selector of one requirement; `Exists` and `DoesNotExist` have no values.
pub(super) fn requirement(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"matchExpressions": [requirement_of(key, operator, values)]})
}

/// The requirement alone.
pub(super) fn requirement_of(key: &str, operator: &str, values: &[&str]) -> Value {
    let mut made = json!({"key": key, "operator": operator});
    if !values.is_empty() {
        made["values"] = json!(values);
    }
    made
}

/// A policy by its kind and name, in a namespace where the kind lives in one.
pub(super) fn object(kind: &str, namespace: &str, name: &str, spec: &Value) -> Object {
    let name = ObjectName {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    Object::with_spec(name, spec).expect("generators make kinds that cases know")
}

/// A `NetworkPolicy`.
pub(super) fn policy(namespace: &str, name: &str, spec: &Value) -> Object {
    object("NetworkPolicy", namespace, name, spec)
}

/// A case under way.
#[derive(Debug)]
pub(super) struct Draft {
    /// The generator's name, which is the cases' theme.
    pub(super) theme: &'static str,
    /// Unique within the theme.
    pub(super) name: String,
    pub(super) sentence: String,
    /// Besides `generated`.
    pub(super) tags: Vec<&'static str>,
    pub(super) world: &'static str,
    pub(super) objects: Vec<Object>,
    /// What happens; nothing, where there are none.
    pub(super) steps: Vec<Step>,
}

impl Draft {
    /// The case; what an enforcer must offer for it is read off its objects.
    pub(super) fn case(self) -> Case {
        let tags = ["generated"].into_iter().chain(self.tags);
        let features = features(&self.objects.iter().collect::<Vec<_>>());
        let steps = if self.steps.is_empty() {
            vec![Step::default()]
        } else {
            self.steps
        };
        Case {
            id: format!("{}/{}", self.theme, self.name).into(),
            sentence: self.sentence,
            tags: tags.map(Arc::from).collect(),
            features,
            world: self.world.into(),
            objects: self.objects,
            ports: Vec::new(),
            source: None,
            steps,
            origin: Origin::Generated(self.theme),
            places: Vec::new(),
        }
    }
}

/// What an enforcer must offer for objects to mean anything.
pub(crate) fn features(objects: &[&Object]) -> BTreeSet<Arc<str>> {
    let mut found = BTreeSet::new();
    for object in objects {
        find_features(object.value(), &mut found);
    }
    found.into_iter().map(Arc::from).collect()
}

fn find_features(value: &Value, found: &mut BTreeSet<&'static str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                found.extend(feature(key, value));
                find_features(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_features(item, found)),
        _ => {}
    }
}

/// What a field needs, by its name and content.
fn feature(key: &str, value: &Value) -> Option<&'static str> {
    let is_ipv6 = |cidr: &str| cidr.starts_with("$6(") || cidr.contains("::");
    match (key, value.as_str()) {
        ("kind", Some("NetworkPolicy")) => Some("np.core"),
        ("kind", Some("AdminNetworkPolicy" | "BaselineAdminNetworkPolicy")) => Some("anp"),
        ("kind", Some("ClusterNetworkPolicy")) => Some("cnp"),
        ("protocol", Some("UDP")) => Some("np.udp"),
        ("protocol", Some("SCTP")) => Some("np.sctp"),
        ("port", Some(_)) => Some("np.namedport"),
        ("endPort", _) => Some("np.endport"),
        ("ipBlock", _) => Some("np.ipblock-pods"),
        ("cidr", Some(cidr)) if is_ipv6(cidr) => Some("np.ipv6"),
        _ => None,
    }
}
