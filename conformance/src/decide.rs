//! Who decides about a cell, as Sluice's evaluator says it: the API text says what holds, and not by whom.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Port};
use sluice_policy::{Action, Decision, Index, Scope, Snapshot, Tuple};

use crate::expect::{self, Expected, Probe};

/// A world's policies, compiled.
pub struct Decider<'w> {
    world: &'w World,
    snapshot: Arc<Snapshot>,
}

/// What Sluice's evaluator says of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What comes of it.
    pub said: Expected,
    /// Of the first backend that is denied, or else the first: none where a Service has no backends.
    pub by: Option<Both>,
}

/// Both directions of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Both {
    /// Out of the source.
    pub egress: One,
    /// Into the destination.
    pub ingress: One,
}

/// One direction of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct One {
    /// Whether it allows.
    pub allowed: bool,
    /// The tier that decided: `Admin`, `NetworkPolicy`, `Baseline`, `Default` or `Exempt`.
    pub tier: &'static str,
    /// The policy that decided.
    pub policy: Option<String>,
    /// Its rule that decided, from zero.
    pub rule: Option<u32>,
}

impl<'w> Decider<'w> {
    /// Of a world.
    pub fn new(world: &'w World) -> Self {
        let mut index = Index::new(Scope::Cluster);
        // Nobody holds verdicts of an earlier state.
        let _changes = index.apply(world.events());
        Self {
            world,
            snapshot: index.snapshot(),
        }
    }

    /// What it says of cells, in the same order.
    pub fn decide(&self, cells: &[Cell]) -> Vec<Decided> {
        let probes = expect::probes(self.world, cells);
        probes.iter().map(|probe| self.of(probe)).collect()
    }

    fn of(&self, probe: &Probe) -> Decided {
        let ends = probe.ends.iter();
        let said: Vec<Both> = ends
            .filter_map(|(to, port)| self.of_end(probe, *to, *port))
            .collect();
        let denied = said.iter().position(|it| !it.allowed());
        let expected = match (said.iter().any(Both::allowed), denied) {
            (true, None) => Expected::Allowed,
            (true, Some(_)) => Expected::Either,
            (false, _) => Expected::Denied,
        };
        Decided {
            said: expected,
            by: said.into_iter().nth(denied.unwrap_or(0)),
        }
    }

    /// None where an end has no address of the family, as there is nothing to connect.
    fn of_end(&self, probe: &Probe, to: usize, port: Port) -> Option<Both> {
        let (from, to) = (&self.world.pods[probe.from].pod, &self.world.pods[to].pod);
        if from.name == to.name {
            return Some(Both {
                egress: One::of(&Decision::EXEMPT),
                ingress: One::of(&Decision::EXEMPT),
            });
        }
        let verdict = self.snapshot.evaluate(&Tuple {
            source: probe.family.address(from)?,
            destination: probe.family.address(to)?,
            protocol: port.protocol,
            port: port.number,
        });
        Some(Both {
            egress: One::of(&verdict.egress),
            ingress: One::of(&verdict.ingress),
        })
    }
}

impl Both {
    /// Whether the connection opens.
    pub fn allowed(&self) -> bool {
        self.egress.allowed && self.ingress.allowed
    }
}

impl One {
    fn of(decision: &Decision<'_>) -> Self {
        Self {
            allowed: decision.action == Action::Allow,
            tier: decision.tier.name(),
            policy: decision.policy.map(ToString::to_string),
            rule: decision.rule,
        }
    }
}

impl fmt::Display for Both {
    /// Whoever denies, or both where nobody does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.egress.allowed, self.ingress.allowed) {
            (false, true) => write!(f, "egress: {}", self.egress),
            (true, false) => write!(f, "ingress: {}", self.ingress),
            _ if self.egress == self.ingress => self.egress.fmt(f),
            _ => write!(f, "egress: {}, ingress: {}", self.egress, self.ingress),
        }
    }
}

impl fmt::Display for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.policy, self.rule) {
            (None, _) if self.tier == "Exempt" => f.write_str("exempt"),
            (None, _) => f.write_str("no policy"),
            (Some(policy), None) if self.allowed => f.write_str(policy),
            (Some(policy), None) => write!(f, "{policy} isolates"),
            (Some(policy), Some(rule)) => write!(f, "{policy} rule {rule}"),
        }
    }
}
