//! Debug lines of what the programs decide. Without the feature `log` nothing of this is compiled in.

#[cfg(feature = "log")]
pub(crate) use lines::{gate, tc};
#[cfg(not(feature = "log"))]
pub(crate) use silence::{gate, tc};

#[cfg(feature = "log")]
mod lines {
    use aya_log_ebpf::debug;
    use sluice_ebpf::{Counter, Gate, Tc};

    use crate::skb::Skb;

    /// A classifier's decision.
    #[inline(always)]
    pub(crate) fn tc(skb: &Skb, action: Tc, counter: Counter) {
        let action = match action {
            Tc::Pass => "pass",
            Tc::Leave => "leave",
            Tc::Drop => "drop",
        };
        debug!(skb, "tc: {}, {}", action, name(counter));
    }

    /// A gate program's decision.
    #[inline(always)]
    pub(crate) fn gate(skb: &Skb, action: Gate, counter: Counter) {
        let action = match action {
            Gate::Pass => "pass",
            Gate::Deny => "deny",
            Gate::Queue => "queue",
        };
        debug!(skb, "gate: {}, {}", action, name(counter));
    }

    #[inline(always)]
    const fn name(counter: Counter) -> &'static str {
        match counter {
            Counter::LeaseHits | Counter::GateLeaseHits => "lease",
            Counter::FlowHits | Counter::GateFlowHits => "flow",
            Counter::Unmatched | Counter::GateUnmatched => "unmatched",
            Counter::Left | Counter::GateLeft => "nothing known",
            Counter::Unsure => "unsure",
            Counter::DenyLeaseHits => "deny lease",
            Counter::ParseErrors => "unreadable",
            Counter::Spoofed => "spoofed",
            Counter::Redirected => "redirected",
        }
    }
}

#[cfg(not(feature = "log"))]
mod silence {
    use sluice_ebpf::{Counter, Gate, Tc};

    use crate::skb::Skb;

    #[inline(always)]
    pub(crate) const fn tc(_: &Skb, _: Tc, _: Counter) {}

    #[inline(always)]
    pub(crate) const fn gate(_: &Skb, _: Gate, _: Counter) {}
}
