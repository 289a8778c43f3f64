//! Which ports of a world are worth a probe. The same ones that `sluice matrix` shows unless it is told otherwise.

use std::collections::BTreeSet;

use sluice_kubernetes::World;
use sluice_policy::{Ports, Protocol};

use crate::Port;

/// What is probed in a world where nobody says which port matters.
const ANY: Port = Port {
    number: 80,
    protocol: Protocol::Tcp,
};

/// Every port that a container declares, and every number that a policy names; of a range both ends.
pub(crate) fn probed(world: &World) -> Vec<Port> {
    let mut ports: BTreeSet<_> = declared(world).chain(named(world)).collect();
    ports.retain(|port| is_probed(port.protocol));
    if ports.is_empty() {
        ports.insert(ANY);
    }
    ports.into_iter().collect()
}

/// Whether there are servers and probes for a protocol.
pub(crate) fn is_probed(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp)
}

fn declared(world: &World) -> impl Iterator<Item = Port> + '_ {
    let ports = world.pods.iter().flat_map(|facts| facts.pod.ports.iter());
    ports.map(|port| Port {
        number: port.port,
        protocol: port.protocol,
    })
}

fn named(world: &World) -> impl Iterator<Item = Port> + '_ {
    let directions = world
        .policies
        .iter()
        .flat_map(|policy| [&policy.ingress, &policy.egress]);
    let rules = directions.flatten().flatten();
    let entries = rules.flat_map(|rule| match &rule.ports {
        Ports::Any => [].iter(),
        Ports::Of(entries) => entries.iter(),
    });
    entries.flat_map(|entry| {
        let numbers = match entry.port {
            sluice_policy::Port::Range(first, last) => vec![first, last],
            sluice_policy::Port::Any | sluice_policy::Port::Named(_) => Vec::new(),
        };
        numbers.into_iter().map(|number| Port {
            number,
            protocol: entry.protocol,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let loaded = sluice_kubernetes::load_text("world.yaml", text);
        assert_eq!(loaded.problems, []);
        probed(&loaded.world)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn declared_ports_and_named_numbers_are_probed() {
        let world = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n\
                     spec: {containers: [{name: c, image: i, ports: [{containerPort: 5, protocol: SCTP}]}]}\n---\n\
                     apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n\
                     spec:\n  podSelector: {}\n  ingress: [{ports: [{port: 7, endPort: 9}, {port: web}, {}]}]\n  \
                     egress: [{ports: [{port: 53, protocol: UDP}]}]\n  policyTypes: [Ingress, Egress]\n";
        assert_eq!(shown(world), ["5/SCTP", "7/TCP", "9/TCP", "53/UDP"]);
    }

    #[test]
    fn a_world_without_ports_is_probed_on_one() {
        assert_eq!(
            shown("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n"),
            ["80/TCP"]
        );
    }
}
