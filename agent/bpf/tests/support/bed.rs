//! A loaded fast path with two isolated pods per family, and what its programs say about frames.

use sluice_bpf::{Fastpath, PodIsolation};
use sluice_ebpf::Counters;

use super::{ACK, FOREIGN_MARK, Frame, Ground, INIT, Programs, SCTP, SYN, TCP, UDP};

/// The default bits.
pub(crate) const OURS: u32 = 0x70;
pub(crate) const PASS: u32 = 0x20;
pub(crate) const REPLY: u32 = 0x40;
pub(crate) const NEXT: i32 = -1;
pub(crate) const SHOT: i32 = 2;

pub(crate) const ISOLATED: PodIsolation = PodIsolation {
    ingress: true,
    egress: true,
};
pub(crate) const FREE: PodIsolation = PodIsolation {
    ingress: false,
    egress: false,
};

pub(crate) struct Bed {
    pub(crate) fastpath: Fastpath,
    pub(crate) programs: Programs,
    _ground: Ground,
}

impl Bed {
    /// Both pods of the default addresses isolated.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let ground = Ground::new(test)?;
        let mut fastpath =
            Fastpath::open(&ground.config()).unwrap_or_else(|error| panic!("{error:#?}"));
        fastpath.assume_isolated(false).unwrap();
        let programs = Programs::open(&ground.pins());
        let mut bed = Self {
            fastpath,
            programs,
            _ground: ground,
        };
        for frame in [base(TCP, 4, 0), base(TCP, 6, 0)] {
            bed.pods(&frame, Some(ISOLATED), Some(ISOLATED));
        }
        Some(bed)
    }

    pub(crate) fn pods(
        &mut self,
        frame: &Frame,
        source: Option<PodIsolation>,
        destination: Option<PodIsolation>,
    ) {
        for (address, isolation) in [(frame.source, source), (frame.destination, destination)] {
            match isolation {
                Some(isolation) => self.fastpath.set_pod(address, isolation).unwrap(),
                None => drop(self.fastpath.remove_pod(address).unwrap()),
            }
        }
    }

    /// Both classifiers agree on a frame; whether it passes. Others' mark bits stay, and stale ones of ours go.
    pub(crate) fn passes(&self, frame: &Frame) -> bool {
        let bytes = frame.bytes();
        let [ethernet, any] = [
            self.programs.tc(&bytes, FOREIGN_MARK | OURS, 1),
            self.programs.tc_any(&bytes, FOREIGN_MARK | OURS, 1),
        ];
        assert_eq!(
            (ethernet.value, ethernet.mark),
            (any.value, any.mark),
            "{frame:?}"
        );
        assert_eq!(ethernet.value, NEXT, "{frame:?}");
        assert_eq!(ethernet.mark & !OURS, FOREIGN_MARK, "{frame:?}");
        match ethernet.mark & OURS {
            PASS => true,
            0 => false,
            other => panic!("mark bits {other:#x} for {frame:?}"),
        }
    }

    /// An opening that both programs see passes; UDP's first packet at the gate alone.
    pub(crate) fn opens(&self, opening: &Frame) {
        if opening.protocol == UDP {
            assert!(!self.passes(opening), "{opening:?}");
            assert_eq!(self.gate(opening), (1, 0), "{opening:?}");
        }
        assert!(self.passes(opening), "{opening:?}");
    }

    /// For packets that change what they find: one classifier only.
    pub(crate) fn passes_once(&self, frame: &Frame) -> bool {
        self.programs.tc(&frame.bytes(), 0, 1).mark == PASS
    }

    /// What the gate's two programs say.
    pub(crate) fn gate(&self, frame: &Frame) -> (i32, i32) {
        let bytes = frame.bytes();
        (
            self.programs.gate_pass(&bytes, 1).value,
            self.programs.gate_deny(&bytes, 1).value,
        )
    }

    pub(crate) fn counted(&self, run: impl FnOnce(&Self)) -> Counters {
        let before = self.fastpath.counters().unwrap();
        run(self);
        let after = self.fastpath.counters().unwrap();
        Counters {
            lease_hits: after.lease_hits - before.lease_hits,
            flow_hits: after.flow_hits - before.flow_hits,
            unmatched: after.unmatched - before.unmatched,
            left: after.left - before.left,
            unsure: after.unsure - before.unsure,
            gate_lease_hits: after.gate_lease_hits - before.gate_lease_hits,
            gate_flow_hits: after.gate_flow_hits - before.gate_flow_hits,
            gate_unmatched: after.gate_unmatched - before.gate_unmatched,
            gate_left: after.gate_left - before.gate_left,
            deny_lease_hits: after.deny_lease_hits - before.deny_lease_hits,
            parse_errors: after.parse_errors - before.parse_errors,
            spoofed: after.spoofed - before.spoofed,
            redirected: after.redirected - before.redirected,
        }
    }
}

pub(crate) fn base(protocol: u8, family: u8, flags: u8) -> Frame {
    let (source, destination) = if family == 4 {
        ("10.244.0.1", "10.244.0.2")
    } else {
        ("fd00:10:244::1", "fd00:10:244::2")
    };
    Frame::new(source, destination, protocol, (40_000, 80), flags)
}

/// An opening packet of each protocol and family.
pub(crate) fn openings() -> impl Iterator<Item = Frame> {
    [4, 6].into_iter().flat_map(|family| {
        [(TCP, SYN), (UDP, 0), (SCTP, INIT)].map(|(protocol, flags)| base(protocol, family, flags))
    })
}

/// What a reply to it has for flags.
pub(crate) fn answer(opening: &Frame) -> Frame {
    opening.reply(match opening.protocol {
        TCP => SYN | ACK,
        SCTP => 2,
        _ => 0,
    })
}
