//! Objects in few words.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_policy::{
    AdminAction, AdminKind, AdminName, AdminPeer, AdminPeers, AdminPolicy, AdminPort, AdminPorts,
    AdminRule, AdminTier, ContainerPort, Event, Index, Labels, Namespace, Namespaces,
    NetworkPolicy, Node, Operator, Peer, Peers, Pod, PodName, PodsOf, Port, PortMatch, Ports,
    Protocol, Requirement, Rule, Scope, Selector, Snapshot, Tuple,
};

/// `k=v,k=v` as labels.
pub(crate) fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').expect("key=value"))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// A selector in the notation of `kubectl -l`: `k=v`, `k in (a|b)`, `k notin (a|b)`, `k`, `!k`, joined by commas.
pub(crate) fn selector(text: &str) -> Selector {
    let mut requirements: Vec<Requirement> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(requirement)
        .collect();
    requirements.sort();
    requirements.dedup();
    Selector { requirements }
}

fn requirement(text: &str) -> Requirement {
    let values = |list: &str| -> Vec<Arc<str>> {
        list.trim_matches(['(', ')'])
            .split('|')
            .filter(|value| !value.is_empty())
            .map(Arc::from)
            .collect()
    };
    let (key, operator) = if let Some((key, list)) = text.split_once(" notin ") {
        (key, Operator::NotIn(values(list)))
    } else if let Some((key, list)) = text.split_once(" in ") {
        (key, Operator::In(values(list)))
    } else if let Some((key, value)) = text.split_once('=') {
        (key, Operator::In(vec![value.into()]))
    } else if let Some(key) = text.strip_prefix('!') {
        (key, Operator::DoesNotExist)
    } else {
        (text, Operator::Exists)
    };
    Requirement {
        key: key.into(),
        operator,
    }
}

/// `ns/name` as a pod's name.
pub(crate) fn pod_name(text: &str) -> PodName {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    PodName {
        namespace: namespace.into(),
        name: name.into(),
    }
}

/// An address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A pod on node `n1`: name, labels, addresses.
pub(crate) fn pod(name: &str, with: &str, addresses: &[&str]) -> Pod {
    Pod {
        name: pod_name(name),
        node: Some("n1".into()),
        labels: labels(with),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
        ports: [].into(),
        host_network: false,
        created: 0,
    }
}

/// A declared port: `name=80/TCP` or `80/TCP`.
pub(crate) fn declared(text: &str) -> ContainerPort {
    let (name, rest) = text
        .split_once('=')
        .map_or((None, text), |(name, rest)| (Some(name.into()), rest));
    let (port, protocol) = rest.split_once('/').expect("port/protocol");
    ContainerPort {
        name,
        protocol: protocol_of(protocol),
        port: port.parse().expect("a port"),
    }
}

fn protocol_of(text: &str) -> Protocol {
    match text {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        number => Protocol::from_number(number.parse().expect("a protocol number")),
    }
}

/// A namespace with its name's label and others.
pub(crate) fn namespace(name: &str, with: &str) -> Namespace {
    let mut labels = labels(with);
    labels.insert("kubernetes.io/metadata.name".into(), name.into());
    Namespace {
        name: name.into(),
        labels,
    }
}

/// A node.
pub(crate) fn node(name: &str, addresses: &[&str]) -> Node {
    let addresses = addresses.iter().map(|address| ip(address)).collect();
    Node {
        name: name.into(),
        labels: Labels::new(),
        addresses,
    }
}

/// A policy without rules in either direction: name and subjects.
pub(crate) fn policy(name: &str, subjects: &str) -> NetworkPolicy {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    NetworkPolicy {
        namespace: namespace.into(),
        name: name.into(),
        pods: selector(subjects),
        ingress: None,
        egress: None,
    }
}

/// A policy that isolates for ingress.
pub(crate) fn ingress(name: &str, subjects: &str, rules: Vec<Rule>) -> NetworkPolicy {
    NetworkPolicy {
        ingress: Some(rules),
        ..policy(name, subjects)
    }
}

/// A policy that isolates for egress.
pub(crate) fn egress(name: &str, subjects: &str, rules: Vec<Rule>) -> NetworkPolicy {
    NetworkPolicy {
        egress: Some(rules),
        ..policy(name, subjects)
    }
}

/// A rule of peers and ports.
pub(crate) fn rule(peers: Vec<Peer>, ports: Ports) -> Rule {
    Rule {
        peers: Peers::Of(peers),
        ports,
    }
}

/// A rule for every peer.
pub(crate) fn any(ports: Ports) -> Rule {
    Rule {
        peers: Peers::Any,
        ports,
    }
}

/// Pods of the policy's namespace.
pub(crate) fn own(pods: &str) -> Peer {
    Peer::Pods {
        namespaces: Namespaces::Own,
        pods: selector(pods),
    }
}

/// Pods of other namespaces.
pub(crate) fn pods_in(namespaces: &str, pods: &str) -> Peer {
    Peer::Pods {
        namespaces: Namespaces::Matching(selector(namespaces)),
        pods: selector(pods),
    }
}

/// A network without parts of it.
pub(crate) fn block(cidr: &str, except: &[&str]) -> Peer {
    let net = |text: &str| text.parse().expect("a network");
    Peer::Block {
        cidr: net(cidr),
        except: except.iter().map(|text| net(text)).collect(),
    }
}

/// Ports: `80/TCP`, `80-90/UDP`, `/SCTP` (all of it), `http/TCP` (by name).
pub(crate) fn ports(list: &[&str]) -> Ports {
    Ports::Of(list.iter().map(|text| port(text)).collect())
}

fn port(text: &str) -> PortMatch {
    let (port, protocol) = text.split_once('/').expect("port/protocol");
    let number = |text: &str| text.parse::<u16>();
    let port = match (port, port.split_once('-')) {
        ("", _) => Port::Any,
        (_, Some((first, last))) if number(first).is_ok() => Port::Range(
            number(first).expect("a port"),
            number(last).expect("a port"),
        ),
        (single, _) => number(single).map_or_else(
            |_| Port::Named(single.into()),
            |port| Port::Range(port, port),
        ),
    };
    PortMatch {
        protocol: protocol_of(protocol),
        port,
    }
}

/// Pods by namespace and by label.
pub(crate) fn pods_of(namespaces: &str, pods: &str) -> PodsOf {
    PodsOf {
        namespaces: selector(namespaces),
        pods: selector(pods),
    }
}

/// A cluster-scoped policy for every pod: `anp/NAME`, `banp/NAME`, `admin/NAME` and `baseline/NAME`, the last two
/// ClusterNetworkPolicies of that tier; behind a colon its priority.
pub(crate) fn admin(text: &str) -> AdminPolicy {
    let (name, priority) = text.split_once(':').unwrap_or((text, "0"));
    let (short, name) = name.split_once('/').expect("kind/name");
    let priority = priority.parse().expect("a priority");
    let (kind, tier, priority) = match short {
        "anp" => (AdminKind::AdminNetworkPolicy, AdminTier::Admin, priority),
        "banp" => (
            AdminKind::BaselineAdminNetworkPolicy,
            AdminTier::Baseline,
            AdminPolicy::LAST,
        ),
        "admin" => (AdminKind::ClusterNetworkPolicy, AdminTier::Admin, priority),
        "baseline" => (
            AdminKind::ClusterNetworkPolicy,
            AdminTier::Baseline,
            priority,
        ),
        other => panic!("{other} is no kind of policy"),
    };
    let name = AdminName {
        kind,
        name: name.into(),
    };
    AdminPolicy {
        name,
        tier,
        priority,
        subject: pods_of("", ""),
        ingress: Vec::new(),
        egress: Vec::new(),
    }
}

/// A rule of such a policy: `allow pods pod=b @ 80/TCP http`, `deny any`, `pass net 10.0.0.0/8 fd00::/8`,
/// `deny nodes zone=a @ 443/TCP`, `allow ns team=1`, `deny nobody`. Behind `@` are the ports: numbers and ranges with a
/// protocol, and names without.
pub(crate) fn admin_rule(text: &str) -> AdminRule {
    let (text, ports) = match text.split_once('@') {
        Some((text, ports)) => {
            let ports = ports.split_whitespace().map(admin_port).collect();
            (text.trim(), AdminPorts::Of(ports))
        }
        None => (text, AdminPorts::Any),
    };
    let (action, peers) = text.split_once(' ').expect("an action and peers");
    let action = match action {
        "allow" => AdminAction::Allow,
        "deny" => AdminAction::Deny,
        "pass" => AdminAction::Pass,
        other => panic!("{other} is no action"),
    };
    AdminRule {
        action,
        peers: admin_peers(peers),
        ports,
    }
}

fn admin_peers(text: &str) -> AdminPeers {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let peer = match kind {
        "any" => return AdminPeers::Any,
        "nobody" => return AdminPeers::Of(Vec::new()),
        "pods" => AdminPeer::Pods(pods_of("", rest)),
        "ns" => AdminPeer::Pods(pods_of(rest, "")),
        "nodes" => AdminPeer::Nodes(selector(rest)),
        "net" => {
            let networks = rest.split_whitespace();
            AdminPeer::Networks(
                networks
                    .map(|net| net.parse().expect("a network"))
                    .collect(),
            )
        }
        other => panic!("{other} is no kind of peer"),
    };
    AdminPeers::Of(vec![peer])
}

/// A port of such a rule: as in [`ports`], or a name without a protocol.
pub(crate) fn admin_port(text: &str) -> AdminPort {
    if text.contains('/') {
        AdminPort::Numbered(port(text))
    } else {
        AdminPort::Named(text.into())
    }
}

/// A policy with these ingress rules.
pub(crate) fn admin_in(name: &str, rules: &[&str]) -> AdminPolicy {
    AdminPolicy {
        ingress: rules.iter().map(|text| admin_rule(text)).collect(),
        ..admin(name)
    }
}

/// A policy with these egress rules.
pub(crate) fn admin_out(name: &str, rules: &[&str]) -> AdminPolicy {
    AdminPolicy {
        egress: rules.iter().map(|text| admin_rule(text)).collect(),
        ..admin(name)
    }
}

/// A tuple: `10.0.0.1 > 10.0.0.2 80/TCP`.
pub(crate) fn tuple(text: &str) -> Tuple {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let (port, protocol) = parts[3].split_once('/').expect("port/protocol");
    Tuple {
        source: ip(parts[0]),
        destination: ip(parts[2]),
        protocol: protocol_of(protocol),
        port: port.parse().expect("a port"),
    }
}

/// An index of the whole cluster that took these events in as one batch.
pub(crate) fn cluster(events: impl IntoIterator<Item = Event>) -> Index {
    built(Scope::Cluster, events)
}

/// An index that took these events in as one batch.
pub(crate) fn built(scope: Scope, events: impl IntoIterator<Item = Event>) -> Index {
    let mut index = Index::new(scope);
    let changes = index.apply(events);
    drop(changes);
    index
}

/// The snapshot of a cluster of these objects.
pub(crate) fn snapshot(events: impl IntoIterator<Item = Event>) -> Arc<Snapshot> {
    cluster(events).snapshot()
}

/// Pod events.
pub(crate) fn all_pods(pods: impl IntoIterator<Item = Pod>) -> Vec<Event> {
    pods.into_iter().map(Event::Pod).collect()
}
