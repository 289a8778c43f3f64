//! Peers by address: `ipBlock` and `except`.

use sluice_policy::{NetworkPolicy, Peer, Ports};

use crate::support::build::{block, egress, ingress, own, ports, rule};
use crate::{check, with};

fn from(peers: Vec<Peer>) -> NetworkPolicy {
    ingress("x/np", "pod=a", vec![rule(peers, Ports::Any)])
}

#[test]
fn a_block_matches_outside_addresses_in_both_directions() {
    let to = egress(
        "x/out",
        "pod=a",
        vec![rule(vec![block("8.8.8.0/24", &[])], Ports::Any)],
    );
    let expected = [
        "+8.8.8.8 > 10.0.0.1 80/TCP",
        "-8.8.9.8 > 10.0.0.1 80/TCP",
        "+10.0.0.1 > 8.8.8.8 53/UDP",
        "-10.0.0.1 > 8.8.9.8 53/UDP",
    ];
    check(&with([from(vec![block("8.8.8.0/24", &[])]), to]), &expected);
}

#[test]
fn a_block_matches_pods_too() {
    let snapshot = with([from(vec![block("10.0.0.2/31", &[])])]);
    check(
        &snapshot,
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn an_exception_is_cut_from_its_block() {
    let snapshot = with([from(vec![block(
        "10.0.0.0/8",
        &["10.0.0.2/32", "10.9.0.0/16", "10.9.0.0/24"],
    )])]);
    let expected = [
        "-10.0.0.2 > 10.0.0.1 80/TCP",
        "+10.0.0.3 > 10.0.0.1 80/TCP",
        "-10.9.255.255 > 10.0.0.1 80/TCP",
        "+10.10.0.0 > 10.0.0.1 80/TCP",
        "+10.8.255.255 > 10.0.0.1 80/TCP",
        "-11.0.0.0 > 10.0.0.1 80/TCP",
    ];
    check(&snapshot, &expected);
}

#[test]
fn adjacent_exceptions_leave_no_gap() {
    let snapshot = with([from(vec![block(
        "10.9.0.0/24",
        &["10.9.0.0/26", "10.9.0.64/26"],
    )])]);
    let expected = [
        "-10.9.0.63 > 10.0.0.1 1/TCP",
        "-10.9.0.64 > 10.0.0.1 1/TCP",
        "+10.9.0.128 > 10.0.0.1 1/TCP",
    ];
    check(&snapshot, &expected);
}

#[test]
fn an_exception_denies_nothing_that_something_else_allows() {
    let everything_but_b = || block("0.0.0.0/0", &["10.0.0.2/32"]);
    for other in [
        block("10.0.0.2/32", &[]),
        own("pod=b"),
        block("10.0.0.0/24", &["10.0.0.3/32"]),
    ] {
        check(
            &with([from(vec![everything_but_b(), other.clone()])]),
            &["+10.0.0.2 > 10.0.0.1 80/TCP"],
        );
        let second = ingress("x/other", "pod=a", vec![rule(vec![other], Ports::Any)]);
        check(
            &with([from(vec![everything_but_b()]), second]),
            &["+10.0.0.2 > 10.0.0.1 80/TCP"],
        );
    }
}

#[test]
fn the_ports_of_overlapping_blocks_add_up() {
    let rules = vec![
        rule(vec![block("0.0.0.0/0", &[])], ports(&["80/TCP"])),
        rule(vec![block("8.0.0.0/8", &[])], ports(&["81/TCP"])),
        rule(vec![block("8.8.8.8/32", &[])], ports(&["82/TCP"])),
    ];
    let snapshot = with([ingress("x/np", "pod=a", rules)]);
    let expected = [
        "+8.8.8.8 > 10.0.0.1 80/TCP",
        "+8.8.8.8 > 10.0.0.1 81/TCP",
        "+8.8.8.8 > 10.0.0.1 82/TCP",
        "-8.8.4.4 > 10.0.0.1 82/TCP",
        "-9.9.9.9 > 10.0.0.1 81/TCP",
    ];
    check(&snapshot, &expected);
}

#[test]
fn one_block_with_other_exceptions_for_other_ports_adds_up() {
    let rules = vec![
        rule(
            vec![block("8.0.0.0/8", &["8.8.0.0/16"])],
            ports(&["80/TCP"]),
        ),
        rule(
            vec![block("8.0.0.0/8", &["8.9.0.0/16"])],
            ports(&["81/TCP"]),
        ),
    ];
    let snapshot = with([ingress("x/np", "pod=a", rules)]);
    let expected = [
        "-8.8.0.1 > 10.0.0.1 80/TCP",
        "+8.8.0.1 > 10.0.0.1 81/TCP",
        "+8.9.0.1 > 10.0.0.1 80/TCP",
        "-8.9.0.1 > 10.0.0.1 81/TCP",
    ];
    check(&snapshot, &expected);
}

#[test]
fn each_family_needs_a_block_of_its_own() {
    let events = |cidr: &str| {
        let pod = crate::pod("x/a", "pod=a", &["10.0.0.1", "fd00::1"]);
        [
            crate::Event::Pod(pod),
            crate::Event::NetworkPolicy(from(vec![block(cidr, &[])])),
        ]
    };
    let snapshot = |cidr| crate::snapshot(events(cidr));
    check(
        &snapshot("0.0.0.0/0"),
        &[
            "+8.8.8.8 > 10.0.0.1 80/TCP",
            "-2001:db8::1 > fd00::1 80/TCP",
        ],
    );
    check(
        &snapshot("::/0"),
        &[
            "-8.8.8.8 > 10.0.0.1 80/TCP",
            "+2001:db8::1 > fd00::1 80/TCP",
        ],
    );
    check(
        &snapshot("2001:db8::/32"),
        &[
            "+2001:db8::1 > fd00::1 80/TCP",
            "-2001:db9::1 > fd00::1 80/TCP",
        ],
    );
    check(
        &snapshot("2001:db8::1/128"),
        &[
            "+2001:db8::1 > fd00::1 80/TCP",
            "-2001:db8::2 > fd00::1 80/TCP",
        ],
    );
}

#[test]
fn mapped_addresses_and_networks_are_their_ipv4_ones() {
    let plain = with([from(vec![block("8.0.0.0/8", &[])])]);
    check(
        &plain,
        &[
            "+::ffff:8.8.8.8 > 10.0.0.1 80/TCP",
            "-::ffff:9.9.9.9 > ::ffff:10.0.0.1 80/TCP",
        ],
    );
    let mapped = with([from(vec![block(
        "::ffff:8.0.0.0/104",
        &["::ffff:8.8.0.0/112"],
    )])]);
    check(
        &mapped,
        &["+8.9.0.1 > 10.0.0.1 80/TCP", "-8.8.0.1 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn the_longest_networks_have_one_and_two_addresses() {
    let snapshot = with([from(vec![
        block("8.8.8.8/31", &[]),
        block("9.9.9.9/32", &[]),
    ])]);
    let expected = [
        "-8.8.8.7 > 10.0.0.1 1/UDP",
        "+8.8.8.8 > 10.0.0.1 1/UDP",
        "+8.8.8.9 > 10.0.0.1 1/UDP",
        "-8.8.8.10 > 10.0.0.1 1/UDP",
        "+9.9.9.9 > 10.0.0.1 1/UDP",
        "-9.9.9.8 > 10.0.0.1 1/UDP",
    ];
    check(&snapshot, &expected);
}
