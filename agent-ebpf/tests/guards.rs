//! Sources that do not belong behind the interface they come from.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::IpAddr;

use sluice_ebpf::{Family, Guard, hidden, parse, spoofed};
use support::{Slice, World, ipv4, ipv6, udp};

const POD: u32 = 7;
const UPLINK: u32 = 2;

/// One guarded interface, with these addresses behind it.
fn world(behind: &[&str]) -> World {
    let addresses: Vec<_> = behind
        .iter()
        .map(|text| text.parse::<IpAddr>().unwrap().into())
        .collect();
    let mut world = World::default();
    let guard = Guard::new(POD, &addresses).unwrap();
    world.guards.insert(POD, guard);
    world
}

fn packet(source: &str) -> (Family, Vec<u8>) {
    if source.contains(':') {
        (Family::V6, ipv6(source, "fd00::99", 17, &udp(1, 2)))
    } else {
        (Family::V4, ipv4(source, "10.0.0.99", 17, &udp(1, 2)))
    }
}

fn is_spoofed(world: &World, ifindex: u32, (family, bytes): &(Family, Vec<u8>)) -> bool {
    let bytes = Slice(bytes);
    spoofed(&parse(&bytes, *family), &bytes, *family, ifindex, world)
}

#[test]
fn a_source_is_behind_its_interface_or_spoofed() {
    let both = world(&["10.0.0.1", "fd00::1"]);
    for (source, expected) in [
        ("10.0.0.1", false),
        ("fd00::1", false),
        ("10.0.0.2", true),
        ("fd00::2", true),
        ("127.0.0.1", true),
        ("169.254.1.1", true),
        // Nobody's, and the link's own.
        ("0.0.0.0", false),
        ("::", false),
        ("fe80::1", false),
        ("febf:ffff::1", false),
        ("fec0::1", true),
        ("::1", true),
    ] {
        assert_eq!(
            is_spoofed(&both, POD, &packet(source)),
            expected,
            "{source}"
        );
        assert!(!is_spoofed(&both, UPLINK, &packet(source)), "{source}");
    }
}

#[test]
fn a_family_without_an_address_is_not_guarded() {
    let four = world(&["10.0.0.1"]);
    assert!(is_spoofed(&four, POD, &packet("10.0.0.2")));
    assert!(!is_spoofed(&four, POD, &packet("fd00::2")));
    let six = world(&["fd00::1"]);
    assert!(!is_spoofed(&six, POD, &packet("10.0.0.2")));
    assert!(is_spoofed(&six, POD, &packet("fd00::2")));
}

#[test]
fn fragments_options_and_other_protocols_have_sources_too() {
    let world = world(&["10.0.0.1", "fd00::1"]);
    let (family, mut fragment) = packet("10.0.0.2");
    fragment[7] = 1;
    assert!(is_spoofed(&world, POD, &(family, fragment)));
    let gre = ipv4("10.0.0.2", "10.0.0.99", 47, &[0; 8]);
    assert!(is_spoofed(&world, POD, &(Family::V4, gre)));
    let echo = ipv6("fd00::2", "fd00::99", 58, &[128, 0, 0, 0]);
    assert!(is_spoofed(&world, POD, &(Family::V6, echo)));
}

#[test]
fn neighbour_discovery_passes_from_the_link_alone() {
    let world = world(&["fd00::1"]);
    for (kind, hops, expected) in [
        (132, 255, true),
        (133, 255, false),
        (135, 255, false),
        (136, 254, true),
        (137, 255, false),
        (138, 255, true),
    ] {
        let mut bytes = ipv6("fd00::2", "ff02::1", 58, &[kind, 0, 0, 0]);
        bytes[7] = hops;
        let found = is_spoofed(&world, POD, &(Family::V6, bytes));
        assert_eq!(found, expected, "type {kind}, hop limit {hops}");
    }
}

#[test]
fn an_entry_that_became_another_interfaces_says_nothing() {
    let mut world = world(&["10.0.0.1"]);
    let other = world.guards[&POD];
    world.guards.insert(UPLINK, other);
    assert!(!is_spoofed(&world, UPLINK, &packet("10.0.0.2")));
}

#[test]
fn a_tag_within_a_tag_hides_a_source() {
    let world = world(&["10.0.0.1"]);
    for ethertype in [0x8100, 0x88a8] {
        assert!(hidden(ethertype, POD, &world) && !hidden(ethertype, UPLINK, &world));
    }
    assert!(!hidden(0x0806, POD, &world));
}

#[test]
fn a_guard_has_one_to_four_addresses() {
    let address = |number: u8| IpAddr::from([10, 0, 0, number]).into();
    let many: Vec<_> = (1..=5).map(address).collect();
    assert_eq!(Guard::new(POD, &[]), None);
    assert_eq!(Guard::new(POD, &many), None);
    let guard = Guard::new(POD, &many[..4]).unwrap();
    assert_eq!(guard.addresses().collect::<Vec<_>>(), many[..4]);
}
