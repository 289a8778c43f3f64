//! For people: expected, observed and compared side by side.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sluice_lab::distinct;
use sluice_oracle::{Family, Port};

use super::{Report, Standing};
use crate::judge::{Seen, destination};
use crate::runner::Failure;

/// The last lines of a run: what failed, and counts.
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    for failure in report.failures() {
        let _infallible = writeln!(text, "failed: {failure}");
    }
    for (result, standing) in report.standings() {
        if let Standing::Waived(failure, reason) = standing {
            let _infallible = writeln!(text, "waived: {}: {reason}; {}", result.id, failure.said());
        }
    }
    for remark in &report.remarks {
        let _infallible = writeln!(text, "remark: {remark}");
    }
    for error in report.not_judged() {
        let _infallible = writeln!(text, "error: {error}");
    }
    let _infallible = write!(
        text,
        "{} cases in {:.1} s ({}), {} steps, {} cells: {} passed, {} failed, {} skipped",
        report.results.len(),
        report.took.as_secs_f64(),
        report.judge(),
        report.steps(),
        report.cells(),
        report.passed(),
        report.failed(),
        report.skipped(),
    );
    for (count, said) in [
        (report.waived(), "waived"),
        (report.errors(), "not judged"),
        (report.left.len(), "left, as the run ended early"),
    ] {
        if count > 0 {
            let _infallible = write!(text, ", {count} {said}");
        }
    }
    text.push('\n');
    text
}

/// The tables of every port and family in which a cell is wrong.
pub fn comparison(failure: &Failure) -> String {
    let wrong: BTreeSet<(Family, Port)> = failure
        .wrong
        .iter()
        .map(|it| (it.cell.family, it.cell.port))
        .collect();
    let mut text = String::new();
    for (family, port) in wrong {
        let of: Vec<&Seen> = failure
            .seen
            .iter()
            .filter(|it| it.cell.family == family && it.cell.port == port)
            .collect();
        let _infallible = writeln!(text, "{port} {family}");
        text.push_str(&side_by_side(&of, &failure.wrong));
    }
    text
}

fn side_by_side(cells: &[&Seen], wrong: &[Seen]) -> String {
    let rows = distinct(cells.iter().map(|it| it.cell.from.to_string()));
    let columns = distinct(cells.iter().map(|it| destination(&it.cell.to)));
    let head = rows.iter().map(String::len).max().unwrap_or(0);
    let width = columns.iter().map(String::len).max().unwrap_or(0);
    let mut text = format!("{:head$}", "");
    for title in ["expected", "observed", "comparison"] {
        let table = columns.len() * (width + 1);
        let _infallible = write!(text, "  {title:table$}");
    }
    text = text.trim_end().to_owned() + "\n";
    let names: String = columns.iter().fold(String::new(), |mut all, name| {
        let _infallible = write!(all, "{name:width$} ");
        all
    });
    let _infallible = writeln!(text, "{:head$}  {names}  {names}  {}", "", names.trim_end());
    for row in &rows {
        let _infallible = write!(text, "{row:head$}");
        let expected = |it: &Seen| it.expected.mark();
        let observed = |it: &Seen| it.observed.mark();
        let compared = |it: &Seen| compared(it, wrong);
        let marks: [&dyn Fn(&Seen) -> char; 3] = [&expected, &observed, &compared];
        for mark in marks {
            text.push_str("  ");
            for column in &columns {
                let at = |it: &&&Seen| {
                    it.cell.from.to_string() == *row && destination(&it.cell.to) == *column
                };
                let mark = cells.iter().find(at).map_or(' ', |it| mark(it));
                let _infallible = write!(text, "{mark:width$} ");
            }
        }
        text = text.trim_end().to_owned() + "\n";
    }
    text
}

/// What is wrong was decided by who judged.
fn compared(seen: &Seen, wrong: &[Seen]) -> char {
    if seen.observed.is_error() {
        '!'
    } else if wrong.contains(seen) {
        'X'
    } else {
        '.'
    }
}
