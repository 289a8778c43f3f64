//! Debug lines, compiled in with the feature `log` only.

use sluice_ebpf::{Gate, Outcome, Tc};

use crate::skb::Skb;

/// A classifier's decision.
#[inline(always)]
pub(crate) fn tc(_skb: &Skb, _outcome: &Outcome<Tc>) {
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!(
        _skb,
        "tc: {}, counter {}",
        name_of_tc(_outcome.action),
        _outcome.counter as u64
    );
}

/// A gate program's decision.
#[inline(always)]
pub(crate) fn gate(_skb: &Skb, _outcome: &Outcome<Gate>) {
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!(
        _skb,
        "gate: {}, counter {}",
        name_of_gate(_outcome.action),
        _outcome.counter as u64
    );
}

#[cfg(feature = "log")]
#[inline(always)]
const fn name_of_tc(action: Tc) -> &'static str {
    match action {
        Tc::Pass => "pass",
        Tc::Leave => "leave",
        Tc::Drop => "drop",
    }
}

#[cfg(feature = "log")]
#[inline(always)]
const fn name_of_gate(action: Gate) -> &'static str {
    match action {
        Gate::Pass => "pass",
        Gate::Deny => "deny",
        Gate::Queue => "queue",
    }
}
