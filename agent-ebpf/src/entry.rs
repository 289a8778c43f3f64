//! What the maps hold: keys and values, with their layout and their liveness.
//!
//! Values of LRU maps are recycled while another CPU may still be reading them. So each value begins with a tag
//! made from its key and its state, written first and read last: a value that became another key's meanwhile has
//! another tag and counts as absent.

use crate::{Addr, Transport};

/// Isolation of an address in the direction into it.
pub const INGRESS: u32 = 1;
/// Isolation of an address in the direction out of it.
pub const EGRESS: u32 = 2;

/// In [`Slot::flags`]: some local pod's address has this slot.
pub const LOCAL: u32 = 4;

/// Bit of the `state` map's only word: the `pods` map holds every local pod. Without it (a fresh map is all zero)
/// any address counts as isolated.
pub const PODS_COMPLETE: u32 = 1;

/// The low bits of a tag, which hold the state.
const STATE_BITS: u32 = 2;
const STATE_MASK: u32 = (1 << STATE_BITS) - 1;

/// Odd 64-bit constants (from the fractional parts of √5 and √7).
const TURN: u64 = 0x3c6e_f372_fe94_f82b;
const FINISH: u64 = 0xa54f_f53a_5f1d_36f1;

/// Key of the `leases` map: what a verdict depends on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// Who opens the connection.
    pub source: Addr,
    /// To whom, after destination address translation.
    pub destination: Addr,
    /// The destination port, in host order.
    pub port: u16,
    /// The IP protocol number.
    pub protocol: u8,
    reserved: u8,
}

/// A remembered verdict. Holds while both ends' epochs are what they were.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    tag: u32,
    /// The epochs that the verdict's snapshot carried for the key's two ends.
    pub epochs: Epochs,
    reserved: u32,
    /// `CLOCK_MONOTONIC` in nanoseconds; 0 for no end.
    pub expires_ns: u64,
}

/// Key of the `flows` map: the replies of one leased connection, as the reply packets say it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The reply's source: the end that was connected to.
    pub source: Addr,
    /// The reply's destination: the end that opened the connection.
    pub destination: Addr,
    /// The reply's source port, in host order.
    pub source_port: u16,
    /// The reply's destination port, in host order.
    pub destination_port: u16,
    /// The IP protocol number.
    pub protocol: u8,
    reserved: [u8; 3],
}

/// That replies of a leased connection pass. Holds while both ends' epochs are what they were and it is in use.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    tag: u32,
    /// The epochs of the key's two ends.
    pub epochs: Epochs,
    reserved: u32,
    /// `CLOCK_MONOTONIC` in nanoseconds, to [`Flow::TOUCH_NS`].
    pub last_seen_ns: u64,
}

/// Value of the `pods` map: a local pod's isolation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodEntry {
    /// [`INGRESS`] and [`EGRESS`].
    pub isolated: u32,
}

/// Value of the `slots` map, an array by [`Addr::slot`]: what the pods that share a slot add up to.
///
/// It answers most questions about `pods` without a look into it: a flag that is not set here is set for no address
/// of the slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// [`INGRESS`], [`EGRESS`] and [`LOCAL`], each where it holds for any local pod of this slot.
    pub flags: u32,
    /// One of its local pods; means nothing without [`LOCAL`].
    pub pod: Addr,
}

/// The epochs of the two ends of a key, each the value of its address's slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// Of the key's source.
    pub source: u32,
    /// Of the key's destination.
    pub destination: u32,
}

/// What a lease says.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The connection may open.
    Allow,
    /// The connection is dropped.
    Deny,
}

/// How far a flow is.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    /// In use.
    Open,
    /// One side said that it is done: the entry idles out soon.
    Closing,
}

const _: () = assert!(size_of::<LeaseKey>() == 36 && align_of::<LeaseKey>() == 4);
const _: () = assert!(size_of::<Lease>() == 24);
const _: () = assert!(size_of::<FlowKey>() == 40 && align_of::<FlowKey>() == 4);
const _: () = assert!(size_of::<Flow>() == 24);
const _: () = assert!(size_of::<PodEntry>() == 4);
const _: () = assert!(size_of::<Slot>() == 20);
const _: () = assert!(size_of::<Epochs>() == 8);

impl LeaseKey {
    /// A key; `port` in host order.
    #[inline(always)]
    pub const fn new(source: Addr, destination: Addr, protocol: u8, port: u16) -> Self {
        Self {
            source,
            destination,
            port,
            protocol,
            reserved: 0,
        }
    }

    #[inline(always)]
    const fn digest(&self) -> u32 {
        let ports = ((self.port as u64) << 8) | self.protocol as u64;
        digest(self.source, self.destination, ports)
    }
}

impl FlowKey {
    /// A key, as the reply packet has it; ports in host order.
    #[inline(always)]
    pub const fn new(
        source: Addr,
        destination: Addr,
        transport: Transport,
        source_port: u16,
        destination_port: u16,
    ) -> Self {
        Self {
            source,
            destination,
            source_port,
            destination_port,
            protocol: transport.number(),
            reserved: [0; 3],
        }
    }

    #[inline(always)]
    pub(crate) const fn digest(&self) -> u32 {
        let ports = ((self.source_port as u64) << 24)
            | ((self.destination_port as u64) << 8)
            | self.protocol as u64;
        digest(self.source, self.destination, ports)
    }
}

impl Lease {
    /// The lease of `key`, from a snapshot that carried `epochs`; `expires_ns` 0 for no end.
    #[inline(always)]
    pub const fn new(key: &LeaseKey, verdict: Verdict, epochs: Epochs, expires_ns: u64) -> Self {
        Self {
            tag: key.digest() | verdict.bits(),
            epochs,
            reserved: 0,
            expires_ns,
        }
    }

    /// From a map's fields; `tag` is to be read last.
    #[inline(always)]
    pub const fn from_parts(epochs: Epochs, expires_ns: u64, tag: u32) -> Self {
        Self {
            tag,
            epochs,
            reserved: 0,
            expires_ns,
        }
    }

    /// What it says about `key`, live or not; none where it is another key's.
    #[inline(always)]
    #[must_use]
    pub const fn verdict(&self, key: &LeaseKey) -> Option<Verdict> {
        match self.tag ^ key.digest() {
            1 => Some(Verdict::Allow),
            2 => Some(Verdict::Deny),
            _ => None,
        }
    }

    /// What it says about `key` if it is live; the clock is asked only where the lease can expire.
    #[inline(always)]
    #[must_use]
    pub fn live(
        &self,
        key: &LeaseKey,
        current: Epochs,
        now_ns: impl FnOnce() -> u64,
    ) -> Option<Verdict> {
        if self.epochs != current || (self.expires_ns != 0 && now_ns() >= self.expires_ns) {
            return None;
        }
        self.verdict(key)
    }
}

impl Flow {
    /// How old `last_seen_ns` may become before it is written again.
    pub const TOUCH_NS: u64 = 1_000_000_000;

    /// The flow of `key`.
    #[inline(always)]
    pub const fn new(key: &FlowKey, state: FlowState, epochs: Epochs, last_seen_ns: u64) -> Self {
        Self {
            tag: key.digest() | state.bits(),
            epochs,
            reserved: 0,
            last_seen_ns,
        }
    }

    /// From a map's fields; `tag` is to be read last.
    #[inline(always)]
    pub const fn from_parts(epochs: Epochs, last_seen_ns: u64, tag: u32) -> Self {
        Self {
            tag,
            epochs,
            reserved: 0,
            last_seen_ns,
        }
    }

    /// The state of the flow of `key`, live or not; none where it is another key's.
    #[inline(always)]
    #[must_use]
    pub const fn state(&self, key: &FlowKey) -> Option<FlowState> {
        FlowState::of_bits(self.tag ^ key.digest())
    }

    /// The state of the flow of `key` if it is live.
    #[inline(always)]
    #[must_use]
    pub const fn live(&self, key: &FlowKey, current: Epochs, now_ns: u64) -> Option<FlowState> {
        let same =
            self.epochs.source == current.source && self.epochs.destination == current.destination;
        let Some(state) = self.state(key) else {
            return None;
        };
        if same && self.idle_ns(now_ns) < state.timeout_ns(key.protocol) {
            Some(state)
        } else {
            None
        }
    }

    /// Time since the last packet. A CPU's clock may be a moment behind the one that wrote.
    #[inline(always)]
    pub const fn idle_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.last_seen_ns)
    }
}

impl PodEntry {
    /// Whether connections into it need a verdict.
    #[inline(always)]
    pub const fn ingress(self) -> bool {
        self.isolated & INGRESS != 0
    }

    /// Whether connections out of it need a verdict.
    #[inline(always)]
    pub const fn egress(self) -> bool {
        self.isolated & EGRESS != 0
    }
}

impl Slot {
    /// A slot without pods.
    pub const EMPTY: Self = Self {
        flags: 0,
        pod: Addr::from_ipv6_words([0; 4]),
    };

    /// Adds a pod of this slot.
    pub const fn add(&mut self, pod: Addr, entry: PodEntry) {
        self.flags |= LOCAL | entry.isolated;
        self.pod = pod;
    }

    /// Whether all the bits are clear, so that they are clear for every address of the slot.
    #[inline(always)]
    pub const fn lacks(&self, bits: u32) -> bool {
        self.flags & bits == 0
    }

    /// Whether the address is surely a local pod.
    #[inline(always)]
    pub fn is_of(&self, address: &Addr) -> bool {
        self.flags & LOCAL != 0 && self.pod == *address
    }
}

impl Epochs {
    /// Those of the opposite direction.
    #[inline(always)]
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
        }
    }
}

impl Verdict {
    #[inline(always)]
    const fn bits(self) -> u32 {
        match self {
            Self::Allow => 1,
            Self::Deny => 2,
        }
    }
}

impl FlowState {
    #[inline(always)]
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Self::Open => 1,
            Self::Closing => 2,
        }
    }

    #[inline(always)]
    pub(crate) const fn of_bits(bits: u32) -> Option<Self> {
        match bits {
            1 => Some(Self::Open),
            2 => Some(Self::Closing),
            _ => None,
        }
    }

    /// How long the flow may idle, in nanoseconds.
    #[inline(always)]
    pub const fn timeout_ns(self, protocol: u8) -> u64 {
        const SECOND: u64 = 1_000_000_000;
        match self {
            Self::Closing => 10 * SECOND,
            // No longer than conntrack remembers one exchange (`nf_conntrack_udp_timeout`): it would take what comes
            // later for a connection of the other end's.
            Self::Open if protocol == Transport::Udp.number() => 30 * SECOND,
            Self::Open => 3600 * SECOND,
        }
    }
}

/// 30 bits from a key, its low two left for the state.
#[inline(always)]
const fn digest(source: Addr, destination: Addr, ports: u64) -> u32 {
    let ends = source.mixed().wrapping_mul(TURN) ^ destination.mixed();
    let whole = (ends ^ ports).wrapping_mul(FINISH);
    (whole >> 32) as u32 & !STATE_MASK
}

#[cfg(feature = "user")]
mod pod {
    //! That the types are plain bytes, in the words of the loader's library.

    use super::{Epochs, Flow, FlowKey, Lease, LeaseKey, PodEntry, Slot};

    // SAFETY: repr(C), integers and arrays of integers only, all padding is named.
    unsafe impl aya::Pod for crate::Addr {}
    // SAFETY: as above.
    unsafe impl aya::Pod for LeaseKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Lease {}
    // SAFETY: as above.
    unsafe impl aya::Pod for FlowKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Flow {}
    // SAFETY: as above.
    unsafe impl aya::Pod for PodEntry {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Slot {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Epochs {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Counters {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Guard {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::Redirect {}
}
