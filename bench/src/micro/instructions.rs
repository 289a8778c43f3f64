//! Instructions of steps, counted by callgrind: the same whatever the machine does besides.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::cases::{Ticker, Wrong};
use super::job::{COUNTED, Job, STEPS, Step};
use super::report::{Row, Unit};
use super::{Part, Plan};

/// Why nothing is counted without it.
const MISSING: &str = "valgrind is not installed (Debian: valgrind)";

pub(super) fn measure(plan: &Plan, ticker: &mut Ticker<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let is_there = is_installed()?;
    for step in Step::ALL {
        ticker.stay()?;
        let name = step.name().to_owned();
        rows.push(if is_there {
            counted(step, plan)?
        } else {
            Row::skipped(
                Part::Instructions,
                name,
                Unit::Instructions,
                MISSING.to_owned(),
            )
        });
    }
    Ok(rows)
}

fn is_installed() -> Result<bool> {
    let mut command = Command::new("valgrind");
    command.arg("--version").stdout(Stdio::null());
    match command.status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("valgrind"),
    }
}

fn counted(step: Step, plan: &Plan) -> Result<Row> {
    #[expect(clippy::cast_precision_loss, reason = "instructions of a step")]
    let each = count(step, &plan.this)? as f64 / STEPS as f64;
    let row = Row::of(
        Part::Instructions,
        step.name().to_owned(),
        Unit::Instructions,
        vec![each],
        plan.seed,
    );
    #[expect(clippy::cast_precision_loss, reason = "instructions of a step")]
    let bound = plan.bounds.of(step.name()).map(|bound| bound as f64);
    Ok(Row {
        proof: format!("{STEPS} of them did what they are to do"),
        bound,
        drift: bound.map(|bound| each / bound - 1.0),
        ..row
    })
}

/// Instructions of all steps.
fn count(step: Step, this: &Path) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("callgrind");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", &format!("--toggle-collect={COUNTED}")])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(this)
        .args(["micro", "--job", &Job::Count(step).argument()]);
    let output = command.output().context("valgrind")?;
    ensure!(
        output.status.success(),
        "valgrind: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let done = String::from_utf8_lossy(&output.stdout);
    if done.trim() != STEPS.to_string() {
        return Err(wrong(step, format!("{} of {STEPS} were right", done.trim())).into());
    }
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    match summary(&text) {
        Some(count) if count > 0 => Ok(count),
        _ => Err(wrong(step, "callgrind counted nothing".to_owned()).into()),
    }
}

fn wrong(step: Step, what: String) -> Wrong {
    Wrong {
        case: format!("instructions: {}", step.name()),
        what,
    }
}

/// The sum that a file of callgrind ends with: `totals: N`, or `summary: N` of older ones.
fn summary(text: &str) -> Option<u64> {
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let number = line("totals:").or_else(|| line("summary:"))?;
    number.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_a_file_is_found() {
        let text = "# callgrind format\nversion: 1\nevents: Ir\nsummary: 5\nfn=(1) x\n1 5\n\ntotals: 53122\n";
        assert_eq!(summary(text), Some(53_122));
        assert_eq!(summary("events: Ir\nsummary: 5\n"), Some(5));
        for broken in ["", "totals: many\n", "events: Ir\n"] {
            assert_eq!(summary(broken), None, "{broken}");
        }
    }
}
