//! Objects as the API serves them: each kind that is watched, decoded no further than policies look at it.
//!
//! What the API server has let in is defaulted and valid, so Pods, Namespaces and Nodes are taken as they are, and
//! fields that nobody asks for are skipped without a copy. Policies go through the same reading as those of manifests.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use sluice_policy::{
    AdminKind, AdminName, ContainerPort, Event, Labels, Namespace, Node, Pod, PodName, Protocol,
};

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

    /// Reads an object.
    ///
    /// # Errors
    /// Where the text is no JSON, or no object of the kind.
    pub fn read(self, json: &str) -> Result<Live, serde_json::Error> {
        match self {
            Self::Namespace => namespace(json),
            Self::Node => node(json),
            Self::Pod => pod(json),
            Self::NetworkPolicy => policy(PolicyKind::NetworkPolicy, json),
            Self::Admin(kind) => policy(PolicyKind::Admin(kind), json),
        }
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
struct Bare {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
    resource_version: Option<String>,
    labels: Option<Labels>,
    creation_timestamp: Option<String>,
}

impl Metadata {
    fn object_name(&self) -> ObjectName {
        ObjectName {
            namespace: self.namespace.clone().unwrap_or_default(),
            name: Arc::clone(&self.name),
        }
    }

    fn version(&self) -> String {
        self.resource_version.clone().unwrap_or_default()
    }

    fn live(&self, event: Event) -> Live {
        Live {
            name: self.object_name(),
            version: self.version(),
            generation: None,
            event,
            problems: Vec::new(),
        }
    }

    /// Seconds since 1970.
    fn created(&self) -> i64 {
        let text = self.creation_timestamp.as_deref().unwrap_or_default();
        text.parse::<Timestamp>()
            .map(Timestamp::as_second)
            .unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct PodObject<'j> {
    metadata: Metadata,
    #[serde(borrow)]
    spec: PodSpec<'j>,
    #[serde(borrow, default)]
    status: PodStatus<'j>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec<'j> {
    node_name: Option<Arc<str>>,
    #[serde(default)]
    host_network: bool,
    #[serde(borrow)]
    containers: Option<Vec<Container<'j>>>,
    #[serde(borrow)]
    init_containers: Option<Vec<Container<'j>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container<'j> {
    #[serde(borrow, default)]
    restart_policy: Cow<'j, str>,
    #[serde(borrow)]
    ports: Option<Vec<DeclaredPort<'j>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeclaredPort<'j> {
    name: Option<Arc<str>>,
    #[serde(borrow, default)]
    protocol: Cow<'j, str>,
    container_port: u16,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus<'j> {
    #[serde(borrow, default)]
    phase: Cow<'j, str>,
    #[serde(borrow, default, rename = "podIP")]
    pod_ip: Cow<'j, str>,
    #[serde(borrow, rename = "podIPs")]
    pod_ips: Option<Vec<PodIp<'j>>>,
}

#[derive(Deserialize)]
struct PodIp<'j> {
    #[serde(borrow, default)]
    ip: Cow<'j, str>,
}

fn pod(json: &str) -> Result<Live, serde_json::Error> {
    let PodObject {
        mut metadata,
        spec,
        status,
    } = serde_json::from_str(json)?;
    let ObjectName { namespace, name } = metadata.object_name();
    let pod = Pod {
        name: PodName { namespace, name },
        labels: metadata.labels.take().unwrap_or_default(),
        addresses: status.addresses(),
        ports: spec.ports(),
        host_network: spec.host_network,
        node: spec.node_name.filter(|name| !name.is_empty()),
        created: metadata.created(),
    };
    Ok(metadata.live(Event::Pod(pod)))
}

impl PodSpec<'_> {
    /// Those of containers that run while the pod can be reached: of the initial ones, only sidecars.
    fn ports(&self) -> Vec<ContainerPort> {
        let containers = self.containers.iter().flatten();
        let initial = self.init_containers.iter().flatten();
        let sidecars = initial.filter(|container| container.restart_policy == "Always");
        let declared = containers.chain(sidecars).flat_map(|it| &it.ports);
        declared.flatten().filter_map(DeclaredPort::port).collect()
    }
}

impl DeclaredPort<'_> {
    fn port(&self) -> Option<ContainerPort> {
        let protocol = match &*self.protocol {
            "" | "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => return None,
        };
        Some(ContainerPort {
            name: self.name.clone().filter(|name| !name.is_empty()),
            protocol,
            port: self.container_port,
        })
    }
}

impl PodStatus<'_> {
    /// A pod that has ended has none: they may be another's by now.
    fn addresses(&self) -> Vec<IpAddr> {
        if matches!(&*self.phase, "Succeeded" | "Failed") {
            return Vec::new();
        }
        let all = self.pod_ips.iter().flatten().map(|pod_ip| &*pod_ip.ip);
        let mut addresses: Vec<IpAddr> = all.filter_map(syntax::address).collect();
        if addresses.is_empty() {
            addresses.extend(syntax::address(&self.pod_ip));
        }
        addresses.dedup();
        addresses
    }
}

fn namespace(json: &str) -> Result<Live, serde_json::Error> {
    let Bare { mut metadata } = serde_json::from_str(json)?;
    let name = Arc::clone(&metadata.name);
    let mut labels = metadata.labels.take().unwrap_or_default();
    labels.insert(NAMESPACE_NAME.into(), Arc::clone(&name));
    Ok(metadata.live(Event::Namespace(Namespace { name, labels })))
}

#[derive(Deserialize)]
struct NodeObject<'j> {
    metadata: Metadata,
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
    let NodeObject {
        mut metadata,
        status,
    } = serde_json::from_str(json)?;
    let addresses = status.addresses.iter().flatten();
    let own = addresses.filter(|it| matches!(&*it.meaning, "InternalIP" | "ExternalIP"));
    let node = Node {
        name: Arc::clone(&metadata.name),
        labels: metadata.labels.take().unwrap_or_default(),
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
mod tests {
    use sluice_policy::{AdminAction, Selector};

    use super::*;

    /// What the API serves has many fields that nobody asks for.
    fn served(kind: Kind, metadata: &str, rest: &str) -> Event {
        let json = format!(
            r#"{{"kind":"x","apiVersion":"v1","metadata":{{"name":"a","resourceVersion":"7","uid":"u",
                "managedFields":[{{"fieldsV1":{{"f:x":{{}}}}}}],"annotations":{{"k":"{{\"a\":1}}"}}{metadata}}}{rest}}}"#
        );
        let live = kind.read(&json).unwrap();
        assert_eq!((&*live.name.name, &*live.version), ("a", "7"));
        assert_eq!(read_name(&json).unwrap().0, live.name);
        live.event
    }

    fn pod(spec: &str, status: &str) -> Pod {
        let metadata = r#","namespace":"x","labels":{"app":"a\u00e9"},"creationTimestamp":"2026-01-01T00:00:10Z""#;
        let rest = format!(r#","spec":{{{spec}}},"status":{{{status}}}"#);
        match served(Kind::Pod, metadata, &rest) {
            Event::Pod(pod) => pod,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pod_is_what_policies_see_of_it() {
        let spec = r#""nodeName":"n1","volumes":[{"name":"v"}],"containers":[{"name":"c","image":"i","ports":[
            {"name":"web","containerPort":80,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]}],
            "initContainers":[{"ports":[{"containerPort":1}]},{"restartPolicy":"Always","ports":[{"containerPort":2}]}]"#;
        let read = pod(
            spec,
            r#""phase":"Running","podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]"#,
        );
        assert_eq!(read.name.to_string(), "x/a");
        assert_eq!(read.labels.get("app").map(|value| &**value), Some("aé"));
        assert_eq!(read.node.as_deref(), Some("n1"));
        assert_eq!(read.addresses.len(), 2);
        assert_eq!(read.created, 1_767_225_610);
        let ports: Vec<_> = read.ports.iter().map(|it| (it.protocol, it.port)).collect();
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        assert_eq!(ports, [(tcp, 80), (udp, 53), (tcp, 2)]);
        assert_eq!(read.ports[0].name.as_deref(), Some("web"));
    }

    #[test]
    fn a_pod_has_addresses_from_when_it_has_some_until_it_has_ended() {
        for (status, addresses) in [
            ("", 0),
            (r#""phase":"Pending""#, 0),
            (r#""phase":"Running","podIP":"10.0.0.1""#, 1),
            (r#""phase":"Unknown","podIPs":[{"ip":"10.0.0.1"}]"#, 1),
            (r#""phase":"Succeeded","podIPs":[{"ip":"10.0.0.1"}]"#, 0),
            (r#""phase":"Failed","podIP":"10.0.0.1""#, 0),
            (r#""phase":"Running","podIPs":null,"podIP":"""#, 0),
        ] {
            assert_eq!(pod("", status).addresses.len(), addresses, "{status}");
        }
        assert!(pod(r#""hostNetwork":true"#, "").host_network);
        assert_eq!(pod("", "").node, None);
    }

    #[test]
    fn a_namespace_has_its_name_as_a_label() {
        let Event::Namespace(read) = served(Kind::Namespace, r#","labels":{"k":"v"}"#, "") else {
            panic!("no namespace");
        };
        assert_eq!(read.labels.len(), 2);
        assert_eq!(
            read.labels.get(NAMESPACE_NAME).map(|name| &**name),
            Some("a")
        );
    }

    #[test]
    fn a_node_has_the_addresses_that_name_it() {
        let status = r#","status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},{"type":"Hostname",
            "address":"n"},{"type":"ExternalIP","address":"fd00::1"},{"type":"InternalDNS","address":"10.0.0.9"}]}"#;
        let Event::Node(read) = served(Kind::Node, r#","labels":{"k":"v"}"#, status) else {
            panic!("no node");
        };
        assert_eq!((read.addresses.len(), read.labels.len()), (2, 1));
    }

    #[test]
    fn an_invalid_policy_fails_closed_and_says_why() {
        let json = r#"{"metadata":{"name":"p","namespace":"x","resourceVersion":"7"},
            "spec":{"podSelector":{},"policyTypes":["Sideways"]}}"#;
        let live = Kind::NetworkPolicy.read(json).unwrap();
        let Event::NetworkPolicy(policy) = live.event else {
            panic!("no policy");
        };
        assert!(policy.ingress.is_some() && policy.egress.is_some());
        assert_eq!(live.problems.len(), 1);
    }

    /// JSON that is well-formed, and that no decoder takes.
    #[test]
    fn a_policy_that_cannot_be_decoded_closes_both_directions() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        let admin = Kind::Admin(AdminKind::AdminNetworkPolicy);
        for kind in [Kind::NetworkPolicy, admin] {
            for rest in [
                format!(r#""spec":{{"podSelector":{{}},"ingress":[{{}}],"x":{deep}}}"#),
                r#""spec":{"podSelector":{},"ingress":[{}],"x":1e999}"#.to_owned(),
                r#""spec":{"ingress":[{}]},"x":"\ud800""#.to_owned(),
            ] {
                let json = format!(
                    r#"{{"metadata":{{"name":"p","namespace":"x","resourceVersion":"7","generation":3,"labels":7}},{rest}}}"#
                );
                let live = kind.read(&json).unwrap();
                assert_eq!((&*live.version, live.generation), ("7", Some(3)));
                let [problem] = &live.problems[..] else {
                    panic!("{:?}", live.problems);
                };
                assert!(
                    problem.to_string().contains("p: cannot be decoded"),
                    "{problem}"
                );
                match live.event {
                    Event::NetworkPolicy(policy) => {
                        assert_eq!(policy.pods, Selector::default());
                        assert_eq!(policy.ingress.as_deref(), Some(&[][..]));
                        assert_eq!(policy.egress.as_deref(), Some(&[][..]));
                    }
                    Event::AdminPolicy(policy) => {
                        for rules in [&policy.ingress, &policy.egress] {
                            assert!(
                                matches!(&rules[..], [rule] if rule.action == AdminAction::Deny)
                            );
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_policy_with_very_many_problems_tells_of_some_and_counts_the_rest() {
        for (bad, told, last) in [
            (20, 20, None),
            (21, 21, Some("and 1 more problems")),
            (30_000, 21, Some("and 29980 more problems")),
        ] {
            let ports = vec![r#"{"port":0}"#; bad].join(",");
            let json = format!(
                r#"{{"metadata":{{"name":"p","namespace":"x"}},"spec":{{"podSelector":{{}},"ingress":[{{"ports":[{ports}]}}]}}}}"#
            );
            let problems = Kind::NetworkPolicy.read(&json).unwrap().problems;
            assert_eq!(problems.len(), told);
            let said = problems.last().map(ToString::to_string).unwrap();
            assert!(
                last.is_none_or(|last| said.ends_with(&format!("x/p: {last}"))),
                "{said}"
            );
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in [
            "",
            "{}",
            "[]",
            r#"{"metadata":{}}"#,
            r#"{"metadata":{"name":"a"}"#,
        ] {
            assert!(Kind::Pod.read(json).is_err(), "{json}");
            assert!(read_name(json).is_err(), "{json}");
        }
    }
}
