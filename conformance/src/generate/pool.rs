//! Twenty-four policies that overlap in pods, peers, ports and directions, to be stacked.

use serde_json::{Value, json};

use super::draft::{label, policy, requirement};
use crate::case::Object;

/// One of the pool. Its place in the pool is its letter in ids, and stays.
pub(super) struct Pooled {
    /// Its part of an id.
    pub(super) name: &'static str,
    /// In the world `grid`.
    pub(super) object: Object,
}

/// All of them, in their order.
pub(super) fn pool() -> Vec<Pooled> {
    let specs = whole_namespaces().into_iter().chain(ingress_of_a());
    let specs = specs.chain(egress_of_a()).chain(others());
    let pooled = |(namespace, name, spec): (&'static str, &'static str, Value)| Pooled {
        name,
        object: policy(namespace, name, &spec),
    };
    specs.map(pooled).collect()
}

type Named = (&'static str, &'static str, Value);

fn whole_namespaces() -> Vec<Named> {
    let spec = |types: &[&str]| json!({"podSelector": {}, "policyTypes": types});
    let open =
        |field: &str, types: &str| json!({"podSelector": {}, "policyTypes": [types], field: [{}]});
    vec![
        ("x", "deny-in", spec(&["Ingress"])),
        ("x", "deny-out", spec(&["Egress"])),
        ("x", "deny-both", spec(&["Ingress", "Egress"])),
        ("x", "open-in", open("ingress", "Ingress")),
        ("x", "open-out", open("egress", "Egress")),
        ("y", "deny-into-y", spec(&["Ingress"])),
    ]
}

fn ingress_of_a() -> Vec<Named> {
    let ports = |entry: Value| json!({"ports": [entry]});
    let from = |peer: Value| json!({"from": [peer]});
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    let of = |name: &'static str, rules: Value| {
        (
            "x",
            name,
            json!({"podSelector": label("pod", "a"), "policyTypes": ["Ingress"], "ingress": rules}),
        )
    };
    vec![
        of(
            "from-b",
            json!([from(json!({"podSelector": label("pod", "b")}))]),
        ),
        of(
            "from-y",
            json!([from(json!({"namespaceSelector": label("ns", "y")}))]),
        ),
        of(
            "from-b-of-y",
            json!([from(
                json!({"namespaceSelector": label("ns", "y"), "podSelector": label("pod", "b")})
            )]),
        ),
        of(
            "tcp-80",
            json!([ports(json!({"protocol": "TCP", "port": 80}))]),
        ),
        of(
            "udp-81",
            json!([ports(json!({"protocol": "UDP", "port": 81}))]),
        ),
        of("sctp", json!([ports(json!({"protocol": "SCTP"}))])),
        of(
            "range-from-z",
            json!([{"from": [{"namespaceSelector": label("ns", "z")}], "ports": [{"port": 80, "endPort": 81}]}]),
        ),
        of(
            "name-81",
            json!([ports(json!({"protocol": "TCP", "port": "serve-81-tcp"}))]),
        ),
        of(
            "block",
            json!([{"from": [block("$4(y/a/30)"), block("$6(y/a/126)")]}]),
        ),
        of(
            "block-except",
            json!([from(
                json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["$4(z/c/32)"]}})
            )]),
        ),
    ]
}

fn egress_of_a() -> Vec<Named> {
    let of = |name: &'static str, rules: Value| {
        (
            "x",
            name,
            json!({"podSelector": label("pod", "a"), "policyTypes": ["Egress"], "egress": rules}),
        )
    };
    vec![
        of(
            "to-y",
            json!([{"to": [{"namespaceSelector": label("ns", "y")}]}]),
        ),
        of(
            "to-b-tcp-80",
            json!([{"to": [{"podSelector": label("pod", "b")}], "ports": [{"port": 80}]}]),
        ),
        of(
            "to-block",
            json!([{"to": [{"ipBlock": {"cidr": "$4(z/a/31)"}}, {"ipBlock": {"cidr": "$6(z/a/127)"}}]}]),
        ),
    ]
}

fn others() -> Vec<Named> {
    let not_a = requirement("pod", "NotIn", &["a"]);
    let b_and_c = requirement("pod", "In", &["b", "c"]);
    vec![
        (
            "x",
            "deny-into-all-but-a",
            json!({"podSelector": not_a, "ingress": []}),
        ),
        (
            "x",
            "b-and-c-from-a",
            json!({"podSelector": b_and_c, "ingress": [{"from": [{"podSelector": label("pod", "a")}]}]}),
        ),
        (
            "y",
            "y-from-x",
            json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": label("ns", "x")}]}]}),
        ),
        (
            "z",
            "z-to-x",
            json!({"podSelector": label("pod", "a"), "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector": label("ns", "x")}]}]}),
        ),
        (
            "x",
            "b-to-z-by-default",
            json!({"podSelector": label("pod", "b"), "egress": [{"to": [{"namespaceSelector": label("ns", "z")}]}]}),
        ),
    ]
}
