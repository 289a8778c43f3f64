//! The facts that policies speak about, parsed and comparable. Equality suppresses work: an object that
//! arrives again unchanged changes nothing.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::{Labels, Protocol};

/// A pod's name within the cluster; orders and prints as `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodName {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A port that a container declares (`spec.containers[].ports[]`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerPort {
    /// The name that policies may use instead of the number.
    pub name: Option<Arc<str>>,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// 1 to 65535.
    pub port: u16,
}

/// A pod, as far as policies look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// `spec.nodeName`; none while unscheduled.
    pub node: Option<Arc<str>>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `status.podIPs`, all families; empty before the pod has one and after it has ended.
    pub addresses: Vec<IpAddr>,
    /// Ports of all containers, restartable init containers among them. Shared by the pods of one template.
    pub ports: Arc<[ContainerPort]>,
    /// `spec.hostNetwork`: its addresses are its node's, so it is neither subject nor selectable peer.
    pub host_network: bool,
    /// `metadata.creationTimestamp` in seconds since 1970. Of several pods with one address the youngest has it, and
    /// of equally old ones the last in name order.
    pub created: i64,
}

/// A namespace: what namespace selectors look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.labels`, `kubernetes.io/metadata.name` among them.
    pub labels: Labels,
}

/// A node: the addresses from which its own pods can always be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `status.addresses` of the types InternalIP and ExternalIP.
    pub addresses: Vec<IpAddr>,
}

/// A label selector's condition on one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    /// The label key.
    pub key: Arc<str>,
    /// The condition.
    pub operator: Operator,
}

/// Label selector operators (`matchExpressions[].operator`); `matchLabels` is [`Operator::In`] with one value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// The key is there, with one of the values.
    In(Vec<Arc<str>>),
    /// The key is missing, or has none of the values.
    NotIn(Vec<Arc<str>>),
    /// The key is there.
    Exists,
    /// The key is missing.
    DoesNotExist,
}

/// A label selector: all requirements must hold, so an empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// Sorted and without duplicates, so that equal selectors compare equal.
    pub requirements: Vec<Requirement>,
}

/// Which namespaces a peer's pods are in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Namespaces {
    /// No `namespaceSelector`: the policy's own.
    Own,
    /// Those that the selector matches.
    Matching(Selector),
}

/// One entry of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// Pods by namespace and by label, both.
    Pods {
        /// `namespaceSelector`.
        namespaces: Namespaces,
        /// `podSelector`; empty where only a `namespaceSelector` is given.
        pods: Selector,
    },
    /// `ipBlock`: any peer with such an address, pods included.
    Block {
        /// The network, without host bits.
        cidr: IpNet,
        /// Parts of it that this entry does not cover.
        except: Vec<IpNet>,
    },
}

/// The peers of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peers {
    /// `from`/`to` missing or empty: every peer.
    Any,
    /// Any of these; none at all where an invalid entry was left out.
    Of(Vec<Peer>),
}

/// The ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// `ports` missing or empty: every port of every protocol.
    Any,
    /// Any of these; none at all where an invalid entry was left out.
    Of(Vec<PortMatch>),
}

/// One entry of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortMatch {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Which of its ports.
    pub port: Port,
}

/// Ports of one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// `port` missing: all of them.
    Any,
    /// From `port` to `endPort`, both included; a single number is a range of one.
    Range(u16, u16),
    /// The port of that name and protocol of the destination pod, whatever its number there.
    Named(Arc<str>),
}

/// An ingress or egress rule: peers and ports must both match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `from` or `to`.
    pub peers: Peers,
    /// `ports`.
    pub ports: Ports,
}

/// A `networking.k8s.io/v1` NetworkPolicy with its defaults applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `spec.podSelector`, within the policy's namespace.
    pub pods: Selector,
    /// Where `policyTypes` holds Ingress: the rules, in order; their absence isolates.
    pub ingress: Option<Vec<Rule>>,
    /// Where `policyTypes` holds Egress: the rules, in order; their absence isolates.
    pub egress: Option<Vec<Rule>>,
}

/// Which object a decision rests on; prints as the field's tools name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyId {
    /// Prints as `NAMESPACE/NAME`.
    NetworkPolicy {
        /// `metadata.namespace`.
        namespace: Arc<str>,
        /// `metadata.name`.
        name: Arc<str>,
    },
    /// Prints as `AdminNetworkPolicy/NAME`.
    AdminNetworkPolicy(Arc<str>),
    /// Prints as `BaselineAdminNetworkPolicy/NAME`.
    BaselineAdminNetworkPolicy(Arc<str>),
    /// Prints as `ClusterNetworkPolicy/NAME`.
    ClusterNetworkPolicy(Arc<str>),
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkPolicy { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::AdminNetworkPolicy(name) => write!(f, "AdminNetworkPolicy/{name}"),
            Self::BaselineAdminNetworkPolicy(name) => {
                write!(f, "BaselineAdminNetworkPolicy/{name}")
            }
            Self::ClusterNetworkPolicy(name) => write!(f, "ClusterNetworkPolicy/{name}"),
        }
    }
}
