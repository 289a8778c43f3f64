//! A report for people.

use std::fmt::Write as _;

use super::report::{Report, Row};

/// The table, and what has to be known to read it.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!(
        "{:<8} {:<46} {:>5} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}  {}\n",
        "mode",
        "milliseconds from the change",
        "n",
        "p50",
        "p90",
        "p99",
        "max",
        "lost",
        "leaks",
        "target"
    );
    for row in &report.rows {
        line(&mut text, row);
    }
    let _infallible = writeln!(
        text,
        "\na connection every {} ms; {} other policies; {:.1} % of the time was stolen",
        report.interval_ms,
        report.policies,
        report.stolen * 100.0
    );
    text
}

fn line(text: &mut String, row: &Row) {
    let figure = &row.figure;
    let [p50, p90, p99, max] = match row.summary {
        Some(it) => [it.p50_ms, it.p90_ms, it.p99_ms, it.max_ms].map(|ms| format!("{ms:.2}")),
        None => [(); 4].map(|()| "-".to_owned()),
    };
    let target = match (row.target, row.met) {
        (Some(_), Some(true)) => "met",
        (Some(_), Some(false)) => "NOT MET",
        (Some(_), None) => "not judged",
        (None, _) => "",
    };
    let line = format!(
        "{:<8} {:<46} {:>5} {p50:>8} {p90:>8} {p99:>8} {max:>8} {:>6} {:>6}  {target}",
        row.mode.name(),
        figure.kind.title(),
        figure.samples_ms.len(),
        figure.lost,
        figure.leaked,
    );
    text.push_str(line.trim_end());
    text.push('\n');
}
