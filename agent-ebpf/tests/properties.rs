//! For any history of pods, leases, epochs, time and packets: nothing passes that has no right to.
//!
//! The ledger here keeps what was granted in its own words (what, when, in which generation) and shares no code with
//! the decisions.

mod support;

use std::collections::HashMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::sample::Index;
use sluice_ebpf::{
    Addr, EGRESS, Gate, INGRESS, Packet, Parsed, Phase, Runs, Tc, Transport, Verdict, gate_deny,
    gate_pass, tc,
};
use support::World;

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
enum Event {
    Pod(u8, Option<u32>),
    Complete(bool),
    Raise(u8),
    Lease(u8, u8, Transport, u16, bool, Option<u64>),
    Wait(u64),
    /// A packet back to some opening that passed; chance alone makes few.
    Answer(bool, Index),
    /// A denial of the way back of some opening that passed, as if it were a connection of its own.
    DenyBack(Index),
    Packet {
        tc: bool,
        source: u8,
        destination: u8,
        transport: Transport,
        ports: (u16, u16),
        phase: Phase,
    },
}

type Granted = (Addr, Addr, Transport, u16);

/// The generations of both ends, and until when.
type Grant = ((u32, u32), Option<u64>);

/// What was granted, and what ended it.
#[derive(Default)]
struct Ledger {
    pods: HashMap<Addr, u32>,
    generations: HashMap<Addr, u32>,
    /// What allows and what denies are in maps of their own: the one may end before the other.
    allowed: HashMap<Granted, Grant>,
    denied: HashMap<Granted, Grant>,
    /// Openings that passed: both addresses and ports, when, in which generations.
    openings: Vec<(Packet, u64, (u32, u32))>,
    /// Those of them that passed by a lease, and of which no packet has said since that it ends: their replies are
    /// owed a way back.
    leased_openings: Vec<(Packet, u64, (u32, u32))>,
}

/// How long every flow lives at least.
const SHORTEST: u64 = 30 * SECOND;

impl Ledger {
    fn generation(&self, source: Addr, destination: Addr) -> (u32, u32) {
        let of = |address: Addr| self.generations.get(&address).copied().unwrap_or_default();
        (of(source), of(destination))
    }

    fn free(&self, packet: &Packet) -> bool {
        let bits = |address: Addr| self.pods.get(&address).copied().unwrap_or_default();
        bits(packet.source) & EGRESS == 0 && bits(packet.destination) & INGRESS == 0
    }

    fn leased(&self, packet: &Packet, now: u64) -> Option<bool> {
        let key = (
            packet.source,
            packet.destination,
            packet.transport,
            packet.destination_port,
        );
        let generation = self.generation(packet.source, packet.destination);
        let is_live = |grants: &HashMap<Granted, Grant>| {
            grants.get(&key).is_some_and(|(of, expires)| {
                *of == generation && expires.is_none_or(|expires| now < expires)
            })
        };
        match (is_live(&self.allowed), is_live(&self.denied)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    /// Whether some opening that passed makes the packet a reply.
    fn answers(&self, packet: &Packet, now: u64) -> bool {
        packet.phase != Phase::Opens
            && self.openings.iter().any(|(opening, since, generation)| {
                reversed(opening, packet)
                    && *generation == self.generation(opening.source, opening.destination)
                    && *since <= now
            })
    }

    /// Whether the packet surely is a reply, so that it has to pass.
    fn owed(&self, packet: &Packet, now: u64) -> bool {
        let owes = |(opening, since, generation): &(Packet, u64, (u32, u32))| {
            reversed(opening, packet)
                && *generation == self.generation(opening.source, opening.destination)
                && now - since < SHORTEST
        };
        packet.phase != Phase::Opens && self.leased_openings.iter().any(owes)
    }

    /// A packet passed, by a lease or by anything else.
    fn passed(&mut self, packet: &Packet, leased: bool, now: u64) {
        if matches!(packet.phase, Phase::Ends | Phase::Closes) {
            self.leased_openings
                .retain(|(opening, ..)| !reversed(opening, packet) && !same(opening, packet));
        }
        if matches!(packet.phase, Phase::Opens | Phase::Datagram) {
            let generation = self.generation(packet.source, packet.destination);
            self.openings.push((*packet, now, generation));
            if leased {
                self.leased_openings.push((*packet, now, generation));
            }
        }
    }
}

fn same(one: &Packet, other: &Packet) -> bool {
    let connection = |packet: &Packet| {
        (
            (packet.source, packet.source_port),
            (packet.destination, packet.destination_port),
            packet.transport,
        )
    };
    connection(one) == connection(other)
}

fn reversed(one: &Packet, other: &Packet) -> bool {
    same(one, &turned(other))
}

fn turned(packet: &Packet) -> Packet {
    Packet {
        source: packet.destination,
        destination: packet.source,
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        ..*packet
    }
}

/// In the middle of a connection.
fn answer(opening: &Packet) -> Packet {
    let phase = if opening.phase == Phase::Opens {
        Phase::Continues
    } else {
        opening.phase
    };
    Packet {
        phase,
        ..turned(opening)
    }
}

fn address(host: u8) -> Addr {
    Ipv4Addr::new(10, 244, 0, host).into()
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        Just(Transport::Tcp),
        Just(Transport::Udp),
        Just(Transport::Sctp)
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let host = prop_oneof![4 => 0..2_u8, 1 => Just(2_u8)];
    let port = 1..3_u16;
    let phase = prop_oneof![
        3 => Just(Phase::Opens),
        3 => Just(Phase::Continues),
        1 => Just(Phase::Closes),
        1 => Just(Phase::Ends),
    ];
    let packet = (
        any::<bool>(),
        host.clone(),
        host.clone(),
        transport(),
        (port.clone(), port.clone()),
        phase,
    )
        .prop_map(|(tc, source, destination, transport, ports, phase)| {
            let phase = if transport == Transport::Udp {
                Phase::Datagram
            } else {
                phase
            };
            Event::Packet {
                tc,
                source,
                destination,
                transport,
                ports,
                phase,
            }
        });
    let expires = proptest::option::of(1..20 * SECOND);
    prop_oneof![
        2 => (host.clone(), proptest::option::of(0..4_u32)).prop_map(|(host, bits)| Event::Pod(host, bits)),
        1 => any::<bool>().prop_map(Event::Complete),
        2 => host.clone().prop_map(Event::Raise),
        3 => (host.clone(), host, transport(), port, any::<bool>(), expires)
            .prop_map(|(from, to, transport, port, allow, expires)| Event::Lease(from, to, transport, port, allow, expires)),
        1 => (0..200 * SECOND).prop_map(Event::Wait),
        4 => (any::<bool>(), any::<Index>()).prop_map(|(tc, which)| Event::Answer(tc, which)),
        2 => any::<Index>().prop_map(Event::DenyBack),
        8 => packet,
    ]
}

fn step(world: &mut World, ledger: &mut Ledger, event: &Event) -> Result<(), TestCaseError> {
    match *event {
        Event::Pod(host, bits) => {
            isolate(world, ledger, host, bits);
            raise(world, ledger, host);
        }
        Event::Complete(complete) => world.incomplete = !complete,
        Event::Raise(host) => raise(world, ledger, host),
        Event::Lease(from, to, transport, port, allow, expires) => {
            let packet = packet(from, to, transport, (0, port), Phase::Continues);
            grant(world, ledger, &packet, allow, expires);
        }
        Event::Wait(nanoseconds) => world.now += nanoseconds,
        Event::Answer(at_tc, which) if !ledger.openings.is_empty() => {
            let (opening, ..) = *which.get(&ledger.openings);
            judge(world, ledger, at_tc, &answer(&opening))?;
        }
        Event::DenyBack(which) if !ledger.openings.is_empty() => {
            let (opening, ..) = *which.get(&ledger.openings);
            grant(world, ledger, &answer(&opening), false, None);
        }
        Event::Answer(..) | Event::DenyBack(..) => {}
        Event::Packet {
            tc: at_tc,
            source,
            destination,
            transport,
            ports,
            phase,
        } => {
            judge(
                world,
                ledger,
                at_tc,
                &packet(source, destination, transport, ports, phase),
            )?;
        }
    }
    Ok(())
}

fn isolate(world: &mut World, ledger: &mut Ledger, host: u8, bits: Option<u32>) {
    let address = address(host);
    if let Some(bits) = bits {
        world.pod(address, bits);
        ledger.pods.insert(address, bits);
    } else {
        world.pods.remove(&address);
        ledger.pods.remove(&address);
    }
}

/// As the agent does with each change of what it enforces.
fn raise(world: &mut World, ledger: &mut Ledger, host: u8) {
    world.raise(address(host));
    *ledger.generations.entry(address(host)).or_default() += 1;
}

/// A lease for what a packet says, from now on.
fn grant(
    world: &mut World,
    ledger: &mut Ledger,
    packet: &Packet,
    allow: bool,
    expires: Option<u64>,
) {
    let verdict = if allow { Verdict::Allow } else { Verdict::Deny };
    let until = expires.map(|after| world.now + after);
    world.lease(packet.lease_key(), verdict, until.unwrap_or(0));
    let generation = ledger.generation(packet.source, packet.destination);
    let granted = (
        packet.source,
        packet.destination,
        packet.transport,
        packet.destination_port,
    );
    if allow {
        ledger.allowed.insert(granted, (generation, until));
    } else {
        ledger.allowed.remove(&granted);
        ledger.denied.insert(granted, (generation, until));
    }
}

fn packet(
    source: u8,
    destination: u8,
    transport: Transport,
    ports: (u16, u16),
    phase: Phase,
) -> Packet {
    let (source, destination) = (address(source), address(destination));
    Packet {
        source,
        destination,
        transport,
        source_port: ports.0,
        destination_port: ports.1,
        phase,
    }
}

fn judge(
    world: &mut World,
    ledger: &mut Ledger,
    at_tc: bool,
    packet: &Packet,
) -> Result<(), TestCaseError> {
    let parsed = Parsed::Whole(*packet);
    let free = ledger.free(packet) && !world.incomplete;
    let leased = ledger.leased(packet, world.now);
    let (passes, drops, flow) = if at_tc {
        let outcome = tc(&parsed, world);
        (
            outcome.action == Tc::Pass,
            outcome.action == Tc::Drop,
            outcome.flow,
        )
    } else {
        let outcome = gate_pass(&parsed, Runs::With, world);
        let drops = outcome.action != Gate::Pass && gate_deny(&parsed, world) == Gate::Deny;
        (outcome.action == Gate::Pass, drops, outcome.flow)
    };
    let answers = ledger.answers(packet, world.now);
    let denied = leased == Some(false);
    let droppable = ledger.pods.contains_key(&packet.destination)
        && (packet.transport, packet.phase) == (Transport::Tcp, Phase::Opens);
    prop_assert!(
        !passes || free || leased == Some(true) || answers,
        "{packet:?} passed without a right to"
    );
    prop_assert!(
        !drops || (denied && (droppable || !at_tc)),
        "{packet:?} was dropped without a reason"
    );
    prop_assert!(
        !denied || passes || drops || (at_tc && !droppable),
        "{packet:?} is denied and was not dropped"
    );
    // What needed no entry has none where nobody is known to be open any more.
    let asked_about = world.incomplete && ledger.free(packet);
    prop_assert!(
        passes || asked_about || !ledger.owed(packet, world.now),
        "{packet:?} is a reply and did not pass"
    );
    prop_assert!(
        passes || leased != Some(true) || (at_tc && packet.phase == Phase::Datagram),
        "{packet:?} has a live lease"
    );
    prop_assert!(
        passes || at_tc || !free || denied,
        "{packet:?} is free and was queued"
    );
    if passes {
        ledger.passed(packet, leased == Some(true) && !free, world.now);
    }
    world.change(packet, flow);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 500 }, ..ProptestConfig::default() })]

    #[test]
    fn nothing_passes_that_has_no_right_to(events in proptest::collection::vec(event(), 1..60)) {
        let mut world = World { now: 1000 * SECOND, ..World::default() };
        let mut ledger = Ledger::default();
        for event in events {
            step(&mut world, &mut ledger, &event)?;
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic_and_only_as_they_are(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        use sluice_ebpf::{Family, parse};
        for (family, at) in [(Family::V4, 12), (Family::V6, 8)] {
            let size = if family == Family::V4 { 4 } else { 16 };
            match parse(&support::Slice(&bytes), family) {
                Parsed::Broken => {}
                Parsed::Ends(source, _) | Parsed::Whole(Packet { source, .. }) => {
                    let std::net::IpAddr::V4(source) = std::net::IpAddr::from(source) else {
                        prop_assert_eq!(family, Family::V6);
                        return Ok(());
                    };
                    prop_assert_eq!(&source.octets()[..], &bytes[at..at + size]);
                }
            }
        }
    }
}
