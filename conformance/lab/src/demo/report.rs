//! The outcome of a demo as a document; its fields are a public contract.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

use crate::demo::isolation;
use crate::expect::Expectation;
use crate::judge::Judged;
use crate::{Cell, Counters, Lab, Mode, Target};

/// What `demo -o json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) ok: bool,
    pub(crate) mode: &'static str,
    pub(crate) families: Vec<String>,
    pub(crate) pods: usize,
    pub(crate) probes: Probes,
    pub(crate) second_round: SecondRound,
    pub(crate) incorrect: Vec<Incorrect>,
    /// How packets travelled, all nodes together: until the first round, in each of the two, and in the end.
    pub(crate) packets: Packets,
    /// `sluice status -o json` of the first node, at the end.
    pub(crate) status: Value,
    /// The same of every node.
    pub(crate) nodes: BTreeMap<String, Value>,
    pub(crate) seconds: Seconds,
    #[serde(skip)]
    pub(crate) rounds: Rounds,
}

/// What came of the first round.
#[derive(Debug, Serialize)]
pub(crate) struct Probes {
    pub(crate) total: usize,
    pub(crate) correct: usize,
    pub(crate) incorrect: usize,
    /// How many of them went to Services.
    pub(crate) services: usize,
}

/// What came of the second round.
#[derive(Debug, Serialize)]
pub(crate) struct SecondRound {
    pub(crate) total: usize,
    pub(crate) correct: usize,
    /// Packets that the queues still accepted.
    pub(crate) queued_allowed: u64,
    /// How many connections must have been seen by the queue in pure NFQUEUE mode: those between two pods that end
    /// allowed and have an isolated end.
    pub(crate) judged_connections: u64,
}

/// A probe that came out wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Incorrect {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) port: u16,
    pub(crate) protocol: String,
    pub(crate) expected: &'static str,
    pub(crate) observed: String,
    pub(crate) family: String,
    /// Whether `to` is a Service.
    pub(crate) service: bool,
    /// 1 or 2.
    pub(crate) round: u8,
}

/// Counters by name.
#[derive(Debug, Serialize)]
pub(crate) struct Packets {
    pub(crate) before: BTreeMap<&'static str, u64>,
    pub(crate) first_round: BTreeMap<&'static str, u64>,
    pub(crate) second_round: BTreeMap<&'static str, u64>,
    pub(crate) after: BTreeMap<&'static str, u64>,
}

/// How long things took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Seconds {
    /// Namespaces, links and servers.
    pub(crate) setup: f64,
    /// Agents, from their start until all were ready.
    pub(crate) ready: f64,
    /// Both rounds.
    pub(crate) probe: f64,
}

impl Seconds {
    pub(crate) fn of(setup: Duration, ready: Duration) -> Self {
        Self {
            setup: setup.as_secs_f64(),
            ready: ready.as_secs_f64(),
            probe: 0.0,
        }
    }
}

/// Both rounds in full.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) cells: Vec<Cell>,
    pub(crate) expected: Vec<Expectation>,
    pub(crate) first: Judged,
    pub(crate) second: Judged,
    /// Before, between and after the rounds.
    pub(crate) counters: [Counters; 3],
}

impl Report {
    pub(crate) fn new(lab: &Lab, mode: Mode, rounds: Rounds, seconds: Seconds) -> Result<Self> {
        let nodes = lab
            .agents()
            .iter()
            .map(|agent| Ok((agent.node().to_string(), agent.status()?)));
        let nodes: BTreeMap<String, Value> = nodes.collect::<Result<_>>()?;
        let first_node = lab.agents().first().context("an agent")?.node();
        let [before, between, after] = rounds.counters;
        let total = rounds.cells.len();
        let second_round = SecondRound {
            total,
            correct: rounds.second.correct(),
            queued_allowed: after.since(between).allowed,
            judged_connections: isolation::judged_connections(
                lab,
                &rounds.cells,
                &rounds.second.replies,
            ),
        };
        let correct = rounds.first.correct();
        let services = rounds
            .cells
            .iter()
            .filter(|cell| matches!(cell.to, Target::Service(_)))
            .count();
        Ok(Self {
            ok: correct == total
                && second_round.correct == total
                && travelled_right(mode, &second_round),
            mode: mode.name(),
            families: lab
                .plan()
                .families
                .iter()
                .map(ToString::to_string)
                .collect(),
            pods: lab.plan().pods.len(),
            probes: Probes {
                total,
                correct,
                incorrect: total - correct,
                services,
            },
            second_round,
            incorrect: incorrect(lab, &rounds),
            packets: Packets {
                before: by_name(before),
                first_round: by_name(between.since(before)),
                second_round: by_name(after.since(between)),
                after: by_name(after),
            },
            status: nodes.get(&**first_node).cloned().unwrap_or_default(),
            nodes,
            seconds,
            rounds,
        })
    }
}

/// Hybrid: no connection that ends allowed is seen by a queue any more. Pure NFQUEUE: every one is.
fn travelled_right(mode: Mode, round: &SecondRound) -> bool {
    match mode {
        Mode::Hybrid => round.queued_allowed == 0,
        Mode::Nfqueue => round.queued_allowed >= round.judged_connections,
    }
}

fn incorrect(lab: &Lab, rounds: &Rounds) -> Vec<Incorrect> {
    let of_round = |number: u8, judged: &Judged| {
        let wrong = judged
            .right
            .iter()
            .enumerate()
            .filter(|(_, right)| !**right);
        let describe = |(index, _): (usize, &bool)| {
            let cell = &rounds.cells[index];
            Incorrect {
                from: cell.from.to_string(),
                to: cell.to.to_string(),
                port: cell.port.number,
                protocol: cell.port.protocol.to_string(),
                expected: rounds.expected[index].name(),
                observed: lab.outcome(cell, judged.replies[index].clone()).to_string(),
                family: cell.family.to_string(),
                service: matches!(cell.to, Target::Service(_)),
                round: number,
            }
        };
        wrong.map(describe).collect::<Vec<_>>()
    };
    let mut all = of_round(1, &rounds.first);
    all.extend(of_round(2, &rounds.second));
    all
}

fn by_name(counters: Counters) -> BTreeMap<&'static str, u64> {
    counters.fields().into_iter().collect()
}
