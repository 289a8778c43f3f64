//! Ports and protocols of admin rules.

use sluice_policy::{AdminPolicy, Event, Pod};

use crate::admin_tiers::ruled;
use crate::check;
use crate::support::build::{admin_in, admin_out, cluster, declared, pod, snapshot};

/// Checks ingress of x/a from x/b: services and whether one policy with this rule lets them through.
#[track_caller]
fn services(rule: &str, expected: &[&str]) {
    let snapshot = ruled([admin_in("anp/a", &[rule])], []);
    for service in expected {
        let (sign, service) = service.split_at(1);
        check(
            &snapshot,
            &[&format!("{sign}10.0.0.2 > 10.0.0.1 {service}")],
        );
    }
}

#[test]
fn a_rule_without_ports_is_for_every_protocol() {
    let all = [
        "-80/TCP", "-0/TCP", "-53/UDP", "-1/SCTP", "-0/1", "-0/58", "-0/47",
    ];
    services("deny any", &all);
    services("deny pods pod=b", &all);
}

#[test]
fn numbers_and_ranges_are_of_one_protocol() {
    services(
        "deny any @ 80/TCP",
        &["-80/TCP", "+81/TCP", "+80/UDP", "+0/1"],
    );
    services(
        "deny any @ 80-90/UDP",
        &["+79/UDP", "-80/UDP", "-90/UDP", "+91/UDP", "+85/TCP"],
    );
    services("deny any @ 1/SCTP", &["-1/SCTP", "+1/TCP", "+2/SCTP"]);
    services(
        "deny any @ 80/TCP 53/UDP",
        &["-80/TCP", "-53/UDP", "+53/TCP"],
    );
    services(
        "deny any @ 1-65535/TCP",
        &["-1/TCP", "-65535/TCP", "+0/TCP"],
    );
}

#[test]
fn a_protocol_without_a_port_is_all_of_it_and_nothing_else() {
    services(
        "deny any @ /TCP",
        &["-0/TCP", "-65535/TCP", "+80/UDP", "+0/1"],
    );
    services("deny any @ /SCTP", &["-7/SCTP", "+7/TCP"]);
}

#[test]
fn a_range_that_ends_before_it_starts_is_nothing() {
    services("deny any @ 90-80/TCP", &["+80/TCP", "+85/TCP", "+90/TCP"]);
}

#[test]
fn ports_that_are_not_understood_close() {
    // An Allow rule none of whose entries is left allows nothing; the next rule is asked.
    let snapshot = ruled([admin_in("anp/a", &["allow any @", "deny any"])], []);
    check(&snapshot, &["-10.0.0.2 > 10.0.0.1 80/TCP"]);
}

fn with_ports(name: &str, address: &str, ports: &[&str]) -> Pod {
    Pod {
        ports: ports.iter().map(|port| declared(port)).collect(),
        ..pod(name, &format!("pod={}", &name[2..]), &[address])
    }
}

fn pods(policy: AdminPolicy) -> Vec<Event> {
    let a = [
        "web=80/TCP",
        "web=81/TCP",
        "web=90/UDP",
        "other=70/TCP",
        "60/TCP",
    ];
    let b = ["web=8080/TCP"];
    vec![
        Event::Pod(with_ports("x/a", "10.0.0.1", &a)),
        Event::Pod(with_ports("x/b", "10.0.0.2", &b)),
        Event::AdminPolicy(policy),
    ]
}

const TO_A: [&str; 7] = [
    "-10.0.0.2 > 10.0.0.1 80/TCP",
    "-10.0.0.2 > 10.0.0.1 81/TCP",
    "-10.0.0.2 > 10.0.0.1 90/UDP",
    "+10.0.0.2 > 10.0.0.1 80/UDP",
    "+10.0.0.2 > 10.0.0.1 90/TCP",
    "+10.0.0.2 > 10.0.0.1 70/TCP",
    "+10.0.0.2 > 10.0.0.1 8080/TCP",
];

#[test]
fn a_name_is_the_number_and_protocol_that_the_destination_declares() {
    let policy = admin_in("anp/a", &["deny any @ web"]);
    check(&snapshot(pods(policy)), &TO_A);
}

#[test]
fn a_name_in_egress_is_the_destinations_too() {
    let policy = admin_out("anp/a", &["deny any @ web"]);
    let snapshot = snapshot(pods(policy));
    check(&snapshot, &TO_A);
    check(
        &snapshot,
        &[
            "-10.0.0.1 > 10.0.0.2 8080/TCP",
            "+10.0.0.1 > 10.0.0.2 80/TCP",
            "+10.0.0.1 > 8.8.8.8 80/TCP",
        ],
    );
}

#[test]
fn a_name_follows_its_pod() {
    for policy in [
        admin_in("anp/a", &["deny any @ web"]),
        admin_out("anp/a", &["deny any @ web"]),
    ] {
        let mut index = cluster(pods(policy));
        let _changes = index.apply([Event::Pod(with_ports("x/a", "10.0.0.1", &["web=99/SCTP"]))]);
        check(
            &index.snapshot(),
            &[
                "+10.0.0.2 > 10.0.0.1 80/TCP",
                "-10.0.0.2 > 10.0.0.1 99/SCTP",
                "+10.0.0.2 > 10.0.0.1 99/TCP",
            ],
        );
    }
}

#[test]
fn each_port_follows_the_first_rule_that_has_it() {
    let rules = [
        "allow any @ 80/TCP",
        "pass any @ 81/TCP",
        "deny any @ 80-90/TCP",
        "allow any",
    ];
    let policies = [
        admin_in("anp/a", &rules),
        admin_in("banp/default", &["deny any @ 81-82/TCP 1/UDP"]),
    ];
    check(
        &ruled(policies, []),
        &[
            "+10.0.0.2 > 10.0.0.1 80/TCP",
            "-10.0.0.2 > 10.0.0.1 81/TCP",
            "-10.0.0.2 > 10.0.0.1 82/TCP",
            "+10.0.0.2 > 10.0.0.1 91/TCP",
            "+10.0.0.2 > 10.0.0.1 1/UDP",
        ],
    );
}
