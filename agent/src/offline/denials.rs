//! What denies the cells of a table that are denied, with pods that fare alike named together.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use sluice_policy::{Direction, Tier};

use super::cell::Outcome;
use super::matrix::Named;
use super::table::{Axes, Grid};

/// How many pods a line names before it only counts.
const MOST_NAMES: usize = 12;
/// How many pods a line excepts from all before it names the others.
const MOST_EXCEPTIONS: usize = 3;

/// Writes a line per policy, direction and group of pods, tiers in the order in which they are asked:
/// `X Admin AdminNetworkPolicy/no-egress rule 0 egress: x/a > *`, `X x/deny-all ingress: * > x/a x/b`.
pub(super) fn write(axes: &Axes<'_>, grid: &Grid, out: &mut impl Write) -> io::Result<()> {
    for direction in [Direction::Egress, Direction::Ingress] {
        for ((_, outcome), denied) in by_reason(axes, grid, direction) {
            for (subjects, peers) in groups(axes, direction, &denied) {
                let (from, to, name) = match direction {
                    Direction::Egress => (subjects, peers, "egress"),
                    Direction::Ingress => (peers, subjects, "ingress"),
                };
                writeln!(out, "X {} {name}: {from} > {to}", reason(outcome))?;
            }
        }
    }
    Ok(())
}

/// The denied peers of each subject, by number.
type Denied = BTreeMap<usize, BTreeSet<usize>>;

/// What is denied in a direction, by the place of the tier that denies it, and by what denies it.
fn by_reason<'g>(
    axes: &Axes<'_>,
    grid: &'g Grid,
    direction: Direction,
) -> BTreeMap<(usize, &'g Outcome<'static>), Denied> {
    let mut reasons: BTreeMap<(usize, &Outcome<'static>), Denied> = BTreeMap::new();
    for (index, mark) in grid.marks.iter().enumerate() {
        let (row, column) = (
            index / axes.destinations.len(),
            index % axes.destinations.len(),
        );
        let Some(mark) = mark else { continue };
        let (outcome, subject, peer) = match direction {
            Direction::Egress => (&mark.egress, row, column),
            Direction::Ingress => (&mark.ingress, column, row),
        };
        if let Some(outcome) = outcome {
            reasons
                .entry((place(outcome), outcome))
                .or_default()
                .entry(subject)
                .or_default()
                .insert(peer);
        }
    }
    reasons
}

/// When the tier that decides is asked.
fn place(outcome: &Outcome<'_>) -> usize {
    let tiers = [Tier::Admin, Tier::NetworkPolicy, Tier::Baseline];
    let is_it = |other: &Tier| other.name() == outcome.tier;
    tiers.iter().position(is_it).unwrap_or(tiers.len())
}

/// The policy that denies, and its rule; where its name does not say of which tier it is, that as well.
fn reason(outcome: &Outcome<'_>) -> String {
    let mut words = Vec::new();
    if outcome.tier != Tier::NetworkPolicy.name() {
        words.push(outcome.tier.to_string());
    }
    words.extend(outcome.policy.as_deref().map(ToOwned::to_owned));
    words.extend(outcome.rule.map(|rule| format!("rule {rule}")));
    words.join(" ")
}

/// Subjects and their denied peers as text; subjects with the same peers are one group.
fn groups(axes: &Axes<'_>, direction: Direction, denied: &Denied) -> Vec<(String, String)> {
    let (subjects, peers) = match direction {
        Direction::Egress => (&axes.sources, &axes.destinations),
        Direction::Ingress => (&axes.destinations, &axes.sources),
    };
    let mut groups: Vec<(BTreeSet<usize>, String)> = Vec::new();
    for (subject, denied) in denied {
        // A pod reaches itself, and is one of all others all the same.
        let text = name(peers, denied, Some(&subjects[*subject].name));
        match groups.iter_mut().find(|(_, peers)| *peers == text) {
            Some((some, _)) => drop(some.insert(*subject)),
            None => groups.push((BTreeSet::from([*subject]), text)),
        }
    }
    groups
        .into_iter()
        .map(|(some, peers)| (name(subjects, &some, None), peers))
        .collect()
}

/// A set of pods as text: `*` for all, `* but x/a` for nearly all, `x/*` for all of a namespace of several pods. One pod counts as a member wherever
/// that makes a set complete.
fn name(pods: &[Named<'_>], members: &BTreeSet<usize>, wildcard: Option<&str>) -> String {
    let is_member =
        |number: usize| members.contains(&number) || wildcard == Some(pods[number].name.as_str());
    let missing: Vec<usize> = (0..pods.len())
        .filter(|number| !is_member(*number))
        .collect();
    if pods.len() > 1 && missing.is_empty() {
        return "*".to_owned();
    }
    if (1..=MOST_EXCEPTIONS).contains(&missing.len()) && missing.len() * 4 <= pods.len() {
        let names: Vec<&str> = missing.iter().map(|it| pods[*it].name.as_str()).collect();
        return format!("* but {}", names.join(" "));
    }
    let mut names: Vec<String> = Vec::new();
    for (namespace, numbers) in by_namespace(pods) {
        if numbers.len() > 1 && numbers.iter().all(|number| is_member(*number)) {
            names.push(format!("{namespace}/*"));
        } else {
            names.extend(
                numbers
                    .iter()
                    .filter(|it| members.contains(it))
                    .map(|it| pods[*it].name.clone()),
            );
        }
    }
    if names.len() > MOST_NAMES {
        let more = names.len() - MOST_NAMES;
        names.truncate(MOST_NAMES);
        names.push(format!("and {more} more"));
    }
    names.join(" ")
}

/// The numbers of the pods of each namespace, in order of first appearance.
fn by_namespace<'n>(pods: &'n [Named<'_>]) -> Vec<(&'n str, Vec<usize>)> {
    let mut namespaces: Vec<(&str, Vec<usize>)> = Vec::new();
    for (number, pod) in pods.iter().enumerate() {
        let namespace = &*pod.pod.name.namespace;
        match namespaces.iter_mut().find(|(name, _)| *name == namespace) {
            Some((_, numbers)) => numbers.push(number),
            None => namespaces.push((namespace, vec![number])),
        }
    }
    namespaces
}
