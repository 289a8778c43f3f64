//! The specification, transcribed from the API's text onto the object values, with nothing prepared: every
//! verdict walks all objects. Slow, and independent of the index.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sluice_policy::{
    Action, AdminAction, AdminName, AdminPeer, AdminPeers, AdminPolicy, AdminPort, AdminPorts,
    AdminRule, AdminTier, ContainerPort, Direction, Event, Isolation, Labels, Namespace,
    Namespaces, NetworkPolicy, Node, Operator, Peer, Peers, Pod, PodName, PodsOf, Port, PortMatch,
    Ports, Protocol, Rule, Scope, Selector, Tier, Tuple,
};

/// All objects, as the last event about each left them.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) pods: BTreeMap<PodName, Pod>,
    pub(crate) namespaces: BTreeMap<Arc<str>, Namespace>,
    pub(crate) nodes: BTreeMap<Arc<str>, Node>,
    pub(crate) policies: BTreeMap<(Arc<str>, Arc<str>), NetworkPolicy>,
    pub(crate) admin: BTreeMap<AdminName, AdminPolicy>,
}

/// An outcome by value: action, tier, policy as text, rule.
pub(crate) type Outcome = (Action, Tier, Option<String>, Option<u32>);

const DEFAULT: Outcome = (Action::Allow, Tier::Default, None, None);
const EXEMPT: Outcome = (Action::Allow, Tier::Exempt, None, None);

impl World {
    pub(crate) fn of(events: impl IntoIterator<Item = Event>) -> Self {
        let mut world = Self::default();
        events.into_iter().for_each(|event| world.take(event));
        world
    }

    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Pod(pod) => drop(self.pods.insert(pod.name.clone(), pod)),
            Event::PodGone(name) => drop(self.pods.remove(&name)),
            Event::Namespace(namespace) => drop(
                self.namespaces
                    .insert(Arc::clone(&namespace.name), namespace),
            ),
            Event::NamespaceGone(name) => drop(self.namespaces.remove(&name)),
            Event::Node(node) => drop(self.nodes.insert(Arc::clone(&node.name), node)),
            Event::NodeGone(name) => drop(self.nodes.remove(&name)),
            Event::NetworkPolicy(policy) => {
                drop(self.policies.insert(
                    (Arc::clone(&policy.namespace), Arc::clone(&policy.name)),
                    policy,
                ));
            }
            Event::NetworkPolicyGone(namespace, name) => {
                drop(self.policies.remove(&(namespace, name)));
            }
            Event::AdminPolicy(policy) => drop(self.admin.insert(policy.name.clone(), policy)),
            Event::AdminPolicyGone(name) => drop(self.admin.remove(&name)),
        }
    }

    /// The objects as events.
    pub(crate) fn events(&self) -> Vec<Event> {
        let pods = self.pods.values().cloned().map(Event::Pod);
        let namespaces = self.namespaces.values().cloned().map(Event::Namespace);
        let nodes = self.nodes.values().cloned().map(Event::Node);
        let policies = self.policies.values().cloned().map(Event::NetworkPolicy);
        let admin = self.admin.values().cloned().map(Event::AdminPolicy);
        pods.chain(namespaces)
            .chain(nodes)
            .chain(policies)
            .chain(admin)
            .collect()
    }

    /// The pod that has an address: of several the youngest, then the last by name; host-network pods have none.
    pub(crate) fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        let address = address.to_canonical();
        let has = |pod: &&Pod| {
            !pod.host_network && pod.addresses.iter().any(|a| a.to_canonical() == address)
        };
        self.pods
            .values()
            .filter(has)
            .max_by_key(|pod| (pod.created, &pod.name))
    }

    pub(crate) fn subject_at(&self, scope: &Scope, address: IpAddr) -> Option<&Pod> {
        self.pod_at(address).filter(|pod| match scope {
            Scope::Cluster => true,
            Scope::Node(node) => pod.node.as_ref() == Some(node),
        })
    }

    /// In which directions something can be denied to a pod, as far as policies' texts tell: one that denies only what
    /// an earlier rule allows is among them.
    pub(crate) fn can_deny(&self, scope: &Scope, address: IpAddr) -> Option<Isolation> {
        let pod = self.subject_at(scope, address)?;
        let can_deny = |direction| {
            let tiers = [AdminTier::Admin, AdminTier::Baseline];
            let mut rules = tiers
                .iter()
                .flat_map(|tier| self.admin_rules(*tier, pod, direction));
            self.rules_of(pod, direction).next().is_some()
                || rules.any(|(_, _, rule)| rule.action == AdminAction::Deny)
        };
        Some(Isolation {
            ingress: can_deny(Direction::Ingress),
            egress: can_deny(Direction::Egress),
        })
    }

    pub(crate) fn decide(&self, scope: &Scope, tuple: &Tuple, direction: Direction) -> Outcome {
        let (own, other) = match direction {
            Direction::Ingress => (tuple.destination, tuple.source),
            Direction::Egress => (tuple.source, tuple.destination),
        };
        let Some(subject) = self.subject_at(scope, own) else {
            return DEFAULT;
        };
        if self
            .pod_at(other)
            .is_some_and(|peer| peer.name == subject.name)
        {
            return EXEMPT;
        }
        if direction == Direction::Ingress && self.is_own_node(subject, other) {
            return EXEMPT;
        }
        let admin = |tier| self.ask_admin(tier, subject, direction, tuple);
        admin(AdminTier::Admin)
            .or_else(|| self.ask_network(subject, direction, tuple))
            .or_else(|| admin(AdminTier::Baseline))
            .unwrap_or(DEFAULT)
    }

    fn ask_network(&self, subject: &Pod, direction: Direction, tuple: &Tuple) -> Option<Outcome> {
        let other = other_end(tuple, direction);
        let mut first = None;
        for (policy, rules) in self.rules_of(subject, direction) {
            let id = format!("{}/{}", policy.namespace, policy.name);
            for (index, rule) in (0..).zip(rules) {
                if self.rule_matches(policy, rule, other, tuple) {
                    let id = Some(id);
                    return Some((Action::Allow, Tier::NetworkPolicy, id, Some(index)));
                }
            }
            first = first.or(Some(id));
        }
        first.map(|id| (Action::Deny, Tier::NetworkPolicy, Some(id), None))
    }

    /// The first matching rule of a tier, unless it passes.
    fn ask_admin(
        &self,
        tier: AdminTier,
        subject: &Pod,
        direction: Direction,
        tuple: &Tuple,
    ) -> Option<Outcome> {
        let rules = self.admin_rules(tier, subject, direction);
        let other = other_end(tuple, direction);
        let (name, index, rule) = rules
            .into_iter()
            .find(|(_, _, rule)| self.admin_rule_matches(rule, other, tuple))?;
        let action = match rule.action {
            AdminAction::Allow => Action::Allow,
            AdminAction::Deny => Action::Deny,
            AdminAction::Pass => return None,
        };
        let tier = match tier {
            AdminTier::Admin => Tier::Admin,
            AdminTier::Baseline => Tier::Baseline,
        };
        Some((action, tier, Some(name.to_string()), Some(index)))
    }

    /// The admin policies that select a pod.
    pub(crate) fn admin_of(&self, pod: &Pod) -> Vec<&AdminPolicy> {
        let policies = self.admin.values();
        policies
            .filter(|policy| self.is_of(&policy.subject, pod))
            .collect()
    }

    /// The rules of a tier for a pod in the order in which they are asked.
    fn admin_rules(
        &self,
        tier: AdminTier,
        pod: &Pod,
        direction: Direction,
    ) -> Vec<(&AdminName, u32, &AdminRule)> {
        let mut policies = self.admin_of(pod);
        policies.retain(|policy| policy.tier == tier);
        policies.sort_by_key(|policy| (policy.priority, &policy.name.name, policy.name.kind));
        let rules = policies.into_iter().flat_map(|policy| {
            let rules = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            (0..)
                .zip(rules)
                .map(|(index, rule)| (&policy.name, index, rule))
        });
        rules.collect()
    }

    fn admin_rule_matches(&self, rule: &AdminRule, peer: IpAddr, tuple: &Tuple) -> bool {
        let peers = match &rule.peers {
            AdminPeers::Any => true,
            AdminPeers::Of(peers) => peers.iter().any(|entry| match entry {
                AdminPeer::Pods(pods) => self.pod_at(peer).is_some_and(|pod| self.is_of(pods, pod)),
                AdminPeer::Nodes(nodes) => self
                    .nodes
                    .values()
                    .any(|node| selects(nodes, &node.labels) && has(&node.addresses, peer)),
                AdminPeer::Networks(networks) => networks.iter().any(|net| covers(net, peer)),
            }),
        };
        let destination = self.pod_at(tuple.destination);
        let declared = destination.map_or(&[][..], |pod| &pod.ports);
        let ports = match &rule.ports {
            AdminPorts::Any => true,
            AdminPorts::Of(ports) => ports.iter().any(|port| match port {
                AdminPort::Numbered(port) => port_matches(port, declared, tuple),
                AdminPort::Named(name) => declared.iter().any(|declared| {
                    declared.name.as_ref() == Some(name)
                        && (declared.protocol, declared.port) == (tuple.protocol, tuple.port)
                }),
            }),
        };
        peers && ports
    }

    fn is_of(&self, pods: &PodsOf, pod: &Pod) -> bool {
        selects(&pods.namespaces, &self.labels_of(&pod.name.namespace))
            && selects(&pods.pods, &pod.labels)
    }

    /// The policies that isolate a pod in a direction, by name, and their rules.
    fn rules_of(
        &self,
        pod: &Pod,
        direction: Direction,
    ) -> impl Iterator<Item = (&NetworkPolicy, &[Rule])> {
        self.policies.values().filter_map(move |policy| {
            let rules = match direction {
                Direction::Ingress => policy.ingress.as_deref()?,
                Direction::Egress => policy.egress.as_deref()?,
            };
            let selected =
                policy.namespace == pod.name.namespace && selects(&policy.pods, &pod.labels);
            selected.then_some((policy, rules))
        })
    }

    fn is_own_node(&self, pod: &Pod, address: IpAddr) -> bool {
        let node = pod.node.as_ref().and_then(|node| self.nodes.get(node));
        node.is_some_and(|node| has(&node.addresses, address))
    }

    fn rule_matches(
        &self,
        policy: &NetworkPolicy,
        rule: &Rule,
        peer: IpAddr,
        tuple: &Tuple,
    ) -> bool {
        let peers = match &rule.peers {
            Peers::Any => true,
            Peers::Of(peers) => peers
                .iter()
                .any(|entry| self.peer_matches(policy, entry, peer)),
        };
        let destination = self.pod_at(tuple.destination);
        let declared = destination.map_or(&[][..], |pod| &pod.ports);
        let ports = match &rule.ports {
            Ports::Any => true,
            Ports::Of(ports) => ports.iter().any(|port| port_matches(port, declared, tuple)),
        };
        peers && ports
    }

    fn peer_matches(&self, policy: &NetworkPolicy, entry: &Peer, address: IpAddr) -> bool {
        match entry {
            Peer::Pods { namespaces, pods } => self.pod_at(address).is_some_and(|pod| {
                let namespace = &pod.name.namespace;
                let in_namespace = match namespaces {
                    Namespaces::Own => *namespace == policy.namespace,
                    Namespaces::Matching(selector) => selects(selector, &self.labels_of(namespace)),
                };
                in_namespace && selects(pods, &pod.labels)
            }),
            Peer::Block { cidr, except } => {
                covers(cidr, address) && !except.iter().any(|part| covers(part, address))
            }
        }
    }

    fn labels_of(&self, namespace: &Arc<str>) -> Labels {
        let by_name =
            || Labels::from([("kubernetes.io/metadata.name".into(), Arc::clone(namespace))]);
        self.namespaces
            .get(namespace)
            .map_or_else(by_name, |declared| declared.labels.clone())
    }
}

fn other_end(tuple: &Tuple, direction: Direction) -> IpAddr {
    match direction {
        Direction::Ingress => tuple.source,
        Direction::Egress => tuple.destination,
    }
}

fn has(addresses: &[IpAddr], address: IpAddr) -> bool {
    let mut addresses = addresses.iter().map(IpAddr::to_canonical);
    addresses.any(|other| other == address.to_canonical())
}

fn selects(selector: &Selector, labels: &Labels) -> bool {
    selector.requirements.iter().all(|requirement| {
        let value = labels.get(&requirement.key);
        match &requirement.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    })
}

fn covers(net: &IpNet, address: IpAddr) -> bool {
    match (net, address.to_canonical()) {
        (IpNet::V4(net), IpAddr::V4(address)) => net.contains(&address),
        (IpNet::V6(net), IpAddr::V6(address)) => net.contains(&address),
        // A network of IPv4-mapped addresses is the IPv4 network.
        (IpNet::V6(net), IpAddr::V4(address)) => {
            net.network().to_ipv4_mapped().is_some()
                && net.prefix_len() >= 96
                && net.contains(&address.to_ipv6_mapped())
        }
        (IpNet::V4(_), IpAddr::V6(_)) => false,
    }
}

fn port_matches(port: &PortMatch, declared: &[ContainerPort], tuple: &Tuple) -> bool {
    if matches!(tuple.protocol, Protocol::Other(_)) || port.protocol != tuple.protocol {
        return false;
    }
    match &port.port {
        Port::Any => true,
        Port::Range(first, last) => (*first..=*last).contains(&tuple.port),
        Port::Named(name) => declared.iter().any(|declared| {
            declared.name.as_ref() == Some(name)
                && declared.protocol == port.protocol
                && declared.port == tuple.port
        }),
    }
}
