//! Which cells a world has, and what ought to come of each.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sluice_kubernetes::{Service, World};
use sluice_oracle::{
    Cell, Family, Judgement, Port, Reading, ServiceName, Target, Topic, judge, oracles,
};
use sluice_policy::{Pod, PodName};

/// What ought to come of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An answer.
    Allowed,
    /// Nothing.
    Denied,
    /// The API leaves it open, for these reasons.
    Open(Vec<Topic>),
    /// It depends on the backend that a Service chooses.
    Either,
}

/// A cell with what it names looked up: pods are places in [`World::pods`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Who opens the connection.
    pub from: usize,
    /// The pods that it leads to, each with its own port: one, or the backends of a Service.
    pub ends: Vec<(usize, Port)>,
    /// With addresses of this family.
    pub family: Family,
}

/// The ports of all containers of a world, and more.
pub fn ports(world: &World, more: &[Port]) -> Vec<Port> {
    let pods = world.pods.iter().filter(|facts| !facts.ended);
    let own = pods
        .flat_map(|facts| facts.pod.ports.iter())
        .map(|port| Port {
            number: port.port,
            protocol: port.protocol,
        });
    let all: BTreeSet<Port> = own.chain(more.iter().copied()).collect();
    all.into_iter().collect()
}

/// Every pod to every pod, and to every Service that it is not itself behind, where both have an address of a family.
pub fn cells(world: &World, ports: &[Port], families: &[Family]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for family in families {
        let is_there = |pod: &&Pod| family.address(pod).is_some();
        let pods: Vec<&Pod> = world
            .pods
            .iter()
            .map(|it| &it.pod)
            .filter(is_there)
            .collect();
        for from in &pods {
            let to_pods = pods
                .iter()
                .flat_map(|to| ports.iter().map(move |port| (to, *port)));
            cells.extend(to_pods.map(|(to, port)| Cell {
                from: from.name.clone(),
                to: Target::Pod(to.name.clone()),
                port,
                family: *family,
            }));
            cells.extend(service_cells(world, from, *family));
        }
    }
    cells
}

fn service_cells(world: &World, from: &Pod, family: Family) -> Vec<Cell> {
    let mut cells = Vec::new();
    let is_there =
        |service: &&Service| service.addresses.iter().any(|it| Family::of(*it) == family);
    for service in world.services.iter().filter(is_there) {
        let is_behind = world
            .endpoints(service)
            .iter()
            .any(|pod| pod.name == from.name);
        if is_behind {
            continue;
        }
        cells.extend(service.ports.iter().map(|port| Cell {
            from: from.name.clone(),
            to: Target::Service(ServiceName {
                namespace: Arc::clone(&service.namespace),
                name: Arc::clone(&service.name),
            }),
            port: Port {
                number: port.port,
                protocol: port.protocol,
            },
            family,
        }));
    }
    cells
}

/// Looks up what cells name. What names a pod that is not there leads nowhere.
pub fn probes(world: &World, cells: &[Cell]) -> Vec<Probe> {
    let pods = world.pods.iter().enumerate();
    let places: HashMap<&PodName, usize> = pods.map(|(at, it)| (&it.pod.name, at)).collect();
    let one = |cell: &Cell| {
        let from = places.get(&cell.from).copied();
        Probe {
            from: from.unwrap_or_default(),
            ends: from.map_or_else(Vec::new, |_| ends(world, &places, cell)),
            family: cell.family,
        }
    };
    cells.iter().map(one).collect()
}

fn ends(world: &World, places: &HashMap<&PodName, usize>, cell: &Cell) -> Vec<(usize, Port)> {
    match &cell.to {
        Target::Pod(name) => {
            let place = places.get(name).copied();
            place.map(|place| (place, cell.port)).into_iter().collect()
        }
        Target::Service(name) => backends(world, name, cell)
            .into_iter()
            .filter_map(|(pod, port)| Some((*places.get(&pod.name)?, port)))
            .collect(),
    }
}

/// The pods behind a Service that have an address of the family, and their ports behind the cell's.
fn backends<'w>(world: &'w World, name: &ServiceName, cell: &Cell) -> Vec<(&'w Pod, Port)> {
    let is_it = |it: &&Service| it.namespace == name.namespace && it.name == name.name;
    let Some(service) = world.services.iter().find(is_it) else {
        return Vec::new();
    };
    let protocol = cell.port.protocol;
    let is_port = |it: &&sluice_kubernetes::ServicePort| {
        it.port == cell.port.number && it.protocol == protocol
    };
    let Some(port) = service.ports.iter().find(is_port) else {
        return Vec::new();
    };
    let backends = world.endpoints(service).into_iter();
    backends
        .filter(|pod| cell.family.address(pod).is_some())
        .filter_map(|pod| {
            let number = port.target_on(pod)?;
            Some((pod, Port { number, protocol }))
        })
        .collect()
}

/// What ought to come of cells of a world, in the same order, by what all of some readings have in common.
pub fn expected(world: &World, readings: &[Reading], cells: &[Cell]) -> Vec<Expected> {
    expected_of(world, readings, &probes(world, cells))
}

/// The same of cells that are looked up.
pub fn expected_of(world: &World, readings: &[Reading], probes: &[Probe]) -> Vec<Expected> {
    let oracles = oracles(world, readings);
    let one = |probe: &Probe| {
        let from = &world.pods[probe.from].pod;
        let said = probe.ends.iter().map(|(to, port)| {
            let to = &world.pods[*to].pod;
            judge(&oracles, from, to, probe.family, *port)
        });
        together(said)
    };
    probes.iter().map(one).collect()
}

/// A Service without backends answers nobody.
fn together(said: impl Iterator<Item = Judgement>) -> Expected {
    let mut open = BTreeSet::new();
    let (mut allowed, mut denied) = (0, 0);
    for one in said {
        match one {
            Judgement::Allowed => allowed += 1,
            Judgement::Denied => denied += 1,
            Judgement::Open(topics) => open.extend(topics),
        }
    }
    match (open.is_empty(), allowed, denied) {
        (false, ..) => Expected::Open(open.into_iter().collect()),
        (true, 0, _) => Expected::Denied,
        (true, _, 0) => Expected::Allowed,
        (true, ..) => Expected::Either,
    }
}
