//! What both programs decide, from a packet and what the maps say. Reads, and says what is to be written.

use crate::isolation::{Openness, Where, open};
use crate::{
    Addr, Counter, Epochs, Flow, FlowKey, FlowState, Lease, LeaseKey, Packet, Parsed, Phase,
    PodEntry, Slot, Transport, Verdict,
};

/// What a decision may ask of the maps and the clock. Absent is never wrong, only slower.
pub trait Maps {
    /// The lease under a key, live or not.
    fn lease(&self, key: &LeaseKey) -> Option<Lease>;
    /// The flow under a key, live or not.
    fn flow(&self, key: &FlowKey) -> Option<Flow>;
    /// What the local pods of a slot below [`crate::EPOCH_SLOTS`] add up to.
    fn slot(&self, slot: u32) -> Option<Slot>;
    /// A local pod.
    fn pod(&self, address: &Addr) -> Option<PodEntry>;
    /// The epoch of a slot below [`crate::EPOCH_SLOTS`].
    fn epoch(&self, slot: u32) -> Option<u32>;
    /// Whether `pods` holds every local pod.
    fn pods_complete(&self) -> bool;
    /// `CLOCK_MONOTONIC` in nanoseconds.
    fn now_ns(&self) -> u64;
}

/// What TC does with a packet.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tc {
    /// Sets the PASS mark.
    Pass,
    /// Leaves it to the gate.
    Leave,
    /// Drops it.
    Drop,
}

/// What `gate_pass` and `gate_deny` say together.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Accepted.
    Pass,
    /// Dropped.
    Deny,
    /// To the agent.
    Queue,
}

/// What is to be written to the `flows` map.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowChange {
    /// Nothing.
    Keep,
    /// The entry is inserted or replaced.
    Put(FlowKey, Flow),
    /// The entry is removed.
    End(FlowKey),
}

/// A decision, what counts it, and what is to be written for it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<A> {
    /// What to do with the packet.
    pub action: A,
    /// What counts it.
    pub counter: Counter,
    /// What is to be written.
    pub flow: FlowChange,
}

/// What the maps know about a packet.
enum Finding {
    /// Covered by a live lease.
    Allowed(FlowChange),
    /// Covered by a live deny lease.
    Denied,
    /// Covered by a live flow entry.
    Reply(FlowChange),
    /// Neither end is isolated.
    Open(FlowChange),
    /// Nothing.
    Unknown,
}

/// The TC program's decision.
#[inline(always)]
pub fn tc(parsed: &Parsed, maps: &impl Maps) -> Outcome<Tc> {
    let packet = match parsed {
        Parsed::Whole(packet) => packet,
        Parsed::Ends(..) => return Outcome::plain(Tc::Leave, Counter::Unsure),
        Parsed::Broken => return Outcome::plain(Tc::Leave, Counter::ParseErrors),
    };
    match find(packet, Where::Tc, maps) {
        Finding::Allowed(flow) => Outcome {
            action: Tc::Pass,
            counter: Counter::LeaseHits,
            flow,
        },
        Finding::Reply(flow) => Outcome {
            action: Tc::Pass,
            counter: Counter::FlowHits,
            flow,
        },
        Finding::Open(flow) => Outcome {
            action: Tc::Pass,
            counter: Counter::Unmatched,
            flow,
        },
        Finding::Denied if packet.transport == Transport::Tcp && packet.phase == Phase::Opens => {
            Outcome::plain(Tc::Drop, Counter::DenyLeaseHits)
        }
        Finding::Denied | Finding::Unknown => Outcome::plain(Tc::Leave, Counter::Left),
    }
}

/// The first gate program's decision: [`Gate::Pass`], or anything else for no match.
#[inline(always)]
pub fn gate_pass(parsed: &Parsed, maps: &impl Maps) -> Outcome<Gate> {
    let packet = match parsed {
        Parsed::Whole(packet) => packet,
        Parsed::Ends(source, destination) if open(source, destination, Where::Gate, maps) => {
            return Outcome::plain(Gate::Pass, Counter::GateUnmatched);
        }
        Parsed::Ends(..) => return Outcome::plain(Gate::Queue, Counter::GateLeft),
        Parsed::Broken => return Outcome::plain(Gate::Queue, Counter::ParseErrors),
    };
    let (counter, flow) = match find(packet, Where::Gate, maps) {
        Finding::Allowed(flow) => (Counter::GateLeaseHits, flow),
        Finding::Reply(flow) => (Counter::GateFlowHits, flow),
        Finding::Open(flow) => (Counter::GateUnmatched, flow),
        // Counted as denied by the second program, which is asked next.
        Finding::Denied => return Outcome::plain(Gate::Deny, Counter::GateLeft),
        Finding::Unknown => return Outcome::plain(Gate::Queue, Counter::GateLeft),
    };
    Outcome {
        action: Gate::Pass,
        counter,
        flow,
    }
}

/// The second gate program's decision: [`Gate::Deny`] for a live deny lease, else [`Gate::Queue`]. Counts denials
/// only, as it is asked after the first.
#[inline(always)]
pub fn gate_deny(parsed: &Parsed, maps: &impl Maps) -> Gate {
    let Parsed::Whole(packet) = parsed else {
        return Gate::Queue;
    };
    let key = packet.lease_key();
    match live_lease(packet, &key, maps) {
        Some((Verdict::Deny, _)) => Gate::Deny,
        _ => Gate::Queue,
    }
}

/// The packet mark after a decision: Sluice's own bits are cleared, then PASS is set; no other bit moves.
#[inline(always)]
pub const fn marked(mark: u32, ours: u32, pass: u32, action: Tc) -> u32 {
    match action {
        Tc::Pass => (mark & !ours) | pass,
        Tc::Leave | Tc::Drop => mark & !ours,
    }
}

impl<A> Outcome<A> {
    #[inline(always)]
    const fn plain(action: A, counter: Counter) -> Self {
        Self {
            action,
            counter,
            flow: FlowChange::Keep,
        }
    }
}

/// Asks what costs least first. Where neither end is isolated, leases and flows have nothing to add: both would
/// say the same, or be stale.
#[inline(always)]
fn find(packet: &Packet, place: Where, maps: &impl Maps) -> Finding {
    match Openness::glance(&packet.source, &packet.destination, place, maps) {
        Openness::Open => return Finding::Open(FlowChange::Keep),
        Openness::OneWay => return Finding::Open(opened(packet, maps)),
        Openness::Unsure => {}
    }
    let found = match live_lease(packet, &packet.lease_key(), maps) {
        Some((Verdict::Allow, epochs)) => Finding::Allowed(replies(packet, epochs.swapped(), maps)),
        Some((Verdict::Deny, _)) => Finding::Denied,
        None => reply(packet, maps).map_or(Finding::Unknown, Finding::Reply),
    };
    match found {
        Finding::Unknown if open(&packet.source, &packet.destination, place, maps) => {
            Finding::Open(opened(packet, maps))
        }
        found => found,
    }
}

/// What an unmatched packet does to the entry of its replies, which may need one: an end may be isolated in the
/// other direction.
#[inline(always)]
fn opened(packet: &Packet, maps: &impl Maps) -> FlowChange {
    current(packet, maps).map_or(FlowChange::Keep, |epochs| {
        replies(packet, epochs.swapped(), maps)
    })
}

/// What a packet does to the live entry that covers it as a reply; none where there is none.
#[inline(always)]
fn reply(packet: &Packet, maps: &impl Maps) -> Option<FlowChange> {
    if packet.phase == Phase::Opens {
        return None;
    }
    let key = packet.flow_key();
    let flow = maps.flow(&key)?;
    let epochs = current(packet, maps)?;
    let now = maps.now_ns();
    let state = flow.live(&key, epochs, now)?;
    Some(follow(packet, key, &flow, state, now))
}

#[inline(always)]
fn live_lease(packet: &Packet, key: &LeaseKey, maps: &impl Maps) -> Option<(Verdict, Epochs)> {
    let lease = maps.lease(key)?;
    let epochs = current(packet, maps)?;
    Some((lease.live(key, epochs, || maps.now_ns())?, epochs))
}

#[inline(always)]
fn current(packet: &Packet, maps: &impl Maps) -> Option<Epochs> {
    let source = maps.epoch(packet.source.slot())?;
    let destination = maps.epoch(packet.destination.slot())?;
    Some(Epochs {
        source,
        destination,
    })
}

/// What a packet of a leased connection does to the entry of its replies.
#[inline(always)]
fn replies(packet: &Packet, epochs: Epochs, maps: &impl Maps) -> FlowChange {
    if packet.phase == Phase::Continues {
        return FlowChange::Keep;
    }
    let key = packet.reply_key();
    match packet.phase {
        Phase::Continues => FlowChange::Keep,
        Phase::Ends => FlowChange::End(key),
        Phase::Opens => {
            let flow = Flow::new(&key, FlowState::Open, epochs, maps.now_ns());
            FlowChange::Put(key, flow)
        }
        Phase::Datagram | Phase::Closes => {
            let now = maps.now_ns();
            let known = maps
                .flow(&key)
                .map_or(Known::Absent, |flow| Known::of(&flow, &key, epochs, now));
            match (packet.phase, known) {
                (Phase::Datagram, Known::Absent | Known::Aged) => {
                    let flow = Flow::new(&key, FlowState::Open, epochs, now);
                    FlowChange::Put(key, flow)
                }
                (Phase::Closes, Known::Fresh | Known::Aged) => {
                    let flow = Flow::new(&key, FlowState::Closing, epochs, now);
                    FlowChange::Put(key, flow)
                }
                _ => FlowChange::Keep,
            }
        }
    }
}

/// What a reply does to its own, live entry.
#[inline(always)]
fn follow(packet: &Packet, key: FlowKey, flow: &Flow, state: FlowState, now: u64) -> FlowChange {
    let state = match packet.phase {
        Phase::Ends => return FlowChange::End(key),
        Phase::Closes if state == FlowState::Open => FlowState::Closing,
        _ if flow.idle_ns(now) >= Flow::TOUCH_NS => state,
        _ => return FlowChange::Keep,
    };
    FlowChange::Put(key, Flow::new(&key, state, flow.epochs, now))
}

/// An entry of replies, seen from the connection's own direction.
#[derive(Clone, Copy)]
enum Known {
    Absent,
    Fresh,
    Aged,
}

impl Known {
    #[inline(always)]
    fn of(flow: &Flow, key: &FlowKey, epochs: Epochs, now: u64) -> Self {
        match flow.live(key, epochs, now) {
            Some(FlowState::Open | FlowState::Closing) if flow.idle_ns(now) < Flow::TOUCH_NS => {
                Self::Fresh
            }
            Some(FlowState::Open | FlowState::Closing) => Self::Aged,
            None => Self::Absent,
        }
    }
}
