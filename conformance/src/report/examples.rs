//! A report with one result of every kind, for the tests of what is made of it.

use std::time::Duration;

use sluice_oracle::{Cell, Family, Target};
use sluice_policy::PodName;

use super::{LEFT, Report};
use crate::expect::Expected;
use crate::judge::{Observed, Seen};
use crate::profile::Profile;
use crate::runner::{CaseResult, Failure, Outcome};

pub(super) fn report() -> Report {
    let mut report = Report {
        results: vec![
            result("ports/good", Outcome::Passed),
            result("ports/bad", Outcome::Failed(failure())),
            result(
                "blocks/broken",
                Outcome::Error("no <namespace> & no \u{1b}[31mcolour".to_owned()),
            ),
            result(
                "blocks/elsewhere",
                Outcome::Skipped("needs packets".to_owned()),
            ),
            result("blocks/known", Outcome::Failed(failure())),
        ],
        runner: "evaluator",
        profile: Profile::SLUICE,
        took: Duration::from_secs(8),
        ..Report::default()
    };
    let reason = "known # since May".to_owned();
    report.waived.insert("blocks/known".into(), reason);
    report.remarks.push("a.yaml:3: not needed".to_owned());
    report
}

/// The same, interrupted before two others.
pub(super) fn interrupted() -> Report {
    let left = |id| result(id, Outcome::Skipped(LEFT.to_owned()));
    Report {
        left: vec![left("blocks/left"), left("names/left")],
        ..report()
    }
}

pub(super) fn result(id: &str, outcome: Outcome) -> CaseResult {
    CaseResult {
        id: id.into(),
        outcome,
        steps: 1,
        cells: 1,
        took: Duration::from_millis(1500),
        convergence: None,
    }
}

pub(super) fn failure() -> Failure {
    let pod = |name: &str| PodName {
        namespace: "x".into(),
        name: name.into(),
    };
    let seen = Seen {
        cell: Cell {
            from: pod("a"),
            to: Target::Pod(pod("b")),
            port: "80/TCP".parse().unwrap(),
            family: Family::Ipv4,
        },
        expected: Expected::Denied,
        observed: Observed::Allowed,
    };
    Failure {
        step: 2,
        reason: format!("1 of 1 cells are wrong, the first: {seen}"),
        wrong: vec![seen.clone()],
        seen: vec![seen],
    }
}
