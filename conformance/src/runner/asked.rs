//! What runners with packets ask of a world.

use anyhow::{Context as _, Result};
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Family, Port, ServiceName, Target};
use sluice_policy::PodName;

use crate::case::{Case, Connection, Step};
use crate::expect;

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
