//! The cluster that the benches measure: namespaces of a hundred pods, ten apps in each, and policies as people
//! write them, spread evenly. Those of `sluice-bench micro` measure the same.
#![expect(dead_code, reason = "each bench uses a part")]

pub(crate) mod tuples;
pub(crate) mod turns;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sluice_policy::{
    AdminAction, AdminKind, AdminName, AdminPeer, AdminPeers, AdminPolicy, AdminPort, AdminPorts,
    AdminRule, AdminTier, ContainerPort, Event, Index, Labels, Namespace, Namespaces,
    NetworkPolicy, Node, Operator, Peer, Peers, Pod, PodName, PodsOf, Port, PortMatch, Ports,
    Protocol, Requirement, Rule, Scope, Selector, Tuple,
};

/// Pods of a namespace, of a node, and the apps they are spread over.
pub(crate) const PODS: usize = 100;
/// Apps of a namespace.
pub(crate) const APPS: usize = 10;

/// The node whose pods are enforced.
pub(crate) fn one_node() -> Scope {
    Scope::Node("node-0".into())
}

/// A cluster of `pods` pods and `policies` policies, as events that are made one at a time.
pub(crate) fn events(pods: usize, policies: usize) -> impl Iterator<Item = Event> {
    let namespaces = pods / PODS;
    let nodes = (0..namespaces).map(|number| Event::Node(node(number)));
    let labelled = (0..namespaces).map(|number| Event::Namespace(namespace(number)));
    let all = (0..pods).map(move |number| Event::Pod(pod(number, namespaces)));
    nodes
        .chain(labelled)
        .chain(all)
        .chain((0..policies).map(move |number| Event::NetworkPolicy(policy(number, namespaces))))
}

/// An index of it.
pub(crate) fn index(scope: Scope, pods: usize, policies: usize) -> Index {
    let mut index = Index::new(scope);
    let _changes = index.apply(events(pods, policies));
    index
}

/// A pod: its namespace is its number's hundred, its node spreads the pods of a namespace over the cluster.
pub(crate) fn pod(number: usize, nodes: usize) -> Pod {
    let (namespace, within) = (number / PODS, number % PODS);
    let app = within % APPS;
    let labels = [
        ("app".into(), format!("a{app}").into()),
        (
            "app.kubernetes.io/part-of".into(),
            format!("suite-{}", app % 3).into(),
        ),
        (
            "pod-template-hash".into(),
            format!("{:08x}", namespace * APPS + app).into(),
        ),
    ];
    let port = |name: &str, protocol, port| ContainerPort {
        name: Some(name.into()),
        protocol,
        port,
    };
    Pod {
        name: PodName {
            namespace: namespace_name(namespace),
            name: format!("a{app}-{namespace:08x}-{within:05x}").into(),
        },
        node: Some(format!("node-{}", (number / PODS + within) % nodes).into()),
        labels: Labels::from(labels),
        addresses: vec![address(number)],
        ports: Arc::new([
            port("http", Protocol::Tcp, 8080),
            port("metrics", Protocol::Tcp, 9090),
        ]),
        host_network: false,
        created: 1_700_000_000,
    }
}

/// A pod's address.
pub(crate) fn address(pod: usize) -> IpAddr {
    let offset = u32::try_from(pod).expect("fewer pods than addresses");
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + 256 + offset))
}

fn namespace_name(number: usize) -> Arc<str> {
    format!("ns-{number}").into()
}

fn namespace(number: usize) -> Namespace {
    let name = namespace_name(number);
    let labels = Labels::from([
        ("kubernetes.io/metadata.name".into(), Arc::clone(&name)),
        ("team".into(), format!("t{}", number % 20).into()),
    ]);
    Namespace { name, labels }
}

fn node(number: usize) -> Node {
    let offset = u32::try_from(number).expect("fewer nodes than addresses");
    let addresses = vec![IpAddr::V4(Ipv4Addr::from_bits(0xac10_0000 + offset))];
    Node {
        name: format!("node-{number}").into(),
        labels: Labels::new(),
        addresses,
    }
}

/// A policy: an app of a namespace takes one app and one team's gateway on a port, and reaches one app and the
/// outside.
pub(crate) fn policy(number: usize, namespaces: usize) -> NetworkPolicy {
    let (namespace, round) = (number % namespaces, number / namespaces);
    let app = |app: usize| labelled("app", &format!("a{}", app % APPS));
    let own = |pods| Peer::Pods {
        namespaces: Namespaces::Own,
        pods,
    };
    let team = Namespaces::Matching(labelled("team", &format!("t{}", round % 20)));
    let block = Peer::Block {
        cidr: "172.16.0.0/12".parse().expect("a network"),
        except: vec!["172.16.9.0/24".parse().expect("a network")],
    };
    NetworkPolicy {
        namespace: namespace_name(namespace),
        name: format!("np-{round}").into(),
        pods: app(round),
        ingress: Some(vec![
            rule(
                vec![own(app(round + 1 + round / APPS))],
                vec![tcp(8080, 8080)],
            ),
            rule(
                vec![Peer::Pods {
                    namespaces: team,
                    pods: app(0),
                }],
                vec![named("metrics")],
            ),
        ]),
        egress: Some(vec![
            rule(
                vec![own(app(round + 9 * (1 + round / APPS)))],
                vec![tcp(8080, 8090)],
            ),
            rule(vec![block], vec![tcp(443, 443), tcp(5432, 5432)]),
        ]),
    }
}

/// A cluster-scoped policy: a team's pods may not reach one app of one namespace on a port, nor be reached from it,
/// and what the app of the next namespace does is passed on.
pub(crate) fn admin_policy(number: usize, namespaces: usize) -> AdminPolicy {
    let rule = |action, namespace: usize, port| {
        let name = namespace_name(namespace % namespaces);
        let peer = PodsOf {
            namespaces: labelled("kubernetes.io/metadata.name", &name),
            pods: labelled("app", &format!("a{}", number % APPS)),
        };
        AdminRule {
            action,
            peers: AdminPeers::Of(vec![AdminPeer::Pods(peer)]),
            ports: AdminPorts::Of(vec![AdminPort::Numbered(tcp(port, port))]),
        }
    };
    let round = number / namespaces;
    let rules = || {
        vec![
            rule(AdminAction::Deny, number, 9000),
            rule(AdminAction::Pass, number + round, 9001),
        ]
    };
    AdminPolicy {
        name: AdminName {
            kind: AdminKind::ClusterNetworkPolicy,
            name: format!("cnp-{number:05}").into(),
        },
        tier: if number.is_multiple_of(2) {
            AdminTier::Admin
        } else {
            AdminTier::Baseline
        },
        priority: u16::try_from(number % 1000).expect("less than 1000"),
        subject: PodsOf {
            namespaces: labelled("team", &format!("t{}", number / 2 % 20)),
            pods: Selector::default(),
        },
        ingress: rules(),
        egress: rules(),
    }
}

/// A selector of one label.
pub(crate) fn labelled(key: &str, value: &str) -> Selector {
    Selector {
        requirements: vec![Requirement {
            key: key.into(),
            operator: Operator::In(vec![value.into()]),
        }],
    }
}

/// A rule.
pub(crate) fn rule(peers: Vec<Peer>, ports: Vec<PortMatch>) -> Rule {
    Rule {
        peers: Peers::Of(peers),
        ports: Ports::Of(ports),
    }
}

/// TCP ports.
pub(crate) fn tcp(first: u16, last: u16) -> PortMatch {
    PortMatch {
        protocol: Protocol::Tcp,
        port: Port::Range(first, last),
    }
}

fn named(name: &str) -> PortMatch {
    PortMatch {
        protocol: Protocol::Tcp,
        port: Port::Named(name.into()),
    }
}

/// A connection between two pods.
pub(crate) fn tuple(source: usize, destination: usize, port: u16) -> Tuple {
    Tuple {
        source: address(source),
        destination: address(destination),
        protocol: Protocol::Tcp,
        port,
    }
}
