//! Whom an admin policy is about, and with whom.

use std::collections::BTreeSet;

use ipnet::IpNet;
use sluice_policy::{AdminKind, AdminPeer, PodsOf, Selector};

use super::{Direction, Grammar, required};
use crate::field::{Checked, Field};
use crate::labels::selector;
use crate::policy::network;

/// How many networks an entry may have.
const MOST_NETWORKS: usize = 25;
/// How long a network may be.
const LONGEST_NETWORK: usize = 43;

/// `spec.subject`.
pub(super) fn subject(field: &Field<'_>, kind: AdminKind) -> Checked<PodsOf> {
    let (key, field) = field.one_of(&["namespaces", "pods"])?;
    pods_of(key, &field, kind)
}

/// The entries of `from` or `to`, all of them or none.
pub(super) fn peers(
    rule: &Field<'_>,
    grammar: &Grammar,
    direction: Direction,
) -> Checked<Vec<AdminPeer>> {
    let items = required(rule, direction.peers())?.some_items(grammar.most)?;
    // Every entry is looked at, so that all problems show.
    let read: Vec<_> = items
        .iter()
        .map(|item| peer(item, grammar.kind, direction))
        .collect();
    read.into_iter().collect()
}

fn peer(field: &Field<'_>, kind: AdminKind, direction: Direction) -> Checked<AdminPeer> {
    let known: &[&str] = match (direction, kind) {
        (Direction::Ingress, _) => &["namespaces", "pods"],
        (Direction::Egress, AdminKind::BaselineAdminNetworkPolicy) => {
            &["namespaces", "pods", "nodes", "networks"]
        }
        (Direction::Egress, _) => &["namespaces", "pods", "nodes", "networks", "domainNames"],
    };
    match field.one_of(known)? {
        ("nodes", field) => selector(&field).map(AdminPeer::Nodes),
        ("networks", field) => networks(&field).map(AdminPeer::Networks),
        ("domainNames", field) => {
            Err(field.wrong("not supported: which addresses the names stand for is not known"))
        }
        (key, field) => pods_of(key, &field, kind).map(AdminPeer::Pods),
    }
}

/// `namespaces` or `pods`.
fn pods_of(key: &str, field: &Field<'_>, kind: AdminKind) -> Checked<PodsOf> {
    if key == "namespaces" {
        return Ok(PodsOf {
            namespaces: selector(field)?,
            pods: Selector::default(),
        });
    }
    let known = field.only(&["namespaceSelector", "podSelector"]);
    let pods = required(field, "podSelector").and_then(|field| selector(&field));
    let namespaces = match (field.once("namespaceSelector")?, kind) {
        (Some(field), _) => selector(&field),
        (None, AdminKind::ClusterNetworkPolicy) => Ok(Selector::default()),
        (None, _) => Err(field.missing("namespaceSelector")),
    };
    known?;
    Ok(PodsOf {
        namespaces: namespaces?,
        pods: pods?,
    })
}

fn networks(field: &Field<'_>) -> Checked<Vec<IpNet>> {
    let items = field.some_items(MOST_NETWORKS)?;
    let mut seen = BTreeSet::new();
    for item in &items {
        let Ok(text) = item.text() else { continue };
        if text.len() > LONGEST_NETWORK {
            item.remark(format!(
                "must have at most {LONGEST_NETWORK} characters, got {}",
                text.len()
            ));
        }
        if !seen.insert(text) {
            item.remark(format!("{text} is there twice"));
        }
    }
    let read: Vec<_> = items.iter().map(network).collect();
    read.into_iter().collect()
}
