//! One test per sentence of the API's text. A case is data: objects, and which connections they allow.

#[path = "../support/mod.rs"]
mod support;

mod admin_isolation;
mod admin_peers;
mod admin_ports;
mod admin_tiers;
mod blocks;
mod isolation;
mod lifecycle;
mod names;
mod nodes;
mod peers;
mod port_rules;
mod reasons;

use std::sync::Arc;

use sluice_policy::{Action, Decision, Event, NetworkPolicy, Pod, Snapshot};
use support::build::{pod, snapshot, tuple};

/// x/a, x/b and y/c, each with its name as label `pod`, at 10.0.0.1, .2 and .3.
fn three_pods() -> Vec<Event> {
    let pods = [
        ("x/a", "pod=a", "10.0.0.1"),
        ("x/b", "pod=b", "10.0.0.2"),
        ("y/c", "pod=c", "10.0.0.3"),
    ];
    pods.map(|(name, labels, address)| Event::Pod(pod(name, labels, &[address])))
        .into()
}

/// Three pods and policies.
fn with(policies: impl IntoIterator<Item = NetworkPolicy>) -> Arc<Snapshot> {
    snapshot(
        three_pods()
            .into_iter()
            .chain(policies.into_iter().map(Event::NetworkPolicy)),
    )
}

/// Checks connections, `+` before those that are allowed and `-` before those that are denied.
#[track_caller]
fn check(snapshot: &Snapshot, expectations: &[&str]) {
    for expectation in expectations {
        let (expected, connection) = match expectation.split_at(1) {
            ("+", connection) => (Action::Allow, connection),
            ("-", connection) => (Action::Deny, connection),
            _ => panic!("{expectation} says neither + nor -"),
        };
        let verdict = snapshot.evaluate(&tuple(connection));
        assert_eq!(verdict.action(), expected, "{connection}: {verdict:?}");
    }
}

/// Checks connections to or from pods with declared ports.
#[track_caller]
fn check_with(pods: Vec<Pod>, policies: Vec<NetworkPolicy>, expectations: &[&str]) {
    let events = pods
        .into_iter()
        .map(Event::Pod)
        .chain(policies.into_iter().map(Event::NetworkPolicy));
    check(&snapshot(events), expectations);
}

/// `allow NetworkPolicy x/np 0`: action, tier, policy and rule of a decision.
fn text(decision: Decision<'_>) -> String {
    let action = match decision.action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    };
    let policy = decision
        .policy
        .map(|policy| format!(" {policy}"))
        .unwrap_or_default();
    let rule = decision
        .rule
        .map(|rule| format!(" {rule}"))
        .unwrap_or_default();
    format!("{action} {:?}{policy}{rule}", decision.tier)
}
