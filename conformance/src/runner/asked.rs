//! What runners with packets ask of a world.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Family, Port, ServiceName, Target};
use sluice_policy::{PodName, Protocol};

use crate::case::{Case, Connection, Event, Step};
use crate::expect;
use crate::profile::{Established, Profile};

use super::Failure;

/// The cells of the ports that steps speak of; all where one speaks of none.
pub(super) fn cells(case: &Case, world: &World, steps: &[&Step], families: &[Family]) -> Vec<Cell> {
    let ports = expect::ports(world, &case.ports);
    let mut cells = expect::cells(world, &ports, families);
    let spoken_of = |step: &&Step| -> Option<Vec<Port>> {
        let ports: Vec<Port> = step
            .matrix
            .iter()
            .map(|(part, _)| part.port)
            .collect::<Option<_>>()?;
        (!ports.is_empty()).then_some(ports)
    };
    let spoken_of: Option<Vec<Vec<Port>>> = steps.iter().map(spoken_of).collect();
    if let Some(ports) = spoken_of {
        cells.retain(|cell| ports.iter().flatten().any(|port| *port == cell.port));
    }
    cells
}

/// Whether a case opens an association of SCTP and keeps it.
pub(super) fn keeps_sctp(case: &Case) -> bool {
    let mut events = case.steps.iter().flat_map(|step| &step.events);
    events.any(|event| matches!(event, Event::Open(it) if it.port.protocol == Protocol::Sctp))
}

/// The connections that a step says something about, by name, and whether each goes on. What a profile leaves open is
/// none of them.
pub(super) fn kept(step: &Step, profile: Profile) -> impl Iterator<Item = (&Arc<str>, bool)> {
    // An enforcer that only judges new connections lets those go on that policy denies.
    let cut_goes_on = profile.established.map(|it| it == Established::Kept);
    let said = [(&step.alive, Some(true)), (&step.cut, cut_goes_on)];
    said.into_iter().flat_map(|(names, goes_on)| {
        let goes_on = goes_on.into_iter();
        goes_on.flat_map(move |goes_on| names.iter().map(move |name| (name, goes_on)))
    })
}

/// A connection does not do what it ought to.
pub(super) fn not_so(step: usize, name: &str, goes_on: bool) -> Failure {
    let said = if goes_on { "was cut" } else { "goes on" };
    Failure::new(step, format!("connection {name} {said}"))
}

/// Nobody listens on any port that is spoken of.
pub(super) fn nobody(step: usize) -> Failure {
    Failure::new(step, "nobody is there to be asked".to_owned())
}

/// The cell of a connection that is kept.
pub(super) fn connection(wanted: &Connection, family: Family) -> Result<Cell> {
    let pod = |text: &str| {
        let (namespace, name) = text
            .split_once('/')
            .with_context(|| format!("no pod {text}"))?;
        anyhow::Ok(PodName {
            namespace: namespace.into(),
            name: name.into(),
        })
    };
    let to = match wanted.to.strip_prefix("service:") {
        None => Target::Pod(pod(&wanted.to)?),
        Some(name) => {
            let PodName { namespace, name } = pod(name)?;
            Target::Service(ServiceName { namespace, name })
        }
    };
    Ok(Cell {
        from: pod(&wanted.from)?,
        to,
        port: wanted.port,
        family,
    })
}
