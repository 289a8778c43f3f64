//! Connections that a case opens and keeps, as its text has them.

use std::collections::BTreeSet;

use sluice_kubernetes::{Service, World};
use sluice_oracle::Port;

use super::{Connection, Step};

/// The names of those that were opened.
#[derive(Debug, Default)]
pub(super) struct Kept<'c> {
    names: BTreeSet<&'c str>,
}

/// Why a connection cannot be opened, or spoken of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeptError {
    /// Two of one name.
    #[error("connection {0} is opened twice")]
    Twice(String),
    /// One that is spoken of, and was not opened before.
    #[error("connection {0} was not opened")]
    NotOpened(String),
    /// One that goes on and does not.
    #[error("connection {0} is both alive and cut")]
    Both(String),
    /// An end that is not there.
    #[error("{end}: no pod {name} is there{more}")]
    Missing {
        /// `from` or `to`.
        end: &'static str,
        /// What is there.
        name: String,
        /// What else it may be.
        more: &'static str,
    },
    /// A port that nobody has.
    #[error("port: {to} serves {found}, and not {wanted}")]
    NotServed {
        /// The pod or Service.
        to: String,
        /// Its ports.
        found: String,
        /// The one that is asked for.
        wanted: Port,
    },
}

impl<'c> Kept<'c> {
    /// Opens one, between those who are there.
    pub(super) fn open(
        &mut self,
        connection: &'c Connection,
        world: &World,
    ) -> Result<(), KeptError> {
        let Connection {
            name,
            from,
            to,
            port,
        } = connection;
        served_by_pod(world, from).ok_or_else(|| missing("from", from))?;
        let served = match to.strip_prefix("service:") {
            None => served_by_pod(world, to),
            Some(service) => served_by_service(world, service),
        };
        let served = served.ok_or_else(|| missing("to", to))?;
        if !served.contains(port) {
            let found: Vec<String> = served.iter().map(ToString::to_string).collect();
            return Err(KeptError::NotServed {
                to: to.to_string(),
                found: found.join(" "),
                wanted: *port,
            });
        }
        let is_new = self.names.insert(name);
        let twice = || KeptError::Twice(name.to_string());
        is_new.then_some(()).ok_or_else(twice)
    }

    /// Whether one that a step speaks of, by name, is one of them.
    pub(super) fn is_said(&self, step: &Step, name: &str) -> Result<(), KeptError> {
        let has = |names: &[std::sync::Arc<str>]| names.iter().any(|it| **it == *name);
        if !self.names.contains(name) {
            return Err(KeptError::NotOpened(name.to_owned()));
        }
        if has(&step.alive) && has(&step.cut) {
            return Err(KeptError::Both(name.to_owned()));
        }
        Ok(())
    }
}

fn missing(end: &'static str, name: &str) -> KeptError {
    let more = match end {
        "to" => ", and no Service such as service:x/web",
        _ => "",
    };
    KeptError::Missing {
        end,
        name: name.to_owned(),
        more,
    }
}

/// The ports of a pod's containers; none where there is no such pod.
fn served_by_pod(world: &World, name: &str) -> Option<BTreeSet<Port>> {
    let mut pods = world.pods.iter();
    let facts = pods.find(|it| it.pod.name.to_string() == name && !it.ended)?;
    let ports = facts.pod.ports.iter();
    let port = |number, protocol| Port { number, protocol };
    Some(ports.map(|it| port(it.port, it.protocol)).collect())
}

/// The ports of a Service; none where there is no such Service.
fn served_by_service(world: &World, name: &str) -> Option<BTreeSet<Port>> {
    let is_it = |it: &&Service| format!("{}/{}", it.namespace, it.name) == name;
    let service = world.services.iter().find(is_it)?;
    let ports = service.ports.iter();
    let port = |number, protocol| Port { number, protocol };
    Some(ports.map(|it| port(it.port, it.protocol)).collect())
}
