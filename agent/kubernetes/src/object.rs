//! One document's objects: which kinds are used, and each of them read.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::networking::v1 as api;
use serde_json::Value as Json;
use sluice_policy::{AdminPolicy, Labels, Namespace, NetworkPolicy, Node as PolicyNode};

use crate::admin::admin_policy;
use crate::field::{Checked, Field, Report};
use crate::kinds::{Found, KINDS, Kind, Read, find};
use crate::labels::labels;
use crate::metadata::{Names, check_metadata, title};
use crate::node::{Node, Value, quote};
use crate::pod::{self, PodDraft};
use crate::policy::network_policy;
use crate::problem::{Origin, Place, Problem};
use crate::service::{self, ServiceDraft};
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
            harmless: false,
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
    /// As it is enforced, and as it is written.
    Policy(Box<NetworkPolicy>, Written),
    /// As it is enforced, and as it is written.
    AdminPolicy(Box<AdminPolicy>, Box<Json>),
}

/// A `NetworkPolicy` as it is written.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    /// As the API has it, with its defaults.
    Valid(Box<api::NetworkPolicy>),
    Invalid(Box<Json>),
}

/// What became of a document.
#[derive(Default)]
pub(crate) struct Decoded {
    pub(crate) objects: Vec<Object>,
    pub(crate) problems: Vec<Problem>,
    /// Kinds passed over, one entry per object.
    pub(crate) ignored: Vec<String>,
}

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
    let empty = [("apiVersion", heading.api_version), ("kind", heading.kind)];
    let empty = empty.into_iter().filter(|(_, found)| found.is_empty());
    let is_object = root.object().is_ok();
    for (key, _) in empty.filter(|_| is_object) {
        if let Some(field) = root.get(key) {
            let _ = field.text().map(|_empty| field.wrong("must not be empty"));
        } else {
            root.missing(key);
        }
    }
    report.into_problems()
}

fn misspelled(node: &Node, heading: Heading<'_>, meant: &Kind, file: &Arc<Path>) -> Vec<Problem> {
    let report = Report::new(Arc::clone(file), heading.kind.to_owned());
    let root = Field::root(node, &report);
    let field = root.get("kind").unwrap_or(root.clone());
    field.wrong(format!("unknown kind, did you mean {}?", meant.name));
    report.into_problems()
}

fn one(node: &Node, heading: Heading<'_>, file: &Arc<Path>, decoded: &mut Decoded) {
    let (group, version) = heading
        .api_version
        .rsplit_once('/')
        .unwrap_or(("", heading.api_version));
    let kind = match find(heading.kind, group) {
        Found::Used(kind) => kind,
        Found::Misspelled(meant) => {
            decoded
                .problems
                .extend(misspelled(node, heading, meant, file));
            return;
        }
        Found::Other => {
            let is_namesake = KINDS.iter().any(|kind| kind.name == heading.kind);
            let suffix = if is_namesake {
                format!(".{group}")
            } else {
                String::new()
            };
            decoded.ignored.push(format!("{}{suffix}", heading.kind));
            return;
        }
    };
    let names = Names::of(node, kind);
    let report = Report::new(Arc::clone(file), names.title(kind));
    let root = Field::root(node, &report);
    let is_ours = version == kind.version || Some(version) == kind.alias;
    if group != kind.group || !is_ours {
        let separator = if kind.group.is_empty() { "" } else { "/" };
        let wanted = format!("{}{separator}{}", kind.group, kind.version);
        let field = root.get("apiVersion").unwrap_or(root.clone());
        field.wrong(format!(
            "must be {wanted}, got {}",
            quote(heading.api_version)
        ));
    }
    let content = read(&root, kind, &names);
    if let Some(content) = content.filter(|_| names.are_usable(kind)) {
        decoded.objects.push(Object {
            origin: Origin::File(Place {
                file: Arc::clone(file),
                line: (node.line > 0).then_some(node.line),
                column: None,
            }),
            kind: kind.name,
            namespace: names.namespace,
            name: names.name,
            content: finish(content, node, &report),
        });
    }
    decoded.problems.extend(report.into_problems());
}

/// Adds how a policy is written: a valid NetworkPolicy as its own type, with its defaults.
fn finish(content: Content, node: &Node, report: &Report) -> Content {
    let policy = match content {
        Content::Policy(policy, _) => policy,
        Content::AdminPolicy(policy, _) => {
            return Content::AdminPolicy(policy, Box::new(node.to_json()));
        }
        other => return other,
    };
    let written = Box::new(node.to_json());
    if !report.is_harmless() {
        return Content::Policy(policy, Written::Invalid(written));
    }
    match serde_json::from_value::<api::NetworkPolicy>(written.as_ref().clone()) {
        Ok(mut object) => {
            default(&mut object, &policy);
            Content::Policy(policy, Written::Valid(Box::new(object)))
        }
        Err(error) => {
            Field::root(node, report).wrong(format!("does not decode: {error}"));
            Content::Policy(policy, Written::Invalid(written))
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

/// Reads an object of a kind.
pub(crate) fn read(root: &Field<'_>, kind: &Kind, names: &Names) -> Option<Content> {
    if !kind.read.is_policy() {
        let _ = root.only(&["apiVersion", "kind", "metadata", "spec", "status"]);
    }
    check_metadata(root, kind, names);
    match kind.read {
        Read::Namespace => Some(Content::Namespace(Namespace {
            name: Arc::clone(&names.name),
            labels: namespace_labels(root, names),
        })),
        Read::Node => {
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
        Read::Pod => Some(Content::Pods(Copies::One, Box::new(pod::pod(root)))),
        Read::Workload => workload::workload(root, kind.name)
            .map(|(copies, draft)| Content::Pods(copies, Box::new(draft))),
        Read::Service => Some(Content::Service(Box::new(service::service(root)))),
        Read::NetworkPolicy => {
            let policy =
                network_policy(root, Arc::clone(&names.namespace), Arc::clone(&names.name));
            drop(own_labels(root));
            Some(Content::Policy(
                Box::new(policy),
                Written::Invalid(Box::default()),
            ))
        }
        Read::AdminPolicy(kind) => {
            let policy = admin_policy(root, kind, Arc::clone(&names.name));
            drop(own_labels(root));
            Some(Content::AdminPolicy(Box::new(policy), Box::default()))
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
