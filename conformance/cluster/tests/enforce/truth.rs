//! What ought to come of questions, by the oracle, from the objects that the API server holds; and whether it does.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use sluice_kubernetes::load_text;
use sluice_oracle::{Family, Oracle};
use sluice_policy::{PodName, Protocol};

use crate::kinds::{Kind, Served};
use crate::probe::{Cell, Reply, Via};
use crate::world::World;
use crate::{NAMESPACES, PODS, PORTS};

/// How often a question without the answer that it ought to have is asked again: packets get lost on a busy machine.
const AGAIN: usize = 5;
/// How long a change may take to show: an API server that has just started may ask to be left alone for a while.
const SHOWS: Duration = Duration::from_mins(1);

/// What it took until all questions came out right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// They did at once.
    Once,
    /// Some were asked again.
    Again,
}

/// How a table came out.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) allowed: usize,
    pub(crate) denied: usize,
    /// Cell by cell, whether it is allowed.
    pub(crate) truth: Vec<bool>,
}

/// Every pair of different pods, each port of both protocols, by these ways.
pub(crate) fn every_cell(ways: &[Via]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (from, to) in pairs() {
        for via in ways {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                cells.extend(PORTS.map(|port| Cell {
                    from: from.clone(),
                    to: to.clone(),
                    via: *via,
                    protocol,
                    port,
                }));
            }
        }
    }
    cells
}

/// Every pair of different pods, directly, on port 80 of TCP.
pub(crate) fn quick_cells() -> Vec<Cell> {
    let cell = |cell: &Cell| cell.protocol == Protocol::Tcp && cell.port == PORTS[0];
    every_cell(&[Via::Pod]).into_iter().filter(cell).collect()
}

fn pairs() -> Vec<(String, String)> {
    let names: Vec<_> = NAMESPACES
        .iter()
        .flat_map(|namespace| PODS.map(|pod| format!("{namespace}/{pod}")))
        .collect();
    let others = |from: &String| {
        let from = from.clone();
        let others = names.iter().filter(|to| **to != from).cloned();
        others.map(|to| (from.clone(), to)).collect::<Vec<_>>()
    };
    names.iter().flat_map(others).collect()
}

impl World {
    /// What the oracle says of cells, by what the API server holds.
    pub(crate) fn truth(&self, cells: &[Cell]) -> Result<Vec<bool>> {
        let mut kinds = vec!["namespaces", "nodes", "pods", "networkpolicies"];
        if self.served != Served::No {
            kinds.extend(Kind::resources());
        }
        let items = self.list(&kinds.join(","))?;
        let text = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let loaded = load_text("the API server", &text);
        ensure!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let oracle = Oracle::new(&loaded.world);
        let pod = |name: &str| {
            let (namespace, name) = name.split_once('/').context("no name of a pod")?;
            let name = PodName {
                namespace: namespace.into(),
                name: name.into(),
            };
            loaded
                .world
                .pod(&name)
                .with_context(|| format!("no pod {name}"))
        };
        let allowed = |cell: &Cell| {
            let (from, to) = (pod(&cell.from)?, pod(&cell.to)?);
            Ok(oracle.allowed(from, to, Family::Ipv4, cell.protocol, cell.port))
        };
        cells.iter().map(allowed).collect()
    }

    /// Waits until questions come out as the oracle says, and then asks all of them once more: nothing may leak.
    pub(crate) fn agrees(&self, what: &str, cells: &[Cell]) -> Result<Seen> {
        let truth = self.truth(cells)?;
        let start = Instant::now();
        loop {
            let asked = self.comes_out(cells, &truth);
            let is_over = start.elapsed() > SHOWS;
            match asked {
                // While a machine stands still everything is silent, and not because it is denied.
                Ok(Asked::Again) if !is_over => {}
                Ok(_) => break,
                Err(wrong) => ensure!(!is_over, "{what}: {wrong:#}"),
            }
        }
        self.comes_out(cells, &truth)
            .with_context(|| format!("{what}, once more"))?;
        let allowed = truth.iter().filter(|allowed| **allowed).count();
        Ok(Seen {
            allowed,
            denied: truth.len() - allowed,
            truth,
        })
    }

    /// Applies policies, and waits until they are in force.
    pub(crate) fn enforces(&self, policies: &str, cells: &[Cell]) -> Result<Seen> {
        self.apply(policies)?;
        self.agrees("before", cells)
    }

    /// Asks all questions.
    ///
    /// # Errors
    /// Those that come out otherwise.
    pub(crate) fn comes_out(&self, cells: &[Cell], truth: &[bool]) -> Result<Asked> {
        let mut open: Vec<_> = cells.iter().cloned().zip(truth.iter().copied()).collect();
        for round in 0..=AGAIN {
            let asked: Vec<_> = open.iter().map(|(cell, _)| cell.clone()).collect();
            let replies = self.ask(&asked)?;
            let leaks = open
                .iter()
                .zip(&replies)
                .filter(|((_, allowed), reply)| !allowed && **reply != Reply::Silence);
            let leaks: Vec<_> = leaks
                .map(|((cell, _), reply)| format!("{cell}: denied, but {reply:?}"))
                .collect();
            ensure!(
                leaks.is_empty(),
                "{} cells: {}",
                leaks.len(),
                leaks.join("; ")
            );
            let answered = |(cell, reply): (&Cell, &Reply)| *reply == Reply::Name(cell.to.clone());
            let mut left = Vec::new();
            for ((cell, allowed), reply) in open.into_iter().zip(&replies) {
                if allowed && !answered((&cell, reply)) {
                    left.push((cell, allowed));
                }
            }
            open = left;
            if open.is_empty() {
                return Ok(if round == 0 {
                    Asked::Once
                } else {
                    Asked::Again
                });
            }
        }
        let cut: Vec<_> = open
            .iter()
            .map(|(cell, _)| format!("{cell}: allowed, but no answer"))
            .collect();
        anyhow::bail!("{} cells: {}", cut.len(), cut.join("; "))
    }
}
