//! A report for people.

use std::fmt::Write as _;

use super::report::{Report, Row};

/// The table, and what has to be known to read it.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!(
        "{:<8} {:<50} {:>5} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6}  {}\n",
        "mode",
        "milliseconds from the change",
        "n",
        "p50",
        "p90",
        "p99",
        "max",
        "said",
        "lost",
        "leaks",
        "target"
    );
    for row in &report.rows {
        line(&mut text, row);
    }
    let _infallible = writeln!(
        text,
        "\na connection every {} ms; {} other policies; said: p50 until the agent had said that it is done; \
         {:.1} % of the time was stolen",
        report.interval_ms,
        report.policies,
        report.stolen * 100.0
    );
    if report.burst > 0 {
        let _infallible = writeln!(text, "many policies: {}", report.burst);
    }
    if let Some(pods) = report.churn_per_second {
        let _infallible = writeln!(
            text,
            "in churn: {pods:.0} pods a second come, and as many go"
        );
    }
    text
}

fn line(text: &mut String, row: &Row) {
    let figure = &row.figure;
    let [p50, p90, p99, max, said] = match row.summary {
        Some(it) => [it.p50_ms, it.p90_ms, it.p99_ms, it.max_ms, it.said_p50_ms]
            .map(|ms| format!("{ms:.2}")),
        None => [(); 5].map(|()| "-".to_owned()),
    };
    let target = match (row.target, row.met) {
        (Some(_), Some(true)) => "met",
        (Some(_), Some(false)) => "NOT MET",
        (Some(_), None) => "not judged",
        (None, _) => "",
    };
    let line = format!(
        "{:<8} {:<50} {:>5} {p50:>8} {p90:>8} {p99:>8} {max:>8} {said:>8} {:>6} {:>6}  {target}",
        row.mode.name(),
        figure.kind.title(),
        figure.samples_ms.len(),
        figure.lost,
        figure.leaked,
    );
    text.push_str(line.trim_end());
    text.push('\n');
}
