//! Ports: numbers, ranges, names, protocols.

use sluice_policy::{Peer, Pod, Ports, Protocol, Tuple};

use crate::support::build::{any, block, declared, egress, ingress, ip, own, pod, ports, rule};
use crate::{check, check_with, with};

/// What x/a takes from x/b by a rule with these ports.
#[track_caller]
fn check_ports(list: &[&str], allowed: &[&str], denied: &[&str]) {
    let snapshot = with([ingress("x/np", "pod=a", vec![any(ports(list))])]);
    for (port, sign) in allowed
        .iter()
        .map(|p| (p, "+"))
        .chain(denied.iter().map(|p| (p, "-")))
    {
        check(&snapshot, &[&format!("{sign}10.0.0.2 > 10.0.0.1 {port}")]);
    }
}

fn with_ports(pod: Pod, list: &[&str]) -> Pod {
    Pod {
        ports: list.iter().map(|text| declared(text)).collect(),
        ..pod
    }
}

#[test]
fn a_number_is_that_port_of_that_protocol() {
    check_ports(
        &["80/TCP"],
        &["80/TCP"],
        &["81/TCP", "79/TCP", "80/UDP", "80/SCTP", "0/1"],
    );
    check_ports(&["53/UDP"], &["53/UDP"], &["53/TCP", "53/SCTP"]);
    check_ports(&["7/SCTP"], &["7/SCTP"], &["7/TCP", "7/UDP"]);
}

#[test]
fn a_range_has_both_its_ends() {
    check_ports(
        &["80-82/TCP"],
        &["80/TCP", "81/TCP", "82/TCP"],
        &["79/TCP", "83/TCP", "81/UDP"],
    );
    check_ports(&["80-80/TCP"], &["80/TCP"], &["79/TCP", "81/TCP"]);
    check_ports(&["1-65535/UDP"], &["1/UDP", "65535/UDP"], &["1/TCP"]);
}

#[test]
fn a_protocol_without_a_port_is_all_its_ports() {
    check_ports(
        &["/UDP"],
        &["1/UDP", "65535/UDP"],
        &["1/TCP", "1/SCTP", "0/1"],
    );
}

#[test]
fn no_ports_mean_every_port_of_every_protocol() {
    let snapshot = with([ingress("x/np", "pod=a", vec![any(Ports::Any)])]);
    check(
        &snapshot,
        &[
            "+10.0.0.2 > 10.0.0.1 1/TCP",
            "+10.0.0.2 > 10.0.0.1 1/SCTP",
            "+10.0.0.2 > 10.0.0.1 0/47",
        ],
    );
}

#[test]
fn ports_that_were_left_out_mean_none() {
    check_ports(&[], &[], &["80/TCP", "53/UDP", "0/1"]);
}

#[test]
fn other_protocols_match_only_rules_without_ports() {
    check_ports(
        &["/TCP", "/UDP", "/SCTP"],
        &["0/TCP"],
        &["0/1", "0/58", "80/47"],
    );
}

#[test]
fn of_several_ports_one_must_match() {
    check_ports(
        &["80/TCP", "53/UDP", "90-91/TCP"],
        &["80/TCP", "53/UDP", "91/TCP"],
        &["53/TCP", "80/UDP", "92/TCP"],
    );
}

#[test]
fn peers_and_ports_of_a_rule_must_both_match() {
    let snapshot = with([ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![own("pod=b")], ports(&["80/TCP"]))],
    )]);
    let expected = [
        "+10.0.0.2 > 10.0.0.1 80/TCP",
        "-10.0.0.2 > 10.0.0.1 81/TCP",
        "-10.0.0.3 > 10.0.0.1 80/TCP",
    ];
    check(&snapshot, &expected);
}

#[test]
fn ports_of_one_rule_do_not_go_with_peers_of_another() {
    let rules = vec![
        rule(vec![own("pod=b")], ports(&["80/TCP"])),
        rule(vec![block("8.0.0.0/8", &[])], ports(&["81/TCP"])),
    ];
    let snapshot = with([ingress("x/np", "pod=a", rules)]);
    check(
        &snapshot,
        &[
            "-10.0.0.2 > 10.0.0.1 81/TCP",
            "-8.8.8.8 > 10.0.0.1 80/TCP",
            "+8.8.8.8 > 10.0.0.1 81/TCP",
        ],
    );
}

#[test]
fn a_numeric_rule_needs_no_declared_port_and_a_declared_port_opens_nothing() {
    let a = with_ports(pod("x/a", "pod=a", &["10.0.0.1"]), &["web=8080/TCP"]);
    let policy = ingress("x/np", "pod=a", vec![any(ports(&["80/TCP"]))]);
    check_with(
        vec![a],
        vec![policy],
        &["+8.8.8.8 > 10.0.0.1 80/TCP", "-8.8.8.8 > 10.0.0.1 8080/TCP"],
    );
}

#[test]
fn a_name_is_the_port_of_the_selected_pod_on_ingress() {
    let pods = vec![
        with_ports(pod("x/a", "app=s", &["10.0.0.1"]), &["web=8080/TCP"]),
        with_ports(pod("x/b", "app=s", &["10.0.0.2"]), &["web=9090/TCP"]),
        // The source's own port of that name does not matter.
        with_ports(pod("x/c", "app=c", &["10.0.0.3"]), &["web=7070/TCP"]),
    ];
    let policy = ingress("x/np", "app=s", vec![any(ports(&["web/TCP"]))]);
    let expected = [
        "+10.0.0.3 > 10.0.0.1 8080/TCP",
        "-10.0.0.3 > 10.0.0.1 9090/TCP",
        "+10.0.0.3 > 10.0.0.2 9090/TCP",
        "-10.0.0.3 > 10.0.0.2 8080/TCP",
        "-10.0.0.3 > 10.0.0.1 7070/TCP",
        "-10.0.0.3 > 10.0.0.1 8080/UDP",
    ];
    check_with(pods, vec![policy], &expected);
}

/// Connections of x/c by an egress rule for a named port.
#[track_caller]
fn check_named_egress(peers: Vec<Peer>, expected: &[&str]) {
    let pods = vec![
        with_ports(pod("x/a", "app=s", &["10.0.0.1"]), &["web=8080/TCP"]),
        with_ports(pod("x/b", "app=s", &["10.0.0.2"]), &["web=9090/TCP"]),
        with_ports(pod("x/c", "app=c", &["10.0.0.3"]), &["web=7070/TCP"]),
    ];
    let rules = if peers.is_empty() {
        vec![any(ports(&["web/TCP"]))]
    } else {
        vec![rule(peers, ports(&["web/TCP"]))]
    };
    check_with(pods, vec![egress("x/np", "app=c", rules)], expected);
}

#[test]
fn a_name_is_the_port_of_each_peer_on_egress() {
    let expected = [
        "+10.0.0.3 > 10.0.0.1 8080/TCP",
        "-10.0.0.3 > 10.0.0.1 9090/TCP",
        "+10.0.0.3 > 10.0.0.2 9090/TCP",
        "-10.0.0.3 > 10.0.0.2 8080/TCP",
        "-10.0.0.3 > 10.0.0.2 7070/TCP",
        "-10.0.0.3 > 8.8.8.8 8080/TCP",
    ];
    check_named_egress(vec![own("app=s")], &expected);
    check_named_egress(vec![block("0.0.0.0/0", &[])], &expected);
    check_named_egress(vec![], &expected);
}

#[test]
fn a_name_that_a_pod_lacks_matches_nothing_there() {
    let a = with_ports(
        pod("x/a", "pod=a", &["10.0.0.1"]),
        &["other=80/TCP", "80/TCP", "web=81/UDP"],
    );
    let policy = ingress("x/np", "pod=a", vec![any(ports(&["web/TCP"]))]);
    check_with(
        vec![a],
        vec![policy],
        &["-8.8.8.8 > 10.0.0.1 80/TCP", "-8.8.8.8 > 10.0.0.1 81/TCP"],
    );
}

#[test]
fn a_name_of_two_protocols_is_one_port_in_each() {
    let a = with_ports(
        pod("x/a", "pod=a", &["10.0.0.1"]),
        &["dns=53/UDP", "dns=54/TCP"],
    );
    let policy = |list: &[&str]| ingress("x/np", "pod=a", vec![any(ports(list))]);
    let udp = [
        "+8.8.8.8 > 10.0.0.1 53/UDP",
        "-8.8.8.8 > 10.0.0.1 54/TCP",
        "-8.8.8.8 > 10.0.0.1 53/TCP",
    ];
    check_with(vec![a.clone()], vec![policy(&["dns/UDP"])], &udp);
    let both = [
        "+8.8.8.8 > 10.0.0.1 53/UDP",
        "+8.8.8.8 > 10.0.0.1 54/TCP",
        "-8.8.8.8 > 10.0.0.1 53/TCP",
    ];
    check_with(vec![a], vec![policy(&["dns/UDP", "dns/TCP"])], &both);
}

#[test]
fn a_name_can_be_several_numbers() {
    let a = with_ports(
        pod("x/a", "pod=a", &["10.0.0.1"]),
        &["web=80/TCP", "web=81/TCP"],
    );
    let policy = ingress("x/np", "pod=a", vec![any(ports(&["web/TCP"]))]);
    let expected = [
        "+8.8.8.8 > 10.0.0.1 80/TCP",
        "+8.8.8.8 > 10.0.0.1 81/TCP",
        "-8.8.8.8 > 10.0.0.1 82/TCP",
    ];
    check_with(vec![a], vec![policy], &expected);
}

#[test]
fn the_names_of_protocols_and_tuples_are_those_of_the_field() {
    let name = |number| Protocol::from_number(number).to_string();
    assert_eq!(
        [6, 17, 132, 1].map(name),
        ["TCP", "UDP", "SCTP", "protocol 1"]
    );
    let tuple = Tuple {
        source: ip("10.0.0.1"),
        destination: ip("fd00::1"),
        protocol: Protocol::Tcp,
        port: 80,
    };
    assert_eq!(tuple.to_string(), "10.0.0.1 > fd00::1 80/TCP");
    assert!((0..=255).all(|number| Protocol::from_number(number).number() == number));
}
