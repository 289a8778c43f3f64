//! Which packets of established connections go straight from one local pod's link to another's, past netfilter.
//!
//! Conntrack sees how a connection opens and how it ends, and one packet of each direction every
//! [`Redirect::CONFIRM_NS`]: so it knows who opened it, its entry does not expire in use, and whatever the node's other
//! rules have come to say is in force after that time. Only the packets in between are handed over, as far as the same epochs
//! hold that would have let them pass TC.

use crate::isolation::{Openness, Where, open};
use crate::{
    Epochs, Family, FlowKey, FlowState, Guard, Maps, Packet, Parsed, Phase, Transport, Verdict,
};

/// Value of the `redirects` map, by what a packet says of itself ([`FlowKey`]): that the gate has seen one of an
/// established connection that nobody translates or follows, which way it went, and when. A cache: it may be lost at any
/// time.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    tag: u32,
    /// The epochs of the key's two ends.
    pub epochs: Epochs,
    /// The way that the packet went.
    pub links: Links,
    reserved: u32,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub confirmed_ns: u64,
}

/// Interface indices: where a packet comes in and where it goes out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    /// Of the source.
    pub input: u32,
    /// Of the destination.
    pub output: u32,
}

const _: () = assert!(size_of::<Redirect>() == 32);

impl Redirect {
    /// How long packets are handed over after the gate has seen one.
    pub const CONFIRM_NS: u64 = 5_000_000_000;

    /// Confirmed now.
    #[inline(always)]
    #[must_use]
    pub const fn new(key: &FlowKey, epochs: Epochs, links: Links, confirmed_ns: u64) -> Self {
        Self {
            tag: key.digest() | FlowState::Open.bits(),
            epochs,
            links,
            reserved: 0,
            confirmed_ns,
        }
    }

    /// From a map's fields; `tag` is to be read last.
    #[inline(always)]
    #[must_use]
    pub const fn from_parts(epochs: Epochs, links: Links, confirmed_ns: u64, tag: u32) -> Self {
        Self {
            tag,
            epochs,
            links,
            reserved: 0,
            confirmed_ns,
        }
    }

    /// Where a packet goes that came in by `input`.
    #[inline(always)]
    fn output(&self, key: &FlowKey, current: Epochs, input: u32, now_ns: u64) -> Option<u32> {
        let ours = self.state(key) == Some(FlowState::Open) && self.links.input == input;
        let fresh = self.age_ns(now_ns) < Self::CONFIRM_NS;
        (ours && fresh && self.epochs == current).then_some(self.links.output)
    }

    #[inline(always)]
    const fn state(&self, key: &FlowKey) -> Option<FlowState> {
        FlowState::of_bits(self.tag ^ key.digest())
    }

    #[inline(always)]
    const fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.confirmed_ns)
    }
}

/// The interface behind which the packet's destination is, where TC may hand it over.
#[inline(always)]
pub fn redirected(packet: &Packet, input: u32, maps: &impl Maps) -> Option<u32> {
    // Where not every local pod is known, nothing that is open is.
    if !goes_on(packet) || !maps.pods_complete() {
        return None;
    }
    let key = packet.flow_key();
    let redirect = maps.redirect(&key)?;
    redirect.output(&key, Epochs::current(packet, maps)?, input, maps.now_ns())
}

/// What the entries of both directions of a packet's connection become by it, as a tag for each key; none where they
/// stay. Whoever opens a connection has it tracked from its beginning, and one that ends is not to be confirmed again by
/// its last packets.
#[inline(always)]
#[must_use]
pub const fn stopped(packet: &Packet) -> Option<[(FlowKey, u32); 2]> {
    let (own, replies) = (packet.flow_key(), packet.reply_key());
    match packet.phase {
        Phase::Opens => Some([(own, 0), (replies, 0)]),
        Phase::Closes | Phase::Ends => Some([
            (own, own.digest() | FlowState::Closing.bits()),
            (replies, replies.digest() | FlowState::Closing.bits()),
        ]),
        Phase::Answers | Phase::Continues | Phase::Datagram => None,
    }
}

/// The entry that the gate makes for a packet that TC has passed, of an established connection: none where it is there,
/// where the connection ends, or where one of the links is not surely its pod's alone.
#[inline(always)]
pub fn confirmed(parsed: &Parsed, links: Links, maps: &impl Maps) -> Option<(FlowKey, Redirect)> {
    let Parsed::Whole(packet) = parsed else {
        return None;
    };
    let ports = matches!(packet.transport, Transport::Tcp | Transport::Udp);
    let seen = goes_on(packet) || packet.phase == Phase::Answers;
    if !(ports && seen && between_pods(packet, links, maps)) {
        return None;
    }
    let (key, now) = (packet.flow_key(), maps.now_ns());
    // Read before what they are to vouch for: should that change meanwhile, so will they.
    let epochs = Epochs::current(packet, maps)?;
    let known = maps.redirect(&key);
    if known.is_some_and(|known| known.stands(&key, epochs, links, now)) {
        return None;
    }
    covered(packet, &key, epochs, now, maps).then(|| (key, Redirect::new(&key, epochs, links, now)))
}

impl Redirect {
    /// Whether it stays as it is.
    #[inline(always)]
    fn stands(&self, key: &FlowKey, current: Epochs, links: Links, now_ns: u64) -> bool {
        match self.state(key) {
            Some(FlowState::Open) => {
                self.output(key, current, links.input, now_ns) == Some(links.output)
            }
            Some(state @ FlowState::Closing) => {
                self.age_ns(now_ns) < Self::CONFIRM_NS + state.timeout_ns(key.protocol)
            }
            None => false,
        }
    }
}

/// Neither the first packets of a connection nor, as far as it tells, the last.
#[inline(always)]
const fn goes_on(packet: &Packet) -> bool {
    matches!(packet.phase, Phase::Continues | Phase::Datagram)
}

/// Whether the packet goes from one local pod to another, by links that surely lead to them alone.
#[inline(always)]
fn between_pods(packet: &Packet, links: Links, maps: &impl Maps) -> bool {
    let leads = |link, address| {
        maps.guard(link)
            .is_some_and(|guard| guard.leads(link, address))
    };
    links.input != links.output
        && leads(links.input, &packet.source)
        && leads(links.output, &packet.destination)
}

/// Whether what TC passed it for holds with these epochs.
#[inline(always)]
fn covered(packet: &Packet, key: &FlowKey, epochs: Epochs, now_ns: u64, maps: &impl Maps) -> bool {
    let (source, destination) = (&packet.source, &packet.destination);
    if Openness::glance(source, destination, Where::Gate, maps) != Openness::Unsure {
        return true;
    }
    let lease_key = packet.lease_key();
    let leased = maps
        .lease(&lease_key)
        .and_then(|lease| lease.live(&lease_key, epochs, || now_ns));
    leased == Some(Verdict::Allow)
        || maps
            .flow(key)
            .is_some_and(|flow| flow.live(key, epochs, now_ns).is_some())
        || open(source, destination, Where::Gate, maps)
}

/// The word that a router writes anew, with one hop less: of IPv4 that of the time to live, the protocol and the header's
/// checksum (bytes 8 to 11), of IPv6 that of the length, the next header and the hop limit (bytes 4 to 7). None where
/// there is no hop left.
#[inline(always)]
#[must_use]
pub const fn one_hop(family: Family, word: [u8; 4]) -> Option<[u8; 4]> {
    let [first, second, third, fourth] = word;
    match family {
        Family::V4 if first > 1 => {
            // As RFC 1624 has it: the sum's complement grows by what the header loses.
            let sum = u16::from_be_bytes([third, fourth]);
            let (sum, carry) = sum.overflowing_add(0x0100);
            let sum = if carry || sum == u16::MAX {
                sum.wrapping_add(1)
            } else {
                sum
            };
            let [third, fourth] = sum.to_be_bytes();
            Some([first - 1, second, third, fourth])
        }
        Family::V6 if fourth > 1 => Some([first, second, third, fourth - 1]),
        Family::V4 | Family::V6 => None,
    }
}

impl Guard {
    /// Whether the interface leads to another network namespace, and routes the address there.
    #[inline(always)]
    fn leads(&self, ifindex: u32, address: &crate::Addr) -> bool {
        self.has_peer_elsewhere(ifindex) && self.has(address)
    }
}
