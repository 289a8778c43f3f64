//! The network of a plan: a namespace per node and pod, links, addresses and routes. Policies, servers and agents are
//! not known here.
//!
//! As with a routing CNI, a pod has one link to its node, its own addresses alone, and a default route; a node has a
//! route per pod. Nodes meet on a bridge in a namespace of its own, and have a route per pod of the other nodes.
//! Namespaces have no names: they end with the last descriptor, process and socket in them, so nothing can be left.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result};
use sluice_netlink::{Netns, Route, Rtnetlink, VethEnd};

use crate::plan::{NodePlan, Plan, PodPlan};
use crate::{Family, dnat, usable};

/// The next hop of every pod. The node answers for it on all its links; as a link-local address it can be no peer.
const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
/// A pod's link, in the pod.
const POD_LINK: &str = "eth0";
/// A node's link to the other nodes.
const NODE_LINK: &str = "wire0";
/// What joins them.
const BRIDGE: &str = "bridge0";

/// Settings of a node: it forwards, and takes packets from wherever they come.
const NODE_SYSCTLS: [(&str, &str); 7] = [
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
];
/// Settings of a pod: addresses are usable at once.
const POD_SYSCTLS: [(&str, &str); 3] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
];

/// The namespaces of a plan, up and connected.
pub(crate) struct Topology {
    nodes: Vec<Netns>,
    /// `None` where a pod shares its node's.
    pods: Vec<Option<Netns>>,
    /// Holds the bridge.
    wire: Option<Netns>,
}

impl Topology {
    /// Builds `plan`.
    pub(crate) fn build(plan: &Plan) -> Result<Self> {
        let nodes = plan
            .nodes
            .iter()
            .map(|_| namespace(&NODE_SYSCTLS))
            .collect::<Result<Vec<_>>>()?;
        let pods = plan
            .pods
            .iter()
            .map(|pod| {
                (!pod.host_network)
                    .then(|| namespace(&POD_SYSCTLS))
                    .transpose()
            })
            .collect::<Result<Vec<_>>>()?;
        let wire = if nodes.len() > 1 {
            Some(connect_nodes(&nodes)?)
        } else {
            None
        };
        let topology = Self { nodes, pods, wire };
        for (index, node) in plan.nodes.iter().enumerate() {
            let build = || {
                topology
                    .build_node(plan, index)
                    .with_context(|| format!("node {}", node.name))
            };
            topology.nodes[index].enter(build)??;
        }
        for (pod, netns) in plan.pods.iter().zip(&topology.pods) {
            if let Some(netns) = netns {
                netns.enter(|| build_pod(pod).with_context(|| format!("pod {}", pod.name)))??;
            }
        }
        topology.activate(plan)?;
        Ok(topology)
    }

    /// Takes a pod's link away and makes another one like it, as when a pod is made anew. Not for pods on their node's
    /// network.
    ///
    /// Packets find their way to it last: a neighbour that is looked for before it answers is looked for again only a
    /// second later.
    pub(crate) fn replug(&self, plan: &Plan, index: usize) -> Result<()> {
        let pod = &plan.pods[index];
        let netns = self.pods[index].as_ref().context("a pod without a link")?;
        let node = &self.nodes[pod.node];
        let link = node_end(index);
        let connect = || -> Result<()> {
            let mut netlink = Rtnetlink::open()?;
            netlink.delete(&link)?;
            connect_pod(&mut netlink, &link, netns)
        };
        node.enter(connect)??;
        netns.enter(|| build_pod(pod))??;
        self.activate(plan)?;
        let route = || route_to_pod(&mut Rtnetlink::open()?, &plan.nodes[pod.node], &link, pod);
        node.enter(route)?
    }

    /// Waits until packets of the near ends of links, whose far ends came up after them, and of all addresses get through.
    fn activate(&self, plan: &Plan) -> Result<()> {
        let ask = |links: Vec<String>| links.iter().try_for_each(|link| usable::link(link));
        for (index, node) in self.nodes.iter().enumerate() {
            let is_own = |pod: &usize| plan.pods[*pod].node == index && self.pods[*pod].is_some();
            let pods = (0..plan.pods.len()).filter(is_own).map(node_end);
            let wire = self.wire.is_some().then(|| NODE_LINK.to_owned());
            node.enter(|| ask(pods.chain(wire).collect()))??;
        }
        for netns in self.nodes.iter().chain(self.pods.iter().flatten()) {
            netns.enter(usable::addresses)??;
        }
        let Some(wire) = &self.wire else {
            return Ok(());
        };
        let ports = (0..self.nodes.len()).map(bridge_port);
        wire.enter(|| ask(ports.chain([BRIDGE.to_owned()]).collect()))?
    }

    /// The namespace of a node.
    pub(crate) fn node(&self, index: usize) -> &Netns {
        &self.nodes[index]
    }

    /// The namespace that a pod lives in.
    pub(crate) fn pod(&self, plan: &Plan, index: usize) -> &Netns {
        self.pods[index]
            .as_ref()
            .unwrap_or(&self.nodes[plan.pods[index].node])
    }

    /// In the node's namespace: its addresses, a link and a route per pod, the way to other nodes' pods, Services.
    fn build_node(&self, plan: &Plan, index: usize) -> Result<()> {
        let node = &plan.nodes[index];
        let mut netlink = Rtnetlink::open()?;
        for address in &node.addresses {
            netlink.add_address("lo", *address, host_prefix(*address))?;
        }
        netlink.add_address("lo", GATEWAY_V4, host_prefix(GATEWAY_V4))?;
        let own = || {
            plan.pods
                .iter()
                .enumerate()
                .filter(|(_, pod)| pod.node == index)
        };
        for (number, pod) in own() {
            if let Some(netns) = &self.pods[number] {
                let link = node_end(number);
                connect_pod(&mut netlink, &link, netns)?;
                route_to_pod(&mut netlink, node, &link, pod)?;
            }
        }
        if own().any(|(_, pod)| pod.host_network) {
            route_services(&mut netlink, node, plan)?;
        }
        if plan.nodes.len() > 1 {
            route_to_others(&mut netlink, plan, index)?;
        }
        dnat::install(plan)
    }
}

/// The link to a pod, in its node's namespace.
pub(crate) fn node_end(pod: usize) -> String {
    format!("pod{pod}")
}

/// The bridge's link to a node.
fn bridge_port(node: usize) -> String {
    format!("node{node}")
}

fn namespace(sysctls: &[(&str, &str)]) -> Result<Netns> {
    let netns = Netns::new()?;
    let write = || -> Result<()> {
        for (key, value) in sysctls {
            let path = format!("/proc/sys/net/{key}");
            std::fs::write(&path, value).with_context(|| path)?;
        }
        Ok(())
    };
    netns.enter(write)??;
    // An answer that a busy machine gives late is no loss; kernels before 6.11 cannot be told. Sockets have it from their
    // beginning.
    let _older_kernel = netns.set_sysctl("ipv4/tcp_rto_min_us", "1500000");
    Ok(netns)
}

/// A bridge in its own namespace, with a link to each node.
fn connect_nodes(nodes: &[Netns]) -> Result<Netns> {
    let wire = Netns::new()?;
    let build = || -> Result<()> {
        let mut netlink = Rtnetlink::open()?;
        netlink.create_bridge(BRIDGE)?;
        netlink.set_up(BRIDGE)?;
        for (index, node) in nodes.iter().enumerate() {
            let link = bridge_port(index);
            let far = VethEnd {
                name: NODE_LINK,
                netns: Some(node.as_fd()),
            };
            netlink.create_veth(
                VethEnd {
                    name: &link,
                    netns: None,
                },
                far,
            )?;
            netlink.set_master(&link, BRIDGE)?;
            netlink.set_up(&link)?;
        }
        Ok(())
    };
    wire.enter(build)?.context("connect the nodes")?;
    Ok(wire)
}

/// The prefix length of a single address.
fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// In the node's namespace: the link `name` to a pod.
fn connect_pod(netlink: &mut Rtnetlink, name: &str, netns: &Netns) -> Result<()> {
    let far = VethEnd {
        name: POD_LINK,
        netns: Some(netns.as_fd()),
    };
    netlink.create_veth(VethEnd { name, netns: None }, far)?;
    netlink.add_address(name, GATEWAY_V6, 64)?;
    Ok(netlink.set_up(name)?)
}

/// In the node's namespace: the pod's addresses behind the link `name`.
fn route_to_pod(netlink: &mut Rtnetlink, node: &NodePlan, name: &str, pod: &PodPlan) -> Result<()> {
    let hop = Hop {
        device: netlink.index(name)?,
        gateway: None,
    };
    pod.addresses
        .iter()
        .try_for_each(|address| route(netlink, node, *address, hop))
}

/// The node's own packets to a Service need some route before they are translated.
fn route_services(netlink: &mut Rtnetlink, node: &NodePlan, plan: &Plan) -> Result<()> {
    let hop = Hop {
        device: netlink.index("lo")?,
        gateway: None,
    };
    let mut addresses = plan.services.iter().flat_map(|service| &service.addresses);
    addresses.try_for_each(|address| route(netlink, node, *address, hop))
}

/// Where a route leads.
#[derive(Clone, Copy)]
struct Hop {
    device: u32,
    gateway: Option<IpAddr>,
}

/// A host route, on which the node's own packets carry the node's own address.
fn route(netlink: &mut Rtnetlink, node: &NodePlan, to: IpAddr, hop: Hop) -> Result<()> {
    let family = Family::of(to);
    netlink.add_route(&Route {
        destination: Some((to, host_prefix(to))),
        gateway: hop.gateway,
        device: Some(hop.device),
        source: node.address(family),
        onlink: hop.gateway.is_some(),
    })?;
    Ok(())
}

fn route_to_others(netlink: &mut Rtnetlink, plan: &Plan, index: usize) -> Result<()> {
    let node = &plan.nodes[index];
    netlink.add_address(NODE_LINK, link_local_v6(index), 64)?;
    netlink.add_address(NODE_LINK, link_local_v4(index), 32)?;
    netlink.set_up(NODE_LINK)?;
    let device = netlink.index(NODE_LINK)?;
    for (number, other) in plan
        .nodes
        .iter()
        .enumerate()
        .filter(|(number, _)| *number != index)
    {
        let hop = |to| Hop {
            device,
            gateway: Some(match Family::of(to) {
                Family::Ipv4 => link_local_v4(number),
                Family::Ipv6 => link_local_v6(number),
            }),
        };
        let pods = plan
            .pods
            .iter()
            .filter(|pod| pod.node == number && !pod.host_network);
        for address in other
            .addresses
            .iter()
            .chain(pods.flat_map(|pod| &pod.addresses))
        {
            route(netlink, node, *address, hop(*address))?;
        }
    }
    Ok(())
}

/// The node's address on the link between nodes: link-local, so that policies and pods never meet it.
fn link_local_v4(node: usize) -> IpAddr {
    let [high, low] = number(node).to_be_bytes();
    Ipv4Addr::new(169, 254, high + 2, low).into()
}

fn link_local_v6(node: usize) -> IpAddr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number(node)).into()
}

/// From 1; a machine does not hold as many nodes as would not fit.
fn number(node: usize) -> u16 {
    u16::try_from(node + 1).unwrap_or(u16::MAX)
}

/// In the pod's namespace: its addresses, and everything else by way of the node.
fn build_pod(pod: &PodPlan) -> Result<()> {
    let mut netlink = Rtnetlink::open()?;
    for address in &pod.addresses {
        netlink.add_address(POD_LINK, *address, host_prefix(*address))?;
    }
    netlink.set_up(POD_LINK)?;
    let device = Some(netlink.index(POD_LINK)?);
    for gateway in [GATEWAY_V4, GATEWAY_V6] {
        if let Some(source) = pod.address(Family::of(gateway)) {
            let gateway = Some(gateway);
            netlink.add_route(&Route {
                destination: None,
                gateway,
                device,
                source: Some(source),
                onlink: true,
            })?;
        }
    }
    Ok(())
}
