//! What kernel and agent must both know: keys, values, marks, packet parsing and the decisions.
//!
//! `no_std`, pure, tested on the host. The programs in this package's binary only fetch bytes and map entries for
//! it; the agent writes the maps in the same types.
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "the verifier follows one program better than many, and calls cost"
)]

mod addr;
mod counter;
mod decide;
mod entry;
mod guard;
mod isolation;
mod layout;
mod mark;
mod packet;
mod redirect;

pub use addr::{Addr, EPOCH_SLOTS};
pub use counter::{Counter, Counters};
pub use decide::{
    FlowChange, Gate, Maps, Outcome, Runs, Tc, Write, gate_deny, gate_pass, marked, tc,
};
pub use entry::{
    EGRESS, Epochs, Flow, FlowKey, FlowState, INGRESS, LOCAL, Lease, LeaseKey, PODS_COMPLETE,
    PodEntry, Slot, Verdict,
};
pub use guard::{GUARD_ADDRESSES, Guard, hidden, spoofed};
pub use layout::{MAX_DENIALS, MAX_FLOWS, MAX_GUARDS, MAX_LEASES, MAX_PODS, MAX_REDIRECTS, names};
pub use mark::{MarkError, Marks};
pub use packet::{Bytes, Family, Packet, Parsed, Phase, Transport, parse};
pub use redirect::{Links, Redirect, confirmed, one_hop, redirected, stopped};
