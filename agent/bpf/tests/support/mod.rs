//! What the tests add to single runs of programs: whoever cannot go on says so and ends.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(unused_imports, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod bed;

use std::ops::Deref;
use std::path::Path;

use sluice_bpf::{Fastpath, test_run};
use sluice_ebpf::Verdict;

pub(crate) use sluice_bpf::test_run::{ACK, FIN, Frame, INIT, RST, Ran, SCTP, SYN, TCP, UDP};

/// Bits that are others': kube-proxy's and the portmap plugin's among them.
pub(crate) const FOREIGN_MARK: u32 = 0x0000_e080;

/// Mounts and interfaces of this thread's own. All of it goes with the thread.
pub(crate) struct Ground(test_run::Ground);

impl Ground {
    /// None, and a line that says why, where the user cannot have it.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: {test}: needs root");
            return None;
        }
        Some(Self(test_run::Ground::new().expect("namespaces")))
    }
}

impl Deref for Ground {
    type Target = test_run::Ground;

    fn deref(&self) -> &test_run::Ground {
        &self.0
    }
}

/// The programs by their pins.
pub(crate) struct Programs(test_run::Programs);

impl Programs {
    pub(crate) fn open(pins: &Path) -> Self {
        Self(test_run::Programs::open(pins).expect("the programs"))
    }

    pub(crate) fn tc(&self, frame: &[u8], mark: u32, repeat: u32) -> Ran {
        self.0.tc(frame, mark, repeat).unwrap()
    }

    pub(crate) fn tc_any(&self, frame: &[u8], mark: u32, repeat: u32) -> Ran {
        self.0.tc_any(frame, mark, repeat).unwrap()
    }

    pub(crate) fn gate_pass(&self, frame: &[u8], repeat: u32) -> Ran {
        self.0.gate_pass(frame, 0, repeat).unwrap()
    }

    /// Of a packet with a mark.
    pub(crate) fn gate_pass_marked(&self, frame: &[u8], mark: u32) -> Ran {
        self.0.gate_pass(frame, mark, 1).unwrap()
    }

    pub(crate) fn gate_deny(&self, frame: &[u8], repeat: u32) -> Ran {
        self.0.gate_deny(frame, 0, repeat).unwrap()
    }
}

/// Writes the lease that covers a frame, from the epochs that are current.
pub(crate) fn lease(fastpath: &Fastpath, frame: &Frame, verdict: Verdict) {
    lease_until(fastpath, frame, verdict, 0);
}

pub(crate) fn lease_until(fastpath: &Fastpath, frame: &Frame, verdict: Verdict, expires_ns: u64) {
    test_run::lease(fastpath, frame, verdict, expires_ns).expect("a lease");
}
