//! What can be asked of a cluster: who connects to whom.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sluice_policy::{PodName, Protocol};

use crate::Family;

/// A port of a protocol; prints as `80/TCP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// 1 to 65535.
    pub number: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// What is no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no port such as 80/TCP: {0}")]
pub struct PortError(String);

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || PortError(text.to_owned());
        let (number, protocol) = text.split_once('/').ok_or_else(wrong)?;
        let number: u16 = number.parse().map_err(|_not_a_number| wrong())?;
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let protocol = protocols.into_iter().find(|it| it.to_string() == protocol);
        match (number, protocol) {
            (1.., Some(protocol)) => Ok(Self { number, protocol }),
            _ => Err(wrong()),
        }
    }
}

/// A Service's name within the cluster; prints as `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a probe is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A pod's own address.
    Pod(PodName),
    /// A Service's cluster address.
    Service(ServiceName),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name) => name.fmt(f),
            Self::Service(name) => name.fmt(f),
        }
    }
}

/// One probe: a connection that a pod tries to open.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// Who opens it.
    pub from: PodName,
    /// To whom.
    pub to: Target,
    /// The port it is sent to: for a Service, the Service's.
    pub port: Port,
    /// With addresses of this family.
    pub family: Family,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} > {} {} {}",
            self.from, self.to, self.port, self.family
        )
    }
}
