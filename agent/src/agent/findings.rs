//! What there is to say about policies: what is wrong with their objects, and what the index knows of them together.
//! Pure; who is told, and when, is the reporter's.

use std::collections::BTreeMap;

use sluice_api::{Finding, Findings, Known, Reason, Subject};
use sluice_kubernetes::Problem;
use sluice_kubernetes::live::Kind;
use sluice_policy::{AdminName, Index};

use super::upstream::Objects;

/// A message names no more problems than these.
const MOST_NAMED: usize = 5;

/// Everything there is to say, and every admin policy.
pub(super) fn findings(index: &Index, objects: &Objects) -> Findings {
    let mut all = Findings::new();
    for (subject, generation) in &objects.generations {
        if matches!(subject.kind, Kind::Admin(_)) {
            all.insert(subject.clone(), well(*generation));
        }
    }
    let mut say = |subject: Subject, reason, message| {
        let generation = objects.generations.get(&subject).copied();
        let known = all
            .entry(subject)
            .or_insert_with(|| well(generation.unwrap_or_default()));
        known.findings.push(Finding { reason, message });
    };
    for ((kind, name), problems) in objects.problems_by_object() {
        let subject = Subject {
            kind: *kind,
            name: name.clone(),
        };
        for (reason, message) in invalid(problems) {
            say(subject.clone(), reason, message);
        }
    }
    for (subject, message) in ties(&index.ties()) {
        say(subject, Reason::PriorityTie, message);
    }
    for policy in index.selects_nothing() {
        let subject = Subject::from(policy);
        let field = match subject.kind {
            Kind::NetworkPolicy => "spec.podSelector",
            _ => "spec.subject",
        };
        let message = format!("{field}: no pod with an address of its own is selected");
        say(subject, Reason::SelectsNothing, message);
    }
    for known in all.values_mut() {
        known.findings.sort();
    }
    all
}

const fn well(generation: i64) -> Known {
    Known {
        generation,
        findings: Vec::new(),
    }
}

/// What cannot be read, what is not supported, and what is merely badly written, apart.
fn invalid(problems: &[Problem]) -> impl Iterator<Item = (Reason, String)> {
    let (harmless, closed): (Vec<&Problem>, Vec<&Problem>) =
        problems.iter().partition(|it| it.harmless);
    let (unsupported, invalid): (Vec<&Problem>, Vec<&Problem>) = closed.iter().partition(|it| {
        ["not supported", "unknown field"]
            .iter()
            .any(|words| it.message.starts_with(words))
    });
    let both = [
        (
            Reason::Invalid,
            invalid,
            "what cannot be read allows nothing",
        ),
        (
            Reason::Unsupported,
            unsupported,
            "what is not supported allows nothing",
        ),
        (Reason::BadlyWritten, harmless, "enforced as it is written"),
    ];
    let some = both
        .into_iter()
        .filter(|(_, problems, _)| !problems.is_empty());
    some.map(|(reason, problems, end)| (reason, named(&problems, end)))
}

fn named(problems: &[&Problem], end: &str) -> String {
    let mut parts: Vec<String> = problems
        .iter()
        .take(MOST_NAMED)
        .map(|it| said(it))
        .collect();
    if let Some(more) = problems
        .len()
        .checked_sub(MOST_NAMED)
        .filter(|more| *more > 0)
    {
        parts.push(format!("and {more} more"));
    }
    parts.push(end.to_owned());
    parts.join("; ")
}

/// The object is known where it is told.
fn said(problem: &Problem) -> String {
    let bare = Problem {
        object: None,
        ..problem.clone()
    };
    bare.to_string()
}

/// Whoever is tied learns with whom: of many, with neighbours in the order in which they are asked.
fn ties(pairs: &[(AdminName, AdminName)]) -> impl Iterator<Item = (Subject, String)> {
    let mut others: BTreeMap<&AdminName, [Option<&AdminName>; 2]> = BTreeMap::new();
    for (first, second) in pairs {
        others.entry(first).or_default()[1] = Some(second);
        others.entry(second).or_default()[0] = Some(first);
    }
    others.into_iter().map(|(name, [before, after])| {
        let before =
            before.map(|it| format!("{it} has the same in the same tier, and is asked before"));
        let after =
            after.map(|it| format!("{it} has the same in the same tier, and is asked after"));
        let both: Vec<String> = before.into_iter().chain(after).collect();
        let message = format!("spec.priority: {}: names decide", both.join("; "));
        (Subject::from(name), message)
    })
}

#[cfg(test)]
mod tests;
