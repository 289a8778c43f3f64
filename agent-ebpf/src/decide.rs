//! What both programs decide, from a packet and what the maps say. Reads, and says what is to be written.

use crate::isolation::{Openness, Where, local, open};
use crate::{
    Addr, Counter, Epochs, Flow, FlowKey, FlowState, Guard, Lease, LeaseKey, Packet, Parsed, Phase,
    PodEntry, Redirect, Slot, Transport, Verdict,
};

/// What a decision may ask of the maps and the clock. Absent is never wrong, only slower.
pub trait Maps {
    /// The allow lease under a key, live or not.
    fn lease(&self, key: &LeaseKey) -> Option<Lease>;
    /// The deny lease under a key, live or not.
    fn denial(&self, key: &LeaseKey) -> Option<Lease>;
    /// The flow under a key, live or not.
    fn flow(&self, key: &FlowKey) -> Option<Flow>;
    /// The redirection under a key, live or not.
    fn redirect(&self, key: &FlowKey) -> Option<Redirect>;
    /// What the local pods of a slot below [`crate::EPOCH_SLOTS`] add up to.
    fn slot(&self, slot: u32) -> Option<Slot>;
    /// A local pod.
    fn pod(&self, address: &Addr) -> Option<PodEntry>;
    /// The epoch of a slot below [`crate::EPOCH_SLOTS`].
    fn epoch(&self, slot: u32) -> Option<u32>;
    /// What belongs behind an interface; none where anything may.
    fn guard(&self, ifindex: u32) -> Option<&Guard>;
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

/// Which way a packet runs on its connection, as conntrack has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// As the packets of the end that opened it do.
    With,
    /// As replies do.
    Against,
    /// Nobody knows: conntrack was told to leave it alone.
    Untracked,
}

impl Runs {
    /// As the gate has written it into the packet mark.
    #[inline(always)]
    pub const fn from_mark(mark: u32, pass: u32, reply: u32) -> Self {
        match (mark & reply != 0, mark & pass != 0) {
            (false, _) => Self::With,
            (true, false) => Self::Against,
            (true, true) => Self::Untracked,
        }
    }
}

/// What is to be written to the `flows` map.
///
/// Every field always has a value: a variant's fields that another leaves out would reach the verifier as registers
/// that nobody wrote.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowChange {
    /// What to do.
    pub write: Write,
    whose: Whose,
    state: FlowState,
    epochs: Epochs,
    now_ns: u64,
}

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing.
    Keep,
    /// Insert or replace it.
    Put,
    /// Remove it.
    End,
}

/// Which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The one that covers the packet as a reply.
    Own,
    /// The one of the packet's replies.
    Replies,
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
struct Finding {
    what: What,
    flow: FlowChange,
}

#[derive(Clone, Copy)]
enum What {
    /// Covered by a live lease.
    Allowed,
    /// Covered by a live flow entry.
    Reply,
    /// Covered by a live deny lease; at TC only where that may drop it.
    Denied,
    /// Neither end is isolated.
    Open,
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
    let found = find(packet, Asks::Tc, maps);
    let (action, counter) = match found.what {
        What::Allowed => (Tc::Pass, Counter::LeaseHits),
        What::Reply => (Tc::Pass, Counter::FlowHits),
        What::Open => (Tc::Pass, Counter::Unmatched),
        What::Denied => (Tc::Drop, Counter::DenyLeaseHits),
        What::Unknown => (Tc::Leave, Counter::Left),
    };
    Outcome {
        action,
        counter,
        flow: found.flow,
    }
}

/// The first gate program's decision: [`Gate::Pass`], or anything else for no match.
#[inline(always)]
pub fn gate_pass(parsed: &Parsed, runs: Runs, maps: &impl Maps) -> Outcome<Gate> {
    let packet = match parsed {
        Parsed::Whole(packet) => packet,
        Parsed::Ends(source, destination) if open(source, destination, Where::Gate, maps) => {
            return Outcome::plain(Gate::Pass, Counter::GateUnmatched);
        }
        Parsed::Ends(..) => return Outcome::plain(Gate::Queue, Counter::GateLeft),
        Parsed::Broken => return Outcome::plain(Gate::Queue, Counter::ParseErrors),
    };
    let found = find(packet, Asks::Gate(runs), maps);
    let (action, counter) = match found.what {
        What::Allowed => (Gate::Pass, Counter::GateLeaseHits),
        What::Reply => (Gate::Pass, Counter::GateFlowHits),
        What::Open => (Gate::Pass, Counter::GateUnmatched),
        // Counted as denied by the second program, which is asked next.
        What::Denied => (Gate::Deny, Counter::GateLeft),
        What::Unknown => (Gate::Queue, Counter::GateLeft),
    };
    Outcome {
        action,
        counter,
        flow: found.flow,
    }
}

/// The second gate program's decision: [`Gate::Deny`] where a live deny lease covers the packet and no live flow entry
/// does, else [`Gate::Queue`]. Counts denials only, as it is asked after the first.
#[inline(always)]
pub fn gate_deny(parsed: &Parsed, maps: &impl Maps) -> Gate {
    let Parsed::Whole(packet) = parsed else {
        return Gate::Queue;
    };
    if denied(packet, maps) && !matches!(reply(packet, maps).what, What::Reply) {
        Gate::Deny
    } else {
        Gate::Queue
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
            flow: FlowChange::KEEP,
        }
    }
}

impl FlowChange {
    /// Nothing is to be written.
    pub const KEEP: Self = Self {
        write: Write::Keep,
        whose: Whose::Own,
        state: FlowState::Open,
        epochs: Epochs {
            source: 0,
            destination: 0,
        },
        now_ns: 0,
    };

    /// The entry it is about, for the packet it was decided for.
    #[inline(always)]
    pub const fn key(&self, packet: &Packet) -> FlowKey {
        match self.whose {
            Whose::Own => packet.flow_key(),
            Whose::Replies => packet.reply_key(),
        }
    }

    /// What [`Write::Put`] puts under that key.
    #[inline(always)]
    pub const fn flow(&self, key: &FlowKey) -> Flow {
        Flow::new(key, self.state, self.epochs, self.now_ns)
    }

    #[inline(always)]
    const fn end(whose: Whose) -> Self {
        Self {
            write: Write::End,
            whose,
            ..Self::KEEP
        }
    }

    #[inline(always)]
    const fn put(whose: Whose, state: FlowState, epochs: Epochs, now_ns: u64) -> Self {
        Self {
            write: Write::Put,
            whose,
            state,
            epochs,
            now_ns,
        }
    }
}

impl Finding {
    const UNKNOWN: Self = Self::of(What::Unknown, FlowChange::KEEP);

    #[inline(always)]
    const fn of(what: What, flow: FlowChange) -> Self {
        Self { what, flow }
    }
}

/// Who asks, and what is known there of who opened the packet's connection.
///
/// TCP and SCTP say themselves which packet opens one. Of UDP packets between two ports only conntrack knows which was
/// first, and TC comes before it; and of those that it was told to leave alone, only the agent does. If an answer were taken for an opening, the packets that it answers would become
/// replies, and go on whatever becomes of their own verdict. So TC leaves UDP to the gate until the entry of the
/// replies is there, and only the gate makes it.
#[derive(Clone, Copy)]
enum Asks {
    Tc,
    Gate(Runs),
}

impl Asks {
    #[inline(always)]
    const fn place(self) -> Where {
        match self {
            Self::Tc => Where::Tc,
            Self::Gate(_) => Where::Gate,
        }
    }
}

/// Asks what costs least first. Where neither end is isolated, leases and flows have nothing to add: both would
/// say the same, or be stale. A denial comes after the flows: it is about connections that the source opens, and a
/// reply may happen to go to a port that its sender may not connect to.
#[inline(always)]
fn find(packet: &Packet, asks: Asks, maps: &impl Maps) -> Finding {
    let place = asks.place();
    let allowed = match Openness::glance(&packet.source, &packet.destination, place, maps) {
        Openness::Open => return Finding::of(What::Open, FlowChange::KEEP),
        Openness::OneWay => Some(What::Open),
        Openness::Unsure if leased(packet, maps) => Some(What::Allowed),
        Openness::Unsure => None,
    };
    if let Some(what) = allowed {
        let opening = replies(packet, asks, maps);
        if opening.certain {
            return Finding::of(what, opening.flow);
        }
    }
    let found = reply(packet, maps);
    if matches!(found.what, What::Reply) || allowed.is_some() {
        return found;
    }
    if (place == Where::Gate || droppable(packet, maps)) && denied(packet, maps) {
        return Finding::of(What::Denied, FlowChange::KEEP);
    }
    if open(&packet.source, &packet.destination, place, maps) {
        let opening = replies(packet, asks, maps);
        if opening.certain {
            return Finding::of(What::Open, opening.flow);
        }
    }
    Finding::UNKNOWN
}

/// Whether TC may drop a denied packet: an opening that goes where it says it goes. What is addressed to no local pod
/// may yet be translated to where it is allowed, and a lease is about what a packet has become by then.
#[inline(always)]
fn droppable(packet: &Packet, maps: &impl Maps) -> bool {
    packet.transport == Transport::Tcp
        && packet.phase == Phase::Opens
        && local(&packet.destination, maps)
}

/// The live entry that covers a packet as a reply, and what the packet does to it.
#[inline(always)]
fn reply(packet: &Packet, maps: &impl Maps) -> Finding {
    if packet.phase == Phase::Opens {
        return Finding::UNKNOWN;
    }
    let key = packet.flow_key();
    let Some(flow) = maps.flow(&key) else {
        return Finding::UNKNOWN;
    };
    let Some(epochs) = Epochs::current(packet, maps) else {
        return Finding::UNKNOWN;
    };
    let now = maps.now_ns();
    match flow.live(&key, epochs, now) {
        Some(state) => Finding::of(What::Reply, follow(packet, &flow, state, now)),
        None => Finding::UNKNOWN,
    }
}

/// Whether a live allow lease covers a packet.
#[inline(always)]
fn leased(packet: &Packet, maps: &impl Maps) -> bool {
    let key = packet.lease_key();
    let live = |lease: Lease| lease.live(&key, Epochs::current(packet, maps)?, || maps.now_ns());
    maps.lease(&key).and_then(live) == Some(Verdict::Allow)
}

/// Whether a live deny lease covers a packet.
#[inline(always)]
fn denied(packet: &Packet, maps: &impl Maps) -> bool {
    let key = packet.lease_key();
    let live = |lease: Lease| lease.live(&key, Epochs::current(packet, maps)?, || maps.now_ns());
    maps.denial(&key).and_then(live) == Some(Verdict::Deny)
}

impl Epochs {
    /// Those of a packet's ends, as they are now.
    #[inline(always)]
    pub(crate) fn current(packet: &Packet, maps: &impl Maps) -> Option<Self> {
        let source = maps.epoch(packet.source.slot())?;
        let destination = maps.epoch(packet.destination.slot())?;
        Some(Self {
            source,
            destination,
        })
    }
}

/// What a packet that may pass does to the entry of its replies.
struct Opening {
    /// Whether it is the packet's to say so: its connection runs its way, or is no matter.
    certain: bool,
    flow: FlowChange,
}

/// What a packet that may pass does to the entry of its replies, which may need one: an end may be isolated in the other
/// direction.
#[inline(always)]
fn replies(packet: &Packet, asks: Asks, maps: &impl Maps) -> Opening {
    let certain = |flow| Opening {
        certain: true,
        flow,
    };
    if matches!(packet.phase, Phase::Answers | Phase::Continues) || goes_back(packet, maps) {
        return certain(FlowChange::KEEP);
    }
    if packet.phase == Phase::Ends {
        return certain(FlowChange::end(Whose::Replies));
    }
    let Some(epochs) = Epochs::current(packet, maps).map(Epochs::swapped) else {
        return certain(FlowChange::KEEP);
    };
    let now = maps.now_ns();
    let put = |state| certain(FlowChange::put(Whose::Replies, state, epochs, now));
    if packet.phase == Phase::Opens {
        return put(FlowState::Open);
    }
    let key = packet.reply_key();
    let known = maps
        .flow(&key)
        .map_or(Known::Absent, |flow| Known::of(&flow, &key, epochs, now));
    match (packet.phase, known, asks) {
        (Phase::Datagram, Known::Absent, Asks::Tc | Asks::Gate(Runs::Untracked)) => Opening {
            certain: false,
            flow: FlowChange::KEEP,
        },
        (Phase::Datagram, Known::Absent, Asks::Gate(Runs::With))
        | (Phase::Datagram, Known::Aged, _) => put(FlowState::Open),
        (Phase::Closes, Known::Fresh | Known::Aged, _) => put(FlowState::Closing),
        _ => certain(FlowChange::KEEP),
    }
}

/// Whether replies need no entry, which is the dearest thing to write: TC passes them for where they come from and go
/// to. Should an end become isolated, its epoch changes, and an entry would be void when it was first asked for; should
/// not every local pod be known any more, the agent is asked about the first reply. Of UDP the entry also tells TC which
/// end was first.
#[inline(always)]
fn goes_back(packet: &Packet, maps: &impl Maps) -> bool {
    packet.phase != Phase::Datagram
        && Openness::glance(&packet.destination, &packet.source, Where::Tc, maps)
            != Openness::Unsure
}

/// What a reply does to its own, live entry.
#[inline(always)]
fn follow(packet: &Packet, flow: &Flow, state: FlowState, now: u64) -> FlowChange {
    let state = match packet.phase {
        Phase::Ends => return FlowChange::end(Whose::Own),
        Phase::Closes if state == FlowState::Open => FlowState::Closing,
        _ if flow.idle_ns(now) >= Flow::TOUCH_NS => state,
        _ => return FlowChange::KEEP,
    };
    FlowChange::put(Whose::Own, state, flow.epochs, now)
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
