//! Mark bits: others' stay as they are, and Sluice's own, set by others, open nothing.

use sluice_lab::{Cell, Family, Lab, Mode, builtin};
use sluice_policy::Protocol;

use crate::common::{assert_all_right, assert_allowed, cell, nft, nft_list, under_agents};

/// All bits but Sluice's.
const OTHERS: u32 = 0xffff_ff8f;

/// Where the default world's pods are.
const PODS: &str = "10.244.0.0/16";

fn probes() -> Vec<Cell> {
    [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| cell("x/b", "x/a", 80, protocol, Family::Ipv4))
        .to_vec()
}

fn up(mode: Mode) -> Option<Lab> {
    under_agents(&builtin::default_world(), &[Family::Ipv4], mode)
}

#[test]
fn the_bits_of_others_survive_leases_queue_and_replies() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let Some(lab) = up(mode) else {
            return;
        };
        let node = lab.node_netns("node-1").unwrap();
        let rules = format!(
            "table inet others {{ \
             chain bits {{ type filter hook prerouting priority -150; \
               meta mark set meta mark or {OTHERS}; ct mark set ct mark or {OTHERS}; }}; \
             chain seen {{ type filter hook postrouting priority 300; ip saddr {PODS} counter; }}; \
             chain wiped {{ type filter hook postrouting priority 301; \
               ip saddr {PODS} meta mark and {OTHERS} != {OTHERS} counter; \
               ip saddr {PODS} ct mark and {OTHERS} != {OTHERS} counter; }}; }}"
        );
        nft(node, &rules);
        // By the queue, and by what it left behind.
        for _ in 0..2 {
            assert_allowed(&lab, &probes());
        }
        assert!(nft_list(node, "inet others seen") > 0);
        assert_eq!(nft_list(node, "inet others wiped"), 0, "{mode:?}");
    }
}

/// What software that sets these bits between TC and the gate opens: with PASS alone whatever it pleases in hybrid mode,
/// as it could by accepting; with anything else nothing.
#[test]
fn sluices_bits_set_by_others_open_nothing() {
    for (mode, bits) in [
        (Mode::Hybrid, [0x70, 0x10, 0x40, 0x50, 0x60]),
        (Mode::Nfqueue, [0x70, 0x10, 0x20, 0x30, 0x60]),
    ] {
        let Some(lab) = up(mode) else {
            return;
        };
        for bits in bits {
            let rules = format!(
                "table inet others; delete table inet others; table inet others {{ \
                 chain bits {{ type filter hook prerouting priority -150; meta mark set meta mark or {bits}; }}; }}"
            );
            nft(lab.node_netns("node-1").unwrap(), &rules);
            assert_all_right(&lab);
        }
    }
}
