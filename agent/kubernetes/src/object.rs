//! One document's objects: which kinds are used, and each of them read.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::networking::v1 as api;
use sluice_policy::{Labels, Namespace, NetworkPolicy, Node as PolicyNode};

use crate::field::{Checked, Field, Report};
use crate::labels::labels;
use crate::node::{Node, Value, quote};
use crate::pod::{self, PodDraft};
use crate::policy::network_policy;
use crate::problem::{Origin, Problem};
use crate::service::{self, ServiceDraft};
use crate::syntax;
use crate::workload::{self, Copies};

/// An object of a used kind.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) origin: Origin,
    pub(crate) kind: &'static str,
    /// Empty for kinds that are not namespaced.
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) content: Content,
}

impl Object {
    /// `NetworkPolicy x/allow`, `Node n1`.
    pub(crate) fn title(&self) -> String {
        title(self.kind, &self.namespace, &self.name)
    }

    pub(crate) fn problem(&self, field: Option<&str>, message: String) -> Problem {
        Problem {
            origin: self.origin.clone(),
            object: Some(self.title()),
            field: field.map(ToOwned::to_owned),
            message,
        }
    }
}

/// What an object says.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Namespace(Namespace),
    Node(PolicyNode),
    Pods(Copies, Box<PodDraft>),
    Service(Box<ServiceDraft>),
    /// As it is enforced, and, where it is valid, as the API has it.
    Policy(Box<NetworkPolicy>, Option<Box<api::NetworkPolicy>>),
}

/// What became of a document.
#[derive(Default)]
pub(crate) struct Decoded {
    pub(crate) objects: Vec<Object>,
    pub(crate) problems: Vec<Problem>,
    /// Kinds passed over, one entry per object.
    pub(crate) ignored: Vec<String>,
}

/// A kind that is used.
struct Kind {
    name: &'static str,
    group: &'static str,
    /// None where every version is as good, as nothing of it is read.
    version: Option<&'static str>,
    namespaced: bool,
    /// What its names must look like.
    is_name: fn(&str) -> bool,
    read: Read,
}

/// How a kind is read.
#[derive(Clone, Copy)]
enum Read {
    Namespace,
    Node,
    Pod,
    Workload,
    Service,
    Policy,
    /// Used, but not evaluated by this release.
    Unsupported,
}

const KINDS: &[Kind] = {
    const fn kind(
        name: &'static str,
        group: &'static str,
        version: &'static str,
        read: Read,
    ) -> Kind {
        Kind {
            name,
            group,
            version: Some(version),
            namespaced: true,
            is_name: syntax::is_dns_subdomain,
            read,
        }
    }
    const fn unsupported(name: &'static str) -> Kind {
        Kind {
            version: None,
            namespaced: false,
            ..kind(name, "policy.networking.k8s.io", "", Read::Unsupported)
        }
    }
    &[
        Kind {
            namespaced: false,
            is_name: syntax::is_dns_label,
            ..kind("Namespace", "", "v1", Read::Namespace)
        },
        Kind {
            namespaced: false,
            ..kind("Node", "", "v1", Read::Node)
        },
        kind("Pod", "", "v1", Read::Pod),
        Kind {
            is_name: syntax::is_service_name,
            ..kind("Service", "", "v1", Read::Service)
        },
        kind("Deployment", "apps", "v1", Read::Workload),
        kind("StatefulSet", "apps", "v1", Read::Workload),
        kind("DaemonSet", "apps", "v1", Read::Workload),
        kind("ReplicaSet", "apps", "v1", Read::Workload),
        kind("Job", "batch", "v1", Read::Workload),
        kind("CronJob", "batch", "v1", Read::Workload),
        kind("NetworkPolicy", "networking.k8s.io", "v1", Read::Policy),
        unsupported("AdminNetworkPolicy"),
        unsupported("BaselineAdminNetworkPolicy"),
        unsupported("ClusterNetworkPolicy"),
    ]
};

/// Reads a document: an object, or a list of objects.
pub(crate) fn decode(document: &Node, file: &Arc<Path>) -> Decoded {
    let mut decoded = Decoded::default();
    visit(document, None, file, &mut decoded);
    decoded
}

/// What the items of a typed list are, as they need not say so.
#[derive(Clone, Copy)]
struct Heading<'d> {
    api_version: &'d str,
    kind: &'d str,
}

fn visit(node: &Node, within: Option<Heading<'_>>, file: &Arc<Path>, decoded: &mut Decoded) {
    let heading = Heading {
        api_version: node
            .text("apiVersion")
            .or(within.map(|list| list.api_version))
            .unwrap_or_default(),
        kind: node
            .text("kind")
            .or(within.map(|list| list.kind))
            .unwrap_or_default(),
    };
    if !matches!(node.value, Value::Map(_))
        || heading.kind.is_empty()
        || heading.api_version.is_empty()
    {
        decoded.problems.extend(headless(node, heading, file));
        return;
    }
    if let (Some(of), Some(items)) = (heading.kind.strip_suffix("List"), node.entry("items")) {
        let within = (!of.is_empty()).then_some(Heading {
            kind: of,
            ..heading
        });
        match &items.node.value {
            Value::List(items) => items
                .iter()
                .for_each(|item| visit(item, within, file, decoded)),
            Value::Null => {}
            _ => {
                let report = Report::new(Arc::clone(file), heading.kind.to_owned());
                let _ = Field::root(node, &report)
                    .get("items")
                    .map(|field| field.items().map(|_| ()));
                decoded.problems.extend(report.into_problems());
            }
        }
        return;
    }
    one(node, heading, file, decoded);
}

/// What is no Kubernetes object at all.
fn headless(node: &Node, heading: Heading<'_>, file: &Arc<Path>) -> Vec<Problem> {
    let report = Report::new(Arc::clone(file), "document".to_owned());
    let root = Field::root(node, &report);
    if root.object().is_ok() {
        for (key, found) in [("apiVersion", heading.api_version), ("kind", heading.kind)] {
            match root.get(key) {
                None if found.is_empty() => drop(root.missing(key)),
                Some(field) if found.is_empty() => {
                    drop(field.text().map(|_empty| field.wrong("must not be empty")))
                }
                _ => {}
            }
        }
    }
    report.into_problems()
}

fn one(node: &Node, heading: Heading<'_>, file: &Arc<Path>, decoded: &mut Decoded) {
    let (group, version) = heading
        .api_version
        .rsplit_once('/')
        .unwrap_or(("", heading.api_version));
    let Some(kind) = KINDS
        .iter()
        .find(|kind| kind.name == heading.kind && serves(kind, group))
    else {
        let is_namesake = KINDS.iter().any(|kind| kind.name == heading.kind);
        decoded.ignored.push(if is_namesake {
            format!("{}.{group}", heading.kind)
        } else {
            heading.kind.to_owned()
        });
        return;
    };
    let names = Names::of(node, kind);
    let report = Report::new(Arc::clone(file), names.title(kind));
    let root = Field::root(node, &report);
    if group != kind.group || kind.version.is_some_and(|served| served != version) {
        let served = kind.version.unwrap_or_default();
        let separator = if kind.group.is_empty() { "" } else { "/" };
        let message = format!(
            "must be {}{separator}{served}, got {}",
            kind.group,
            quote(heading.api_version)
        );
        root.get("apiVersion")
            .unwrap_or(root.clone())
            .wrong(message);
    }
    let content = read(&root, kind, &names);
    if let Some(content) = content.filter(|_| names.are_usable(kind)) {
        decoded.objects.push(Object {
            origin: Origin {
                file: Arc::clone(file),
                line: Some(node.line),
                column: None,
            },
            kind: kind.name,
            namespace: names.namespace,
            name: names.name,
            content: finish(content, node, &report),
        });
    }
    decoded.problems.extend(report.into_problems());
}

/// Whether an object of that group is ours to judge. Former groups of a kind are, as passing over a policy would open
/// what it closes.
fn serves(kind: &Kind, group: &str) -> bool {
    kind.group == group
        || (group == "extensions" && matches!(kind.group, "apps" | "networking.k8s.io"))
}

/// Turns a valid policy into the API's own type, with its defaults.
fn finish(content: Content, node: &Node, report: &Report) -> Content {
    let Content::Policy(policy, _) = content else {
        return content;
    };
    if !report.is_empty() {
        return Content::Policy(policy, None);
    }
    match serde_json::from_value::<api::NetworkPolicy>(node.to_json()) {
        Ok(mut object) => {
            default(&mut object, &policy);
            Content::Policy(policy, Some(Box::new(object)))
        }
        Err(error) => {
            Field::root(node, report).wrong(format!("does not decode: {error}"));
            Content::Policy(policy, None)
        }
    }
}

/// What the API server fills in.
fn default(object: &mut api::NetworkPolicy, policy: &NetworkPolicy) {
    object.metadata.namespace = Some(policy.namespace.to_string());
    let spec = object.spec.get_or_insert_default();
    spec.pod_selector.get_or_insert_default();
    if spec.policy_types.as_ref().is_none_or(Vec::is_empty) {
        let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let types = if egress {
            &["Ingress", "Egress"][..]
        } else {
            &["Ingress"]
        };
        spec.policy_types = Some(types.iter().map(ToString::to_string).collect());
    }
    let ingress = spec
        .ingress
        .iter_mut()
        .flatten()
        .filter_map(|rule| rule.ports.as_mut());
    let egress = spec
        .egress
        .iter_mut()
        .flatten()
        .filter_map(|rule| rule.ports.as_mut());
    for port in ingress.chain(egress).flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
}

fn read(root: &Field<'_>, kind: &Kind, names: &Names) -> Option<Content> {
    let _ = root.object();
    check_metadata(root, kind, names);
    match kind.read {
        Read::Namespace => {
            let _ = root.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
            Some(Content::Namespace(Namespace {
                name: Arc::clone(&names.name),
                labels: namespace_labels(root, names),
            }))
        }
        Read::Node => {
            let _ = root.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
            let (name, labels, addresses) = (
                Arc::clone(&names.name),
                own_labels(root),
                node_addresses(root),
            );
            Some(Content::Node(PolicyNode {
                name,
                labels,
                addresses,
            }))
        }
        Read::Pod => {
            let _ = root.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
            Some(Content::Pods(Copies::One, Box::new(pod::pod(root))))
        }
        Read::Workload => {
            let _ = root.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
            workload::workload(root, kind.name)
                .map(|(copies, draft)| Content::Pods(copies, Box::new(draft)))
        }
        Read::Service => {
            let _ = root.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
            Some(Content::Service(Box::new(service::service(root))))
        }
        Read::Policy => {
            let policy =
                network_policy(root, Arc::clone(&names.namespace), Arc::clone(&names.name));
            drop(own_labels(root));
            Some(Content::Policy(Box::new(policy), None))
        }
        Read::Unsupported => {
            root.wrong(format!(
                "{} is not supported yet, what it allows or denies is not known",
                kind.name
            ));
            None
        }
    }
}

fn own_labels(root: &Field<'_>) -> Labels {
    root.get("metadata")
        .and_then(|field| field.get("labels"))
        .map(|field| labels(&field))
        .unwrap_or_default()
}

fn namespace_labels(root: &Field<'_>, names: &Names) -> Labels {
    let mut labels = own_labels(root);
    labels.insert(crate::world::NAMESPACE_NAME.into(), Arc::clone(&names.name));
    labels
}

/// `status.addresses` of the types that name the node itself.
fn node_addresses(root: &Field<'_>) -> Vec<IpAddr> {
    let field = root
        .get("status")
        .and_then(|status| status.get("addresses"));
    let items = field
        .and_then(|field| field.items().ok())
        .unwrap_or_default();
    let is_ip = |item: &Field<'_>| {
        matches!(
            item.get("type").and_then(|field| field.text().ok()),
            Some("InternalIP" | "ExternalIP")
        )
    };
    let read = |item: &Field<'_>| -> Checked<IpAddr> {
        pod::address(&item.get("address").ok_or_else(|| item.missing("address"))?)
    };
    items
        .iter()
        .filter(|item| is_ip(item))
        .filter_map(|item| read(item).ok())
        .collect()
}

/// What an object is called, as far as that can be read.
struct Names {
    namespace: Arc<str>,
    name: Arc<str>,
}

impl Names {
    fn of(node: &Node, kind: &Kind) -> Self {
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

    fn title(&self, kind: &Kind) -> String {
        title(kind.name, &self.namespace, &self.name)
    }

    /// Whether an object of that name can be in the world: any policy, as it fails closed.
    fn are_usable(&self, kind: &Kind) -> bool {
        matches!(kind.read, Read::Policy)
            || ((kind.is_name)(&self.name)
                && (!kind.namespaced || syntax::is_dns_label(&self.namespace)))
    }
}

fn title(kind: &str, namespace: &str, name: &str) -> String {
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

fn check_metadata(root: &Field<'_>, kind: &Kind, names: &Names) {
    let Some(metadata) = root.get("metadata") else {
        root.missing("metadata");
        return;
    };
    let _ = metadata.only(METADATA);
    if !metadata.is_object() {
        return;
    }
    match metadata.get("name").map(|field| (field.text(), field)) {
        None => drop(metadata.missing("name")),
        Some((Ok(text), field)) if !(kind.is_name)(text) => drop(field.wrong(bad_name(kind, text))),
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
