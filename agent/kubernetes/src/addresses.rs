//! Who has which address: given ones as they are, the others in order of declaration, so that a world is the same
//! every time it is read, and stays the same for those already there when a pod is added at its end.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sluice_policy::{Pod, PodName};

use crate::assemble::Placed;
use crate::object::{Content, Object};
use crate::problem::Problem;
use crate::service::{Addresses, ServiceDraft};
use crate::world::{PodFacts, Service, World};

/// Gives pods and Services their addresses, and puts them into the world.
pub(crate) fn assign(
    pods: &[Placed<'_>],
    objects: &[&Object],
    world: &mut World,
    problems: &mut Vec<Problem>,
) {
    let taken = taken(pods, objects, world);
    let mut pools = Pools {
        ipv4: Pool::new(&taken, |number| {
            IpAddr::V4(Ipv4Addr::from(0x0af4_0000 | number))
        }),
        ipv6: Pool::new(&taken, |number| ipv6(0x0244, number)),
        empty: false,
    };
    let node_addresses: HashMap<&str, &[IpAddr]> = world
        .nodes
        .iter()
        .map(|node| (&*node.name, node.addresses.as_slice()))
        .collect();
    let mut owners = HashMap::new();
    for placed in pods {
        let of_node = node_addresses
            .get(&*placed.node)
            .copied()
            .unwrap_or_default();
        let addresses = pod_addresses(placed, of_node, &mut pools, problems);
        if !placed.draft.host_network {
            claim(placed, &addresses, &mut owners, problems);
        }
        world.pods.push(facts(placed, addresses));
    }
    assign_services(objects, &taken, world, problems);
}

/// Addresses that somebody has by declaration.
fn taken(pods: &[Placed<'_>], objects: &[&Object], world: &World) -> HashSet<IpAddr> {
    let of_pods = pods.iter().flat_map(|placed| &placed.draft.addresses);
    let of_nodes = world.nodes.iter().flat_map(|node| &node.addresses);
    let of_services = objects.iter().filter_map(|object| match &object.content {
        Content::Service(draft) => match &draft.addresses {
            Addresses::Given(given) => Some(given),
            Addresses::Assigned { .. } => None,
        },
        _ => None,
    });
    of_pods
        .chain(of_nodes)
        .chain(of_services.flatten())
        .copied()
        .collect()
}

fn pod_addresses(
    placed: &Placed<'_>,
    of_node: &[IpAddr],
    pools: &mut Pools<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<IpAddr> {
    let draft = placed.draft;
    if draft.host_network {
        let addresses = if of_node.is_empty() {
            &draft.addresses
        } else {
            of_node
        };
        return if draft.ended {
            Vec::new()
        } else {
            addresses.to_vec()
        };
    }
    if draft.has_addresses {
        return if draft.ended {
            Vec::new()
        } else {
            draft.addresses.clone()
        };
    }
    // A pod that has ended keeps its number, so that its end moves nobody else.
    let assigned = [pools.ipv4.next(), pools.ipv6.next()];
    if assigned.contains(&None) && !std::mem::replace(&mut pools.empty, true) {
        let message = format!("no addresses are left from pod {} on", placed.name);
        problems.push(placed.object.problem(None, message));
    }
    if draft.ended {
        Vec::new()
    } else {
        assigned.into_iter().flatten().collect()
    }
}

/// Notes whose an address is; two pods cannot have one.
fn claim<'p>(
    placed: &'p Placed<'_>,
    addresses: &[IpAddr],
    owners: &mut HashMap<IpAddr, &'p PodName>,
    problems: &mut Vec<Problem>,
) {
    for address in addresses {
        if let Some(other) = owners.insert(*address, &placed.name) {
            let message = format!(
                "pods {other} and {} both have address {address}",
                placed.name
            );
            problems.push(placed.object.problem(Some("status.podIPs"), message));
        }
    }
}

fn facts(placed: &Placed<'_>, addresses: Vec<IpAddr>) -> PodFacts {
    let draft = placed.draft;
    PodFacts {
        pod: Pod {
            name: placed.name.clone(),
            node: Some(Arc::clone(&placed.node)),
            labels: draft.labels.clone(),
            addresses,
            ports: draft.ports.as_slice().into(),
            host_network: draft.host_network,
            created: draft.created,
        },
        ended: draft.ended,
    }
}

fn assign_services(
    objects: &[&Object],
    taken: &HashSet<IpAddr>,
    world: &mut World,
    problems: &mut Vec<Problem>,
) {
    let mut pools = Pools {
        ipv4: Pool::new(taken, |number| {
            IpAddr::V4(Ipv4Addr::from(0x0a60_0000 | number))
        }),
        ipv6: Pool::new(taken, |number| ipv6(0x0096, number)),
        empty: false,
    };
    for object in objects {
        let Content::Service(draft) = &object.content else {
            continue;
        };
        let addresses = match &draft.addresses {
            Addresses::Given(given) => given.clone(),
            Addresses::Assigned { ipv4, ipv6 } => {
                let ipv4 = ipv4.then(|| pools.ipv4.next());
                let assigned = [ipv4, ipv6.then(|| pools.ipv6.next())];
                if assigned.contains(&Some(None)) && !std::mem::replace(&mut pools.empty, true) {
                    problems.push(object.problem(
                        None,
                        "no addresses are left from this Service on".to_owned(),
                    ));
                }
                assigned.into_iter().flatten().flatten().collect()
            }
        };
        world.services.push(translated(object, draft, addresses));
    }
}

fn translated(object: &Object, draft: &ServiceDraft, addresses: Vec<IpAddr>) -> Service {
    Service {
        namespace: Arc::clone(&object.namespace),
        name: Arc::clone(&object.name),
        addresses,
        selector: draft.selector.clone(),
        ports: draft.ports.clone(),
    }
}

/// `fd00:10:NET::NUMBER`.
fn ipv6(net: u16, number: u32) -> IpAddr {
    let prefix = Ipv6Addr::new(0xfd00, 0x10, net, 0, 0, 0, 0, 0);
    IpAddr::V6(Ipv6Addr::from_bits(prefix.to_bits() | u128::from(number)))
}

/// One pool per family; they count on their own.
struct Pools<'t> {
    ipv4: Pool<'t>,
    ipv6: Pool<'t>,
    /// Whether one ran empty, which is said once.
    empty: bool,
}

/// Addresses by number, without those that are taken.
struct Pool<'t> {
    taken: &'t HashSet<IpAddr>,
    address: fn(u32) -> IpAddr,
    last: u32,
}

impl<'t> Pool<'t> {
    /// The last number of an IPv4 pool: the one after is its broadcast address. IPv6 pools are made to be as large.
    const LAST: u32 = 0xfffe;

    fn new(taken: &'t HashSet<IpAddr>, address: fn(u32) -> IpAddr) -> Self {
        Self {
            taken,
            address,
            last: 0,
        }
    }

    fn next(&mut self) -> Option<IpAddr> {
        while self.last < Self::LAST {
            self.last += 1;
            let address = (self.address)(self.last);
            if !self.taken.contains(&address) {
                return Some(address);
            }
        }
        None
    }
}
