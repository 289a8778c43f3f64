//! What is asked about, as it is typed: pods, addresses, ports and protocols.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sluice_policy::{Pod, PodName, Protocol};

/// A pod by name: `NAMESPACE/NAME`.
pub(super) fn pod_name(text: &str) -> Result<PodName, String> {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
        {
            Ok(PodName {
                namespace: namespace.into(),
                name: name.into(),
            })
        }
        _ => Err("must be NAMESPACE/POD".to_owned()),
    }
}

/// One end of a connection: a pod by name, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Pod(PodName),
    Address(IpAddr),
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        pod_name(text)
            .map(Self::Pod)
            .map_err(|_no_detail| "must be NAMESPACE/POD or an IP address".to_owned())
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A protocol by the name that policies have for it, in any case.
pub(super) fn protocol(text: &str) -> Result<Protocol, String> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .find(|protocol| protocol.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| "must be TCP, UDP or SCTP".to_owned())
}

/// A port of a protocol: `80/TCP`, or `80` for TCP. Orders by number first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (port, name) = text.split_once('/').unwrap_or((text, "TCP"));
        match port.parse() {
            Ok(port @ 1..) => Ok(Self {
                port,
                protocol: protocol(name)?,
            }),
            _ => Err("must be PORT or PORT/PROTOCOL with a port from 1 to 65535".to_owned()),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    /// In order of preference.
    pub(super) const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    pub(super) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The first of some addresses that is of this family.
    pub(super) fn first(self, addresses: &[IpAddr]) -> Option<IpAddr> {
        addresses
            .iter()
            .copied()
            .find(|address| Self::of(*address) == self)
    }
}

/// The pair of addresses that two ends would use in a family.
pub(super) fn pair(
    source: &[IpAddr],
    destination: &[IpAddr],
    family: Family,
) -> Option<(IpAddr, IpAddr)> {
    Some((family.first(source)?, family.first(destination)?))
}

/// The pods with those names, in the order given.
pub(super) fn find<'w>(pods: &[&'w Pod], names: &[PodName]) -> Result<Vec<&'w Pod>, String> {
    let find = |name: &PodName| {
        pods.iter()
            .copied()
            .find(|pod| pod.name == *name)
            .ok_or_else(|| format!("no pod {name} in the manifests"))
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_pods_or_addresses() {
        for (text, shown) in [
            ("x/a", Ok("x/a")),
            ("10.0.0.1", Ok("10.0.0.1")),
            ("fd00::1", Ok("fd00::1")),
            ("::ffff:10.0.0.1", Ok("10.0.0.1")),
            ("a", Err("must be NAMESPACE/POD or an IP address")),
            ("x/", Err("must be NAMESPACE/POD or an IP address")),
            ("/a", Err("must be NAMESPACE/POD or an IP address")),
            (
                "10.0.0.0/8/9",
                Err("must be NAMESPACE/POD or an IP address"),
            ),
        ] {
            let read = text.parse::<Who>().map(|who| who.to_string());
            assert_eq!(read.as_deref().map_err(String::as_str), shown, "{text}");
        }
    }

    #[test]
    fn ports_have_a_protocol() {
        for (text, shown) in [
            ("80", Some("80/TCP")),
            ("53/udp", Some("53/UDP")),
            ("9/SCTP", Some("9/SCTP")),
            ("0", None),
            ("65536", None),
            ("80/ICMP", None),
            ("http", None),
            ("-1/TCP", None),
        ] {
            assert_eq!(
                text.parse::<Service>()
                    .ok()
                    .map(|service| service.to_string())
                    .as_deref(),
                shown,
                "{text}"
            );
        }
    }
}
