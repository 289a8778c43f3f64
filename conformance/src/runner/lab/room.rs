//! A laboratory with its agents, and the objects that they are shown. What is judged in it is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail};
use serde_json::Value;
use sluice_kubernetes::World;
use sluice_lab::{AgentOptions, Lab, Manifests, Options};
use sluice_oracle::{Family, Port, ServiceName};

use super::LabOptions;
use crate::State;
use crate::case::{Case, Event, Object, ObjectName};
use crate::expect;

/// The file that agents are shown.
const FILE: &str = "objects.yaml";
/// By then a change is in force, on a busy machine too.
const IN_FORCE: Duration = Duration::from_secs(20);

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

/// Why a case cannot take place in a laboratory.
pub(super) fn unable(case: &Case, families: &[Family]) -> Option<String> {
    let asks = |feature: &str| case.features.contains(feature);
    if asks("np.ipv6") && !families.contains(&Family::Ipv6) {
        return Some("needs IPv6 (--family 6 or dual)".to_owned());
    }
    if asks("np.dual") && families.len() < 2 {
        return Some("needs both families (--family dual)".to_owned());
    }
    if asks("np.validation") {
        return Some("is about objects, not packets".to_owned());
    }
    if asks("np.scale") {
        return Some("has more pods than a laboratory builds".to_owned());
    }
    let mut addresses: BTreeMap<&ObjectName, BTreeSet<String>> = BTreeMap::new();
    let pods = own(case).filter(|object| object.name().kind == "Pod");
    for pod in pods {
        let declared = pod.value()["status"]["podIPs"].to_string();
        addresses.entry(pod.name()).or_default().insert(declared);
    }
    let moves = addresses.values().any(|declared| declared.len() > 1);
    moves.then(|| "has a pod whose address changes".to_owned())
}

impl Room {
    /// Builds everything that a case ever has, and starts an agent on every node.
    pub(super) fn open(case: &Case, options: &LabOptions) -> Result<Self> {
        let mut state = case.start()?;
        for object in own(case).filter(|object| is_built(object)) {
            if !state.has(object.name()) {
                state.put(object)?;
            }
        }
        let bare = state.without_policies().manifests();
        let lab_options = Options {
            families: options.families.clone(),
            ports: case.ports.clone(),
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

    /// Shows a state to the agents, and waits until it is in force on every node.
    pub(super) fn show(&mut self, state: &State) -> Result<()> {
        let text = state.manifests();
        if text == self.shown {
            return Ok(());
        }
        let written = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        self.lab.manifests().write(FILE, &text)?;
        self.shown = text;
        self.await_in_force(written)
    }

    fn await_in_force(&self, since: f64) -> Result<()> {
        let deadline = Instant::now() + IN_FORCE;
        for agent in self.lab.agents() {
            // Its clock is this machine's.
            while !is_in_force(&agent.status()?, since) {
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

    /// Ends every agent, and starts it again.
    pub(super) fn restart(&mut self) -> Result<()> {
        for node in self.nodes() {
            let agent = self.lab.agent(&node)?;
            agent.stop()?;
            agent.restart()?;
        }
        Ok(())
    }

    /// Kills every agent, and starts it again.
    pub(super) fn kill(&mut self) -> Result<()> {
        for node in self.nodes() {
            let agent = self.lab.agent(&node)?;
            agent.kill()?;
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

    /// What a world has that was not built so: a laboratory's Services keep the pods that were behind them.
    pub(super) fn differs(&self, world: &World) -> Option<String> {
        for service in &world.services {
            let name = ServiceName {
                namespace: std::sync::Arc::clone(&service.namespace),
                name: std::sync::Arc::clone(&service.name),
            };
            let now: BTreeSet<String> = world
                .endpoints(service)
                .iter()
                .map(|pod| pod.name.to_string())
                .collect();
            let plan = self.lab.plan();
            let ports = plan
                .service(&name)
                .map_or(&[][..], |it| it.ports.as_slice());
            for port in ports {
                let built: BTreeSet<String> = port
                    .backends
                    .iter()
                    .map(|(pod, _)| plan.pods[*pod].name.to_string())
                    .collect();
                if !built.is_subset(&now) {
                    return Some(format!(
                        "Service {name} has other pods behind it than were built"
                    ));
                }
            }
        }
        None
    }
}

fn is_in_force(status: &Value, since: f64) -> bool {
    status["agent"]["ready"] == true
        && status["agent"]["enforced_as_of"]
            .as_f64()
            .is_some_and(|it| it > since)
}
