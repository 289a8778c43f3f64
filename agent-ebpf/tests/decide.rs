//! What TC and the gate decide, for every state of the maps that matters.

mod support;

use sluice_ebpf::{
    Counter, EGRESS, Gate, INGRESS, Marks, Packet, Parsed, Phase, Runs, Tc, Transport, Verdict,
    gate_deny, gate_pass, marked, tc,
};
use support::World;
use support::pair::{
    SECOND, address, asked_of_gate, gate, gate_against, isolated, packet, reply, run, through,
};

#[test]
fn a_live_lease_passes_and_makes_the_flow_of_its_replies() {
    for (transport, first) in [
        (Transport::Tcp, Phase::Opens),
        (Transport::Sctp, Phase::Opens),
        (Transport::Udp, Phase::Datagram),
    ] {
        let mut world = isolated();
        let opening = packet(transport, first);
        assert_eq!(run(&mut world, &opening), (Tc::Leave, Counter::Left));
        world.lease(opening.lease_key(), Verdict::Allow, 0);
        assert_eq!(
            run(&mut world.clone(), &reply(&opening, Phase::Continues)),
            (Tc::Leave, Counter::Left)
        );
        let answer = if transport == Transport::Udp {
            let left = (Tc::Leave, Counter::Left);
            assert_eq!(run(&mut world, &opening), left, "TC cannot tell who opened");
            assert!(through(&mut world, &opening));
            Phase::Datagram
        } else {
            Phase::Continues
        };
        assert_eq!(run(&mut world, &opening), (Tc::Pass, Counter::LeaseHits));
        assert_eq!(
            run(&mut world, &reply(&opening, answer)),
            (Tc::Pass, Counter::FlowHits),
            "{transport:?}"
        );
        assert_eq!(
            gate(&mut world, &reply(&opening, answer)),
            (Gate::Pass, Counter::GateFlowHits)
        );
        assert_eq!(
            gate(&mut world, &opening),
            (Gate::Pass, Counter::GateLeaseHits)
        );
    }
}

#[test]
fn a_lease_is_for_its_port_protocol_and_direction_only() {
    let mut world = isolated();
    let opening = packet(Transport::Tcp, Phase::Opens);
    world.lease(opening.lease_key(), Verdict::Allow, 0);
    for other in [
        Packet {
            destination_port: 81,
            ..opening
        },
        Packet {
            transport: Transport::Sctp,
            ..opening
        },
        Packet {
            source: address("10.244.0.3"),
            ..opening
        },
        reply(&opening, Phase::Opens),
        Packet {
            destination: address("10.244.0.1"),
            ..opening
        },
    ] {
        assert_eq!(
            run(&mut world, &other),
            (Tc::Leave, Counter::Left),
            "{other:?}"
        );
        assert_eq!(gate(&mut world, &other).0, Gate::Queue, "{other:?}");
    }
    assert_eq!(
        run(
            &mut world,
            &Packet {
                source_port: 1,
                ..opening
            }
        ),
        (Tc::Pass, Counter::LeaseHits)
    );
}

#[test]
fn raising_either_epoch_ends_lease_and_flow() {
    for end in ["10.244.0.1", "10.244.0.2"] {
        let mut world = isolated();
        let opening = packet(Transport::Tcp, Phase::Opens);
        world.lease(opening.lease_key(), Verdict::Allow, 0);
        assert_eq!(run(&mut world, &opening).0, Tc::Pass);
        world.raise(address(end));
        assert_eq!(run(&mut world, &opening), (Tc::Leave, Counter::Left));
        assert_eq!(
            run(&mut world, &reply(&opening, Phase::Continues)),
            (Tc::Leave, Counter::Left)
        );
        assert_eq!(gate(&mut world, &opening).0, Gate::Queue);
        assert_eq!(
            gate(&mut world, &reply(&opening, Phase::Continues)).0,
            Gate::Queue
        );
    }
}

#[test]
fn a_lease_ends_when_it_expires() {
    let mut world = isolated();
    let opening = packet(Transport::Tcp, Phase::Opens);
    world.lease(opening.lease_key(), Verdict::Allow, world.now + 1);
    assert_eq!(run(&mut world.clone(), &opening).0, Tc::Pass);
    world.now += 1;
    assert_eq!(run(&mut world, &opening).0, Tc::Leave);
}

#[test]
fn an_opening_is_never_a_reply() {
    for transport in [Transport::Tcp, Transport::Sctp] {
        let mut world = isolated();
        let opening = packet(transport, Phase::Opens);
        world.lease(opening.lease_key(), Verdict::Allow, 0);
        assert_eq!(run(&mut world, &opening).0, Tc::Pass);
        assert_eq!(run(&mut world, &reply(&opening, Phase::Opens)).0, Tc::Leave);
        assert_eq!(
            gate(&mut world, &reply(&opening, Phase::Opens)).0,
            Gate::Queue
        );
    }
}

/// The server is isolated and the client is not, so the server may send to the client and not the other way round.
fn denied_client() -> (World, Packet) {
    let datagram = packet(Transport::Udp, Phase::Datagram);
    let mut world = World {
        now: 1000 * SECOND,
        ..World::default()
    };
    world.pod(datagram.source, 0);
    world.pod(datagram.destination, INGRESS);
    (world, datagram)
}

#[test]
fn an_answer_opens_nothing_for_what_it_answers() {
    let (mut world, datagram) = denied_client();
    let answer = reply(&datagram, Phase::Datagram);
    assert_eq!(run(&mut world, &answer), (Tc::Leave, Counter::Left));
    assert_eq!(
        gate_against(&mut world, &answer),
        (Gate::Pass, Counter::GateUnmatched)
    );
    assert!(world.flows.is_empty());
    assert!(!through(&mut world, &datagram));
}

#[test]
fn what_nobody_has_tracked_goes_to_the_agent_unless_an_entry_knows_it() {
    let mut world = isolated();
    let datagram = packet(Transport::Udp, Phase::Datagram);
    world.lease(datagram.lease_key(), Verdict::Allow, 0);
    let untracked = (Gate::Queue, Counter::GateLeft);
    assert_eq!(
        asked_of_gate(&mut world, &datagram, Runs::Untracked),
        untracked
    );
    assert!(world.flows.is_empty());
    let segment = packet(Transport::Tcp, Phase::Opens);
    world.lease(segment.lease_key(), Verdict::Allow, 0);
    let leased = (Gate::Pass, Counter::GateLeaseHits);
    assert_eq!(asked_of_gate(&mut world, &segment, Runs::Untracked), leased);
    assert_eq!(world.flows.len(), 1);
}

#[test]
fn what_the_gate_wrote_into_the_mark_is_read_back() {
    let (pass, reply) = (0x20, 0x40);
    for (mark, runs) in [
        (0, Runs::With),
        (0x8020, Runs::With),
        (0x40, Runs::Against),
        (0x8060, Runs::Untracked),
    ] {
        assert_eq!(Runs::from_mark(mark, pass, reply), runs, "{mark:#x}");
    }
}

#[test]
fn the_first_of_two_that_may_send_is_answered() {
    let (mut world, datagram) = denied_client();
    let opening = reply(&datagram, Phase::Datagram);
    assert!(through(&mut world, &opening));
    assert_eq!(run(&mut world, &datagram), (Tc::Pass, Counter::FlowHits));
    assert_eq!(run(&mut world, &opening), (Tc::Pass, Counter::Unmatched));
}

#[test]
fn leased_answers_of_a_leased_pair_pass_as_what_they_are() {
    let mut world = isolated();
    let opening = packet(Transport::Udp, Phase::Datagram);
    let answer = reply(&opening, Phase::Datagram);
    world.lease(opening.lease_key(), Verdict::Allow, 0);
    world.lease(answer.lease_key(), Verdict::Allow, 0);
    assert!(through(&mut world, &opening));
    assert_eq!(run(&mut world, &answer), (Tc::Pass, Counter::FlowHits));
    world.raise(opening.source);
    world.lease(answer.lease_key(), Verdict::Allow, 0);
    assert_eq!(run(&mut world, &answer), (Tc::Leave, Counter::Left));
    assert_eq!(
        gate_against(&mut world, &answer),
        (Gate::Pass, Counter::GateLeaseHits)
    );
    assert!(!through(&mut world, &opening), "an answer opened something");
}

#[test]
fn isolation_decides_what_passes_unmatched() {
    let opening = packet(Transport::Tcp, Phase::Opens);
    let bits = [
        None,
        Some(0),
        Some(INGRESS),
        Some(EGRESS),
        Some(INGRESS | EGRESS),
    ];
    for source in bits {
        for destination in bits {
            let mut world = World {
                now: SECOND,
                ..World::default()
            };
            for (address, bits) in [(opening.source, source), (opening.destination, destination)] {
                if let Some(bits) = bits {
                    world.pod(address, bits);
                }
            }
            let free = source.unwrap_or(0) & EGRESS == 0 && destination.unwrap_or(0) & INGRESS == 0;
            let at_tc = if free && destination.is_some() {
                (Tc::Pass, Counter::Unmatched)
            } else {
                (Tc::Leave, Counter::Left)
            };
            let at_gate = if free {
                (Gate::Pass, Counter::GateUnmatched)
            } else {
                (Gate::Queue, Counter::GateLeft)
            };
            assert_eq!(
                run(&mut world.clone(), &opening),
                at_tc,
                "{source:?} to {destination:?}"
            );
            assert_eq!(
                gate(&mut world.clone(), &opening),
                at_gate,
                "{source:?} to {destination:?}"
            );
            world.incomplete = true;
            assert_eq!(run(&mut world, &opening), (Tc::Leave, Counter::Left));
            assert_eq!(gate(&mut world, &opening), (Gate::Queue, Counter::GateLeft));
        }
    }
}

#[test]
fn unmatched_packets_ask_no_hash_map() {
    let opening = packet(Transport::Tcp, Phase::Opens);
    let mut world = World::default();
    world.pod(opening.source, 0);
    world.pod(opening.destination, 0);
    assert_eq!(run(&mut world, &opening), (Tc::Pass, Counter::Unmatched));
    assert_eq!(gate(&mut world, &opening).0, Gate::Pass);
    assert_eq!(world.lookups.get(), 0);
    assert!(world.flows.is_empty());
}

#[test]
fn packets_without_sure_ports_pass_the_gate_by_isolation_alone() {
    let opening = packet(Transport::Tcp, Phase::Opens);
    let ends = Parsed::Ends(opening.source, opening.destination);
    let mut world = isolated();
    world.lease(opening.lease_key(), Verdict::Allow, 0);
    assert_eq!(
        (tc(&ends, &world).action, tc(&ends, &world).counter),
        (Tc::Leave, Counter::Unsure)
    );
    assert_eq!(gate_pass(&ends, Runs::With, &world).action, Gate::Queue);
    assert_eq!(gate_deny(&ends, &world), Gate::Queue);
    world.pods.clear();
    assert_eq!(gate_pass(&ends, Runs::With, &world).action, Gate::Pass);
    assert_eq!(tc(&ends, &world).action, Tc::Leave);
    assert_eq!(
        gate_pass(&Parsed::Broken, Runs::With, &world).action,
        Gate::Queue
    );
    assert_eq!(
        gate_pass(&Parsed::Broken, Runs::With, &world).counter,
        Counter::ParseErrors
    );
    assert_eq!(
        (
            tc(&Parsed::Broken, &world).action,
            tc(&Parsed::Broken, &world).counter
        ),
        (Tc::Leave, Counter::ParseErrors)
    );
}

#[test]
fn a_recycled_entry_counts_as_absent() {
    let mut world = isolated();
    let opening = packet(Transport::Tcp, Phase::Opens);
    let other = Packet {
        destination_port: 81,
        ..opening
    };
    world.lease(other.lease_key(), Verdict::Allow, 0);
    let stray = world.leases[&other.lease_key()];
    world.leases.insert(opening.lease_key(), stray);
    assert_eq!(run(&mut world, &opening).0, Tc::Leave);
}

#[test]
fn others_mark_bits_stay() {
    let marks = Marks::from_mask(Marks::DEFAULT_MASK).unwrap();
    for mark in [0, u32::MAX, 0xc000, 0x70, 0x8070] {
        for (action, pass) in [(Tc::Pass, marks.pass), (Tc::Leave, 0), (Tc::Drop, 0)] {
            let after = marked(mark, marks.packet(), marks.pass, action);
            assert_eq!(after & !marks.packet(), mark & !marks.packet());
            assert_eq!(after & marks.packet(), pass);
        }
    }
}
