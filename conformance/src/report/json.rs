//! For programs.

use serde_json::{Value, json};

use super::Report;
use crate::runner::{CaseResult, Outcome};

/// One document: counts, and a result for each case. What could not be judged is `failed` with `error`, and counted as
/// both: a reader that knows three outcomes takes none for passed.
pub fn json(report: &Report) -> Value {
    json!({
        "cases": report.results.len(),
        "passed": report.passed(),
        "failed": report.failed() + report.errors(),
        "errors": report.errors(),
        "skipped": report.skipped(),
        "steps": report.steps(),
        "cells": report.cells(),
        "seconds": report.took.as_secs_f64(),
        "results": report.results.iter().map(result).collect::<Vec<_>>(),
    })
}

fn result(result: &CaseResult) -> Value {
    let (outcome, reason) = match &result.outcome {
        Outcome::Passed => ("passed", None),
        Outcome::Failed(failure) => (
            "failed",
            Some(format!("step {}: {}", failure.step, failure.reason)),
        ),
        Outcome::Error(reason) => ("failed", Some(format!("not judged: {reason}"))),
        Outcome::Skipped(reason) => ("skipped", Some(reason.clone())),
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
    if matches!(result.outcome, Outcome::Error(_)) {
        json["error"] = true.into();
    }
    json
}
