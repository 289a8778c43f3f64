//! Peers of a rule, in the world `grid`: every way to name some of its pods.

use serde_json::{Value, json};

use super::draft::{Choice, label, pairs, requirement};

/// Every way, single and by twos.
pub(super) fn all() -> Vec<Choice> {
    let mut all = vec![
        Choice::missing(),
        Choice::new("empty", "an empty list", json!([])),
    ];
    all.extend(pods());
    all.extend(namespaces());
    all.extend(both());
    all.extend(blocks());
    all.extend(pairs(&for_pairs()));
    all
}

fn one(name: &str, words: &str, peer: &Value) -> Choice {
    Choice::new(name, words, json!([peer]))
}

fn pods() -> Vec<Choice> {
    let of = |name, words, selector: Value| one(name, words, &json!({"podSelector": selector}));
    vec![
        of("pods-all", "all pods of x", json!({})),
        of("pods-b", "pods b of x", label("pod", "b")),
        of(
            "pods-in-b-c",
            "pods b and c of x",
            requirement("pod", "In", &["b", "c"]),
        ),
        of(
            "pods-not-in-b",
            "pods of x that are not b",
            requirement("pod", "NotIn", &["b"]),
        ),
        of(
            "pods-exists",
            "pods of x with the label pod",
            requirement("pod", "Exists", &[]),
        ),
        of(
            "pods-does-not-exist",
            "pods of x without the label pod",
            requirement("pod", "DoesNotExist", &[]),
        ),
        of(
            "pods-nobody",
            "pods of x with a label that none has",
            label("pod", "none"),
        ),
    ]
}

fn namespaces() -> Vec<Choice> {
    let of =
        |name, words, selector: Value| one(name, words, &json!({"namespaceSelector": selector}));
    let name = "kubernetes.io/metadata.name";
    vec![
        of("namespaces-all", "all namespaces", json!({})),
        of("namespaces-y", "the namespace y", label("ns", "y")),
        of(
            "namespaces-in-x-z",
            "the namespaces x and z",
            requirement("ns", "In", &["x", "z"]),
        ),
        of(
            "namespaces-not-in-y",
            "namespaces other than y",
            requirement("ns", "NotIn", &["y"]),
        ),
        of(
            "namespaces-exists",
            "namespaces with the label ns",
            requirement("ns", "Exists", &[]),
        ),
        of(
            "namespaces-does-not-exist",
            "namespaces without the label ns",
            requirement("ns", "DoesNotExist", &[]),
        ),
        of(
            "namespaces-by-name",
            "the namespace of the name z",
            label(name, "z"),
        ),
        of(
            "namespaces-nobody",
            "namespaces with a label that none has",
            label("ns", "none"),
        ),
    ]
}

fn both() -> Vec<Choice> {
    let of = |name, words, namespaces: Value, pods: Value| {
        one(
            name,
            words,
            &json!({"namespaceSelector": namespaces, "podSelector": pods}),
        )
    };
    let not_y = || requirement("ns", "NotIn", &["y"]);
    vec![
        of(
            "all-of-all",
            "all pods of all namespaces",
            json!({}),
            json!({}),
        ),
        of(
            "b-of-all",
            "pods b of all namespaces",
            json!({}),
            label("pod", "b"),
        ),
        of(
            "all-of-y",
            "all pods of the namespace y",
            label("ns", "y"),
            json!({}),
        ),
        of(
            "b-of-y",
            "pods b of the namespace y",
            label("ns", "y"),
            label("pod", "b"),
        ),
        of(
            "b-of-not-y",
            "pods b of namespaces other than y",
            not_y(),
            label("pod", "b"),
        ),
        of(
            "not-b-of-y",
            "pods of the namespace y that are not b",
            label("ns", "y"),
            requirement("pod", "NotIn", &["b"]),
        ),
        of(
            "nobody-of-y",
            "pods of the namespace y with a label that none has",
            label("ns", "y"),
            label("pod", "none"),
        ),
    ]
}

fn blocks() -> Vec<Choice> {
    let of = |name, words, blocks: &[Value]| {
        let items: Vec<Value> = blocks
            .iter()
            .map(|block| json!({"ipBlock": block}))
            .collect();
        Choice::new(name, words, Value::Array(items))
    };
    vec![
        of(
            "ipv4-all",
            "all IPv4 addresses",
            &[json!({"cidr": "0.0.0.0/0"})],
        ),
        of("ipv6-all", "all IPv6 addresses", &[json!({"cidr": "::/0"})]),
        of(
            "addresses-all",
            "all addresses of both families",
            &[json!({"cidr": "0.0.0.0/0"}), json!({"cidr": "::/0"})],
        ),
        of(
            "ipv4-one",
            "the IPv4 address of y/b",
            &[json!({"cidr": "$4(y/b/32)"})],
        ),
        of(
            "ipv6-one",
            "the IPv6 address of y/b",
            &[json!({"cidr": "$6(y/b/128)"})],
        ),
        of(
            "ipv4-few",
            "the network of 30 bits around the IPv4 address of y/b",
            &[json!({"cidr": "$4(y/b/30)"})],
        ),
        of(
            "ipv4-except",
            "all IPv4 addresses except that of y/b",
            &[json!({"cidr": "0.0.0.0/0", "except": ["$4(y/b/32)"]})],
        ),
        of(
            "ipv6-except",
            "all IPv6 addresses except that of y/b",
            &[json!({"cidr": "::/0", "except": ["$6(y/b/128)"]})],
        ),
    ]
}

/// Some that overlap in every way: a pod may be named by both, by one or by none.
fn for_pairs() -> Vec<Choice> {
    let kept = [
        "pods-b",
        "pods-not-in-b",
        "namespaces-y",
        "namespaces-not-in-y",
        "namespaces-by-name",
        "b-of-all",
        "not-b-of-y",
        "ipv4-one",
        "ipv4-except",
    ];
    let all = [pods(), namespaces(), both(), blocks()].concat();
    all.into_iter()
        .filter(|it| kept.contains(&&*it.name))
        .collect()
}
