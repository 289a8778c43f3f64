//! For programs.

use serde_json::{Value, json};

use super::{Report, Standing};
use crate::runner::CaseResult;

/// One document: who judged, counts, and a result for each case. An outcome is `passed`, `failed` or `skipped`. What could not be
/// judged is `failed` with `error`, and what may fail is `failed` with `waived`; both are counted as failed and for
/// themselves, so that a reader who knows three outcomes takes neither for passed.
pub fn json(report: &Report) -> Value {
    json!({
        "runner": report.runner,
        "profile": report.profile.to_string(),
        "cases": report.results.len(),
        "passed": report.passed(),
        "failed": report.failed() + report.errors() + report.waived(),
        "errors": report.errors(),
        "waived": report.waived(),
        "skipped": report.skipped(),
        "left_out": report.left.len(),
        "steps": report.steps(),
        "cells": report.cells(),
        "seconds": report.took.as_secs_f64(),
        "remarks": report.remarks,
        "results": report.standings().map(|(of, standing)| result(of, standing)).collect::<Vec<_>>(),
    })
}

fn result(result: &CaseResult, standing: Standing<'_>) -> Value {
    let (outcome, reason) = match standing {
        Standing::Passed => ("passed", None),
        Standing::Failed(failure) | Standing::Waived(failure, _) => {
            ("failed", Some(failure.said()))
        }
        Standing::Error(reason) => ("failed", Some(format!("not judged: {reason}"))),
        Standing::Skipped(reason) => ("skipped", Some(reason.to_owned())),
    };
    let mut json = json!({
        "id": *result.id,
        "outcome": outcome,
        "reason": reason,
        "steps": result.steps,
        "cells": result.cells,
        "seconds": result.took.as_secs_f64(),
        "convergence_seconds": result.convergence.map(|it| it.as_secs_f64()),
    });
    match standing {
        Standing::Error(_) => json["error"] = true.into(),
        Standing::Waived(_, reason) => json["waived"] = reason.into(),
        _ => {}
    }
    json
}
