//! What a verdict costs, against the number of policies.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use sluice_policy::{Action, Snapshot, Tuple};

use super::cases::{Case, Ticker, in_turns};
use super::report::Row;
use super::world::tuples::{first_namespace_first, tuples};
use super::{Part, Plan};

const POLICIES: [usize; 5] = [0, 10, 100, 1_000, 10_000];
/// How often a turn goes through all connections: a turn is shorter than a time slice, which other work on the machine
/// disturbs less.
const LAPS: usize = 10;

pub(super) fn measure(plan: &Plan, ticker: &mut Ticker<'_>) -> Result<Vec<Row>> {
    let pods = if plan.quick { 1_000 } else { 10_000 };
    let snapshots = POLICIES.map(|policies| first_namespace_first(pods, policies).snapshot());
    let judging: Vec<&Snapshot> = snapshots[1..].iter().map(|it| &**it).collect();
    let mut cases = Vec::new();
    for action in [Action::Allow, Action::Deny] {
        let tuples: Arc<[Tuple]> = tuples(&judging, 1, action).into();
        for (policies, snapshot) in POLICIES.into_iter().zip(&snapshots) {
            // Without a policy nothing is denied.
            let action = if policies == 0 { Action::Allow } else { action };
            let (snapshot, tuples) = (Arc::clone(snapshot), Arc::clone(&tuples));
            let outcome = if action == Action::Allow {
                "allowed"
            } else {
                "denied"
            };
            cases.push(Case {
                name: format!("{outcome}, {pods} pods, policies"),
                size: Some(policies as u64),
                proof: format!("each of {} connections {outcome}", tuples.len()),
                turn: Box::new(move || Ok(turn(&snapshot, &tuples, action))),
            });
        }
    }
    // Without policies both are one case.
    cases.remove(POLICIES.len());
    in_turns(Part::Verdicts, cases, plan, ticker)
}

fn turn(snapshot: &Snapshot, tuples: &[Tuple], action: Action) -> Result<f64, String> {
    let mut others = tuples
        .iter()
        .filter(|tuple| snapshot.evaluate(tuple).action() != action);
    if let Some(other) = others.next() {
        return Err(format!("{other:?} has another verdict"));
    }
    let start = Instant::now();
    for tuple in tuples.iter().cycle().take(LAPS * tuples.len()) {
        let _verdict = black_box(snapshot.evaluate(black_box(tuple)));
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousand verdicts")]
    let verdicts = (LAPS * tuples.len()) as f64;
    Ok(start.elapsed().as_secs_f64() * 1e9 / verdicts)
}
