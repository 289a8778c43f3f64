//! Two pods, what they send each other, and what the programs do with it.

use sluice_ebpf::{
    Addr, Counter, EGRESS, Gate, INGRESS, Packet, Parsed, Phase, Runs, Tc, Transport, gate_deny,
    gate_pass, tc,
};

use super::World;

pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) fn address(text: &str) -> Addr {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

/// From the first pod's port 40000 to the second's port 80.
pub(crate) fn packet(transport: Transport, phase: Phase) -> Packet {
    let (source, destination) = (address("10.244.0.1"), address("10.244.0.2"));
    Packet {
        source,
        destination,
        transport,
        source_port: 40_000,
        destination_port: 80,
        phase,
    }
}

pub(crate) fn reply(to: &Packet, phase: Phase) -> Packet {
    Packet {
        source: to.destination,
        destination: to.source,
        source_port: to.destination_port,
        destination_port: to.source_port,
        phase,
        ..*to
    }
}

/// Both ends isolated in both directions, at some time.
pub(crate) fn isolated() -> World {
    let mut world = World {
        now: 1000 * SECOND,
        ..World::default()
    };
    world.pod(address("10.244.0.1"), INGRESS | EGRESS);
    world.pod(address("10.244.0.2"), INGRESS | EGRESS);
    world
}

/// Runs a packet through TC and does what it says.
pub(crate) fn run(world: &mut World, packet: &Packet) -> (Tc, Counter) {
    let outcome = tc(&Parsed::Whole(*packet), world);
    world.change(packet, outcome.flow);
    (outcome.action, outcome.counter)
}

/// The same for the gate, whose second program is asked where the first does not match; the packet runs with its
/// connection.
pub(crate) fn gate(world: &mut World, packet: &Packet) -> (Gate, Counter) {
    asked_of_gate(world, packet, Runs::With)
}

/// The same for a packet that runs against its connection.
pub(crate) fn gate_against(world: &mut World, packet: &Packet) -> (Gate, Counter) {
    asked_of_gate(world, packet, Runs::Against)
}

/// Whether a packet gets through both, and does what they say.
pub(crate) fn through(world: &mut World, packet: &Packet) -> bool {
    match run(world, packet).0 {
        Tc::Pass => true,
        Tc::Drop => false,
        Tc::Leave => gate(world, packet).0 == Gate::Pass,
    }
}

pub(crate) fn asked_of_gate(world: &mut World, packet: &Packet, runs: Runs) -> (Gate, Counter) {
    let parsed = Parsed::Whole(*packet);
    let outcome = gate_pass(&parsed, runs, world);
    world.change(packet, outcome.flow);
    let action = if outcome.action == Gate::Pass {
        Gate::Pass
    } else {
        gate_deny(&parsed, world)
    };
    assert_eq!(action, outcome.action, "both programs see one lease");
    (action, outcome.counter)
}
