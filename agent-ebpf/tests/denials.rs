//! What a deny lease drops, where, and what it leaves alone.

mod support;

use sluice_ebpf::{
    Addr, Counter, Gate, INGRESS, Packet, Parsed, Phase, Tc, Transport, Verdict, gate_deny,
};
use support::World;
use support::pair::{address, gate, isolated, packet, reply, run, through};

#[test]
fn a_deny_lease_drops_openings_at_tc_and_all_at_the_gate() {
    let mut world = isolated();
    for transport in [Transport::Tcp, Transport::Udp, Transport::Sctp] {
        world.lease(
            packet(transport, Phase::Opens).lease_key(),
            Verdict::Deny,
            0,
        );
    }
    assert_eq!(
        run(&mut world, &packet(Transport::Tcp, Phase::Opens)),
        (Tc::Drop, Counter::DenyLeaseHits)
    );
    for (transport, phase) in [
        (Transport::Tcp, Phase::Continues),
        (Transport::Tcp, Phase::Ends),
        (Transport::Udp, Phase::Datagram),
        (Transport::Sctp, Phase::Opens),
    ] {
        assert_eq!(
            run(&mut world, &packet(transport, phase)),
            (Tc::Leave, Counter::Left)
        );
        assert_eq!(
            gate(&mut world, &packet(transport, phase)),
            (Gate::Deny, Counter::GateLeft)
        );
    }
    world.raise(address("10.244.0.2"));
    assert_eq!(
        gate(&mut world, &packet(Transport::Tcp, Phase::Opens)),
        (Gate::Queue, Counter::GateLeft)
    );
}

/// The first pod may not connect to the second's port 40000, from which the second opens a connection to the first's
/// port 80.
fn opened_from_a_denied_port(transport: Transport, first: Phase) -> (World, Packet) {
    let mut world = isolated();
    let forward = packet(transport, first);
    let opening = Packet {
        source: forward.destination,
        destination: forward.source,
        ..forward
    };
    let denied = reply(&opening, first).lease_key();
    world.lease(denied, Verdict::Deny, 0);
    world.lease(opening.lease_key(), Verdict::Allow, 0);
    (world, opening)
}

const FIRST_AND_ANSWER: [(Transport, Phase, Phase); 3] = [
    (Transport::Tcp, Phase::Opens, Phase::Continues),
    (Transport::Sctp, Phase::Opens, Phase::Continues),
    (Transport::Udp, Phase::Datagram, Phase::Datagram),
];

#[test]
fn replies_pass_to_a_port_that_their_sender_may_not_connect_to() {
    for (transport, first, answer) in FIRST_AND_ANSWER {
        let (mut world, opening) = opened_from_a_denied_port(transport, first);
        let answer = reply(&opening, answer);
        assert_eq!(run(&mut world, &answer), (Tc::Leave, Counter::Left));
        assert_eq!(
            gate(&mut world, &answer),
            (Gate::Deny, Counter::GateLeft),
            "nothing to answer yet: {transport:?}"
        );
        assert!(through(&mut world, &opening));
        assert_eq!(run(&mut world, &opening), (Tc::Pass, Counter::LeaseHits));
        assert_eq!(run(&mut world, &answer), (Tc::Pass, Counter::FlowHits));
        assert_eq!(
            gate(&mut world, &answer),
            (Gate::Pass, Counter::GateFlowHits)
        );
        assert_eq!(
            gate_deny(&Parsed::Whole(answer), &world),
            Gate::Queue,
            "on its own: {transport:?}"
        );
    }
}

#[test]
fn a_denied_opening_is_no_reply_whatever_flow_there_is() {
    for (transport, first, _) in FIRST_AND_ANSWER {
        let (mut world, opening) = opened_from_a_denied_port(transport, first);
        assert!(through(&mut world, &opening));
        let denied = reply(&opening, Phase::Opens);
        let at_tc = match transport {
            Transport::Tcp => (Tc::Drop, Counter::DenyLeaseHits),
            _ => (Tc::Leave, Counter::Left),
        };
        assert_eq!(run(&mut world, &denied), at_tc);
        assert_eq!(gate(&mut world, &denied).0, Gate::Deny);
    }
}

#[test]
fn a_flow_that_ended_leaves_the_denial() {
    let (mut world, opening) = opened_from_a_denied_port(Transport::Tcp, Phase::Opens);
    assert_eq!(run(&mut world, &opening).0, Tc::Pass);
    assert_eq!(
        gate(&mut world, &reply(&opening, Phase::Ends)).0,
        Gate::Pass
    );
    let late = reply(&opening, Phase::Continues);
    assert_eq!(run(&mut world, &late), (Tc::Leave, Counter::Left));
    assert_eq!(gate(&mut world, &late).0, Gate::Deny);
}

/// An address outside the pods' network that shares the slot of one of them.
fn slot_mate(of: Addr) -> Addr {
    (0..=u16::MAX)
        .map(|low| address(&format!("10.96.{}.{}", low >> 8, low & 0xff)))
        .find(|other| other.slot() == of.slot())
        .expect("a /16 has an address for every slot")
}

#[test]
fn tc_drops_for_local_pods_only_and_the_gate_for_all() {
    let opening = packet(Transport::Tcp, Phase::Opens);
    let mate = slot_mate(opening.destination);
    for (pods, local) in [
        (&[][..], false),
        (&[opening.destination][..], true),
        (&[mate][..], false),
        (&[opening.destination, mate][..], true),
    ] {
        let mut world = isolated();
        world.pods.remove(&opening.destination);
        for pod in pods {
            world.pod(*pod, INGRESS);
        }
        world.lease(opening.lease_key(), Verdict::Deny, 0);
        let at_tc = if local {
            (Tc::Drop, Counter::DenyLeaseHits)
        } else {
            (Tc::Leave, Counter::Left)
        };
        assert_eq!(run(&mut world, &opening), at_tc, "{pods:?}");
        assert_eq!(
            gate(&mut world, &opening),
            (Gate::Deny, Counter::GateLeft),
            "{pods:?}"
        );
    }
}

#[test]
fn a_denied_service_address_is_judged_by_what_it_becomes() {
    let mut world = isolated();
    let backend = packet(Transport::Tcp, Phase::Opens);
    let service = Packet {
        destination: address("10.96.0.1"),
        ..backend
    };
    world.lease(service.lease_key(), Verdict::Deny, 0);
    world.lease(backend.lease_key(), Verdict::Allow, 0);
    assert_eq!(run(&mut world, &service), (Tc::Leave, Counter::Left));
    assert_eq!(gate(&mut world, &service).0, Gate::Deny, "untranslated");
    assert_eq!(
        gate(&mut world, &backend),
        (Gate::Pass, Counter::GateLeaseHits),
        "translated"
    );
}
