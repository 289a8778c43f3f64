//! For test harnesses: the Test Anything Protocol, version 13, with what is wrong as YAML.
//!
//! What is said here is the same in version 14, whose readers read 13 as well; those that know nothing later than 13, as
//! `prove` of Perl 5.36, take a 14 for an error. Their YAML is a small part of it: a text is one line between double
//! quotes, or a literal block in which no line is empty.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{Report, Standing, comparison};
use crate::runner::{CaseResult, Failure};

/// What is said below a test that did not pass.
struct Diagnosis {
    message: String,
    severity: &'static str,
    duration_ms: u128,
    /// Empty where it is not about connections.
    tables: String,
}

/// The whole document: of an interrupted run a plan of all that were meant, so that none takes it for a whole one. What
/// may fail is a `TODO`, which harnesses do not count as failed.
pub fn tap(report: &Report) -> String {
    let (meant, judge) = (report.results.len() + report.left.len(), report.judge());
    let mut text = format!("TAP version 13\n1..{meant}\n# {judge}\n");
    for (number, (result, standing)) in report.standings().enumerate() {
        point(&mut text, number + 1, result, standing);
    }
    for remark in &report.remarks {
        let _infallible = writeln!(text, "# {}", escaped(remark));
    }
    if !report.left.is_empty() {
        let _infallible = writeln!(text, "Bail out! interrupted, {} left", report.left.len());
    }
    text
}

fn point(text: &mut String, number: usize, result: &CaseResult, standing: Standing<'_>) {
    let (is_ok, directive, diagnosis) = match standing {
        Standing::Passed => (true, String::new(), None),
        Standing::Skipped(reason) => (true, format!(" # SKIP {}", escaped(reason)), None),
        Standing::Failed(failure) => (false, String::new(), Some(of_failure(result, failure))),
        Standing::Waived(failure, reason) => {
            let directive = format!(" # TODO {}", escaped(reason));
            (false, directive, Some(of_failure(result, failure)))
        }
        Standing::Error(reason) => (false, String::new(), Some(of_error(result, reason))),
    };
    let word = if is_ok { "ok" } else { "not ok" };
    let _infallible = writeln!(text, "{word} {number} - {}{directive}", escaped(&result.id));
    if let Some(diagnosis) = diagnosis {
        let _infallible = writeln!(text, "  ---\n{diagnosis}  ...");
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            severity,
            duration_ms,
            tables,
        } = self;
        // A text of JSON is one of YAML between double quotes.
        writeln!(f, "  message: {}", Value::from(message.as_str()))?;
        writeln!(f, "  severity: {severity}")?;
        writeln!(f, "  duration_ms: {duration_ms}")?;
        if !tables.is_empty() {
            writeln!(f, "  tables: |")?;
        }
        let mut lines = tables.lines();
        lines.try_for_each(|it| writeln!(f, "    {it}"))
    }
}

fn of_failure(result: &CaseResult, failure: &Failure) -> Diagnosis {
    Diagnosis {
        message: failure.said(),
        severity: "fail",
        duration_ms: result.took.as_millis(),
        tables: comparison(failure),
    }
}

fn of_error(result: &CaseResult, reason: &str) -> Diagnosis {
    Diagnosis {
        message: reason.to_owned(),
        severity: "error",
        duration_ms: result.took.as_millis(),
        tables: String::new(),
    }
}

/// A `#` begins a directive, and a line ends a test.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' | '#' => escaped.extend(['\\', character]),
            _ if character.is_control() => escaped.extend(character.escape_default()),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::examples;

    /// Every test with its directive and what its YAML says, by the words of the protocol.
    fn read(text: &str) -> Vec<(bool, String, Option<Value>)> {
        let mut lines = text.lines().filter(|it| !it.starts_with('#')).peekable();
        assert_eq!(lines.next(), Some("TAP version 13"));
        let plan: usize = lines.next().unwrap()["1..".len()..].parse().unwrap();
        let mut points = Vec::new();
        while let Some(line) = lines.next() {
            let (is_ok, rest) = match line.strip_prefix("not ok ") {
                Some(rest) => (false, rest),
                None => (true, line.strip_prefix("ok ").unwrap()),
            };
            let number = format!("{} - ", points.len() + 1);
            let rest = rest.strip_prefix(&number).unwrap().to_owned();
            let mut yaml = String::new();
            if lines.next_if_eq(&"  ---").is_some() {
                for line in lines.by_ref().take_while(|line| *line != "  ...") {
                    yaml.push_str(&line[2..]);
                    yaml.push('\n');
                }
            }
            let yaml = (!yaml.is_empty()).then(|| serde_saphyr::from_str(&yaml).unwrap());
            points.push((is_ok, rest, yaml));
        }
        assert_eq!(points.len(), plan);
        points
    }

    /// What Perl's harness says of a report, where there is one.
    #[test]
    fn perls_harness_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.tap");
        std::fs::write(&path, tap(&examples::report())).unwrap();
        let Ok(output) = std::process::Command::new("prove").arg(&path).output() else {
            println!("skipped: no prove");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Tests: 5 Failed: 2)"), "{said}");
        assert!(said.contains("(less 1 skipped subtest: 2 okay)"), "{said}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("Parse errors"), "{said}{errors}");
    }

    #[test]
    fn an_interrupted_run_plans_what_was_meant_and_bails_out() {
        let text = tap(&examples::interrupted());
        assert!(text.starts_with("TAP version 13\n1..7\n"), "{text}");
        assert!(
            text.ends_with("\nBail out! interrupted, 2 left\n"),
            "{text}"
        );
    }

    #[test]
    fn every_outcome_is_told_as_harnesses_read_it() {
        let text = tap(&examples::report());
        assert!(
            text.contains("\n# runner evaluator, profile sluice\n"),
            "{text}"
        );
        let (text, remark) = text.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(remark, "# a.yaml:3: not needed");
        let points = read(text);
        let lines: Vec<(bool, &str)> = points.iter().map(|(ok, it, _)| (*ok, &**it)).collect();
        assert_eq!(
            lines,
            [
                (true, "ports/good"),
                (false, "ports/bad"),
                (false, "blocks/broken"),
                (true, "blocks/elsewhere # SKIP needs packets"),
                (false, "blocks/known # TODO known \\# since May"),
            ]
        );
        let yaml = points[1].2.as_ref().unwrap();
        assert_eq!(yaml["severity"], "fail");
        assert_eq!(yaml["duration_ms"], 1500);
        assert!(yaml["tables"].as_str().unwrap().contains("80/TCP IPv4\n"));
        let yaml = points[2].2.as_ref().unwrap();
        assert_eq!(yaml["severity"], "error");
        assert_eq!(yaml["message"], "no <namespace> & no \u{1b}[31mcolour");
    }
}
