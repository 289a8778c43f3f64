//! A world of manifests reduced to what is built: who has which addresses, who listens where, what a Service stands
//! for. Pure; the kernel and policies (but for the ports they name) are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sluice_kubernetes::{Service, ServicePort, World};
use sluice_policy::{Node, Pod, PodName};

use crate::{Cell, Family, Port, ServiceName, Target, ports};

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
    /// Plans a world that [`crate::complete`] has completed, with the addresses of `families` only, and with `more` ports
    /// than it names.
    pub fn new(world: &World, families: &[Family], more: &[Port]) -> Self {
        let nodes: Vec<_> = world.nodes.iter().map(NodePlan::of).collect();
        let mut pods: Vec<_> = world
            .pods
            .iter()
            .filter_map(|facts| plan_pod(&facts.pod, &nodes, families))
            .collect();
        let mut ports = ports::probed(world);
        ports.extend(more);
        ports.sort_unstable();
        ports.dedup();
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
    /// and the destination listens; then every pod to every port of every Service that it is not itself behind. (A pod
    /// that is translated to itself hears nothing, unless its node masquerades, which a lab's nodes do not.)
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
                .enumerate()
                .filter(move |(index, pod)| {
                    pod.address(family).is_some() && !port.is_backed_by(*index)
                })
                .map(move |(_, from)| Cell {
                    from: from.name.clone(),
                    to: Target::Service(service.name.clone()),
                    port: port.port,
                    family,
                })
        })
    }
}

impl ServicePortPlan {
    fn is_backed_by(&self, pod: usize) -> bool {
        self.backends.iter().any(|(backend, _)| *backend == pod)
    }
}

impl NodePlan {
    fn of(node: &Node) -> Self {
        Self {
            name: Arc::clone(&node.name),
            addresses: node.addresses.clone(),
        }
    }

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
        .filter(|port| ports::is_probed(port.protocol))
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

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    fn plan(text: &str, families: &[Family]) -> Plan {
        let loaded = sluice_kubernetes::load_text("world.yaml", text);
        assert_eq!(loaded.problems, []);
        Plan::new(&crate::complete::complete(loaded.world), families, &[])
    }

    fn pod(name: &str, spec: &str) -> String {
        let container =
            "containers: [{name: c, image: i, ports: [{name: web, containerPort: 80}]}]";
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: web}}}}\n\
             spec: {{{container}, {spec}}}\nstatus: {{podIPs: [{{ip: 192.0.2.{}}}]}}\n",
            name.len()
        )
    }

    #[test]
    fn pods_without_an_address_of_the_family_are_left_out() {
        let world = pod("a", "");
        assert_eq!(plan(&world, &BOTH).pods.len(), 1);
        assert_eq!(plan(&world, &BOTH).cells().len(), 1);
        assert!(plan(&world, &[Family::Ipv6]).pods.is_empty());
    }

    #[test]
    fn of_pods_that_share_a_namespace_the_first_has_a_port() {
        let world =
            pod("a", "hostNetwork: true") + &pod("bb", "hostNetwork: true") + &pod("ccc", "");
        let plan = plan(&world, &BOTH);
        let listening: Vec<_> = plan
            .pods
            .iter()
            .map(|pod| !pod.listens.is_empty())
            .collect();
        assert_eq!(listening, [true, false, true]);
        assert!(
            plan.nodes[0]
                .addresses
                .contains(&"192.0.2.1".parse().unwrap())
        );
        // three sources, two destinations
        assert_eq!(plan.cells().len(), 6);
    }

    #[test]
    fn a_service_is_planned_with_its_pods_own_ports() {
        let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n\
                       spec: {selector: {app: web}, ports: [{port: 8, targetPort: web}, {port: 9, name: n}]}\n";
        let service = service.replace("{port: 8,", "{name: m, port: 8,");
        let client = pod("ccc", "").replace("app: web", "app: client");
        let plan = plan(&(pod("a", "") + &pod("bb", "") + &client + &service), &BOTH);
        let planned = &plan.services[0];
        let ports: Vec<_> = planned
            .ports
            .iter()
            .map(|port| (port.port.number, port.backends.clone()))
            .collect();
        assert_eq!(
            ports,
            [(8, vec![(0, 80), (1, 80)]), (9, vec![(0, 9), (1, 9)])]
        );
        assert!(
            plan.pods[0].listens.iter().any(|port| port.number == 9),
            "the target is listened on"
        );
        assert_eq!(
            plan.service_cells().count(),
            2,
            "from the pod that is not behind it"
        );
    }
}
