//! Whether this process may do what the lab does: make namespaces, load eBPF, write netfilter rules.

use crate::exit::Stop;

/// A capability that the lab cannot do without: its name, its number, and what for.
struct Capability {
    name: &'static str,
    bit: u32,
    reason: &'static str,
}

/// Numbers from `linux/capability.h`.
const NEEDED: [Capability; 3] = [
    Capability {
        name: "CAP_NET_ADMIN",
        bit: 12,
        reason: "interfaces, netfilter rules, TC programs",
    },
    Capability {
        name: "CAP_NET_RAW",
        bit: 13,
        reason: "crafted probe packets",
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        bit: 21,
        reason: "namespaces, mounts, loading eBPF",
    },
];

/// Fails with exit code 3 where `what` cannot be done by this user; the message says what it needs and how to get it.
pub(crate) fn require(what: &str, again: &str) -> Result<(), Stop> {
    match missing(effective()) {
        None => Ok(()),
        Some(lacking) => Err(Stop::Machine(format!(
            "{what} needs root: this process lacks {lacking}\n  run: sudo -E env \"PATH=$PATH\" \"HOME=$HOME\" {again}"
        ))),
    }
}

/// Whether the privileged tests can run.
pub(crate) fn is_enough() -> bool {
    missing(effective()).is_none()
}

/// The effective capabilities of this process; none where /proc does not tell.
fn effective() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .as_deref()
        .and_then(parse)
        .unwrap_or(0)
}

fn parse(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(effective: u64) -> Option<String> {
    let lacking: Vec<_> = NEEDED
        .iter()
        .filter(|capability| effective & (1 << capability.bit) == 0)
        .map(|capability| format!("{} ({})", capability.name, capability.reason))
        .collect();
    if lacking.is_empty() {
        None
    } else {
        Some(lacking.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::{missing, parse};

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert_eq!(
            parse("Name:\tx\nCapPrm:\t00\nCapEff:\t000001fffeffffff\n"),
            Some(0x1ff_feff_ffff)
        );
        assert_eq!(parse("Name:\tx\n"), None);
        assert_eq!(parse("CapEff:\tzz\n"), None);
    }

    #[test]
    fn what_lacks_is_named() {
        assert_eq!(
            missing(0x1ff_feff_ffff),
            None,
            "root without CAP_SYS_RESOURCE"
        );
        assert_eq!(
            missing(!(1 << 13)).unwrap(),
            "CAP_NET_RAW (crafted probe packets)"
        );
        let nobody = missing(0).unwrap();
        assert!(
            ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"]
                .iter()
                .all(|name| nobody.contains(name)),
            "{nobody}"
        );
    }
}
