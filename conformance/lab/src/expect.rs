//! What ought to come back to a probe. Policy is the oracle's of `sluice-oracle`, a reading of the API text that
//! shares no code with the evaluator under test; this only knows which pods may answer.

use std::collections::BTreeSet;

use sluice_kubernetes::World;
use sluice_oracle::Oracle;
use sluice_policy::PodName;

use crate::{Cell, Family, Plan, Port, Reply, Target};

/// What may come back to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The pods that may answer.
    pub answers: BTreeSet<String>,
    /// Whether nothing may come back.
    pub silence: bool,
}

impl Expectation {
    /// Whether `reply` is as expected.
    pub fn is_met_by(&self, reply: &Reply) -> bool {
        match reply {
            Reply::Name(name) => self.answers.contains(name),
            Reply::Silence => self.silence,
            Reply::Refused | Reply::Error(_) => false,
        }
    }

    /// `allow`, `deny`, or `either` where it depends on the backend that a Service chooses.
    pub fn name(&self) -> &'static str {
        match (self.answers.is_empty(), self.silence) {
            (false, false) => "allow",
            (true, _) => "deny",
            (false, true) => "either",
        }
    }
}

/// The expectations of `cells`, in the same order, by the policies of `world`.
pub fn expectations(plan: &Plan, world: &World, cells: &[Cell]) -> Vec<Expectation> {
    let oracle = Oracle::new(world);
    let allowed = |from: &PodName, to: &PodName, port: Port, family: Family| {
        let ends = world.pod(from).zip(world.pod(to));
        ends.is_some_and(|(from, to)| oracle.allowed(from, to, family, port.protocol, port.number))
    };
    cells
        .iter()
        .map(|cell| expectation(plan, cell, &allowed))
        .collect()
}

fn expectation(
    plan: &Plan,
    cell: &Cell,
    allowed: &impl Fn(&PodName, &PodName, Port, Family) -> bool,
) -> Expectation {
    let backends: Vec<(&PodName, Port)> = match &cell.to {
        Target::Pod(name) => vec![(name, cell.port)],
        Target::Service(name) => plan.service(name).map_or_else(Vec::new, |service| {
            let port = |number| Port {
                number,
                protocol: cell.port.protocol,
            };
            let backends = service.backends(cell.port).iter();
            backends
                .map(|(pod, number)| (&plan.pods[*pod].name, port(*number)))
                .collect()
        }),
    };
    let mut expectation = Expectation {
        answers: BTreeSet::new(),
        silence: false,
    };
    for (to, port) in backends {
        if allowed(&cell.from, to, port, cell.family) {
            expectation.answers.insert(to.to_string());
        } else {
            expectation.silence = true;
        }
    }
    expectation
}
