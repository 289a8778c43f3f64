//! A report for people.

use std::fmt::Write as _;

use super::report::{Report, Row};

/// The figures, part by part.
pub(super) fn table(report: &Report) -> String {
    let mut text = String::new();
    let mut part = None;
    for row in &report.micro {
        if part.replace(row.part) != Some(row.part) {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _infallible = writeln!(
                text,
                "{gap}{:<52} {:>12} {:>25}  what was made sure of",
                row.part.name(),
                row.unit.name(),
                "95 % interval"
            );
        }
        line(&mut text, row);
    }
    let _infallible = writeln!(
        text,
        "\nmedians of {} rounds; a program runs {} times in a round",
        report.rounds, report.repeat
    );
    text
}

fn line(text: &mut String, row: &Row) {
    let name = match row.size {
        Some(size) => format!("{} {size}", row.name),
        None => row.name.clone(),
    };
    let figure = row.median.map_or_else(|| "-".to_owned(), shown);
    let interval = row.ci.map_or_else(String::new, |[low, high]| {
        format!("[{}, {}]", shown(low), shown(high))
    });
    let said = match (&row.skipped, row.drift) {
        (Some(why), _) => format!("skipped: {why}"),
        (None, Some(drift)) => format!(
            "{}; {:+.1} % against what is recorded",
            row.proof,
            drift * 100.0
        ),
        (None, None) => row.proof.clone(),
    };
    let _infallible = writeln!(text, "{name:<52} {figure:>12} {interval:>25}  {said}");
}

/// Three digits, or all before the point.
fn shown(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
