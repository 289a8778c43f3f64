//! A world of manifests reduced to what is built: who has which addresses, who listens where, what a Service stands
//! for. Pure; the kernel and policies (but for the ports they name) are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sluice_kubernetes::{Service, ServicePort, World};
use sluice_policy::{Node, Pod, PodName, Ports, Protocol};

use crate::{Cell, Family, Port, ServiceName, Target};

/// What a lab is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Nodes, in order of declaration.
    pub nodes: Vec<NodePlan>,
    /// Pods that have an address of `families`, in order of declaration.
    pub pods: Vec<PodPlan>,
    /// Services that have an address of `families` and a pod behind at least one port.
    pub services: Vec<ServicePlan>,
    /// Every port that is probed, and on which every pod listens.
    pub ports: Vec<Port>,
    /// The address families in use.
    pub families: Vec<Family>,
}

/// A network namespace that forwards.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Its own addresses, of all families.
    pub addresses: Vec<IpAddr>,
}

/// A network namespace behind a node, or a pod that shares its node's.
#[derive(Clone, Debug)]
pub struct PodPlan {
    /// Its name, and the answer of its servers.
    pub name: PodName,
    /// Index into [`Plan::nodes`].
    pub node: usize,
    /// Its addresses of the families in use.
    pub addresses: Vec<IpAddr>,
    /// Whether it lives in its node's namespace.
    pub host_network: bool,
    /// Where it listens: the probed ports and the ports that Services send to it; of pods that share a namespace the
    /// first has a port.
    pub listens: BTreeSet<Port>,
}

/// A Service with its backends.
#[derive(Clone, Debug)]
pub struct ServicePlan {
    /// Its name.
    pub name: ServiceName,
    /// Cluster addresses of the families in use.
    pub addresses: Vec<IpAddr>,
    /// Ports that have a pod behind them.
    pub ports: Vec<ServicePortPlan>,
}

/// A port of a Service with its backends.
#[derive(Clone, Debug)]
pub struct ServicePortPlan {
    /// The Service's own port.
    pub port: Port,
    /// Index into [`Plan::pods`], and that pod's port.
    pub backends: Vec<(usize, u16)>,
}

impl Plan {
    /// Plans `world` with the addresses of `families` only.
    pub fn new(world: &World, families: &[Family]) -> Self {
        let nodes: Vec<_> = world
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| plan_node(index, node, world))
            .collect();
        let mut pods: Vec<_> = world
            .pods
            .iter()
            .filter_map(|facts| plan_pod(&facts.pod, &nodes, families))
            .collect();
        let ports = probed_ports(world);
        let services: Vec<_> = world
            .services
            .iter()
            .filter_map(|service| plan_service(service, world, &pods, families))
            .collect();
        assign_listeners(&mut pods, &ports, &services);
        Self {
            nodes,
            pods,
            services,
            ports,
            families: families.to_vec(),
        }
    }

    /// The index of a pod.
    pub fn pod(&self, name: &PodName) -> Option<usize> {
        index_of(&self.pods, name)
    }

    /// A Service's plan.
    pub fn service(&self, name: &ServiceName) -> Option<&ServicePlan> {
        self.services.iter().find(|service| service.name == *name)
    }

    /// Every ordered pair of pods, the diagonal included, on every port of every family, where both have an address
    /// and the destination listens; then every pod to every port of every Service.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for (family, port) in self
            .families
            .iter()
            .flat_map(|f| self.ports.iter().map(move |p| (*f, *p)))
        {
            for from in self.pods.iter().filter(|pod| pod.address(family).is_some()) {
                let listening =
                    |pod: &&PodPlan| pod.address(family).is_some() && pod.listens.contains(&port);
                cells.extend(self.pods.iter().filter(listening).map(|to| Cell {
                    from: from.name.clone(),
                    to: Target::Pod(to.name.clone()),
                    port,
                    family,
                }));
            }
        }
        cells.extend(self.service_cells());
        cells
    }

    fn service_cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let ports = self.services.iter().flat_map(|service| {
            service
                .ports
                .iter()
                .flat_map(move |port| service.addresses.iter().map(move |a| (service, port, *a)))
        });
        ports.flat_map(|(service, port, address)| {
            let family = Family::of(address);
            self.pods
                .iter()
                .filter(move |pod| pod.address(family).is_some())
                .map(move |from| Cell {
                    from: from.name.clone(),
                    to: Target::Service(service.name.clone()),
                    port: port.port,
                    family,
                })
        })
    }
}

impl NodePlan {
    /// Its address of a family, if it has one.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        address_of(&self.addresses, family)
    }
}

impl PodPlan {
    /// Its address of a family, if it has one.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        address_of(&self.addresses, family)
    }
}

impl ServicePlan {
    /// Its cluster address of a family, if it has one.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        address_of(&self.addresses, family)
    }

    /// The pods behind a port.
    pub fn backends(&self, port: Port) -> &[(usize, u16)] {
        self.ports
            .iter()
            .find(|plan| plan.port == port)
            .map_or(&[], |plan| plan.backends.as_slice())
    }
}

fn address_of(addresses: &[IpAddr], family: Family) -> Option<IpAddr> {
    addresses
        .iter()
        .copied()
        .find(|address| Family::of(*address) == family)
}

fn of_families(addresses: &[IpAddr], families: &[Family]) -> Vec<IpAddr> {
    addresses
        .iter()
        .copied()
        .filter(|address| families.contains(&Family::of(*address)))
        .collect()
}

/// A node has the addresses that it declares and those of its `hostNetwork` pods, and for its own packets in any case
/// one of each family, from 172.30.0.0/16 and `fd00:172:30::/64`.
fn plan_node(index: usize, node: &Node, world: &World) -> NodePlan {
    let lives_here = |pod: &&Pod| pod.host_network && pod.node.as_ref() == Some(&node.name);
    let pods = world.pods.iter().map(|facts| &facts.pod).filter(lives_here);
    let mut addresses = node.addresses.clone();
    addresses.extend(pods.flat_map(|pod| &pod.addresses).copied());
    let number = u16::try_from(index + 1).unwrap_or(u16::MAX);
    let [high, low] = number.to_be_bytes();
    for spare in [
        IpAddr::from(Ipv4Addr::new(172, 30, high, low)),
        IpAddr::from(Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, number)),
    ] {
        if address_of(&addresses, Family::of(spare)).is_none() {
            addresses.push(spare);
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    NodePlan {
        name: Arc::clone(&node.name),
        addresses,
    }
}

fn plan_pod(pod: &Pod, nodes: &[NodePlan], families: &[Family]) -> Option<PodPlan> {
    let node = nodes
        .iter()
        .position(|node| Some(&node.name) == pod.node.as_ref())?;
    let addresses = of_families(&pod.addresses, families);
    (!addresses.is_empty()).then(|| PodPlan {
        name: pod.name.clone(),
        node,
        addresses,
        host_network: pod.host_network,
        listens: BTreeSet::new(),
    })
}

/// Every port that a container declares, and every one that a policy gives a number of.
fn probed_ports(world: &World) -> Vec<Port> {
    let declared = world
        .pods
        .iter()
        .flat_map(|facts| &facts.pod.ports)
        .map(|port| Port {
            number: port.port,
            protocol: port.protocol,
        });
    let rules = world.policies.iter().flat_map(|policy| {
        policy
            .ingress
            .iter()
            .flatten()
            .chain(policy.egress.iter().flatten())
    });
    let named = rules
        .filter_map(|rule| match &rule.ports {
            Ports::Any => None,
            Ports::Of(ports) => Some(ports),
        })
        .flatten()
        .filter_map(|port| match port.port {
            sluice_policy::Port::Range(first, _) => Some(Port {
                number: first,
                protocol: port.protocol,
            }),
            sluice_policy::Port::Any | sluice_policy::Port::Named(_) => None,
        });
    let ports: BTreeSet<_> = declared
        .chain(named)
        .filter(|port| is_probed(port.protocol))
        .collect();
    ports.into_iter().collect()
}

fn is_probed(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp)
}

fn plan_service(
    service: &Service,
    world: &World,
    pods: &[PodPlan],
    families: &[Family],
) -> Option<ServicePlan> {
    let addresses = of_families(&service.addresses, families);
    let endpoints = world.endpoints(service);
    let behind = |port: &ServicePort| ServicePortPlan {
        port: Port {
            number: port.port,
            protocol: port.protocol,
        },
        backends: endpoints
            .iter()
            .filter_map(|pod| Some((index_of(pods, &pod.name)?, port.target_on(pod)?)))
            .collect(),
    };
    let ports: Vec<_> = service
        .ports
        .iter()
        .filter(|port| is_probed(port.protocol))
        .map(behind)
        .filter(|port| !port.backends.is_empty())
        .collect();
    let name = ServiceName {
        namespace: Arc::clone(&service.namespace),
        name: Arc::clone(&service.name),
    };
    (!addresses.is_empty() && !ports.is_empty()).then_some(ServicePlan {
        name,
        addresses,
        ports,
    })
}

fn index_of(pods: &[PodPlan], name: &PodName) -> Option<usize> {
    pods.iter().position(|pod| pod.name == *name)
}

fn assign_listeners(pods: &mut [PodPlan], ports: &[Port], services: &[ServicePlan]) {
    let mut targets: BTreeMap<usize, BTreeSet<Port>> = BTreeMap::new();
    for port in services.iter().flat_map(|service| &service.ports) {
        for (pod, number) in &port.backends {
            let target = Port {
                number: *number,
                protocol: port.port.protocol,
            };
            targets.entry(*pod).or_default().insert(target);
        }
    }
    let mut taken: BTreeSet<(usize, Port)> = BTreeSet::new();
    for (index, pod) in pods.iter_mut().enumerate() {
        let wanted = ports
            .iter()
            .copied()
            .chain(targets.remove(&index).unwrap_or_default());
        let node = pod.node;
        pod.listens = if pod.host_network {
            wanted.filter(|port| taken.insert((node, *port))).collect()
        } else {
            wanted.collect()
        };
    }
}
