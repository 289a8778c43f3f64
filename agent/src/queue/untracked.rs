//! What was asked without conntrack, so that it can be answered: other software may tell conntrack to leave packets
//! alone, and then nothing but this says which of them are replies. Policies are not known here: an answer is still
//! judged as what it answers.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluice_policy::Protocol;

use super::packet::Packet;

/// How long an answer may take: conntrack's `nf_conntrack_udp_timeout_stream`, and a TCP connection that is used now and
/// then. Up to twice as long is kept.
const DATAGRAMS: Duration = Duration::from_mins(2);
const STREAMS: Duration = Duration::from_hours(1);
/// Connections that are kept of each at least; up to twice as many are. The oldest are forgotten for new ones.
const BOUND: usize = 1 << 14;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Asked {
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    ports: (u16, u16),
}

impl Asked {
    const fn by(packet: &Packet) -> Self {
        Self {
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            ports: (packet.source_port, packet.destination_port),
        }
    }

    const fn answered_by(packet: &Packet) -> Self {
        Self {
            source: packet.destination,
            destination: packet.source,
            protocol: packet.protocol,
            ports: (packet.destination_port, packet.source_port),
        }
    }
}

/// The connections that conntrack does not see, of all queues.
#[derive(Debug)]
pub(crate) struct Untracked {
    streams: Mutex<Recent>,
    datagrams: Mutex<Recent>,
}

impl Untracked {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            streams: Mutex::new(Recent::new(STREAMS, now)),
            datagrams: Mutex::new(Recent::new(DATAGRAMS, now)),
        }
    }

    /// Remembers a packet that was accepted; `answer` says that it is part of a connection of the other end's.
    pub(crate) fn remember(&self, packet: &Packet, answer: bool, now: Instant) {
        let asked = if answer {
            Asked::answered_by(packet)
        } else {
            Asked::by(packet)
        };
        self.of(packet).insert(asked, now);
    }

    /// Whether a packet answers one that was accepted.
    pub(crate) fn answers(&self, packet: &Packet, now: Instant) -> bool {
        self.of(packet).contains(Asked::answered_by(packet), now)
    }

    fn of(&self, packet: &Packet) -> MutexGuard<'_, Recent> {
        let which = if packet.protocol == Protocol::Tcp {
            &self.streams
        } else {
            &self.datagrams
        };
        // Whatever a worker was at when it panicked, a set is a set.
        which.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A set that forgets: of two generations the older one is dropped when the younger is full, or old enough.
#[derive(Debug)]
struct Recent {
    young: HashSet<Asked>,
    old: HashSet<Asked>,
    since: Instant,
    lifetime: Duration,
}

impl Recent {
    fn new(lifetime: Duration, now: Instant) -> Self {
        Self {
            young: HashSet::new(),
            old: HashSet::new(),
            since: now,
            lifetime,
        }
    }

    fn insert(&mut self, asked: Asked, now: Instant) {
        self.age(now);
        if self.young.len() >= BOUND && !self.young.contains(&asked) {
            self.turn(now);
        }
        self.young.insert(asked);
    }

    fn contains(&mut self, asked: Asked, now: Instant) -> bool {
        self.age(now);
        self.young.contains(&asked) || self.old.contains(&asked)
    }

    fn age(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= self.lifetime {
            self.turn(now);
        }
        if age >= 2 * self.lifetime {
            self.old.clear();
        }
    }

    fn turn(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(port: u16, protocol: Protocol) -> Packet {
        Packet {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            protocol,
            source_port: port,
            destination_port: 53,
            midstream: false,
            opens: true,
        }
    }

    fn answer(to: &Packet) -> Packet {
        Packet {
            source: to.destination,
            destination: to.source,
            source_port: to.destination_port,
            destination_port: to.source_port,
            ..*to
        }
    }

    #[test]
    fn an_answer_goes_back_the_way_of_the_question() {
        let now = Instant::now();
        let untracked = Untracked::new(now);
        let asked = packet(4000, Protocol::Udp);
        untracked.remember(&asked, false, now);
        assert!(untracked.answers(&answer(&asked), now));
        assert!(!untracked.answers(&asked, now), "a question is no answer");
        for other in [packet(4001, Protocol::Udp), packet(4000, Protocol::Tcp)] {
            assert!(!untracked.answers(&answer(&other), now), "{other:?}");
        }
    }

    #[test]
    fn answers_keep_a_question_and_time_ends_it() {
        let start = Instant::now();
        for (protocol, lifetime) in [(Protocol::Udp, DATAGRAMS), (Protocol::Tcp, STREAMS)] {
            let untracked = Untracked::new(start);
            let asked = packet(4000, protocol);
            untracked.remember(&asked, false, start);
            let mut now = start;
            for _ in 0..5 {
                now += lifetime * 9 / 10;
                assert!(untracked.answers(&answer(&asked), now));
                untracked.remember(&answer(&asked), true, now);
            }
            assert!(!untracked.answers(&answer(&asked), now + 2 * lifetime));
        }
    }

    #[test]
    fn the_newest_are_kept_and_no_more_than_fit() {
        let now = Instant::now();
        let untracked = Untracked::new(now);
        let bound = u16::try_from(BOUND).unwrap();
        for port in 0..3 * bound {
            untracked.remember(&packet(port, Protocol::Udp), false, now);
        }
        let kept = |port| untracked.answers(&answer(&packet(port, Protocol::Udp)), now);
        assert!((2 * bound..3 * bound).all(kept), "the newest");
        assert!(!(0..bound).any(kept), "the oldest");
    }
}
