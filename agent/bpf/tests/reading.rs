//! What the programs in the kernel read of packets, and what they leave alone.

mod support;

use std::ops::Range;

use sluice_ebpf::{Counters, Verdict};
use support::bed::{Bed, FREE, ISOLATED, NEXT, OURS, base, openings};
use support::{FOREIGN_MARK, Frame, SYN, TCP, lease};

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
        bed.opens(&opening);
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
