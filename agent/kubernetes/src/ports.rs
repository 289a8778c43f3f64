//! Which ports matter in a world.

use std::collections::BTreeSet;

use sluice_policy::{
    AdminPolicy, AdminPort, AdminPorts, NetworkPolicy, Port, PortMatch, Ports, Protocol,
};

use crate::World;

impl World {
    /// Every port that a pod declares, and every number that a policy names; of a range both ends.
    pub fn ports(&self) -> BTreeSet<(u16, Protocol)> {
        let declared = self.pods.iter().flat_map(|facts| facts.pod.ports.iter());
        let declared = declared.map(|port| (port.port, port.protocol));
        let named = self.policies.iter().flat_map(named);
        let named_by_admins = self.admin_policies.iter().flat_map(named_by_admin);
        let named = named.chain(named_by_admins).flat_map(ends);
        declared.chain(named).collect()
    }
}

/// The entries that a policy has for ports.
fn named(policy: &NetworkPolicy) -> impl Iterator<Item = &PortMatch> {
    let rules = [&policy.ingress, &policy.egress].into_iter().flatten();
    let ports = rules.flatten().filter_map(|rule| match &rule.ports {
        Ports::Any => None,
        Ports::Of(some) => Some(some),
    });
    ports.flatten()
}

/// The same of a policy of another tier.
fn named_by_admin(policy: &AdminPolicy) -> impl Iterator<Item = &PortMatch> {
    let rules = policy.ingress.iter().chain(&policy.egress);
    let ports = rules.filter_map(|rule| match &rule.ports {
        AdminPorts::Any => None,
        AdminPorts::Of(some) => Some(some),
    });
    ports.flatten().filter_map(|entry| match entry {
        AdminPort::Numbered(numbers) => Some(numbers),
        AdminPort::Named(_) => None,
    })
}

/// Both ends of a range; none where there are no numbers.
fn ends(entry: &PortMatch) -> impl Iterator<Item = (u16, Protocol)> + use<> {
    let protocol = entry.protocol;
    let numbers = match entry.port {
        Port::Range(first, last) => Some([first, last]),
        Port::Any | Port::Named(_) => None,
    };
    numbers
        .into_iter()
        .flatten()
        .map(move |port| (port, protocol))
}
