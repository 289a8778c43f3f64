//! One policy for both directions of x/a, and in each case one thing of it different: what fails then is that one.

use serde_json::{Value, json};

use super::draft::{Choice, Direction, Draft, label, policy, requirement};
use super::{peers, ports};
use crate::case::Case;

const THEME: &str = "sweep";

/// What is different.
#[derive(Clone, Copy)]
enum Dimension {
    Peers(Direction),
    Ports(Direction),
    Rules(Direction),
    Subject,
    Types,
    Namespace,
}

pub(super) fn cases() -> Vec<Case> {
    let each = Direction::ALL.into_iter().flat_map(|direction| {
        [
            vary(Dimension::Peers(direction), peers::all()),
            vary(Dimension::Ports(direction), ports::all()),
            vary(Dimension::Rules(direction), rules(direction)),
        ]
        .concat()
    });
    let mut cases: Vec<Case> = each.collect();
    cases.extend(vary(Dimension::Subject, subjects()));
    cases.extend(vary(Dimension::Types, types()));
    cases.extend(vary(Dimension::Namespace, namespaces()));
    cases
}

fn base() -> Value {
    json!({
        "podSelector": {"matchLabels": {"pod": "a"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [rule(Direction::Ingress)],
        "egress": [rule(Direction::Egress)],
    })
}

fn rule(direction: Direction) -> Value {
    json!({direction.peers(): [peer(direction)], "ports": entries()})
}

fn peer(direction: Direction) -> Value {
    match direction {
        Direction::Ingress => json!({
            "namespaceSelector": requirement("ns", "In", &["y", "z"]),
            "podSelector": requirement("pod", "NotIn", &["c"]),
        }),
        Direction::Egress => json!({
            "namespaceSelector": requirement("ns", "NotIn", &["z"]),
            "podSelector": requirement("pod", "In", &["b", "c"]),
        }),
    }
}

fn entries() -> Value {
    json!([{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 81}])
}

/// One case for each choice.
fn vary(dimension: Dimension, choices: Vec<Choice>) -> Vec<Case> {
    let one = |choice: Choice| one(dimension, &choice);
    choices.into_iter().map(one).collect()
}

fn one(dimension: Dimension, choice: &Choice) -> Case {
    let (name, sentence) = said(dimension, choice);
    let mut spec = base();
    let mut namespace = "x";
    match dimension {
        Dimension::Peers(direction) => {
            choice.put(&mut spec[direction.rules()][0], direction.peers());
        }
        Dimension::Ports(direction) => choice.put(&mut spec[direction.rules()][0], "ports"),
        Dimension::Rules(direction) => choice.put(&mut spec, direction.rules()),
        Dimension::Subject => choice.put(&mut spec, "podSelector"),
        Dimension::Types => choice.put(&mut spec, "policyTypes"),
        Dimension::Namespace => namespace = if choice.name == "y" { "y" } else { "z" },
    }
    Draft {
        theme: THEME,
        name,
        sentence,
        tags: tags(dimension),
        world: "grid",
        objects: vec![policy(namespace, "base", &spec)],
        steps: Vec::new(),
    }
    .case()
}

fn tags(dimension: Dimension) -> Vec<&'static str> {
    match dimension {
        Dimension::Peers(direction) => vec![direction.rules(), "peers"],
        Dimension::Ports(direction) => vec![direction.rules(), "ports"],
        Dimension::Rules(direction) => vec![direction.rules(), "rules"],
        Dimension::Subject | Dimension::Namespace => vec!["ingress", "egress", "subject"],
        Dimension::Types => vec!["ingress", "egress", "types"],
    }
}

fn said(dimension: Dimension, choice: &Choice) -> (String, String) {
    let Choice { name, words, .. } = choice;
    let way = |direction: Direction| direction.rules();
    match dimension {
        Dimension::Peers(it) => (
            format!("{}-peers-{name}", way(it)),
            format!(
                "where the peers of an {} rule are {words}, it allows what it names and nothing else",
                way(it)
            ),
        ),
        Dimension::Ports(it) => (
            format!("{}-ports-{name}", way(it)),
            format!(
                "where the ports of an {} rule are {words}, it allows what it names and nothing else",
                way(it)
            ),
        ),
        Dimension::Rules(it) => (
            format!("{}-rules-{name}", way(it)),
            format!(
                "where the {} rules are {words}, they allow what one of them matches and nothing else",
                way(it)
            ),
        ),
        Dimension::Subject => (
            format!("subject-{name}"),
            format!("where the subject is {words}, the policy isolates these pods and no others"),
        ),
        Dimension::Types => (
            format!("types-{name}"),
            format!(
                "where policyTypes are {words}, the policy isolates in these directions and in no other"
            ),
        ),
        Dimension::Namespace => (
            format!("namespace-{name}"),
            format!("where the policy is in the namespace {words}, it isolates pods of that one"),
        ),
    }
}

/// The base rule twice, with another, taken apart, and none. The cases of peers and ports have what one rule can be.
fn rules(direction: Direction) -> Vec<Choice> {
    let base = rule(direction);
    let other_peers =
        json!({direction.peers(): [{"podSelector": label("pod", "c")}], "ports": entries()});
    let other_ports =
        json!({direction.peers(): [peer(direction)], "ports": [{"protocol": "SCTP"}]});
    let peers_alone = json!({direction.peers(): [peer(direction)]});
    let ports_alone = json!({"ports": entries()});
    let crossed = json!({direction.peers(): [{"podSelector": label("pod", "c")}], "ports": [{"protocol": "SCTP"}]});
    vec![
        Choice::missing(),
        Choice::new("none", "an empty list", json!([])),
        Choice::new("everything", "one that is empty", json!([{}])),
        Choice::new("twice", "one and the same", json!([base, base])),
        Choice::new(
            "other-peers",
            "two with different peers",
            json!([base, other_peers]),
        ),
        Choice::new(
            "other-ports",
            "two with different ports",
            json!([base, other_ports]),
        ),
        Choice::new(
            "crossed",
            "two with different peers and ports",
            json!([base, crossed]),
        ),
        Choice::new(
            "crossed-back",
            "two with different peers and ports, the other way round",
            json!([crossed, base]),
        ),
        Choice::new(
            "apart",
            "one without ports and one without peers",
            json!([peers_alone, ports_alone]),
        ),
    ]
}

fn subjects() -> Vec<Choice> {
    let both = json!({
        "matchLabels": {"pod": "a"},
        "matchExpressions": [{"key": "pod", "operator": "NotIn", "values": ["b"]}],
    });
    vec![
        Choice::new("all", "an empty selector", json!({})),
        Choice::new("b", "pods b", label("pod", "b")),
        Choice::new(
            "in-a-b",
            "pods a and b",
            requirement("pod", "In", &["a", "b"]),
        ),
        Choice::new(
            "not-in-a",
            "pods that are not a",
            requirement("pod", "NotIn", &["a"]),
        ),
        Choice::new(
            "not-in-a-b",
            "pods that are neither a nor b",
            requirement("pod", "NotIn", &["a", "b"]),
        ),
        Choice::new(
            "exists",
            "pods with the label pod",
            requirement("pod", "Exists", &[]),
        ),
        Choice::new(
            "does-not-exist",
            "pods without the label pod",
            requirement("pod", "DoesNotExist", &[]),
        ),
        Choice::new(
            "other-key",
            "pods without a label that none has",
            requirement("role", "DoesNotExist", &[]),
        ),
        Choice::new("label-and-expression", "pods a that are not b", both),
        Choice::new(
            "nobody",
            "pods with a label that none has",
            label("pod", "none"),
        ),
    ]
}

fn types() -> Vec<Choice> {
    vec![
        Choice::missing(),
        Choice::new("empty", "an empty list", json!([])),
        Choice::new("ingress", "Ingress", json!(["Ingress"])),
        Choice::new("egress", "Egress", json!(["Egress"])),
        Choice::new(
            "ingress-egress",
            "Ingress and Egress",
            json!(["Ingress", "Egress"]),
        ),
        Choice::new(
            "egress-ingress",
            "Egress and Ingress",
            json!(["Egress", "Ingress"]),
        ),
        Choice::new(
            "egress-twice",
            "Egress and again Egress",
            json!(["Egress", "Egress"]),
        ),
    ]
}

fn namespaces() -> Vec<Choice> {
    vec![
        Choice::new("y", "y", Value::Null),
        Choice::new("z", "z", Value::Null),
    ]
}
