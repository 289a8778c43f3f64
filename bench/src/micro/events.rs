//! What an event costs in the index alone, from `apply` to the published snapshot.

use std::time::{Duration, Instant};

use anyhow::Result;
use sluice_policy::Index;

use super::cases::{Case, Ticker, in_turns};
use super::report::Row;
use super::world::turns::{self, Turn};
use super::{Part, Plan, world};

const PODS: [usize; 2] = [1_000, 10_000];
const KINDS: [(&str, Turn); 4] = [
    ("a policy made or deleted", turns::made_and_deleted),
    ("a policy edited", turns::edited),
    ("a pod made or deleted", turns::coming_and_going),
    ("a pod relabelled", turns::relabelled),
];
/// Events of a turn.
const EVENTS: u32 = 20;

pub(super) fn measure(plan: &Plan, ticker: &mut Ticker<'_>) -> Result<Vec<Row>> {
    let mut cases = Vec::new();
    for pods in PODS {
        for (name, event) in KINDS {
            let mut index = world::index(world::one_node(), pods, pods / 10);
            let mut number = 0;
            cases.push(Case {
                name: format!("{name}, a policy for ten pods, pods"),
                size: Some(pods as u64),
                proof: "each event changes something".to_owned(),
                turn: Box::new(move || Ok(turn(&mut index, pods, event, &mut number))),
            });
        }
    }
    in_turns(Part::Events, cases, plan, ticker)
}

/// The mean of a few events; making them and letting go of what they replace is not counted.
fn turn(index: &mut Index, pods: usize, event: Turn, number: &mut usize) -> Result<f64, String> {
    let mut took = Duration::ZERO;
    for _ in 0..EVENTS {
        *number += 1;
        let event = event(pods, *number);
        let before = index.snapshot();
        let start = Instant::now();
        let changes = index.apply([event]);
        let after = index.snapshot();
        took += start.elapsed();
        if changes.is_empty() {
            return Err(format!("event {number} changes nothing"));
        }
        drop((before, after));
    }
    Ok(took.as_secs_f64() * 1e9 / f64::from(EVENTS))
}
