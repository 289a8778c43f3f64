//! Selectors: each form of them, in each place that has one, of an object whose label is there, another, missing, or that
//! has no labels at all. Every case changes labels, so that what a selector says is gained or lost.

use serde_json::{Value, json};

use super::draft::{Draft, label, policy, requirement, requirement_of};
use crate::case::{Case, Event, ObjectName, Step};

const THEME: &str = "selector-forms";

/// The key that is looked for; nobody in the world has it.
const KEY: &str = "role";

/// Where the selector stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Site {
    Spec,
    PodPeer,
    NamespacePeer,
}

/// What the object has under the key.
#[derive(Clone, Copy)]
enum Held {
    Wanted,
    Other,
    Missing,
    NoLabels,
}

pub(super) fn cases() -> Vec<Case> {
    let sites = [Site::Spec, Site::PodPeer, Site::NamespacePeer];
    let held = [Held::Wanted, Held::Other, Held::Missing, Held::NoLabels];
    let mut cases = Vec::new();
    for (name, words, selector) in forms() {
        for site in sites {
            cases.extend(held.map(|held| case(name, words, &selector, site, held)));
        }
    }
    cases
}

fn forms() -> Vec<(&'static str, &'static str, Value)> {
    let labelled = |operator: &str, values: &[&str]| json!({"matchLabels": {KEY: "db"}, "matchExpressions": [requirement_of(KEY, operator, values)]});
    let twice = |(first, one): (&str, &[&str]), (second, other): (&str, &[&str])| json!({"matchExpressions": [requirement_of(KEY, first, one), requirement_of(KEY, second, other)]});
    vec![
        ("empty", "an empty selector", json!({})),
        ("label", "a label", label(KEY, "db")),
        (
            "in-one",
            "In with one value",
            requirement(KEY, "In", &["db"]),
        ),
        (
            "in-several",
            "In with several values",
            requirement(KEY, "In", &["cache", "db"]),
        ),
        (
            "not-in-one",
            "NotIn with one value",
            requirement(KEY, "NotIn", &["db"]),
        ),
        (
            "not-in-several",
            "NotIn with several values",
            requirement(KEY, "NotIn", &["cache", "db"]),
        ),
        ("exists", "Exists", requirement(KEY, "Exists", &[])),
        (
            "does-not-exist",
            "DoesNotExist",
            requirement(KEY, "DoesNotExist", &[]),
        ),
        (
            "label-and-in",
            "a label and In",
            labelled("In", &["db", "web"]),
        ),
        (
            "label-and-not-in",
            "a label and NotIn of its value",
            labelled("NotIn", &["db"]),
        ),
        (
            "exists-and-not-in",
            "Exists and NotIn",
            twice(("Exists", &[]), ("NotIn", &["db"])),
        ),
        (
            "in-and-in",
            "In twice, with one value in common",
            twice(("In", &["cache", "db"]), ("In", &["db", "web"])),
        ),
    ]
}

fn case(name: &str, words: &str, selector: &Value, site: Site, held: Held) -> Case {
    let (site_name, site_words) = match site {
        Site::Spec => ("spec", "the policy's podSelector"),
        Site::PodPeer => ("pod-peer", "a podSelector of a peer"),
        Site::NamespacePeer => ("namespace-peer", "a namespaceSelector of a peer"),
    };
    let (held_name, held_words) = match held {
        Held::Wanted => ("wanted", "the label that is wanted"),
        Held::Other => ("other", "the label with another value"),
        Held::Missing => ("missing", "lost the label"),
        Held::NoLabels => ("no-labels", "lost all labels"),
    };
    Draft {
        theme: THEME,
        name: format!("{name}-{site_name}-{held_name}"),
        sentence: format!("{words} as {site_words} decides by the labels that are there when an object has {held_words}"),
        tags: vec!["ingress", "selectors", "temporal"],
        world: "labels",
        objects: vec![policy("x", "policy", &spec(selector, site))],
        steps: steps(site, held),
    }
    .case()
}

fn spec(selector: &Value, site: Site) -> Value {
    let peer = match site {
        Site::Spec => return json!({"podSelector": selector, "ingress": []}),
        Site::PodPeer => json!({"podSelector": selector}),
        Site::NamespacePeer => json!({"namespaceSelector": selector}),
    };
    json!({"podSelector": {"matchLabels": {"app": "web", "tier": "front"}}, "ingress": [{"from": [peer]}]})
}

/// What gains a label has none before; what loses it has the one that is wanted.
fn steps(site: Site, held: Held) -> Vec<Step> {
    let set = |value: Option<&str>| (KEY.to_owned(), value.map(str::to_owned));
    let own: &[&str] = match site {
        Site::NamespacePeer => &["ns", "team"],
        Site::Spec | Site::PodPeer => &["app", "tier"],
    };
    let none = own.iter().map(|key| ((*key).to_owned(), None));
    let wanted = vec![set(Some("db"))];
    let changes = match held {
        Held::Wanted => vec![vec![], wanted],
        Held::Other => vec![vec![], vec![set(Some("web"))]],
        Held::Missing => vec![wanted, vec![set(None)]],
        Held::NoLabels => vec![wanted, none.chain([set(None)]).collect()],
    };
    let step = |labels: Vec<(String, Option<String>)>| Step {
        events: labels_of(site, labels),
        ..Step::default()
    };
    changes.into_iter().map(step).collect()
}

fn labels_of(site: Site, labels: Vec<(String, Option<String>)>) -> Vec<Event> {
    let (kind, namespace, name) = match site {
        Site::NamespacePeer => ("Namespace", "", "y"),
        Site::Spec | Site::PodPeer => ("Pod", "x", "b"),
    };
    let name = ObjectName {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let is_something = !labels.is_empty();
    is_something
        .then_some(Event::Label(name, labels))
        .into_iter()
        .collect()
}
