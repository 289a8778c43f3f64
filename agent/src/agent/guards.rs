//! Which interfaces are guarded: those behind which the kernel's own routing has local pods. Pure; where it is written is
//! the kernel half's business.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use sluice_netlink::{HostRoute, RouteEvent};

/// Routes and local pods, as they were last heard of.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    behind: BTreeMap<u32, BTreeSet<IpAddr>>,
    over: HashMap<IpAddr, BTreeSet<u32>>,
    local: HashSet<IpAddr>,
    peers_elsewhere: HashSet<u32>,
}

impl Guards {
    /// Without any route yet.
    pub(crate) fn of(local: impl Iterator<Item = IpAddr>) -> Self {
        Self {
            local: local.collect(),
            ..Self::default()
        }
    }

    /// Takes a route in; the interface whose guard may be another one now.
    pub(crate) fn route(&mut self, event: RouteEvent) -> u32 {
        match event {
            RouteEvent::Appeared(HostRoute { address, device }) => {
                self.behind.entry(device).or_default().insert(address);
                self.over.entry(address).or_default().insert(device);
                device
            }
            RouteEvent::Vanished(HostRoute { address, device }) => {
                drop_from(&mut self.behind, device, address);
                if let Some(devices) = self.over.get_mut(&address) {
                    devices.remove(&device);
                    if devices.is_empty() {
                        self.over.remove(&address);
                    }
                }
                device
            }
        }
    }

    /// Takes in whether an address is a local pod's; the interfaces whose guards may be others now.
    pub(crate) fn pod(&mut self, address: IpAddr, local: bool) -> Vec<u32> {
        let changed = if local {
            self.local.insert(address)
        } else {
            self.local.remove(&address)
        };
        let over = self.over.get(&address).filter(|_| changed);
        over.into_iter().flatten().copied().collect()
    }

    /// Takes in all local pods, whatever was known before.
    pub(crate) fn pods(&mut self, local: impl Iterator<Item = IpAddr>) {
        self.local = local.collect();
    }

    /// Takes in whether an interface is there and has its peer in another network namespace; whether that is news.
    pub(crate) fn link(&mut self, device: u32, peer_elsewhere: bool) -> bool {
        if peer_elsewhere {
            self.peers_elsewhere.insert(device)
        } else {
            self.peers_elsewhere.remove(&device)
        }
    }

    /// Whether an interface has its peer in another network namespace.
    pub(crate) fn has_peer_elsewhere(&self, device: u32) -> bool {
        self.peers_elsewhere.contains(&device)
    }

    /// Forgets all routes, and no pod.
    pub(crate) fn forget_routes(&mut self) {
        self.behind.clear();
        self.over.clear();
    }

    /// All interfaces that may have a guard.
    pub(crate) fn devices(&self) -> Vec<u32> {
        self.behind.keys().copied().collect()
    }

    /// The addresses behind an interface; none where no local pod is there. All that is routed there counts, also what
    /// is no pod's yet: who sets routes up is believed.
    pub(crate) fn wanted(&self, device: u32) -> Vec<IpAddr> {
        let is_local = |address: &IpAddr| self.local.contains(address);
        let behind = self.behind.get(&device);
        let guarded = behind.filter(|addresses| addresses.iter().any(is_local));
        guarded.into_iter().flatten().copied().collect()
    }
}

fn drop_from(behind: &mut BTreeMap<u32, BTreeSet<IpAddr>>, device: u32, address: IpAddr) {
    if let Some(addresses) = behind.get_mut(&device) {
        addresses.remove(&address);
        if addresses.is_empty() {
            behind.remove(&device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn appeared(address: IpAddr, device: u32) -> RouteEvent {
        RouteEvent::Appeared(HostRoute { address, device })
    }

    fn vanished(address: IpAddr, device: u32) -> RouteEvent {
        RouteEvent::Vanished(HostRoute { address, device })
    }

    #[test]
    fn an_interface_is_guarded_while_a_local_pod_is_routed_to_it() {
        let mut guards = Guards::default();
        assert_eq!(guards.route(appeared(POD, 2)), 2);
        assert!(guards.wanted(2).is_empty(), "nobody's address yet");
        assert_eq!(guards.pod(POD, true), [2]);
        assert_eq!(guards.wanted(2), [POD]);
        assert!(guards.pod(POD, true).is_empty(), "it was known");
        assert_eq!(guards.route(vanished(POD, 2)), 2);
        assert!(guards.wanted(2).is_empty());
        assert!(guards.pod(POD, false).is_empty());
    }

    #[test]
    fn a_pod_that_comes_before_its_route_is_guarded_with_it() {
        let mut guards = Guards::default();
        assert!(guards.pod(POD, true).is_empty());
        guards.route(appeared(POD, 2));
        assert_eq!(guards.wanted(2), [POD]);
        assert_eq!(guards.pod(POD, false), [2]);
        assert!(guards.wanted(2).is_empty());
    }

    #[test]
    fn a_links_peer_is_elsewhere_until_it_is_said_not_to_be() {
        let mut guards = Guards::default();
        assert!(!guards.has_peer_elsewhere(2));
        assert!(guards.link(2, true));
        assert!(!guards.link(2, true), "it was known");
        assert!(guards.has_peer_elsewhere(2) && !guards.has_peer_elsewhere(3));
        assert!(guards.link(2, false) && !guards.has_peer_elsewhere(2));
    }

    #[test]
    fn all_that_is_routed_to_a_guarded_interface_belongs_there() {
        let mut guards = Guards::default();
        guards.pods([POD].into_iter());
        guards.route(appeared(OTHER, 2));
        guards.route(appeared(POD, 2));
        guards.route(appeared(OTHER, 3));
        assert_eq!(guards.wanted(2), [POD, OTHER]);
        assert!(guards.wanted(3).is_empty(), "no local pod is there");
        assert_eq!(guards.devices(), [2, 3]);
    }
}
