//! What can be asked of a lab, and what came of it. Knows neither sockets nor policies.

use std::fmt;
use std::sync::Arc;

use sluice_conformance::Family;
use sluice_policy::{PodName, Protocol};

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

/// What came back to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A server answered, with the name of its pod.
    Name(String),
    /// Nothing at all, within the time that is allowed for an answer.
    Silence,
    /// A reset, an abort, or an ICMP error.
    Refused,
    /// The probe itself failed, or what came back was no answer.
    Error(String),
}

/// A reply in the light of the cell it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server that was meant answered; for a Service, any of its backends.
    Allowed,
    /// Nothing came back.
    Denied,
    /// Another pod answered: this one.
    WrongServer(String),
    /// Something said no.
    Refused,
    /// The probe failed.
    Error(String),
}

impl Outcome {
    /// Judges `reply` by the names that may answer.
    pub(crate) fn of(reply: Reply, is_meant: impl FnOnce(&str) -> bool) -> Self {
        match reply {
            Reply::Name(name) if is_meant(&name) => Self::Allowed,
            Reply::Name(name) => Self::WrongServer(name),
            Reply::Silence => Self::Denied,
            Reply::Refused => Self::Refused,
            Reply::Error(error) => Self::Error(error),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed => f.write_str("allow"),
            Self::Denied => f.write_str("deny"),
            Self::WrongServer(name) => write!(f, "wrong server {name}"),
            Self::Refused => f.write_str("refused"),
            Self::Error(error) => write!(f, "error: {error}"),
        }
    }
}
