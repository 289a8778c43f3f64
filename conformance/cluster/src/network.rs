//! The addresses of a cluster: nodes, pods and Services, in either family or both. Pure.
//!
//! Every cluster has the same ones, since each is in network namespaces of its own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Which address families a cluster has. Of both, IPv4 is the first: that of Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// IPv4 alone.
    #[default]
    #[serde(rename = "4")]
    V4,
    /// IPv6 alone.
    #[serde(rename = "6")]
    V6,
    /// Both.
    #[serde(rename = "dual")]
    Dual,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Four,
    Six,
}

/// The last part of the control plane's address; nodes count from 1.
const CONTROL: u8 = 100;

/// How many nodes there can be.
pub const MOST_NODES: u8 = CONTROL - 1;

impl Family {
    fn versions(self) -> &'static [Version] {
        match self {
            Self::V4 => &[Version::Four],
            Self::V6 => &[Version::Six],
            Self::Dual => &[Version::Four, Version::Six],
        }
    }

    fn each<T>(self, what: impl Fn(Version) -> T) -> Vec<T> {
        self.versions().iter().copied().map(what).collect()
    }

    /// Whether there are IPv6 addresses.
    pub(crate) fn has_v6(self) -> bool {
        self.versions().contains(&Version::Six)
    }

    /// The addresses of the control plane, where the API server listens.
    pub fn control(self) -> Vec<IpAddr> {
        self.each(|version| version.machine(CONTROL))
    }

    /// The addresses of a node, which count from 1.
    pub fn node(self, number: u8) -> Vec<IpAddr> {
        self.each(|version| version.machine(number))
    }

    /// The ranges that the pods of a node have their addresses from.
    pub fn pods(self, node: u8) -> Vec<String> {
        self.each(|version| match version {
            Version::Four => format!("10.244.{node}.0/24"),
            Version::Six => format!("fd44:0:0:{node:x}::/64"),
        })
    }

    /// The ranges of all pods.
    pub fn all_pods(self) -> Vec<String> {
        self.each(|version| match version {
            Version::Four => "10.244.0.0/16".to_owned(),
            Version::Six => "fd44::/48".to_owned(),
        })
    }

    /// The ranges of Services.
    pub fn services(self) -> Vec<String> {
        self.each(|version| match version {
            Version::Four => "10.96.0.0/16".to_owned(),
            Version::Six => "fd96::/112".to_owned(),
        })
    }

    /// The addresses of the Service `kubernetes`: the first of each range.
    pub(crate) fn api_service(self) -> Vec<IpAddr> {
        self.each(|version| match version {
            Version::Four => Ipv4Addr::new(10, 96, 0, 1).into(),
            Version::Six => Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, 1).into(),
        })
    }

    /// The routes to everywhere.
    pub(crate) fn everywhere(self) -> Vec<&'static str> {
        self.each(|version| match version {
            Version::Four => "0.0.0.0/0",
            Version::Six => "::/0",
        })
    }
}

impl Version {
    fn machine(self, last: u8) -> IpAddr {
        match self {
            Self::Four => Ipv4Addr::new(10, 99, 0, last).into(),
            Self::Six => Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, u16::from(last)).into(),
        }
    }
}

/// An address of a machine, with the length of the range that all machines are in.
pub(crate) fn with_length(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}/24"),
        IpAddr::V6(address) => format!("{address}/64"),
    }
}

/// An address as part of a URL.
pub(crate) fn in_url(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// `ip -batch` for the control plane: the bridge that nodes are plugged into. Without nodes it carries the address alone.
pub(crate) fn control_links(family: Family) -> String {
    let mut lines = String::from("link add br0 type bridge\nlink set br0 up\n");
    for address in family.control() {
        lines += &address_line(address, "br0");
    }
    lines
}

/// `ip -batch` for the control plane: a cable to the node whose process 1 is `pid`, and the way to its pods: the API
/// server answers them, and whoever watches from there reaches them.
pub(crate) fn cable(family: Family, node: u8, pid: i32) -> String {
    let mut lines = format!(
        "link add node{node} type veth peer name eth0 netns {pid}\n\
         link set node{node} master br0 up\n"
    );
    lines += &pod_routes(family, node);
    lines
}

/// `ip -batch` for a node: its address, where the pods of the other nodes are, and a way to everywhere else. That leads
/// nowhere, but without one a node's own processes could not even name a Service.
pub(crate) fn node_links(family: Family, node: u8, nodes: u8) -> String {
    let mut lines = String::from("link set eth0 up\n");
    for address in family.node(node) {
        lines += &address_line(address, "eth0");
    }
    for (range, via) in family.everywhere().iter().zip(family.control()) {
        lines += &route_line(range, via);
    }
    for peer in (1..=nodes).filter(|peer| *peer != node) {
        lines += &pod_routes(family, peer);
    }
    lines
}

/// The way to the pods of a node, for its neighbours.
fn pod_routes(family: Family, node: u8) -> String {
    let ranges = family.pods(node);
    let routes = ranges.iter().zip(family.node(node));
    routes.map(|(range, via)| route_line(range, via)).collect()
}

fn route_line(range: &str, via: IpAddr) -> String {
    format!("route add {range} via {via}\n")
}

/// Without duplicate address detection an IPv6 address can be used at once.
fn address_line(address: IpAddr, link: &str) -> String {
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("address add {} dev {link}{nodad}\n", with_length(address))
}

#[cfg(test)]
mod tests {
    use super::{Family, cable, control_links, in_url, node_links};

    #[test]
    fn a_family_has_its_addresses_and_no_others() {
        for (family, control, pods, services) in [
            (Family::V4, "10.99.0.100", "10.244.2.0/24", "10.96.0.0/16"),
            (Family::V6, "fd99::64", "fd44:0:0:2::/64", "fd96::/112"),
        ] {
            assert_eq!(family.control()[0].to_string(), control);
            assert_eq!(family.pods(2), [pods]);
            assert_eq!(family.services(), [services]);
        }
        assert_eq!(Family::Dual.node(2).len(), 2);
        assert!(Family::Dual.node(2)[0].is_ipv4(), "the first family");
        assert_eq!(in_url(Family::V6.node(1)[0]), "[fd99::1]");
    }

    #[test]
    fn a_node_knows_the_way_to_the_pods_of_all_others() {
        assert_eq!(
            node_links(Family::V4, 2, 3),
            "link set eth0 up\naddress add 10.99.0.2/24 dev eth0\n\
             route add 0.0.0.0/0 via 10.99.0.100\n\
             route add 10.244.1.0/24 via 10.99.0.1\nroute add 10.244.3.0/24 via 10.99.0.3\n"
        );
        assert!(control_links(Family::Dual).contains("fd99::64/64 dev br0 nodad"));
    }

    #[test]
    fn the_control_plane_knows_the_way_to_the_pods_of_each_node() {
        assert_eq!(
            cable(Family::Dual, 3, 7),
            "link add node3 type veth peer name eth0 netns 7\nlink set node3 master br0 up\n\
             route add 10.244.3.0/24 via 10.99.0.3\nroute add fd44:0:0:3::/64 via fd99::3\n"
        );
    }
}
