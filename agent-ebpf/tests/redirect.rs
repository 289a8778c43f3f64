//! Packets of established connections that go from link to link: only what TC would pass, and never a connection's first
//! or last.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use proptest::prelude::*;
use sluice_ebpf::{
    Addr, EGRESS, Family, Guard, INGRESS, Links, Packet, Parsed, Phase, Redirect, Tc, Transport,
    Verdict, confirmed, one_hop, redirected, stopped, tc,
};
use support::World;
use support::pair::{SECOND, address, packet, reply, run};

/// The links of the two pods.
const LINKS: Links = Links {
    input: 11,
    output: 12,
};
const BACK: Links = Links {
    input: LINKS.output,
    output: LINKS.input,
};

/// Two pods behind their links, isolated so.
fn world(isolated: u32) -> World {
    let mut world = World {
        now: 1000 * SECOND,
        ..World::default()
    };
    for (link, pod) in [(LINKS.input, "10.244.0.1"), (LINKS.output, "10.244.0.2")] {
        world.pod(address(pod), isolated);
        let guard = Guard::new(link, &[address(pod)])
            .unwrap()
            .with_peer_elsewhere(true);
        world.guards.insert(link, guard);
    }
    world
}

/// The same, with a lease for what the first opens to the second.
fn leased(transport: Transport) -> World {
    let mut world = world(INGRESS | EGRESS);
    let opening = packet(transport, Phase::Opens);
    world.lease(opening.lease_key(), Verdict::Allow, 0);
    world
}

/// Shows the gate's program a packet; whether it may be redirected from then on.
fn show(world: &mut World, packet: &Packet, links: Links) -> bool {
    let confirmed = confirmed(&Parsed::Whole(*packet), links, world);
    if let Some((key, redirect)) = confirmed {
        assert_eq!(key, packet.flow_key());
        world.redirects.insert(key, redirect);
    }
    confirmed.is_some()
}

/// What TC does to the entries of a packet that it does not redirect.
fn stop(world: &mut World, packet: &Packet) {
    for (key, tag) in stopped(packet).into_iter().flatten() {
        if let Some(redirect) = world.redirects.get_mut(&key) {
            let Redirect {
                epochs,
                links,
                confirmed_ns,
                ..
            } = *redirect;
            *redirect = Redirect::from_parts(epochs, links, confirmed_ns, tag);
        }
    }
}

/// The way of a packet: redirected, or through TC and, where it passes and conntrack has seen both ends, the gate.
/// Whether it was redirected.
fn send(world: &mut World, packet: &Packet, links: Links, established: bool) -> bool {
    if let Some(output) = redirected(packet, links.input, world) {
        assert_eq!(output, links.output);
        return true;
    }
    stop(world, packet);
    if run(world, packet).0 == Tc::Pass && established {
        show(world, packet, links);
    }
    false
}

#[test]
fn a_connection_is_tracked_first_and_redirected_then() {
    let mut world = leased(Transport::Tcp);
    let opening = packet(Transport::Tcp, Phase::Opens);
    let there = packet(Transport::Tcp, Phase::Continues);
    let back = reply(&there, Phase::Continues);
    for (packet, links, established, expected) in [
        (opening, LINKS, false, false),
        (reply(&opening, Phase::Answers), BACK, true, false),
        (there, LINKS, true, false),
        (there, LINKS, true, true),
        (back, BACK, true, true),
        (reply(&opening, Phase::Answers), BACK, true, false),
        (opening, LINKS, true, false),
        (there, LINKS, true, false),
    ] {
        let found = send(&mut world, &packet, links, established);
        assert_eq!(found, expected, "{packet:?}");
    }
}

#[test]
fn what_ends_is_not_confirmed_again() {
    for last in [Phase::Closes, Phase::Ends] {
        let mut world = leased(Transport::Tcp);
        let there = packet(Transport::Tcp, Phase::Continues);
        let back = reply(&there, Phase::Continues);
        send(
            &mut world,
            &packet(Transport::Tcp, Phase::Opens),
            LINKS,
            false,
        );
        for (packet, links) in [(there, LINKS), (back, BACK)] {
            send(&mut world, &packet, links, true);
            assert!(send(&mut world, &packet, links, true), "{packet:?}");
        }
        assert!(!send(&mut world, &reply(&there, last), BACK, true));
        for (packet, links) in [(there, LINKS), (back, BACK)] {
            assert!(redirected(&packet, links.input, &world).is_none());
            assert!(!show(&mut world, &packet, links), "{last:?}, {packet:?}");
        }
        // Half closed for long: the other half is in use.
        world.now += 16 * SECOND;
        world.lease(there.lease_key(), Verdict::Allow, 0);
        assert!(show(&mut world, &there, LINKS), "{last:?}");
    }
}

/// What is shown, and whether it is redirected then.
struct Case {
    what: &'static str,
    world: fn() -> World,
    packet: fn() -> Packet,
    expected: bool,
}

const fn case(
    what: &'static str,
    world: fn() -> World,
    packet: fn() -> Packet,
    expected: bool,
) -> Case {
    Case {
        what,
        world,
        packet,
        expected,
    }
}

fn tcp_in_between() -> Packet {
    packet(Transport::Tcp, Phase::Continues)
}

fn datagram() -> Packet {
    packet(Transport::Udp, Phase::Datagram)
}

fn leased_for_tcp() -> World {
    leased(Transport::Tcp)
}

fn elsewhere(output: u32) -> Links {
    Links { output, ..LINKS }
}

#[track_caller]
fn check(case: &Case) {
    let (mut world, packet) = ((case.world)(), (case.packet)());
    let shown = show(&mut world, &packet, LINKS);
    assert_eq!(shown, case.expected, "{}", case.what);
    let output = redirected(&packet, LINKS.input, &world);
    assert_eq!(output.is_some(), case.expected, "{}", case.what);
}

#[test]
fn only_what_is_covered_and_has_ports_is_confirmed() {
    for case in [
        case("leased", leased_for_tcp, tcp_in_between, true),
        case("open", || world(0), tcp_in_between, true),
        case("open UDP", || world(0), datagram, true),
        case("leased UDP", || leased(Transport::Udp), datagram, true),
        case("nothing known", || world(INGRESS), tcp_in_between, false),
        case("another's lease", leased_for_tcp, datagram, false),
        case(
            "SCTP",
            || world(0),
            || packet(Transport::Sctp, Phase::Continues),
            false,
        ),
        case(
            "an opening",
            || world(0),
            || packet(Transport::Tcp, Phase::Opens),
            false,
        ),
    ] {
        check(&case);
    }
}

/// A world whose link `changed` has that guard.
fn guarded(changed: u32, guard: Option<Guard>) -> World {
    let mut world = leased_for_tcp();
    world.guards.remove(&changed);
    world.guards.extend(guard.map(|guard| (changed, guard)));
    world
}

fn guard(link: u32, pod: &str) -> Guard {
    Guard::new(link, &[address(pod)]).unwrap()
}

#[test]
fn only_what_is_surely_between_two_pods_is_confirmed() {
    let (here, there) = (LINKS.input, LINKS.output);
    let other = || Some(guard(here, "10.244.0.3").with_peer_elsewhere(true));
    let nowhere = || Some(guard(there, "10.244.0.2"));
    assert!(show(&mut leased_for_tcp(), &tcp_in_between(), LINKS));
    for (what, mut world, links) in [
        ("a link without a guard", guarded(there, None), LINKS),
        ("a link to no namespace", guarded(there, nowhere()), LINKS),
        ("an address elsewhere", guarded(here, other()), LINKS),
        ("the link it came by", leased_for_tcp(), elsewhere(here)),
    ] {
        assert!(!show(&mut world, &tcp_in_between(), links), "{what}");
    }
}

#[test]
fn a_redirection_ends_with_what_it_stands_on() {
    type End = fn(&mut World);
    let ends: [(&str, End); 4] = [
        ("its source's epoch", |world| {
            world.raise(address("10.244.0.1"));
        }),
        ("its destination's epoch", |world| {
            world.raise(address("10.244.0.2"));
        }),
        ("its time", |world| world.now += Redirect::CONFIRM_NS),
        ("what is known of pods", |world| world.incomplete = true),
    ];
    for (what, end) in ends {
        let mut world = leased_for_tcp();
        let there = tcp_in_between();
        assert!(show(&mut world, &there, LINKS));
        assert!(!show(&mut world, &there, LINKS), "it is there");
        assert!(redirected(&there, LINKS.input, &world).is_some());
        assert!(redirected(&there, 99, &world).is_none(), "another's link");
        end(&mut world);
        assert!(redirected(&there, LINKS.input, &world).is_none(), "{what}");
    }
}

#[test]
fn an_entry_that_became_another_keys_is_nobodys() {
    let mut world = leased_for_tcp();
    let there = tcp_in_between();
    let (_, redirect) = confirmed(&Parsed::Whole(there), LINKS, &world).unwrap();
    let other = Packet {
        source_port: 40_001,
        ..there
    };
    world.redirects.insert(other.flow_key(), redirect);
    assert!(redirected(&other, LINKS.input, &world).is_none());
}

/// The sum of an IPv4 header (RFC 1071): 0xffff where its checksum is right.
fn sum(header: &[u8]) -> u16 {
    let words = header.as_chunks::<2>().0.iter();
    let sum = words.fold(0_u32, |sum, word| {
        let sum = sum + u32::from(u16::from_be_bytes(*word));
        (sum & 0xffff) + (sum >> 16)
    });
    u16::try_from(sum).unwrap()
}

#[derive(Clone, Debug)]
enum Event {
    Pod(bool, u32),
    Raise(bool),
    Complete(bool),
    Lease(bool, Transport, u16),
    Wait(u64),
    Packet(bool, Transport, (u16, u16), Phase, bool),
}

fn event() -> impl Strategy<Value = Event> {
    let transport = || prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)];
    let port = || 1..3_u16;
    let phase = prop_oneof![
        2 => Just(Phase::Opens),
        1 => Just(Phase::Answers),
        8 => Just(Phase::Continues),
        1 => Just(Phase::Closes),
        1 => Just(Phase::Ends),
    ];
    let packet = (
        any::<bool>(),
        transport(),
        (port(), port()),
        phase,
        any::<bool>(),
    );
    prop_oneof![
        1 => (any::<bool>(), 0..4_u32).prop_map(|(back, bits)| Event::Pod(back, bits)),
        1 => any::<bool>().prop_map(Event::Raise),
        1 => any::<bool>().prop_map(Event::Complete),
        3 => (any::<bool>(), transport(), port()).prop_map(|(back, transport, port)| Event::Lease(back, transport, port)),
        2 => (0..3 * SECOND).prop_map(Event::Wait),
        16 => packet.prop_map(|(back, transport, ports, phase, established)| {
            Event::Packet(back, transport, ports, phase, established)
        }),
    ]
}

fn ends(back: bool) -> (Addr, Addr) {
    let (one, other) = (address("10.244.0.1"), address("10.244.0.2"));
    if back { (other, one) } else { (one, other) }
}

fn between(back: bool, transport: Transport, ports: (u16, u16), phase: Phase) -> Packet {
    let (source, destination) = ends(back);
    Packet {
        source,
        destination,
        transport,
        source_port: ports.0,
        destination_port: ports.1,
        phase: match transport {
            Transport::Udp => Phase::Datagram,
            _ => phase,
        },
    }
}

fn step(world: &mut World, event: &Event) -> Result<(), TestCaseError> {
    match *event {
        // As the agent does: what a pod is, then its epoch.
        Event::Pod(back, bits) => {
            world.pod(ends(back).0, bits);
            world.raise(ends(back).0);
        }
        Event::Raise(back) => world.raise(ends(back).0),
        Event::Complete(complete) => world.incomplete = !complete,
        Event::Lease(back, transport, port) => {
            let packet = between(back, transport, (0, port), Phase::Continues);
            world.lease(packet.lease_key(), Verdict::Allow, 0);
        }
        Event::Wait(nanoseconds) => world.now += nanoseconds,
        Event::Packet(back, transport, ports, phase, established) => {
            let packet = between(back, transport, ports, phase);
            let links = if back { BACK } else { LINKS };
            let judged = tc(&Parsed::Whole(packet), world).action;
            let was = send(world, &packet, links, established);
            prop_assert!(!was || judged == Tc::Pass, "{packet:?} went past TC");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 500 }, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_redirected_that_tc_would_not_pass(events in proptest::collection::vec(event(), 1..80)) {
        let mut world = world(INGRESS | EGRESS);
        for event in events {
            step(&mut world, &event)?;
        }
    }

    #[test]
    fn a_hop_less_leaves_a_right_header(bytes in any::<[u8; 20]>()) {
        let mut header = bytes;
        header[10..12].fill(0);
        let checksum = !sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        let word = header[8..12].try_into().unwrap();
        match one_hop(Family::V4, word) {
            None => prop_assert!(header[8] <= 1),
            Some(word) => {
                prop_assert_eq!(word[0], header[8] - 1);
                prop_assert_eq!(word[1], header[9]);
                header[8..12].copy_from_slice(&word);
                prop_assert_eq!(sum(&header), 0xffff);
            }
        }
        let word: [u8; 4] = bytes[..4].try_into().unwrap();
        let [a, b, c, hops] = word;
        let less = (hops > 1).then(|| [a, b, c, hops - 1]);
        prop_assert_eq!(one_hop(Family::V6, word), less);
    }
}
