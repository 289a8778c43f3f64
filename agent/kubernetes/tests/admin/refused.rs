//! What the API server would refuse, and how that is said.

use super::{ADMIN, BASELINE, CLUSTER, load, name, one_policy, problems, spec};
use sluice_kubernetes::load_text;

const PEER: &str = "[{namespaces: {}}]";

#[track_caller]
fn check(kind: &str, spec: &str, expected: &[&str]) {
    let expected: Vec<String> = expected
        .iter()
        .map(|line| format!("f.yaml:4: {kind} {}: {line}", name(kind)))
        .collect();
    assert_eq!(problems(&load(kind, spec)), expected, "{kind} {spec}");
}

/// Specs, and what is wrong with them.
const SPECS: &[(&str, &str, &[&str])] = &[
    (
        ADMIN,
        "{}",
        &["spec.priority: required", "spec.subject: required"],
    ),
    (BASELINE, "{}", &["spec.subject: required"]),
    (
        CLUSTER,
        "{}",
        &[
            "spec.tier: required",
            "spec.priority: required",
            "spec.subject: required",
        ],
    ),
    (
        CLUSTER,
        "{tier: admin, priority: -1, subject: {}}",
        &[
            "spec.tier: must be Admin or Baseline, got \"admin\"",
            "spec.priority: must be between 0 and 1000, got -1",
            "spec.subject: needs one of namespaces, pods",
        ],
    ),
    (
        ADMIN,
        "{priority: 1001, subject: {namespaces: {}, pods: {namespaceSelector: {}, podSelector: {}}}}",
        &[
            "spec.priority: must be between 0 and 1000, got 1001",
            "spec.subject: namespaces and pods exclude each other",
        ],
    ),
    (
        ADMIN,
        "{priority: '1', subject: {pods: {}}}",
        &[
            "spec.priority: must be a number, got \"1\"",
            "spec.subject.pods.podSelector: required",
            "spec.subject.pods.namespaceSelector: required",
        ],
    ),
    (
        CLUSTER,
        "{tier: Admin, priority: 1, subject: {pods: {namespaceSelector: {}}}}",
        &["spec.subject.pods.podSelector: required"],
    ),
    (
        ADMIN,
        "{tier: Admin, priority: 1, subject: {namespaces: {}}}",
        &["spec.tier: unknown field"],
    ),
    (
        BASELINE,
        "{priority: 1, subject: {namespaces: {}}}",
        &["spec.priority: unknown field"],
    ),
    (
        ADMIN,
        "{priority: 1, subject: {namespaces: {}}, ingres: []}",
        &["spec.ingres: unknown field, did you mean ingress?"],
    ),
    (
        ADMIN,
        "{priority: 1, subject: {namespaces: {}}, ingress: {}, egress: 1}",
        &[
            "spec.ingress: must be a list, got an object",
            "spec.egress: must be a list, got 1",
        ],
    ),
];

#[test]
fn what_a_spec_must_have() {
    for (kind, spec, expected) in SPECS {
        check(kind, spec, expected);
    }
}

/// A rule's fields, and what is wrong with them.
const RULES: &[(&str, &str, &str)] = &[
    (ADMIN, "from: PEER", "action: required"),
    (
        ADMIN,
        "action: Accept, from: PEER",
        "action: must be Allow, Deny or Pass, got \"Accept\"",
    ),
    (
        BASELINE,
        "action: Pass, from: PEER",
        "action: must be Allow or Deny, got \"Pass\"",
    ),
    (
        CLUSTER,
        "action: Allow, from: PEER",
        "action: must be Accept, Deny or Pass, got \"Allow\"",
    ),
    (ADMIN, "action: Deny", "from: required"),
    (ADMIN, "action: Deny, from: []", "from: must not be empty"),
    (
        ADMIN,
        "action: Deny, from: PEER, to: PEER",
        "to: unknown field",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, protocols: []",
        "protocols: unknown field",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, ports: []",
        "ports: unknown field",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: []",
        "ports: must not be empty",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, protocols: []",
        "protocols: must not be empty",
    ),
    (
        ADMIN,
        "action: Deny, from: [{}]",
        "from[0]: needs one of namespaces, pods",
    ),
    (
        ADMIN,
        "action: Deny, from: [null]",
        "from[0]: must be an object, got null",
    ),
    (
        ADMIN,
        "action: Deny, from: [{namespaces: {}, pods: {namespaceSelector: {}, podSelector: {}}}]",
        "from[0]: namespaces and pods exclude each other",
    ),
    (
        ADMIN,
        "action: Deny, from: [{networks: [10.0.0.0/8]}]",
        "from[0].networks: unknown field",
    ),
    (
        ADMIN,
        "action: Deny, from: [{namespaces: {sameLabels: [a]}}]",
        "from[0].namespaces.sameLabels: unknown field",
    ),
    (
        ADMIN,
        "action: Deny, from: [{namespaces: {matchExpressions: [{key: a, operator: Is}]}}]",
        "from[0].namespaces.matchExpressions[0].operator: must be In, NotIn, Exists or DoesNotExist, got \"Is\"",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{}]",
        "ports[0]: needs one of portNumber, namedPort, portRange",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{portNumber: {port: 1}, namedPort: web}]",
        "ports[0]: portNumber and namedPort exclude each other",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{portNumber: {}}]",
        "ports[0].portNumber.port: required",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{portNumber: {port: 0}}]",
        "ports[0].portNumber.port: must be between 1 and 65535, got 0",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{portNumber: {port: 1, protocol: ICMP}}]",
        "ports[0].portNumber.protocol: must be TCP, UDP or SCTP, got \"ICMP\"",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{portRange: {start: 1}}]",
        "ports[0].portRange.end: required",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{portRange: {start: 2, end: 1}}]",
        "ports[0].portRange.end: must not be less than start 2, got 1",
    ),
    (
        ADMIN,
        "action: Deny, from: PEER, ports: [{namedPort: ''}]",
        "ports[0].namedPort: must not be empty",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, protocols: [{}]",
        "protocols[0]: needs one of tcp, udp, sctp, destinationNamedPort",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, protocols: [{tcp: {}}]",
        "protocols[0].tcp: needs one of destinationPort",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, protocols: [{tcp: {destinationPort: {}}}]",
        "protocols[0].tcp.destinationPort: needs one of number, range",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, protocols: [{udp: {destinationPort: {number: 1, range: {start: 1, end: 2}}}}]",
        "protocols[0].udp.destinationPort: number and range exclude each other",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, protocols: [{sctp: {destinationPort: {range: {start: 1, end: 1}}}}]",
        "protocols[0].sctp.destinationPort.range.end: must be greater than start 1, got 1",
    ),
    (
        CLUSTER,
        "action: Deny, from: PEER, protocols: [{icmp: {}}]",
        "protocols[0].icmp: unknown field",
    ),
];

#[test]
fn what_an_ingress_rule_must_be() {
    for (kind, rule, expected) in RULES {
        let rule = rule.replace("PEER", PEER);
        let spec = spec(kind, &format!("ingress: [{{{rule}}}]"));
        check(kind, &spec, &[&format!("spec.ingress[0].{expected}")]);
    }
}

/// The same of egress.
const EGRESS_RULES: &[(&str, &str, &str)] = &[
    (
        ADMIN,
        "to: [{domainNames: ['*.example.org']}]",
        "to[0].NAMES",
    ),
    (CLUSTER, "to: [{domainNames: [example.org]}]", "to[0].NAMES"),
    (
        BASELINE,
        "to: [{domainNames: [example.org]}]",
        "to[0].domainNames: unknown field",
    ),
    (
        ADMIN,
        "to: [{}]",
        "to[0]: needs one of namespaces, pods, nodes, networks, domainNames",
    ),
    (
        ADMIN,
        "to: [{networks: []}]",
        "to[0].networks: must not be empty",
    ),
    (
        ADMIN,
        "to: [{networks: [10.0.0.0]}]",
        "to[0].networks[0]: must be a network such as 10.0.0.0/8 or fd00::/8, got \"10.0.0.0\"",
    ),
    (
        ADMIN,
        "to: [{networks: [10.0.0.1/8]}]",
        "to[0].networks[0]: 10.0.0.1/8 has host bits set, write 10.0.0.0/8",
    ),
    (
        ADMIN,
        "to: [{networks: [10.0.0.0/8, 10.0.0.0/8]}]",
        "to[0].networks[1]: 10.0.0.0/8 is there twice",
    ),
    (
        ADMIN,
        "to: [{networks: ['fd00:0000:0000:0000:0000:0000:0000:0000/00064']}]",
        "to[0].networks[0]: must have at most 43 characters, got 45",
    ),
    (
        ADMIN,
        "to: [{nodes: {}}], ports: [{namedPort: web}]",
        "ports[0].namedPort: MIXED",
    ),
    (
        CLUSTER,
        "to: [{namespaces: {}}, {networks: ['::/0']}], protocols: [{tcp: {destinationPort: {number: 1}}}, {destinationNamedPort: web}]",
        "protocols[1].destinationNamedPort: MIXED",
    ),
];

#[test]
fn what_an_egress_rule_must_be() {
    let names = "domainNames: not supported: which addresses the names stand for is not known";
    let mixed = "excludes peers of the kinds nodes, networks, domainNames";
    for (kind, rule, expected) in EGRESS_RULES {
        let expected = expected.replace("NAMES", names).replace("MIXED", mixed);
        let spec = spec(kind, &format!("egress: [{{action: Deny, {rule}}}]"));
        check(kind, &spec, &[&format!("spec.egress[0].{expected}")]);
    }
}

#[test]
fn lists_and_names_have_bounds() {
    for (kind, most) in [(ADMIN, 100), (BASELINE, 100), (CLUSTER, 25)] {
        let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(", "));
        let ports = if kind == CLUSTER {
            "protocols: [{destinationNamedPort: web}]"
        } else {
            "ports: [{namedPort: web}]"
        };
        let port = ports.split_once(": [").unwrap().1.trim_end_matches(']');
        let key = ports.split_once(':').unwrap().0;
        let rule = format!("{{action: Deny, from: {PEER}}}");
        let spec_of = |count| {
            let peers = many("{namespaces: {}}", count);
            let ports = many(port, count);
            let big = format!("{{action: Deny, from: {peers}, {key}: {ports}}}");
            let rest = vec![rule.as_str(); count - 1].join(", ");
            spec(kind, &format!("ingress: [{big}, {rest}]"))
        };
        check(kind, &spec_of(most), &[]);
        let message = format!("must have at most {most} items, got {}", most + 1);
        check(
            kind,
            &spec_of(most + 1),
            &[
                &format!("spec.ingress: {message}"),
                &format!("spec.ingress[0].from: {message}"),
                &format!("spec.ingress[0].{key}: {message}"),
            ],
        );
    }
    let networks: Vec<String> = (0..26)
        .map(|number| format!("10.{number}.0.0/16"))
        .collect();
    for (count, expected) in [
        (25, None),
        (
            26,
            Some("spec.egress[0].to[0].networks: must have at most 25 items, got 26"),
        ),
    ] {
        let peer = format!("{{networks: [{}]}}", networks[..count].join(", "));
        let rule = format!("egress: [{{action: Deny, to: [{peer}]}}]");
        check(ADMIN, &spec(ADMIN, &rule), expected.as_slice());
    }
    for (length, expected) in [
        (100, None),
        (
            101,
            Some("spec.ingress[0].name: must have at most 100 characters, got 101"),
        ),
    ] {
        let rule = format!(
            "{{name: {}, action: Deny, from: {PEER}}}",
            "é".repeat(length)
        );
        let spec = spec(ADMIN, &format!("ingress: [{rule}]"));
        check(ADMIN, &spec, expected.as_slice());
    }
}

#[test]
fn the_baseline_of_v1alpha1_has_one_name() {
    let text = "{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy, metadata: {name: other}, spec: {subject: {namespaces: {}}}}";
    assert_eq!(
        problems(&load_text("f.yaml", text)),
        [
            "f.yaml:1: BaselineAdminNetworkPolicy other: metadata.name: must be \"default\", the one BaselineAdminNetworkPolicy of a cluster, got \"other\""
        ]
    );
}

#[test]
fn each_kind_has_its_version() {
    for (kind, wrong, right) in [
        (ADMIN, "v1alpha2", "v1alpha1"),
        (CLUSTER, "v1alpha1", "v1alpha2"),
    ] {
        let spec = spec(kind, "");
        let text = format!(
            "{{apiVersion: policy.networking.k8s.io/{wrong}, kind: {kind}, metadata: {{name: p}}, spec: {spec}}}"
        );
        assert_eq!(
            problems(&load_text("f.yaml", &text)),
            [format!(
                "f.yaml:1: {kind} p: apiVersion: must be policy.networking.k8s.io/{right}, got \"policy.networking.k8s.io/{wrong}\""
            )]
        );
    }
}

/// Release 0.3 of the group serves it beside v1alpha2, with the same schema, and prefers it.
#[test]
fn a_cluster_network_policy_of_v1beta1_is_one() {
    let spec = spec(CLUSTER, "");
    let of = |version: &str| {
        let text = format!(
            "{{apiVersion: policy.networking.k8s.io/{version}, kind: {CLUSTER}, metadata: {{name: p}}, spec: {spec}}}"
        );
        let loaded = load_text("f.yaml", &text);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        one_policy(&loaded).clone()
    };
    assert_eq!(of("v1alpha2"), of("v1beta1"));
}
