//! Names and sizes of what is pinned. A map whose meaning changes while its sizes stay gets another name.

/// Directory entries under the pin directory, and map names in the object.
pub mod names {
    /// HASH, [`crate::Addr`] to [`crate::PodEntry`].
    pub const PODS: &str = "pods";
    /// ARRAY of [`crate::Slot`].
    pub const SLOTS: &str = "slots";
    /// LRU HASH, [`crate::LeaseKey`] to [`crate::Lease`].
    pub const LEASES: &str = "leases";
    /// LRU HASH, [`crate::LeaseKey`] to [`crate::Lease`]: denials, so that they push no allowed pair out.
    pub const DENIALS: &str = "denials";
    /// LRU HASH, [`crate::FlowKey`] to [`crate::Flow`].
    pub const FLOWS: &str = "flows";
    /// LRU HASH, [`crate::FlowKey`] to [`crate::Redirect`].
    pub const REDIRECTS: &str = "redirects";
    /// HASH, interface index to [`crate::Guard`].
    pub const GUARDS: &str = "guards";
    /// ARRAY of `u32`.
    pub const EPOCHS: &str = "epochs";
    /// ARRAY of one `u32`, see [`crate::PODS_COMPLETE`].
    pub const STATE: &str = "state";
    /// PERCPU ARRAY of one [`crate::Counters`].
    pub const COUNTERS: &str = "counters";
    /// The classifier for Ethernet interfaces.
    pub const TC: &str = "sluice_tc";
    /// The classifier for interfaces with any other or no link header, such as tunnels.
    pub const TC_ANY: &str = "sluice_tc_any";
    /// The socket filter that matches what passes.
    pub const GATE_PASS: &str = "gate_pass";
    /// The socket filter that matches what is denied.
    pub const GATE_DENY: &str = "gate_deny";
    /// The socket filter that is shown what may be redirected from then on. Matches nothing.
    pub const GATE_REDIRECT: &str = "gate_redirect";
    /// All programs.
    pub const PROGRAMS: [&str; 5] = [TC, TC_ANY, GATE_PASS, GATE_DENY, GATE_REDIRECT];
    /// Global of the object: Sluice's packet mark bits.
    pub const MARK_BITS: &str = "SLUICE_MARK_BITS";
    /// Global of the object: the PASS bit.
    pub const MARK_PASS: &str = "SLUICE_MARK_PASS";
    /// Global of the object: the REPLY bit.
    pub const MARK_REPLY: &str = "SLUICE_MARK_REPLY";
    /// Global of the object: 1 where spoofed packets are dropped.
    pub const DROP_SPOOFED: &str = "SLUICE_DROP_SPOOFED";
    /// Global of the object: 1 where established connections between local pods are redirected.
    pub const REDIRECT: &str = "SLUICE_REDIRECT";
}

/// Entries of `pods`: more local addresses than any kubelet runs.
pub const MAX_PODS: u32 = 16_384;
/// Entries of `leases`.
pub const MAX_LEASES: u32 = 65_536;
/// Entries of `denials`.
pub const MAX_DENIALS: u32 = 16_384;
/// Entries of `guards`: an interface per pod.
pub const MAX_GUARDS: u32 = 16_384;
/// Entries of `flows`.
pub const MAX_FLOWS: u32 = 65_536;
/// Entries of `redirects`: two per connection.
pub const MAX_REDIRECTS: u32 = 65_536;
