//! What manifests may leave open and a lab has to decide: the addresses of nodes, and of pods on their network.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sluice_kubernetes::World;
use sluice_policy::Pod;

use crate::Family;

/// A node has the addresses of the pods on its network too, and where it has none of a family, one from 172.30.0.0/16
/// or `fd00:172:30::/64`. A pod on its network that has no address gets the node's.
pub(crate) fn complete(mut world: World) -> World {
    let pods = &world.pods;
    for (index, node) in world.nodes.iter_mut().enumerate() {
        let lives_here = |pod: &&Pod| pod.host_network && pod.node.as_ref() == Some(&node.name);
        let of_pods = pods
            .iter()
            .map(|facts| &facts.pod)
            .filter(lives_here)
            .flat_map(|pod| pod.addresses.clone());
        for address in of_pods.collect::<Vec<_>>() {
            if !node.addresses.contains(&address) {
                node.addresses.push(address);
            }
        }
        let has = |family| {
            node.addresses
                .iter()
                .any(|address| Family::of(*address) == family)
        };
        let missing: Vec<_> = spare(index)
            .into_iter()
            .filter(|address| !has(Family::of(*address)))
            .collect();
        node.addresses.extend(missing);
    }
    let of_nodes: BTreeMap<_, _> = world
        .nodes
        .iter()
        .map(|node| (Arc::clone(&node.name), node.addresses.clone()))
        .collect();
    let without = world
        .pods
        .iter_mut()
        .filter(|facts| !facts.ended && facts.pod.addresses.is_empty());
    for pod in without
        .map(|facts| &mut facts.pod)
        .filter(|pod| pod.host_network)
    {
        pod.addresses = pod
            .node
            .as_ref()
            .and_then(|node| of_nodes.get(node))
            .cloned()
            .unwrap_or_default();
    }
    world
}

/// An address of each family that no manifest gives to anybody.
fn spare(node: usize) -> [IpAddr; 2] {
    let number = u16::try_from(node + 1).unwrap_or(u16::MAX);
    let [high, low] = number.to_be_bytes();
    [
        Ipv4Addr::new(172, 30, high, low).into(),
        Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, number).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(text: &str) -> World {
        let loaded = sluice_kubernetes::load_text("world.yaml", text);
        assert_eq!(loaded.problems, []);
        complete(loaded.world)
    }

    fn host_pod(name: &str, status: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n\
             spec: {{hostNetwork: true, containers: [{{name: c, image: i}}]}}\nstatus: {status}\n"
        )
    }

    #[test]
    fn a_pod_on_the_network_of_a_node_without_addresses_gets_what_the_node_gets() {
        let world = completed(&host_pod("a", "{}"));
        let node = &world.nodes[0].addresses;
        assert_eq!(*node, spare(0));
        assert_eq!(world.pods[0].pod.addresses, *node);
    }

    #[test]
    fn a_node_is_known_by_the_address_of_a_pod_on_its_network() {
        let world = completed(&host_pod("a", "{podIPs: [{ip: 192.0.2.1}]}"));
        assert_eq!(
            world.nodes[0].addresses,
            ["192.0.2.1".parse().unwrap(), spare(0)[1]]
        );
        assert_eq!(
            world.pods[0].pod.addresses.len(),
            1,
            "what is declared stays"
        );
    }

    #[test]
    fn a_pod_that_has_ended_stays_without() {
        let world = completed(&host_pod("a", "{phase: Succeeded}"));
        assert!(world.pods[0].pod.addresses.is_empty());
    }

    #[test]
    fn what_a_node_declares_stays() {
        let node = "apiVersion: v1\nkind: Node\nmetadata: {name: n}\n\
                    status: {addresses: [{type: InternalIP, address: 192.0.2.9}]}\n";
        let world = completed(node);
        assert_eq!(
            world.nodes[0].addresses,
            ["192.0.2.9".parse().unwrap(), spare(0)[1]]
        );
    }
}
