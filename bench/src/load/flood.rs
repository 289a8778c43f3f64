//! A flood of packets that nobody answers, at a rate, beside other load. Who denies them is not known here.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::thread::set_current_timer_slack;
use sluice_lab::{Family, Forged, Forger, Segment};
use sluice_netlink::Netns;

use super::{PATIENCE, Sent};
use crate::world::UNSERVED;

/// As often as is made up for what is due: some packets at a time, as a thread that waits for each would take its
/// processor whole.
const BEAT: Duration = Duration::from_micros(200);
/// The first of the ports that it comes from.
const FIRST_SOURCE: u16 = 1_027;

/// What came of a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flooded {
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that were due at the rate that was asked for.
    pub due: u64,
}

/// Who sends it: TCP SYNs, each from another port and to another one, none of which anybody listens on.
#[derive(Debug)]
pub struct Flooder {
    socket: Forger,
    from: SocketAddr,
    to: SocketAddr,
}

impl Flooder {
    /// One in `netns`, whose address is `from`.
    pub fn open(netns: &Netns, from: IpAddr, to: IpAddr) -> Result<Self> {
        Ok(Self {
            socket: Forger::open(netns, Family::of(to))?,
            from: SocketAddr::new(from, FIRST_SOURCE),
            to: SocketAddr::new(to, UNSERVED),
        })
    }

    /// Sends `rate` packets a second for as long as `work` lasts.
    pub fn beside<T>(&mut self, rate: f64, work: impl FnOnce() -> T) -> Result<(T, Flooded)> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let flood = thread::Builder::new()
                .name("flood".into())
                .spawn_scoped(scope, || self.send(rate, &stop))
                .context("starting a thread")?;
            let done = work();
            stop.store(true, Ordering::Relaxed);
            let flooded = flood.join();
            Ok((
                done,
                flooded.map_err(|_panic| anyhow!("the flood's thread"))??,
            ))
        })
    }

    fn send(&mut self, rate: f64, stop: &AtomicBool) -> Result<Flooded> {
        // Else the kernel lets a thread sleep 50 µs longer than asked for.
        set_current_timer_slack(NonZeroU64::new(1)).context("timer slack")?;
        let started = Instant::now();
        let mut flooded = Flooded::default();
        let mut tried = 0;
        while !stop.load(Ordering::Relaxed) {
            flooded.due = due(started.elapsed(), rate);
            while tried < flooded.due && !stop.load(Ordering::Relaxed) {
                tried += 1;
                // What the pod's own stack has no room for is not sent, and not tried again.
                flooded.sent += u64::from(self.send_next().is_ok());
            }
            thread::sleep(BEAT);
        }
        Ok(flooded)
    }

    fn send_next(&mut self) -> std::io::Result<()> {
        let (from, to) = (self.from, self.to);
        self.from.set_port(after(from.port(), FIRST_SOURCE));
        self.to.set_port(after(to.port(), UNSERVED));
        let segment = Segment::SYN;
        self.socket.send(&Forged { from, to, segment })
    }
}

/// The port after `port`; after the last one `first`.
fn after(port: u16, first: u16) -> u16 {
    port.checked_add(1).unwrap_or(first)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "packets of a slice"
)]
fn due(elapsed: Duration, rate: f64) -> u64 {
    (elapsed.as_secs_f64() * rate.max(0.0)) as u64
}

/// A connection that nobody answered in time is what a flood does to its neighbours, and no reason to leave the slice
/// out: it took as long as was waited for it, and so did, to the end of that time, all that would have come after it.
pub(super) fn unanswered_is_slow(mut sent: Sent) -> Sent {
    let patience = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
    if !sent.latency.is_empty() && sent.failed.take().is_some() {
        let usual = sent.latency.value_at_quantile(0.5);
        sent.latency.saturating_record(patience);
        let mut missed = patience.saturating_sub(usual);
        while missed >= usual.max(1) {
            sent.latency.saturating_record(missed);
            missed -= usual.max(1);
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_go_round_without_those_that_are_served() {
        for (port, next) in [(UNSERVED, UNSERVED + 1), (65_535, UNSERVED)] {
            assert_eq!(after(port, UNSERVED), next);
        }
    }

    #[test]
    fn what_is_due_follows_the_clock() {
        for (millis, rate, packets) in [(0, 20_000.0, 0), (200, 20_000.0, 4_000), (200, -1.0, 0)] {
            assert_eq!(due(Duration::from_millis(millis), rate), packets);
        }
    }

    /// A thousand that took 100 µs, and one that was given up after a second, which held 10,000 up.
    #[test]
    fn a_connection_without_an_answer_is_slow_and_so_is_what_it_held_up() {
        let sent = |failed: Option<&str>| {
            let mut sent = Sent::nothing();
            sent.latency.record_n(100_000, 1_000).unwrap();
            sent.failed = failed.map(str::to_owned);
            unanswered_is_slow(sent)
        };
        let quiet = sent(None);
        assert_eq!(quiet.latency.len(), 1_000);
        let flooded = sent(Some("tcp 10.0.0.1:80: timed out"));
        assert_eq!(flooded.failed, None);
        let held_up = flooded.latency.len() - 1_000;
        assert!((9_900..=10_100).contains(&held_up), "{held_up}");
        let p99 = flooded.latency.value_at_quantile(0.99);
        assert!(p99 > 900_000_000, "{p99}");
    }

    /// Where nothing at all was answered there is nothing to tell of.
    #[test]
    fn a_slice_in_which_nobody_answered_has_failed() {
        let mut sent = Sent::nothing();
        sent.failed = Some("tcp 10.0.0.1:80: refused".to_owned());
        assert!(unanswered_is_slow(sent).failed.is_some());
    }
}
