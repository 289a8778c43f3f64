//! For pull requests and job summaries: counts by theme, and what failed in details.

use std::fmt::Write as _;

use super::{Report, Row, Standing, by_theme, comparison};
use crate::runner::CaseResult;

/// The whole document.
pub fn markdown(report: &Report) -> String {
    let judge = report.judge();
    let mut text = format!(
        "{judge}\n\n\
         | theme | cases | passed | failed | waived | not judged | skipped | seconds |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let all: Vec<Row<'_>> = report.standings().collect();
    for (theme, cases) in by_theme(&all) {
        row(&mut text, theme, &cases);
    }
    row(&mut text, "**all**", &all);
    for (result, standing) in all {
        details(&mut text, result, standing);
    }
    if !report.left.is_empty() {
        let _infallible = writeln!(text, "\ninterrupted, {} cases left", report.left.len());
    }
    for remark in &report.remarks {
        let _infallible = writeln!(text, "\n{}", escaped(remark));
    }
    text
}

fn row(text: &mut String, title: &str, cases: &[Row<'_>]) {
    let count = |is: fn(&Standing<'_>) -> bool| cases.iter().filter(|(_, it)| is(it)).count();
    let seconds: f64 = cases.iter().map(|(it, _)| it.took.as_secs_f64()).sum();
    let _infallible = writeln!(
        text,
        "| {title} | {} | {} | {} | {} | {} | {} | {seconds:.1} |",
        cases.len(),
        count(|it| matches!(it, Standing::Passed)),
        count(|it| matches!(it, Standing::Failed(_))),
        count(|it| matches!(it, Standing::Waived(..))),
        count(|it| matches!(it, Standing::Error(_))),
        count(|it| matches!(it, Standing::Skipped(_))),
    );
}

fn details(text: &mut String, result: &CaseResult, standing: Standing<'_>) {
    let (said, why, tables) = match standing {
        Standing::Failed(failure) => ("failed", failure.said(), comparison(failure)),
        Standing::Waived(failure, reason) => {
            let why = format!("waived: {reason}; {}", failure.said());
            ("waived", why, comparison(failure))
        }
        Standing::Error(reason) => ("not judged", reason.to_owned(), String::new()),
        Standing::Passed | Standing::Skipped(_) => return,
    };
    let _infallible = write!(
        text,
        "\n<details><summary>{said}: {}</summary>\n\n{}\n",
        escaped(&result.id),
        escaped(&why)
    );
    if !tables.is_empty() {
        let _infallible = write!(text, "\n```text\n{tables}```\n");
    }
    text.push_str("\n</details>\n");
}

/// Errors hold what they will; none of it is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '*' | '_' | '`' | '|' | '\\' | '[' | '#' => escaped.extend(['\\', character]),
            _ if character.is_control() => escaped.push(' '),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::examples;

    #[test]
    fn themes_are_counted_and_what_failed_has_its_tables() {
        let text = markdown(&examples::report());
        for line in [
            "runner evaluator, profile sluice",
            "| ports | 2 | 1 | 1 | 0 | 0 | 0 | 3.0 |",
            "| blocks | 3 | 0 | 0 | 1 | 1 | 1 | 4.5 |",
            "| **all** | 5 | 1 | 1 | 1 | 1 | 1 | 7.5 |",
            "<details><summary>failed: ports/bad</summary>",
            "<details><summary>not judged: blocks/broken</summary>",
            "no &lt;namespace> &amp; no  \\[31mcolour",
            "80/TCP IPv4",
            "a.yaml:3: not needed",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        assert!(!text.contains("ports/good"), "what passed is only counted");
    }
}
