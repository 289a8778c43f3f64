//! A laboratory with its agents, and the objects that they are shown. What is judged in it is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use sluice_kubernetes::{Service, World};
use sluice_lab::{Agent, AgentOptions, Lab, Manifests, Options};
use sluice_oracle::{Cell, Family, Port, Target};
use sluice_policy::{Pod, PodName};

use super::LabOptions;
use crate::State;
use crate::case::{Case, Event, Object};
use crate::expect;
use crate::runner::asked;

/// The file that agents are shown.
const FILE: &str = "objects.yaml";
/// By then a change is in force, on a busy machine too.
const IN_FORCE: Duration = Duration::from_secs(20);
/// How often that is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// A laboratory and what its agents are shown.
pub(super) struct Room {
    lab: Lab,
    shown: String,
}

/// Pods, Nodes and Services: what a laboratory builds.
fn is_built(object: &Object) -> bool {
    matches!(object.name().kind.as_str(), "Pod" | "Node" | "Service")
}

/// Objects that a case brings along or makes.
fn own(case: &Case) -> impl Iterator<Item = &Object> {
    let events = case.steps.iter().flat_map(|step| &step.events);
    let made = events.filter_map(|event| match event {
        Event::Apply(object) => Some(object),
        _ => None,
    });
    case.objects.iter().chain(made)
}

/// Whether a case takes place in the laboratory of its world as it is.
pub(super) fn is_shared(case: &Case) -> Result<bool> {
    let world = case.start()?.load(&case.id).world;
    let served = expect::ports(&world, &[]);
    let is_served = |port: &Port| served.contains(port);
    Ok(!own(case).any(is_built) && case.ports.iter().all(is_served))
}

/// Everything that a case ever has, as it is built.
pub(super) fn built(case: &Case) -> Result<State> {
    let mut state = case.start()?;
    for object in own(case).filter(|object| is_built(object)) {
        if !state.has(object.name()) {
            state.put(object)?;
        }
    }
    Ok(state)
}

/// Why a case cannot take place in a laboratory.
pub(super) fn unable(case: &Case, families: &[Family]) -> Option<String> {
    let asks = |feature: &str| case.features.contains(feature);
    let reason = if asks("np.ipv6") && !families.contains(&Family::Ipv6) {
        "needs IPv6 (--family 6 or dual)"
    } else if asks("np.dual") && families.len() < 2 {
        "needs both families (--family dual)"
    } else if asks("np.validation") {
        "is about objects, not packets"
    } else if asks("np.scale") {
        "has more pods than a laboratory builds"
    } else if asked::keeps_sctp(case) {
        "keeps an SCTP association"
    } else {
        return moves(case).unwrap_or_else(|error| Some(format!("{error:#}")));
    };
    Some(reason.to_owned())
}

/// What of a case is not as it was built all the time: a laboratory's pods and Services stay what they are.
fn moves(case: &Case) -> Result<Option<String>> {
    let built = built(case)?.load(&case.id).world;
    let mut state = case.start()?;
    let mut owners: BTreeMap<IpAddr, PodName> = BTreeMap::new();
    let mut steps = case.steps.iter();
    loop {
        let world = state.load(&case.id).world;
        for pod in world.pods.iter().map(|facts| &facts.pod) {
            if built
                .pod(&pod.name)
                .is_none_or(|it| place(it) != place(pod))
            {
                return Ok(Some(format!("has a pod that moves, {}", pod.name)));
            }
            for address in pod.addresses.iter().filter(|_| !pod.host_network) {
                let owner = owners.entry(*address).or_insert_with(|| pod.name.clone());
                if *owner != pod.name {
                    return Ok(Some(format!(
                        "has an address that passes from {owner} to {}",
                        pod.name
                    )));
                }
            }
        }
        if let Some(service) = world
            .services
            .iter()
            .find(|it| backends(&world, it) != built_backends(&built, it))
        {
            return Ok(Some(format!(
                "has a Service that changes, {}/{}",
                service.namespace, service.name
            )));
        }
        let Some(step) = steps.next() else {
            return Ok(None);
        };
        for event in &step.events {
            state.apply(event)?;
        }
    }
}

/// Where a pod lives.
fn place(pod: &Pod) -> (&[IpAddr], Option<&Arc<str>>, bool) {
    (&pod.addresses, pod.node.as_ref(), pod.host_network)
}

/// The pods behind a Service, and their ports.
fn backends(world: &World, service: &Service) -> BTreeSet<(PodName, Option<u16>)> {
    let pods = world.endpoints(service).into_iter();
    pods.flat_map(|pod| {
        let targets = service.ports.iter().map(|port| port.target_on(pod));
        targets.map(|target| (pod.name.clone(), target))
    })
    .collect()
}

fn built_backends(built: &World, service: &Service) -> BTreeSet<(PodName, Option<u16>)> {
    let is_it = |it: &&Service| it.namespace == service.namespace && it.name == service.name;
    let found = built.services.iter().find(is_it);
    found.map_or_else(BTreeSet::new, |it| backends(built, it))
}

impl Room {
    /// Builds everything that a case ever has, and starts an agent on every node.
    pub(super) fn open(case: &Case, options: &LabOptions) -> Result<Self> {
        let bare = built(case)?.without_policies().manifests();
        let lab_options = Options {
            families: options.families.clone(),
            ports: case.ports.clone(),
            deliveries: true,
            ..Options::default()
        };
        let manifests = Manifests::Texts(vec![(FILE.to_owned(), bare.clone())]);
        let mut lab = Lab::up(&manifests, &lab_options).map_err(|error| anyhow!("{error:#}"))?;
        lab.start_agents(&AgentOptions {
            binary: options.agent.clone(),
            mode: options.mode,
            arguments: Vec::new(),
            environment: Vec::new(),
        })?;
        Ok(Self { lab, shown: bare })
    }

    pub(super) fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Shows a state to the agents, and waits until it is in force on every node: how long that took, where it is
    /// another one.
    pub(super) fn show(&mut self, state: &State) -> Result<Option<Duration>> {
        let text = state.manifests();
        if text == self.shown {
            return Ok(None);
        }
        let started = Instant::now();
        let written = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        self.lab.manifests().write(FILE, &text)?;
        self.shown = text;
        self.await_in_force(written)?;
        Ok(Some(started.elapsed()))
    }

    fn await_in_force(&self, since: f64) -> Result<()> {
        let deadline = Instant::now() + IN_FORCE;
        for agent in self.lab.agents() {
            // Its clock is this machine's.
            while !agent.said()?.is_some_and(|it| is_in_force(&it, since)) {
                thread::sleep(LOOK);
                if Instant::now() > deadline {
                    bail!(
                        "the agent of {} does not enforce it after {IN_FORCE:?}",
                        agent.node()
                    );
                }
            }
        }
        Ok(())
    }

    /// Ends every agent in some way, and starts it again.
    pub(super) fn start_again(&mut self, end: impl Fn(&mut Agent) -> Result<()>) -> Result<()> {
        for node in self.nodes() {
            let agent = self.lab.agent(&node)?;
            end(agent)?;
            agent.restart()?;
        }
        Ok(())
    }

    fn nodes(&self) -> Vec<String> {
        self.lab
            .agents()
            .iter()
            .map(|agent| agent.node().to_string())
            .collect()
    }

    /// Whether somebody is there to answer: of pods in the network of one node, one has a port, and a Service without
    /// pods has no address.
    pub(super) fn serves(&self, cell: &Cell) -> bool {
        let plan = self.lab.plan();
        match &cell.to {
            Target::Pod(name) => plan
                .pod(name)
                .is_some_and(|at| plan.pods[at].listens.contains(&cell.port)),
            Target::Service(name) => {
                let service = plan.service(name);
                service.is_some_and(|service| !service.backends(cell.port).is_empty())
            }
        }
    }
}

fn is_in_force(status: &Value, since: f64) -> bool {
    status["agent"]["ready"] == true
        && status["agent"]["enforced_as_of"]
            .as_f64()
            .is_some_and(|it| it > since)
}
