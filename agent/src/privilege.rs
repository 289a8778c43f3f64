//! The capabilities that commands need: by name, so that whoever starts them knows which one to grant. That somebody is
//! user 0 proves nothing, in a container.

use rustix::thread::{CapabilitySet, capabilities};

use crate::cli::Mode;
use crate::exit::Failure;

/// A capability, and what it is for.
struct Need {
    name: &'static str,
    reason: &'static str,
    /// Any of these will do.
    any_of: CapabilitySet,
}

const NET_ADMIN: Need = Need {
    name: "CAP_NET_ADMIN",
    reason: "netfilter, conntrack and TC",
    any_of: CapabilitySet::NET_ADMIN,
};

/// This and the next are parts of `CAP_SYS_ADMIN`, and were not apart before Linux 5.8.
const BPF: Need = Need {
    name: "CAP_BPF",
    reason: "eBPF maps and programs",
    any_of: CapabilitySet::BPF.union(CapabilitySet::SYS_ADMIN),
};
const PERFMON: Need = Need {
    name: "CAP_PERFMON",
    reason: "eBPF programs that compute addresses",
    any_of: CapabilitySet::PERFMON.union(CapabilitySet::SYS_ADMIN),
};

/// For the agent.
pub(crate) fn for_agent(mode: Mode) -> Result<(), Failure> {
    match mode {
        Mode::Hybrid => require("the agent", &[NET_ADMIN, BPF, PERFMON]),
        Mode::Nfqueue => require("the agent in nfqueue mode", &[NET_ADMIN]),
    }
}

/// For the removal of what it left.
pub(crate) fn for_cleanup() -> Result<(), Failure> {
    require("cleanup", &[NET_ADMIN])
}

fn require(what: &str, needs: &[Need]) -> Result<(), Failure> {
    // Who cannot ask has nothing to tell: the kernel will say what is missing.
    let effective = capabilities(None).map_or(CapabilitySet::all(), |sets| sets.effective);
    match lacking(needs, effective) {
        None => Ok(()),
        Some(lacking) => Err(Failure::unable(format!("{what} lacks {lacking}"))),
    }
}

fn lacking(needs: &[Need], effective: CapabilitySet) -> Option<String> {
    let lacking: Vec<_> = needs
        .iter()
        .filter(|need| !effective.intersects(need.any_of))
        .map(|need| format!("{} ({})", need.name, need.reason))
        .collect();
    (!lacking.is_empty()).then(|| lacking.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{BPF, CapabilitySet, NET_ADMIN, PERFMON, lacking};

    #[test]
    fn what_is_lacking_is_named_with_its_purpose() {
        let all = [NET_ADMIN, BPF, PERFMON];
        let said = lacking(&all, CapabilitySet::NET_ADMIN | CapabilitySet::BPF).unwrap();
        assert_eq!(said, "CAP_PERFMON (eBPF programs that compute addresses)");
        let nobody = lacking(&all, CapabilitySet::empty()).unwrap();
        assert_eq!(nobody.matches("CAP_").count(), 3, "{nobody}");
    }

    #[test]
    fn sys_admin_does_for_ebpf_and_for_nothing_else() {
        let all = [NET_ADMIN, BPF, PERFMON];
        let old = CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
        assert_eq!(lacking(&all, old), None);
        let said = lacking(&all, CapabilitySet::SYS_ADMIN).unwrap();
        assert_eq!(said, "CAP_NET_ADMIN (netfilter, conntrack and TC)");
    }
}
