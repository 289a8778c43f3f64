//! Objects of a case as they are in a cluster: namespaces and cluster-scoped policies have names of their own there, and
//! what names them is changed with them. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sluice_policy::PodName;

use crate::case::{Object, ObjectName};

/// Everything that a run makes has this label; its value is the run's.
pub(super) const RUN: &str = "sluice-conformance/run";
/// Namespaces have this label; its value is that of the world that they are of.
pub(super) const ROOM: &str = "sluice-conformance/room";
/// The label that every namespace has by itself.
const NAME: &str = "kubernetes.io/metadata.name";
/// The label that kubelets give their nodes.
const HOSTNAME: &str = "kubernetes.io/hostname";
/// The one name that a `BaselineAdminNetworkPolicy` may have.
pub(super) const BASELINE: &str = "BaselineAdminNetworkPolicy";

/// How a world's names are called in a cluster.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The run, which is part of every name.
    run: String,
    /// The world's own prefix.
    room: String,
    /// The host names of real nodes, by the names of the world's.
    hosts: BTreeMap<String, String>,
}

impl Names {
    pub(super) fn new(
        prefix: &str,
        run: &str,
        world: &str,
        hosts: BTreeMap<String, String>,
    ) -> Self {
        Self {
            run: run.to_owned(),
            room: format!("{prefix}-{run}-{world}"),
            hosts,
        }
    }

    /// The label of everything that the run makes.
    pub(super) fn own(&self) -> (&str, &str) {
        (RUN, &self.run)
    }

    /// The value of the label [`ROOM`] of the world's namespaces.
    pub(super) fn room(&self) -> &str {
        &self.room
    }

    /// The real name of a namespace.
    pub(super) fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.room)
    }

    /// The real name of a pod, `NAMESPACE/NAME`, which it tells whoever asks.
    pub(super) fn pod(&self, name: &PodName) -> String {
        format!("{}/{}", self.namespace(&name.namespace), name.name)
    }

    /// Where objects of a kind are made: the path of the collection.
    pub(super) fn collection(&self, object: &Object) -> String {
        let name = object.name();
        let version = object.value()["apiVersion"].as_str().unwrap_or_default();
        let base = if version == "v1" {
            "/api/v1".to_owned()
        } else {
            format!("/apis/{version}")
        };
        let resource = resource(&name.kind);
        if name.namespace.is_empty() {
            format!("{base}/{resource}")
        } else {
            let namespace = self.namespace(&name.namespace);
            format!("{base}/namespaces/{namespace}/{resource}")
        }
    }

    /// The path of an object.
    pub(super) fn path(&self, object: &Object) -> String {
        format!("{}/{}", self.collection(object), self.name(object.name()))
    }

    /// The real name of an object within its namespace, if it has one.
    pub(super) fn name(&self, object: &ObjectName) -> String {
        match object.kind.as_str() {
            "Namespace" => self.namespace(&object.name),
            _ if !object.namespace.is_empty() || object.kind == BASELINE => object.name.clone(),
            _ => format!("{}-{}", self.room, object.name),
        }
    }

    /// A policy as the cluster gets it. Policies of the cluster select nobody outside of this world.
    pub(super) fn policy(&self, object: &Object) -> Value {
        let mut value = object.value().clone();
        self.rename(&mut value["spec"]);
        if object.name().namespace.is_empty() {
            fence(&mut value["spec"]["subject"], &self.room);
        }
        self.with_metadata(value, object.name())
    }

    /// The same object with its real name and our label, and no status.
    pub(super) fn with_metadata(&self, mut value: Value, name: &ObjectName) -> Value {
        if let Some(fields) = value.as_object_mut() {
            fields.remove("status");
        }
        let metadata = &mut value["metadata"];
        metadata["name"] = json!(self.name(name));
        if !name.namespace.is_empty() {
            metadata["namespace"] = json!(self.namespace(&name.namespace));
        }
        let labels = metadata["labels"].as_object().cloned();
        metadata["labels"] = self.labels(&name.kind, labels.unwrap_or_default());
        value
    }

    /// The labels of an object of the world, and ours.
    pub(super) fn labels(&self, kind: &str, mut labels: Map<String, Value>) -> Value {
        labels.insert(RUN.to_owned(), json!(self.run));
        if kind == "Namespace" {
            // Its own name is not to be chosen.
            labels.remove(NAME);
            labels.insert(ROOM.to_owned(), json!(self.room));
            for mode in ["enforce", "audit", "warn"] {
                let key = format!("pod-security.kubernetes.io/{mode}");
                labels.insert(key, json!("privileged"));
            }
        }
        Value::Object(labels)
    }

    /// What selectors say about the names of namespaces and hosts.
    fn rename(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|it| self.rename(it)),
            Value::Object(map) => {
                if let Some(labels) = map.get_mut("matchLabels").and_then(Value::as_object_mut) {
                    for (key, value) in labels {
                        self.rename_value(key, value);
                    }
                }
                if let Some(key) = map.get("key").and_then(Value::as_str).map(str::to_owned) {
                    let values = map.get_mut("values").and_then(Value::as_array_mut);
                    for value in values.into_iter().flatten() {
                        self.rename_value(&key, value);
                    }
                }
                map.values_mut().for_each(|it| self.rename(it));
            }
            _ => {}
        }
    }

    fn rename_value(&self, key: &str, value: &mut Value) {
        let Some(text) = value.as_str() else { return };
        let renamed = match key {
            NAME => self.namespace(text),
            HOSTNAME => match self.hosts.get(text) {
                Some(host) => host.clone(),
                None => return,
            },
            _ => return,
        };
        *value = json!(renamed);
    }
}

/// A subject selects namespaces of one world alone.
fn fence(subject: &mut Value, room: &str) {
    let inner = |value: &mut Value| {
        if value.is_object() {
            value["matchLabels"][ROOM] = json!(room);
        }
    };
    if let Some(namespaces) = subject.get_mut("namespaces") {
        inner(namespaces);
    }
    if let Some(pods) = subject.get_mut("pods").filter(|it| it.is_object()) {
        if pods["namespaceSelector"].is_null() {
            pods["namespaceSelector"] = json!({});
        }
        inner(&mut pods["namespaceSelector"]);
    }
}

/// The plural of a kind, as paths have it.
fn resource(kind: &str) -> String {
    let lower = kind.to_lowercase();
    lower
        .strip_suffix('y')
        .map_or_else(|| format!("{lower}s"), |stem| format!("{stem}ies"))
}

/// The resource of a cluster-scoped policy as discovery lists it, `VERSION/RESOURCE`; none of any other kind.
pub(super) fn admin_resource(object: &Object) -> Option<String> {
    let name = object.name();
    let is_admin = name.namespace.is_empty() && name.is_policy();
    let version = object.value()["apiVersion"].as_str()?.rsplit('/').next()?;
    is_admin.then(|| format!("{version}/{}", resource(&name.kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let hosts = BTreeMap::from([("node-1".to_owned(), "worker-a".to_owned())]);
        Names::new("c", "0f3", "grid", hosts)
    }

    fn object(name: &str, spec: &Value) -> Object {
        Object::with_spec(name.parse().unwrap(), spec).unwrap()
    }

    #[test]
    fn selectors_by_name_follow_the_names() {
        let spec = json!({"podSelector": {}, "ingress": [{"from": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "y", "ns": "y"}}},
            {"namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["x", "z"]},
                {"key": "ns", "operator": "In", "values": ["x"]},
            ]}},
        ]}]});
        let policy = names().policy(&object("x/p", &spec));
        assert_eq!(policy["metadata"]["namespace"], "c-0f3-grid-x");
        assert_eq!(policy["metadata"]["name"], "p");
        let from = &policy["spec"]["ingress"][0]["from"];
        let labels = &from[0]["namespaceSelector"]["matchLabels"];
        assert_eq!(
            *labels,
            json!({"kubernetes.io/metadata.name": "c-0f3-grid-y", "ns": "y"})
        );
        let expressions = &from[1]["namespaceSelector"]["matchExpressions"];
        assert_eq!(
            expressions[0]["values"],
            json!(["c-0f3-grid-x", "c-0f3-grid-z"])
        );
        assert_eq!(expressions[1]["values"], json!(["x"]));
    }

    #[test]
    fn a_policy_of_the_cluster_selects_nobody_else() {
        let own = json!({"sluice-conformance/room": "c-0f3-grid"});
        let spec = json!({"priority": 1, "subject": {"namespaces": {}},
            "egress": [{"to": [{"nodes": {"matchLabels": {"kubernetes.io/hostname": "node-1"}}}]}]});
        let object = object("AdminNetworkPolicy p", &spec);
        let policy = names().policy(&object);
        assert_eq!(policy["metadata"]["name"], "c-0f3-grid-p");
        assert_eq!(policy["spec"]["subject"]["namespaces"]["matchLabels"], own);
        let nodes = &policy["spec"]["egress"][0]["to"][0]["nodes"];
        assert_eq!(nodes["matchLabels"]["kubernetes.io/hostname"], "worker-a");
        assert_eq!(
            names().path(&object),
            "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies/c-0f3-grid-p"
        );
        assert_eq!(
            admin_resource(&object).unwrap(),
            "v1alpha1/adminnetworkpolicies"
        );
    }

    #[test]
    fn a_subject_of_pods_is_fenced_with_and_without_a_selector_of_namespaces() {
        for selector in [
            json!({"podSelector": {}}),
            json!({"podSelector": {}, "namespaceSelector": {}}),
        ] {
            let spec = json!({"tier": "Admin", "priority": 1, "subject": {"pods": selector}});
            let policy = names().policy(&object("ClusterNetworkPolicy p", &spec));
            let labels = &policy["spec"]["subject"]["pods"]["namespaceSelector"]["matchLabels"];
            assert_eq!(labels["sluice-conformance/room"], "c-0f3-grid");
        }
    }

    #[test]
    fn the_only_baseline_policy_keeps_its_name() {
        let object = object(
            "BaselineAdminNetworkPolicy default",
            &json!({"subject": {"namespaces": {}}}),
        );
        assert_eq!(names().policy(&object)["metadata"]["name"], "default");
    }
}
