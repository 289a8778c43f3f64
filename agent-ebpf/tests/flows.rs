//! What packets do to the entries of their connection's replies.

mod support;

use sluice_ebpf::{
    Counter, EGRESS, FlowChange, FlowState, INGRESS, Packet, Parsed, Phase, Tc, Transport, Verdict,
    Write, tc,
};
use support::World;
use support::pair::{SECOND, isolated, packet, reply, run, through};

#[test]
fn a_reset_in_either_direction_ends_the_flow() {
    for backward in [false, true] {
        let mut world = isolated();
        let opening = packet(Transport::Tcp, Phase::Opens);
        world.lease(opening.lease_key(), Verdict::Allow, 0);
        assert_eq!(run(&mut world, &opening).0, Tc::Pass);
        let reset = if backward {
            reply(&opening, Phase::Ends)
        } else {
            Packet {
                phase: Phase::Ends,
                ..opening
            }
        };
        assert_eq!(run(&mut world, &reset).0, Tc::Pass);
        assert!(world.flows.is_empty());
        assert_eq!(
            run(&mut world, &reply(&opening, Phase::Continues)).0,
            Tc::Leave
        );
    }
}

#[test]
fn flows_idle_out() {
    for (transport, phase, closing, seconds) in [
        (Transport::Tcp, Phase::Opens, false, 3600),
        (Transport::Tcp, Phase::Opens, true, 10),
        (Transport::Udp, Phase::Datagram, false, 30),
        (Transport::Sctp, Phase::Opens, false, 3600),
    ] {
        let mut world = isolated();
        let opening = packet(transport, phase);
        world.lease(opening.lease_key(), Verdict::Allow, 0);
        assert!(through(&mut world, &opening));
        if closing {
            assert_eq!(
                run(
                    &mut world,
                    &Packet {
                        phase: Phase::Closes,
                        ..opening
                    }
                )
                .0,
                Tc::Pass
            );
        }
        let answer = reply(&opening, Phase::Continues);
        world.now += seconds * SECOND - 1;
        assert_eq!(
            run(&mut world.clone(), &answer).0,
            Tc::Pass,
            "{transport:?}, closing {closing}"
        );
        world.now += 1;
        assert_eq!(
            run(&mut world, &answer).0,
            Tc::Leave,
            "{transport:?}, closing {closing}"
        );
    }
}

#[test]
fn a_used_flow_lives_on_and_is_written_once_a_second() {
    let mut world = isolated();
    let opening = packet(Transport::Tcp, Phase::Opens);
    world.lease(opening.lease_key(), Verdict::Allow, 0);
    assert_eq!(run(&mut world, &opening).0, Tc::Pass);
    let answer = reply(&opening, Phase::Continues);
    world.now += SECOND - 1;
    assert_eq!(tc(&Parsed::Whole(answer), &world).flow, FlowChange::KEEP);
    for _ in 0..3 {
        world.now += 3000 * SECOND;
        assert_eq!(run(&mut world, &answer).0, Tc::Pass);
    }
}

#[test]
fn datagrams_refresh_the_flow_of_their_replies_once_a_second() {
    let mut world = isolated();
    let datagram = packet(Transport::Udp, Phase::Datagram);
    world.lease(datagram.lease_key(), Verdict::Allow, 0);
    assert!(through(&mut world, &datagram));
    world.now += SECOND - 1;
    assert_eq!(tc(&Parsed::Whole(datagram), &world).flow, FlowChange::KEEP);
    world.now += 1;
    assert_eq!(tc(&Parsed::Whole(datagram), &world).flow.write, Write::Put);
    world.now += 3600 * SECOND;
    assert!(through(&mut world, &datagram));
    assert_eq!(
        run(&mut world, &reply(&datagram, Phase::Datagram)).0,
        Tc::Pass
    );
}

#[test]
fn a_fin_makes_no_flow_where_there_was_none() {
    let mut world = isolated();
    let closing = packet(Transport::Tcp, Phase::Closes);
    world.lease(closing.lease_key(), Verdict::Allow, 0);
    assert_eq!(run(&mut world, &closing).0, Tc::Pass);
    assert!(world.flows.is_empty());
}

#[test]
fn a_fin_of_the_reply_closes_and_a_new_opening_reopens() {
    let mut world = isolated();
    let opening = packet(Transport::Tcp, Phase::Opens);
    world.lease(opening.lease_key(), Verdict::Allow, 0);
    assert_eq!(run(&mut world, &opening).0, Tc::Pass);
    assert_eq!(run(&mut world, &reply(&opening, Phase::Closes)).0, Tc::Pass);
    let key = opening.reply_key();
    assert_eq!(world.flows[&key].state(&key), Some(FlowState::Closing));
    assert_eq!(run(&mut world, &opening).0, Tc::Pass);
    assert_eq!(world.flows[&key].state(&key), Some(FlowState::Open));
}

#[test]
fn replies_of_unmatched_connections_pass_where_replies_are_isolated() {
    let opening = packet(Transport::Tcp, Phase::Opens);
    let mut world = World {
        now: SECOND,
        ..World::default()
    };
    world.pod(opening.source, INGRESS);
    world.pod(opening.destination, EGRESS);
    let answer = reply(&opening, Phase::Continues);
    assert_eq!(run(&mut world, &answer), (Tc::Leave, Counter::Left));
    assert_eq!(run(&mut world, &opening), (Tc::Pass, Counter::Unmatched));
    assert_eq!(run(&mut world, &answer), (Tc::Pass, Counter::FlowHits));
    assert_eq!(
        run(&mut world, &reply(&opening, Phase::Opens)),
        (Tc::Leave, Counter::Left)
    );
    world.raise(opening.destination);
    assert_eq!(run(&mut world, &answer), (Tc::Leave, Counter::Left));
}

#[test]
fn replies_that_pass_by_themselves_get_no_entry() {
    let opening = packet(Transport::Tcp, Phase::Opens);
    let sides = [None, Some(0), Some(INGRESS), Some(EGRESS)];
    for (client, server) in sides.iter().flat_map(|one| sides.map(|two| (*one, two))) {
        let mut world = World {
            now: SECOND,
            ..World::default()
        };
        for (address, bits) in [(opening.source, client), (opening.destination, server)] {
            if let Some(bits) = bits {
                world.pod(address, bits);
            }
        }
        world.lease(opening.lease_key(), Verdict::Allow, 0);
        let answer = reply(&opening, Phase::Continues);
        let alone = run(&mut world.clone(), &answer).0 == Tc::Pass;
        assert_eq!(run(&mut world, &opening).0, Tc::Pass);
        let shown = format!("{client:?} to {server:?}");
        assert!(!alone || world.flows.is_empty(), "{shown}");
        assert!(through(&mut world, &answer), "{shown}");
    }
}
