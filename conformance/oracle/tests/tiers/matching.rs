//! Whom a policy is about, and what its rules match.

use sluice_kubernetes::load_text;

use super::{check, check_world, text};

#[test]
fn subjects_and_peers_are_pods_but_never_those_in_the_network_of_their_node() {
    let deny = (
        "anp",
        "a",
        "priority: 1, EVERYONE, ingress: [{action: Deny, FROM_ALL}], egress: [{action: Deny, TO_ALL}]",
    );
    check(
        &[deny],
        &[
            ("blue/web > red/web 1", false),
            ("red/host2 > red/web 1", true),
            ("red/web > red/host2 1", true),
            ("red/host1 > red/host2 1", true),
        ],
    );
    let some = (
        "anp",
        "a",
        "priority: 1, subject: {pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: web}}}}, egress: [{action: Deny, to: [{pods: {namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: db}}}}]}]",
    );
    check(
        &[some],
        &[
            ("red/web > red/db 1", false),
            ("red/web > blue/web 1", true),
            ("blue/web > red/db 1", true),
            ("red/db > red/web 1", true),
        ],
    );
    let any_namespace = (
        "cnp",
        "a",
        "tier: Admin, priority: 1, subject: {pods: {podSelector: {matchLabels: {app: web}}}}, egress: [{action: Deny, TO_ALL}]",
    );
    check(
        &[any_namespace],
        &[
            ("red/web > red/db 1", false),
            ("blue/web > red/db 1", false),
            ("red/db > red/web 1", true),
        ],
    );
}

#[test]
fn nodes_are_their_addresses() {
    let to_b = (
        "anp",
        "a",
        "priority: 1, EVERYONE, egress: [{action: Deny, to: [{nodes: {matchLabels: {zone: b}}}]}]",
    );
    check(
        &[to_b],
        &[
            ("red/web > red/host2 1", false),
            ("red/web > red/host1 1", true),
            // A pod on the node is not the node.
            ("red/web > red/db 1", true),
        ],
    );
    let to_all = (
        "banp",
        "default",
        "EVERYONE, egress: [{action: Deny, to: [{nodes: {}}]}]",
    );
    check(
        &[to_all],
        &[
            ("red/web > red/host1 1", false),
            ("red/web > blue/web 1", true),
        ],
    );
}

#[test]
fn networks_are_pods_as_well() {
    let all = (
        "cnp",
        "a",
        "tier: Admin, priority: 1, EVERYONE, egress: [{action: Deny, to: [{networks: [0.0.0.0/0]}]}]",
    );
    check(
        &[all],
        &[
            ("red/web > blue/web 1", false),
            ("red/web > red/host2 1", false),
        ],
    );
    let one = (
        "cnp",
        "a",
        "tier: Admin, priority: 1, EVERYONE, egress: [{action: Deny, to: [{networks: ['fd00::/8', 10.244.0.2/32]}]}]",
    );
    check(
        &[one],
        &[
            ("red/web > red/db 1", false),
            ("red/web > blue/web 1", true),
        ],
    );
    // "Add a rule that Passes all pod traffic before the networks rule."
    let pass = (
        "cnp",
        "a",
        "tier: Admin, priority: 1, EVERYONE, egress: [{action: Pass, TO_ALL}, {action: Deny, to: [{networks: [0.0.0.0/0]}]}]",
    );
    check(
        &[pass],
        &[
            ("red/web > blue/web 1", true),
            ("red/web > red/host2 1", false),
        ],
    );
}

/// Entries for ports, and whether what is left of a Deny lets a port of red/web through.
type Ports = (&'static str, &'static [(&'static str, bool)]);

const PORTS: &[Ports] = &[
    ("", &[("80", false), ("81/UDP", false), ("1/SCTP", false)]),
    (
        "ports: [{portNumber: {port: 80}}]",
        &[("80", false), ("80/UDP", true), ("81", true)],
    ),
    (
        "ports: [{portNumber: {port: 80, protocol: SCTP}}]",
        &[("80/SCTP", false), ("80", true)],
    ),
    (
        "ports: [{portRange: {start: 80, end: 82, protocol: UDP}}]",
        &[
            ("79/UDP", true),
            ("80/UDP", false),
            ("82/UDP", false),
            ("83/UDP", true),
            ("81", true),
        ],
    ),
    (
        "ports: [{portNumber: {port: 1}}, {portRange: {start: 80, end: 82}}]",
        &[("1", false), ("80", false), ("83", true), ("80/UDP", true)],
    ),
    (
        "ports: [{namedPort: http}]",
        &[("8080", false), ("80", true), ("8080/UDP", true)],
    ),
    (
        "ports: [{namedPort: dns}]",
        &[("53/UDP", false), ("53", true)],
    ),
];

const PROTOCOLS: &[Ports] = &[
    (
        "[{tcp: {destinationPort: {number: 80}}}]",
        &[("80", false), ("80/UDP", true), ("81", true)],
    ),
    (
        "[{udp: {destinationPort: {range: {start: 80, end: 81}}}}, {sctp: {destinationPort: {number: 9}}}]",
        &[
            ("80/UDP", false),
            ("81/UDP", false),
            ("82/UDP", true),
            ("9/SCTP", false),
            ("9", true),
        ],
    ),
    (
        "[{destinationNamedPort: http}]",
        &[("8080", false), ("8080/SCTP", true), ("80", true)],
    ),
];

#[test]
fn ports_are_numbers_ranges_and_names() {
    let old = PORTS.iter().map(|(ports, expected)| {
        let comma = if ports.is_empty() { "" } else { ", " };
        let rule = format!("{{action: Deny, FROM_ALL{comma}{ports}}}");
        (
            "anp",
            format!("priority: 1, EVERYONE, ingress: [{rule}]"),
            *expected,
        )
    });
    let new = PROTOCOLS.iter().map(|(protocols, expected)| {
        let rule = format!("{{action: Deny, TO_ALL, protocols: {protocols}}}");
        let spec = format!("tier: Admin, priority: 1, EVERYONE, egress: [{rule}]");
        ("cnp", spec, *expected)
    });
    for (kind, spec, expected) in old.chain(new) {
        for (port, allowed) in expected {
            let question = format!("blue/web > red/web {port}");
            check(&[(kind, "a", &spec)], &[(&question, *allowed)]);
        }
    }
}

#[test]
fn a_named_port_is_that_of_each_destination() {
    let spec =
        "priority: 1, EVERYONE, egress: [{action: Deny, TO_ALL, ports: [{namedPort: http}]}]";
    check(
        &[("anp", "a", spec)],
        &[
            ("blue/web > red/web 8080", false),
            ("blue/web > red/db 80", false),
            ("blue/web > red/db 8080", true),
            ("red/web > blue/web 8080", true),
        ],
    );
}

#[test]
fn the_own_node_gets_in_and_a_pod_reaches_itself() {
    let deny = (
        "cnp",
        "a",
        "tier: Admin, priority: 0, EVERYONE, ingress: [{action: Deny, from: [{}]}], egress: [{action: Pass, TO_ALL}]",
    );
    let loaded = load_text("case", &text(&[deny]));
    assert_eq!(loaded.problems.len(), 1);
    check_world(
        &loaded.world,
        &[
            ("red/host1 > red/web 1", true),
            ("red/host2 > red/web 1", false),
            ("red/web > red/web 1", true),
        ],
    );
}

#[test]
fn a_peer_that_is_not_known_fails_closed() {
    for (rule, to_db, to_web) in [
        // An Accept rule matches no traffic, whatever else it names.
        (
            "{action: Accept, to: [{}]}, {action: Deny, TO_ALL}",
            false,
            false,
        ),
        (
            "{action: Accept, to: [{namespaces: {}}, {services: {}}]}, {action: Deny, TO_ALL}",
            false,
            false,
        ),
        (
            "{action: Accept, to: [{domainNames: [example.org]}]}",
            true,
            true,
        ),
        // A Deny or Pass rule is a "Deny all" rule, whatever its ports.
        ("{action: Deny, to: [{services: {}}]}", false, false),
        (
            "{action: Pass, to: [{}], protocols: [{tcp: {destinationPort: {number: 7}}}]}",
            false,
            false,
        ),
        (
            "{action: Accept, to: [{pods: {podSelector: {matchLabels: {app: db}}}}]}, {action: Pass, to: [{}]}",
            true,
            false,
        ),
    ] {
        let spec = format!("tier: Admin, priority: 1, EVERYONE, egress: [{rule}]");
        let loaded = load_text("case", &text(&[("cnp", "a", &spec)]));
        assert_eq!(loaded.problems.len(), 1, "{rule}");
        check_world(
            &loaded.world,
            &[
                ("blue/web > red/db 1", to_db),
                ("blue/web > red/web 1", to_web),
            ],
        );
    }
}
