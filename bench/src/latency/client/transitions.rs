//! The policy client's own changes: its policy is deleted and made again, while one handshake after another is tried. What
//! is timed begins with the API's answer, by one clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::time::sleep;

use super::super::knock::Knocks;
use super::super::metrics::Transition;
use super::super::{go, log, timing, wire};
use super::{Changed, Client};

/// By then a change is enforced, or will not be.
const PATIENCE: Duration = Duration::from_mins(1);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(1);
/// So many more handshakes have to succeed, or so many in a row to fail.
const ENOUGH: usize = 20;
/// And none may have succeeded for so long.
const QUIET: Duration = Duration::from_millis(250);

/// When the API was asked, and when it answered.
#[derive(Clone, Copy)]
struct Asked {
    request: Instant,
    answer: Instant,
}

/// Deletes and makes the policy so often; ends with it made.
pub(super) async fn measure(
    client: &Client,
    (collection, policy): (&str, &str),
    to: SocketAddr,
    times: u16,
    changed: &mut Vec<Changed>,
) -> Result<()> {
    let path = format!("{collection}/{policy}");
    let object = wire::fresh(&client.api.get(&path).await?);
    for _ in 0..times {
        let knocks = Knocks::start(to, client.config.probe_interval);
        flows(&knocks).await?;
        let request = Instant::now();
        client.api.delete(&path).await?;
        let asked = Asked::now(request);
        stands(&knocks).await?;
        let closed = timing::closed(&knocks.deliveries(), request, request);
        let last = request + closed.took;
        changed.push(note(client, Transition::Deny, asked, last));
        let request = Instant::now();
        client.api.create(collection, &object).await?;
        let asked = Asked::now(request);
        flows(&knocks).await?;
        let opened = timing::opened(&knocks.deliveries(), request, request, 0..0);
        let first = request + opened.context("no handshake")?.took;
        changed.push(note(client, Transition::Allow, asked, first));
    }
    Ok(())
}

impl Asked {
    fn now(request: Instant) -> Self {
        Self {
            request,
            answer: Instant::now(),
        }
    }
}

fn note(client: &Client, transition: Transition, asked: Asked, enforced: Instant) -> Changed {
    // It may be enforced before the answer is here.
    let since_answer = enforced.saturating_duration_since(asked.answer);
    client.metrics.changed(transition, since_answer);
    let took = go::duration(since_answer.try_into().unwrap_or_default());
    let name = transition.name();
    log::info(format_args!(
        "Transition {name:?} enforced {took} after the API answered"
    ));
    Changed {
        transition,
        since_answer: since_answer.as_secs_f64(),
        since_request: enforced
            .saturating_duration_since(asked.request)
            .as_secs_f64(),
    }
}

async fn flows(knocks: &Knocks) -> Result<()> {
    let enough = knocks.connected() + ENOUGH;
    let limit = Instant::now() + PATIENCE;
    while knocks.connected() < enough {
        ensure!(Instant::now() < limit, "no handshake within {PATIENCE:?}");
        sleep(LOOK).await;
    }
    Ok(())
}

async fn stands(knocks: &Knocks) -> Result<()> {
    let limit = Instant::now() + PATIENCE;
    let state = || (knocks.connected(), knocks.sent(), Instant::now());
    let mut last = state();
    while knocks.sent() < last.1 + ENOUGH || last.2.elapsed() < QUIET {
        ensure!(
            Instant::now() < limit,
            "handshakes succeed {PATIENCE:?} after the policy was deleted"
        );
        sleep(LOOK).await;
        if knocks.connected() != last.0 {
            last = state();
        }
    }
    Ok(())
}
