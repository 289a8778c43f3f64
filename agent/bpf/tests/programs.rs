//! The programs in the kernel on packets made by hand: the library's tables, seen through the verifier, the maps and
//! the mark.

mod support;

use sluice_bpf::PodIsolation;
use sluice_ebpf::{Counters, Verdict};
use support::bed::{Bed, FREE, ISOLATED, NEXT, OURS, REPLY, SHOT, answer, base, openings};
use support::{ACK, FIN, FOREIGN_MARK, Frame, RST, SYN, TCP, UDP, lease, lease_until};

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
        bed.opens(&opening);
        assert!(bed.passes(&reply), "{reply:?}");
        assert_eq!((bed.gate(&opening), bed.gate(&reply)), ((1, 0), (1, 0)));
        for slot in [opening.slots().0, opening.slots().1] {
            let epoch = bed.fastpath.epochs().unwrap()[slot as usize];
            bed.fastpath.raise([(slot, epoch + 1)]).unwrap();
            assert!(!bed.passes(&opening) && !bed.passes(&reply));
            assert_eq!((bed.gate(&opening), bed.gate(&reply)), ((0, 0), (0, 0)));
            lease(&bed.fastpath, &opening, Verdict::Allow);
            bed.opens(&opening);
            assert!(bed.passes(&reply));
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
fn an_answer_opens_nothing_for_what_it_answers() {
    let Some(bed) = Bed::new("an_answer_opens_nothing_for_what_it_answers") else {
        return;
    };
    for opening in openings().filter(|opening| opening.protocol == UDP) {
        let reply = answer(&opening);
        lease(&bed.fastpath, &opening, Verdict::Allow);
        let against = bed.programs.gate_pass_marked(&opening.bytes(), REPLY);
        assert_eq!(against.value, 1);
        assert!(!bed.passes(&reply), "{reply:?}");
        assert!(!bed.passes(&opening), "TC cannot tell either: {opening:?}");
        bed.opens(&opening);
        assert!(bed.passes(&reply), "{reply:?}");
    }
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
        bed.pods(&opening, Some(ISOLATED), None);
        assert!(!bed.passes(&opening), "it may be a Service: {opening:?}");
        assert_eq!(bed.gate(&opening), (0, 1));
        bed.pods(&opening, Some(ISOLATED), Some(ISOLATED));
        let slot = opening.slots().1;
        let epoch = bed.fastpath.epochs().unwrap()[slot as usize];
        bed.fastpath.raise([(slot, epoch + 1)]).unwrap();
        assert!(!bed.passes(&opening));
        assert_eq!(bed.gate(&opening), (0, 0));
    }
}

#[test]
fn replies_pass_to_a_port_that_their_sender_may_not_connect_to() {
    let Some(bed) = Bed::new("replies_pass_to_a_port_that_their_sender_may_not_connect_to") else {
        return;
    };
    for opening in openings() {
        let reply = answer(&opening);
        lease(&bed.fastpath, &reply, Verdict::Deny);
        lease(&bed.fastpath, &opening, Verdict::Allow);
        assert!(!bed.passes(&reply), "before anything was asked: {reply:?}");
        assert_eq!(bed.gate(&reply), (0, 1));
        bed.opens(&opening);
        assert!(bed.passes(&reply), "{reply:?}");
        assert_eq!(bed.gate(&reply), (1, 0));
        if opening.protocol == TCP {
            let denied = bed.programs.tc(&opening.reply(SYN).bytes(), OURS, 1);
            assert_eq!((denied.value, denied.mark), (SHOT, 0));
            assert_eq!(bed.gate(&opening.reply(SYN)), (0, 1));
        }
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
