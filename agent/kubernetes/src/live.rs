//! Objects as the API serves them: each kind that is watched, decoded no further than policies look at it.
//!
//! What the API server has let in is defaulted and valid, so Pods, Namespaces and Nodes are taken as they are, and
//! fields that nobody asks for are skipped without a copy. Policies go through the same reading as those of manifests.

mod pod;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use pod::Template;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use sluice_policy::{AdminKind, AdminName, Event, Labels, Namespace, Node, PodName};

use crate::problem::{Origin, Problem};
use crate::read::{Policy, PolicyKind, PolicyRead, read_policy};
use crate::syntax;
use crate::world::NAMESPACE_NAME;

/// A kind of objects that a source of the API watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1`.
    Namespace,
    /// `v1`.
    Node,
    /// `v1`.
    Pod,
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy.networking.k8s.io`, each kind in the version that it is of: custom resources, which an API may serve.
    Admin(AdminKind),
}

/// What an object is called; the namespace is empty for kinds without.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

/// An object that was read.
#[derive(Clone, Debug)]
pub struct Live {
    /// What it is called.
    pub name: ObjectName,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// Of a policy, `metadata.generation`.
    pub generation: Option<i64>,
    /// What it means to an index.
    pub event: Event,
    /// What is wrong with it; it fails closed.
    pub problems: Vec<Problem>,
}

/// Reads objects of one kind, one after another. What a pod has in common with the one before is shared with it: lists
/// are in the order of names, so the pods of a `ReplicaSet` follow each other.
#[derive(Debug)]
pub struct Reader {
    kind: Kind,
    /// Of pods.
    template: Template,
}

impl Kind {
    /// As manifests and messages spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::Admin(AdminKind::AdminNetworkPolicy) => "AdminNetworkPolicy",
            Self::Admin(AdminKind::BaselineAdminNetworkPolicy) => "BaselineAdminNetworkPolicy",
            Self::Admin(AdminKind::ClusterNetworkPolicy) => "ClusterNetworkPolicy",
        }
    }

    /// Where the API serves all objects of the kind.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Namespace => "/api/v1/namespaces",
            Self::Node => "/api/v1/nodes",
            Self::Pod => "/api/v1/pods",
            Self::NetworkPolicy => "/apis/networking.k8s.io/v1/networkpolicies",
            Self::Admin(AdminKind::AdminNetworkPolicy) => {
                "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies"
            }
            Self::Admin(AdminKind::BaselineAdminNetworkPolicy) => {
                "/apis/policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies"
            }
            Self::Admin(AdminKind::ClusterNetworkPolicy) => {
                "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies"
            }
        }
    }

    /// The resource, as RBAC and error messages name it: `pods`, `networkpolicies.networking.k8s.io`.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::Pod => "pods",
            Self::NetworkPolicy => "networkpolicies.networking.k8s.io",
            Self::Admin(AdminKind::AdminNetworkPolicy) => {
                "adminnetworkpolicies.policy.networking.k8s.io"
            }
            Self::Admin(AdminKind::BaselineAdminNetworkPolicy) => {
                "baselineadminnetworkpolicies.policy.networking.k8s.io"
            }
            Self::Admin(AdminKind::ClusterNetworkPolicy) => {
                "clusternetworkpolicies.policy.networking.k8s.io"
            }
        }
    }

    /// Whether it is a custom resource, which an API may or may not serve.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Admin(_))
    }

    /// What it means to an index that an object is gone.
    pub fn gone(self, name: ObjectName) -> Event {
        let ObjectName { namespace, name } = name;
        match self {
            Self::Namespace => Event::NamespaceGone(name),
            Self::Node => Event::NodeGone(name),
            Self::Pod => Event::PodGone(PodName { namespace, name }),
            Self::NetworkPolicy => Event::NetworkPolicyGone(namespace, name),
            Self::Admin(kind) => Event::AdminPolicyGone(AdminName { kind, name }),
        }
    }
}

impl Reader {
    /// One that has read nothing.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            template: Template::default(),
        }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// Where the text is no JSON, or no object of the kind.
    pub fn read(&mut self, json: &str) -> Result<Live, serde_json::Error> {
        match self.kind {
            Kind::Namespace => namespace(json),
            Kind::Node => node(json),
            Kind::Pod => pod::read(json, &mut self.template),
            Kind::NetworkPolicy => policy(PolicyKind::NetworkPolicy, json),
            Kind::Admin(kind) => policy(PolicyKind::Admin(kind), json),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads no more of an object than its name and version.
///
/// # Errors
/// Where the text is no JSON, or no object with metadata.
pub fn read_name(json: &str) -> Result<(ObjectName, String), serde_json::Error> {
    let Sketch { metadata } = serde_json::from_str(json)?;
    let version = metadata.resource_version.clone().unwrap_or_default();
    Ok((metadata.object_name(), version))
}

/// What is needed of an object whose rest may be anything.
#[derive(Deserialize)]
struct Sketch {
    metadata: SketchMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SketchMetadata {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
    resource_version: Option<String>,
    generation: Option<i64>,
}

impl SketchMetadata {
    fn object_name(&self) -> ObjectName {
        ObjectName {
            namespace: self.namespace.clone().unwrap_or_default(),
            name: Arc::clone(&self.name),
        }
    }
}

#[derive(Deserialize)]
struct Bare<'j> {
    #[serde(borrow)]
    metadata: Metadata<'j>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'j> {
    name: Arc<str>,
    #[serde(borrow)]
    namespace: Option<Cow<'j, str>>,
    resource_version: Option<String>,
    /// As they are written.
    #[serde(borrow)]
    labels: Option<&'j RawValue>,
    #[serde(borrow)]
    creation_timestamp: Option<Cow<'j, str>>,
}

impl Metadata<'_> {
    /// Of an object without a namespace.
    fn live(&self, event: Event) -> Live {
        Live {
            name: ObjectName {
                namespace: Arc::default(),
                name: Arc::clone(&self.name),
            },
            version: self.version(),
            generation: None,
            event,
            problems: Vec::new(),
        }
    }

    fn version(&self) -> String {
        self.resource_version.clone().unwrap_or_default()
    }

    fn labels(&self) -> Result<Labels, serde_json::Error> {
        self.labels.map_or_else(|| Ok(Labels::new()), labels)
    }

    /// Seconds since 1970.
    fn created(&self) -> i64 {
        let text = self.creation_timestamp.as_deref().unwrap_or_default();
        text.parse::<Timestamp>()
            .map(Timestamp::as_second)
            .unwrap_or_default()
    }
}

fn labels(written: &RawValue) -> Result<Labels, serde_json::Error> {
    let labels: BTreeMap<Arc<str>, Arc<str>> = serde_json::from_str(written.get())?;
    Ok(labels.into_iter().collect())
}

fn namespace(json: &str) -> Result<Live, serde_json::Error> {
    let Bare { metadata } = serde_json::from_str(json)?;
    let name = Arc::clone(&metadata.name);
    let mut labels = metadata.labels()?;
    labels.insert(NAMESPACE_NAME.into(), Arc::clone(&name));
    Ok(metadata.live(Event::Namespace(Namespace { name, labels })))
}

#[derive(Deserialize)]
struct NodeObject<'j> {
    #[serde(borrow)]
    metadata: Metadata<'j>,
    #[serde(borrow, default)]
    status: NodeStatus<'j>,
}

#[derive(Default, Deserialize)]
struct NodeStatus<'j> {
    #[serde(borrow)]
    addresses: Option<Vec<NodeAddress<'j>>>,
}

#[derive(Deserialize)]
struct NodeAddress<'j> {
    #[serde(borrow, default, rename = "type")]
    meaning: Cow<'j, str>,
    #[serde(borrow, default)]
    address: Cow<'j, str>,
}

fn node(json: &str) -> Result<Live, serde_json::Error> {
    let NodeObject { metadata, status } = serde_json::from_str(json)?;
    let addresses = status.addresses.iter().flatten();
    let own = addresses.filter(|it| matches!(&*it.meaning, "InternalIP" | "ExternalIP"));
    let node = Node {
        name: Arc::clone(&metadata.name),
        labels: metadata.labels()?,
        addresses: own.filter_map(|it| syntax::address(&it.address)).collect(),
    };
    Ok(metadata.live(Event::Node(node)))
}

/// What is told of one object's problems, at most: what reports of it cost is bounded, however much is wrong.
const MOST_PROBLEMS: usize = 20;

fn policy(kind: PolicyKind, json: &str) -> Result<Live, serde_json::Error> {
    let Sketch { metadata } = serde_json::from_str(json)?;
    let PolicyRead { policy, problems } = match serde_json::from_str(json) {
        Ok(object) => read_policy(kind, &object),
        Err(error) => undecodable(kind, &metadata, &error),
    };
    let event = match policy {
        Some(Policy::NetworkPolicy(policy)) => Event::NetworkPolicy(policy),
        Some(Policy::Admin(policy)) => Event::AdminPolicy(policy),
        None => return Err(serde::de::Error::missing_field("metadata.name")),
    };
    Ok(Live {
        name: metadata.object_name(),
        version: metadata.resource_version.unwrap_or_default(),
        generation: metadata.generation,
        event,
        problems: bounded(problems),
    })
}

/// A policy of which there is no more than a name: its spec may have closed anything, so it closes both directions.
fn undecodable(
    kind: PolicyKind,
    metadata: &SketchMetadata,
    error: &serde_json::Error,
) -> PolicyRead {
    let (name, namespace) = (&*metadata.name, metadata.namespace.as_deref());
    let mut read = read_policy(
        kind,
        &json!({"metadata": {"name": name, "namespace": namespace}, "spec": "unreadable"}),
    );
    read.problems.truncate(1);
    for problem in &mut read.problems {
        problem.field = None;
        problem.message = format!("cannot be decoded, and closes everything: {error}");
    }
    read
}

/// What closes something comes first, so that it is told of.
fn bounded(mut problems: Vec<Problem>) -> Vec<Problem> {
    if problems.len() > MOST_PROBLEMS {
        problems.sort_by_key(|problem| problem.harmless);
        let more = problems.split_off(MOST_PROBLEMS);
        problems.push(Problem {
            origin: Origin::Api,
            object: more[0].object.clone(),
            field: None,
            message: format!("and {} more problems", more.len()),
            harmless: more.iter().all(|problem| problem.harmless),
        });
    }
    problems
}

#[cfg(test)]
mod tests;
