//! Waiting until something flows, or does not any more. What is waited for is counted, and so no process is asked
//! anything meanwhile.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sluice_lab::stream::{Direction, Hammer, Stream};

use super::super::timing;

/// By then it has happened, or does not.
const PATIENCE: Duration = Duration::from_secs(30);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(1);
/// So many more have to arrive.
const FLOWS: u64 = 20;
/// So many in a row have to be lost.
const STANDS: u64 = 100;
/// What has not arrived by then is lost; what waits in a queue for an agent that gets no processor is not.
const LATE: Duration = Duration::from_secs(2);
/// And nothing may have arrived for so long.
const QUIET: Duration = Duration::from_millis(30);

/// Numbers that are sent, some of which arrive.
pub(super) trait Flow {
    /// How many were sent.
    fn sent(&self) -> u64;
    /// How many arrived.
    fn arrived(&self) -> u64;
}

impl Flow for Hammer {
    fn sent(&self) -> u64 {
        Hammer::sent(self)
    }

    fn arrived(&self) -> u64 {
        self.delivered()
    }
}

impl Flow for Stream {
    fn sent(&self) -> u64 {
        Stream::sent(self)
    }

    fn arrived(&self) -> u64 {
        self.delivered(Direction::Forward)
    }
}

/// Until each of them flows.
pub(super) fn flow(what: &str, flows: &[&dyn Flow]) -> Result<()> {
    let enough: Vec<u64> = flows.iter().map(|flow| flow.arrived() + FLOWS).collect();
    await_that(what, || {
        let mut each = flows.iter().zip(&enough);
        each.all(|(flow, enough)| flow.arrived() >= *enough)
    })
}

/// Until each of them stands.
pub(super) fn stand(what: &str, flows: &[&dyn Flow]) -> Result<()> {
    let mut last: Vec<Last> = flows.iter().map(|flow| Last::now(*flow)).collect();
    await_that(what, || {
        let mut all = true;
        for (last, flow) in last.iter_mut().zip(flows) {
            if flow.arrived() != last.arrived {
                *last = Last::now(*flow);
            }
            all &= flow.sent() >= last.sent + STANDS && last.at.elapsed() >= QUIET;
        }
        all
    })
}

/// How things stood when something was last seen to have arrived.
struct Last {
    at: Instant,
    sent: u64,
    arrived: u64,
}

impl Last {
    fn now(flow: &dyn Flow) -> Self {
        Self {
            at: Instant::now(),
            arrived: flow.arrived(),
            sent: flow.sent(),
        }
    }
}

/// Until so many more were sent.
pub(super) fn go_by(flow: &dyn Flow, more: u64) -> Result<()> {
    let enough = flow.sent() + more;
    await_that("more is sent", || flow.sent() >= enough)
}

/// Until each of these numbers has arrived, or they have had long enough to.
pub(super) fn settle(hammer: &Hammer, numbers: Range<u64>) {
    let limit = Instant::now() + LATE;
    while timing::missing(&hammer.deliveries(), numbers.clone()) > 0 && Instant::now() < limit {
        thread::sleep(5 * LOOK);
    }
}

pub(super) fn await_that(what: &str, so: impl FnMut() -> bool) -> Result<()> {
    await_each(LOOK, what, so)
}

/// Until it is so, looking once every `pause`.
pub(super) fn await_each(pause: Duration, what: &str, mut so: impl FnMut() -> bool) -> Result<()> {
    let limit = Instant::now() + PATIENCE;
    while !so() {
        ensure!(Instant::now() < limit, "not within {PATIENCE:?}: {what}");
        thread::sleep(pause);
    }
    Ok(())
}
