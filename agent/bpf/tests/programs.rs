//! The programs in the kernel on packets made by hand: the same tables as the library's, seen through the verifier,
//! the maps and the mark.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::ops::Range;

use sluice_bpf::{Fastpath, PodIsolation};
use sluice_ebpf::{Counters, Verdict};
use support::{
    ACK, FIN, FOREIGN_MARK, Frame, Ground, INIT, Programs, RST, SCTP, SYN, TCP, UDP, lease,
    lease_until,
};

/// The default bits.
const OURS: u32 = 0x70;
const PASS: u32 = 0x20;
const NEXT: i32 = -1;
const SHOT: i32 = 2;

const ISOLATED: PodIsolation = PodIsolation {
    ingress: true,
    egress: true,
};
const FREE: PodIsolation = PodIsolation {
    ingress: false,
    egress: false,
};

struct Bed {
    fastpath: Fastpath,
    programs: Programs,
    _ground: Ground,
}

impl Bed {
    /// Both pods of the default addresses isolated.
    fn new(test: &str) -> Option<Self> {
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

    fn pods(
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
    fn passes(&self, frame: &Frame) -> bool {
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

    /// For packets that change what they find: one classifier only.
    fn passes_once(&self, frame: &Frame) -> bool {
        self.programs.tc(&frame.bytes(), 0, 1).mark == PASS
    }

    /// What the gate's two programs say.
    fn gate(&self, frame: &Frame) -> (i32, i32) {
        let bytes = frame.bytes();
        (
            self.programs.gate_pass(&bytes, 1).value,
            self.programs.gate_deny(&bytes, 1).value,
        )
    }

    fn counted(&self, run: impl FnOnce(&Self)) -> Counters {
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
        }
    }
}

fn base(protocol: u8, family: u8, flags: u8) -> Frame {
    let (source, destination) = if family == 4 {
        ("10.244.0.1", "10.244.0.2")
    } else {
        ("fd00:10:244::1", "fd00:10:244::2")
    };
    Frame::new(source, destination, protocol, (40_000, 80), flags)
}

/// An opening packet of each protocol and family.
fn openings() -> impl Iterator<Item = Frame> {
    [4, 6].into_iter().flat_map(|family| {
        [(TCP, SYN), (UDP, 0), (SCTP, INIT)].map(|(protocol, flags)| base(protocol, family, flags))
    })
}

/// What a reply to it has for flags.
fn answer(opening: &Frame) -> Frame {
    opening.reply(match opening.protocol {
        TCP => SYN | ACK,
        SCTP => 2,
        _ => 0,
    })
}

#[test]
fn leases_and_flows_pass_until_an_epoch_is_raised() {
    let Some(mut bed) = Bed::new("leases_and_flows_pass_until_an_epoch_is_raised") else {
        return;
    };
    for opening in openings() {
        let reply = answer(&opening);
        assert!(!bed.passes(&opening) && !bed.passes(&reply));
        assert_eq!(bed.gate(&opening), (0, 0));
        lease(&bed.fastpath, &opening, Verdict::Allow);
        assert!(!bed.passes(&reply), "before anything was asked: {reply:?}");
        assert!(bed.passes(&opening));
        assert!(bed.passes(&reply), "{reply:?}");
        assert_eq!((bed.gate(&opening), bed.gate(&reply)), ((1, 0), (1, 0)));
        for slot in [opening.slots().0, opening.slots().1] {
            let epoch = bed.fastpath.epochs().unwrap()[slot as usize];
            bed.fastpath.raise([(slot, epoch + 1)]).unwrap();
            assert!(!bed.passes(&opening) && !bed.passes(&reply));
            assert_eq!((bed.gate(&opening), bed.gate(&reply)), ((0, 0), (0, 0)));
            lease(&bed.fastpath, &opening, Verdict::Allow);
            assert!(bed.passes(&opening) && bed.passes(&reply));
        }
    }
}

#[test]
fn the_gate_makes_flows_as_well() {
    let Some(bed) = Bed::new("the_gate_makes_flows_as_well") else {
        return;
    };
    for opening in openings() {
        lease(&bed.fastpath, &opening, Verdict::Allow);
        assert_eq!(bed.gate(&answer(&opening)), (0, 0));
        assert_eq!(bed.gate(&opening), (1, 0));
        assert_eq!(bed.gate(&answer(&opening)), (1, 0));
    }
    assert_eq!(bed.fastpath.usage().unwrap().flows.entries, 6);
}

#[test]
fn connections_end_by_what_their_packets_say() {
    let Some(bed) = Bed::new("connections_end_by_what_their_packets_say") else {
        return;
    };
    for family in [4, 6] {
        let opening = base(TCP, family, SYN);
        lease(&bed.fastpath, &opening, Verdict::Allow);
        for end in [
            Frame {
                flags: RST,
                ..opening.clone()
            },
            opening.reply(RST | ACK),
        ] {
            assert!(bed.passes(&opening) && bed.passes(&answer(&opening)));
            assert!(bed.passes_once(&end));
            assert!(!bed.passes(&opening.reply(ACK)), "after {end:?}");
        }
        assert!(bed.passes(&opening));
        assert!(bed.passes(&opening.reply(FIN | ACK)), "closing");
        assert!(bed.passes(&opening.reply(ACK)), "closing is not closed");
        assert!(
            !bed.passes(&opening.reply(SYN)),
            "an opening is never a reply"
        );
    }
}

#[test]
fn denied_openings_are_dropped() {
    let Some(mut bed) = Bed::new("denied_openings_are_dropped") else {
        return;
    };
    for opening in openings() {
        lease(&bed.fastpath, &opening, Verdict::Deny);
        let ran = bed.programs.tc(&opening.bytes(), FOREIGN_MARK | OURS, 1);
        assert_eq!(
            ran.value,
            if opening.protocol == TCP { SHOT } else { NEXT },
            "{opening:?}"
        );
        assert_eq!(ran.mark, FOREIGN_MARK);
        assert_eq!(bed.gate(&opening), (0, 1));
        assert!(!bed.passes(&Frame {
            flags: if opening.protocol == TCP { ACK } else { 0 },
            ..opening.clone()
        }));
        let slot = opening.slots().1;
        let epoch = bed.fastpath.epochs().unwrap()[slot as usize];
        bed.fastpath.raise([(slot, epoch + 1)]).unwrap();
        assert!(!bed.passes(&opening));
        assert_eq!(bed.gate(&opening), (0, 0));
    }
}

#[test]
fn leases_expire() {
    let Some(bed) = Bed::new("leases_expire") else {
        return;
    };
    let opening = base(TCP, 4, ACK);
    lease_until(
        &bed.fastpath,
        &opening,
        Verdict::Allow,
        sluice_bpf::now_ns() + 3_600_000_000_000,
    );
    assert!(bed.passes(&opening));
    lease_until(&bed.fastpath, &opening, Verdict::Allow, 1);
    assert!(!bed.passes(&opening));
}

#[test]
fn isolation_decides_what_passes_unmatched() {
    let Some(mut bed) = Bed::new("isolation_decides_what_passes_unmatched") else {
        return;
    };
    let isolations = [
        None,
        Some(FREE),
        Some(PodIsolation {
            ingress: true,
            egress: false,
        }),
        Some(PodIsolation {
            ingress: false,
            egress: true,
        }),
        Some(ISOLATED),
    ];
    for family in [4, 6] {
        let opening = base(TCP, family, SYN);
        for source in isolations {
            for destination in isolations {
                bed.pods(&opening, source, destination);
                let free = !source.unwrap_or(FREE).egress && !destination.unwrap_or(FREE).ingress;
                assert_eq!(
                    bed.passes(&opening),
                    free && destination.is_some(),
                    "{source:?} to {destination:?}"
                );
                assert_eq!(
                    bed.gate(&opening),
                    (i32::from(free), 0),
                    "{source:?} to {destination:?}"
                );
                bed.fastpath.assume_isolated(true).unwrap();
                assert!(!bed.passes(&opening));
                assert_eq!(bed.gate(&opening), (0, 0));
                bed.fastpath.assume_isolated(false).unwrap();
            }
        }
    }
}

#[test]
fn what_cannot_be_read_for_sure_is_left_alone() {
    let Some(mut bed) = Bed::new("what_cannot_be_read_for_sure_is_left_alone") else {
        return;
    };
    for frame in unsure() {
        lease(&bed.fastpath, &frame, Verdict::Allow);
        bed.pods(&frame, Some(ISOLATED), Some(ISOLATED));
        let counted = bed.counted(|bed| {
            assert!(!bed.passes(&frame), "{frame:?}");
            assert_eq!(bed.gate(&frame), (0, 0), "{frame:?}");
        });
        assert_eq!(
            counted,
            Counters {
                unsure: 2,
                gate_left: 1,
                ..Counters::default()
            },
            "{frame:?}"
        );
        bed.pods(&frame, Some(FREE), Some(FREE));
        let counted = bed.counted(|bed| {
            assert!(!bed.passes(&frame), "{frame:?}");
            assert_eq!(bed.gate(&frame), (1, 0), "{frame:?}");
        });
        assert_eq!(
            counted,
            Counters {
                unsure: 2,
                gate_unmatched: 1,
                ..Counters::default()
            },
            "{frame:?}"
        );
    }
}

fn unsure() -> Vec<Frame> {
    let four = base(TCP, 4, SYN);
    let mut frames: Vec<Frame> = [0x2000, 1, 0x1fff, 0x2001]
        .into_iter()
        .map(|fragment| Frame {
            fragment,
            ..four.clone()
        })
        .collect();
    frames.extend([1, 10].map(|options| Frame {
        options,
        ..four.clone()
    }));
    frames.extend([1, 2, 47, 50].map(|protocol| Frame {
        protocol,
        ..four.clone()
    }));
    let six = base(TCP, 6, SYN);
    frames.extend([0, 43, 44, 60].map(|kind| Frame {
        extension: Some((kind, vec![TCP, 0, 0, 0, 0, 0, 0, 0])),
        ..six.clone()
    }));
    frames.push(Frame {
        protocol: 58,
        ..six
    });
    frames
}

#[test]
fn a_packet_cut_anywhere_never_passes_by_its_lease() {
    let Some(bed) = Bed::new("a_packet_cut_anywhere_never_passes_by_its_lease") else {
        return;
    };
    for opening in openings() {
        let opening = Frame {
            payload: 0,
            ..opening
        };
        lease(&bed.fastpath, &opening, Verdict::Allow);
        let whole = opening.bytes();
        for length in cut_lengths(&whole) {
            let cut = &whole[..length];
            for ran in [
                bed.programs.tc(cut, OURS, 1),
                bed.programs.tc_any(cut, OURS, 1),
            ] {
                assert_eq!(
                    (ran.value, ran.mark),
                    (NEXT, 0),
                    "{length} bytes of {opening:?}"
                );
            }
            assert_eq!(
                bed.programs.gate_pass(cut, 1).value,
                0,
                "{length} bytes of {opening:?}"
            );
            assert_eq!(
                bed.programs.gate_deny(cut, 1).value,
                0,
                "{length} bytes of {opening:?}"
            );
        }
        assert!(bed.passes(&opening));
    }
}

/// The kernel runs programs on no less than an Ethernet header and, where it looks, the network header.
fn cut_lengths(whole: &[u8]) -> Range<usize> {
    let network = if whole[12] == 0x08 { 20 } else { 40 };
    14 + network..whole.len()
}

#[test]
fn an_ipv6_packet_cannot_use_an_ipv4_lease() {
    let Some(bed) = Bed::new("an_ipv6_packet_cannot_use_an_ipv4_lease") else {
        return;
    };
    let four = base(TCP, 4, SYN);
    lease(&bed.fastpath, &four, Verdict::Allow);
    let six = Frame::new(
        "::ffff:10.244.0.1",
        "::ffff:10.244.0.2",
        TCP,
        (40_000, 80),
        SYN,
    );
    assert_eq!(six.lease_key(), four.lease_key());
    let counted = bed.counted(|bed| {
        assert!(!bed.passes(&six));
        assert_eq!(bed.gate(&six), (0, 0));
    });
    assert_eq!(
        counted,
        Counters {
            parse_errors: 3,
            ..Counters::default()
        }
    );
}

#[test]
fn what_is_no_ip_is_left_alone() {
    let Some(bed) = Bed::new("what_is_no_ip_is_left_alone") else {
        return;
    };
    let opening = base(TCP, 4, SYN);
    lease(&bed.fastpath, &opening, Verdict::Allow);
    for ethertype in [0x0806_u16, 0x8100, 0x8847, 0x86dd] {
        let mut bytes = opening.bytes();
        bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
        for ran in [
            bed.programs.tc(&bytes, FOREIGN_MARK | OURS, 1),
            bed.programs.tc_any(&bytes, FOREIGN_MARK | OURS, 1),
        ] {
            assert_eq!(
                (ran.value, ran.mark),
                (NEXT, FOREIGN_MARK),
                "{ethertype:#x}"
            );
        }
        assert_eq!(bed.programs.gate_pass(&bytes, 1).value, 0, "{ethertype:#x}");
    }
}

#[test]
fn each_decision_is_counted_once() {
    let Some(bed) = Bed::new("each_decision_is_counted_once") else {
        return;
    };
    let opening = base(TCP, 4, SYN);
    let denied = Frame {
        destination_port: 81,
        ..opening.clone()
    };
    let cold = Frame {
        destination_port: 82,
        ..opening.clone()
    };
    lease(&bed.fastpath, &opening, Verdict::Allow);
    lease(&bed.fastpath, &denied, Verdict::Deny);
    let counted = bed.counted(|bed| {
        for frame in [&opening, &answer(&opening), &denied, &cold] {
            bed.programs.tc(&frame.bytes(), 0, 1);
        }
    });
    let expected = Counters {
        lease_hits: 1,
        flow_hits: 1,
        deny_lease_hits: 1,
        left: 1,
        ..Counters::default()
    };
    assert_eq!(counted, expected);
    let counted = bed.counted(|bed| {
        for frame in [&opening, &answer(&opening), &denied, &cold] {
            bed.gate(frame);
        }
    });
    let expected = Counters {
        gate_lease_hits: 1,
        gate_flow_hits: 1,
        gate_left: 2,
        deny_lease_hits: 1,
        ..Counters::default()
    };
    assert_eq!(counted, expected);
}
