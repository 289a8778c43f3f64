//! Waivers: failures that are known, each with its reason and the day on which the excuse ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use serde::Deserialize;
use serde_saphyr::Spanned;
use wildmatch::WildMatch;

use crate::case::{Case, CaseError, yaml};
use crate::report::Report;
use crate::runner::Outcome;

/// A file of waivers.
#[derive(Debug)]
pub struct Waivers {
    file: String,
    list: Vec<Waiver>,
}

/// Cases that may fail.
#[derive(Debug)]
struct Waiver {
    /// A case's id, in which `*` stands for anything and `?` for a character.
    case: String,
    reason: String,
    /// The last day on which they may.
    until: Date,
    issue: Option<String>,
    line: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaiverFile {
    case: Spanned<String>,
    reason: Spanned<String>,
    until: Spanned<String>,
    #[serde(default)]
    issue: Option<Spanned<String>>,
}

impl Waivers {
    /// Reads a file's text: a list of `case`, `reason`, `until` and, where there is one, `issue`.
    pub fn read(file: &str, text: &str) -> Result<Self, CaseError> {
        let read: Vec<WaiverFile> = yaml::read(text).map_err(|fault| {
            let field = fault.field.as_deref().unwrap_or("waivers");
            wrong(file, fault.line, field, &fault.message)
        })?;
        let list = read.into_iter().map(|it| Waiver::of(file, it));
        Ok(Self {
            file: file.to_owned(),
            list: list.collect::<Result<_, _>>()?,
        })
    }

    /// Marks the failures of a report that are known, and says which waivers have expired, and which nothing needs.
    /// `cases` are all that there are, run or not.
    pub fn apply(&self, report: &mut Report, cases: &[Case], today: Date) {
        let mut used = BTreeSet::new();
        for (at, waiver) in self.list.iter().enumerate() {
            let failing: Vec<Arc<str>> = waiver.failing(report).map(Arc::clone).collect();
            for id in failing {
                used.insert(at);
                if today <= waiver.until {
                    report.waived.entry(id).or_insert_with(|| waiver.said());
                } else {
                    let remark = format!("{id}: waived until {}, which is over", waiver.until);
                    report.remarks.push(self.at(waiver, &remark));
                }
            }
        }
        for (at, waiver) in self.list.iter().enumerate() {
            if used.contains(&at) {
                continue;
            }
            if !cases.iter().any(|case| waiver.is_about(&case.id)) {
                let remark = format!("not needed, no case is called {}", waiver.case);
                report.remarks.push(self.at(waiver, &remark));
            } else if waiver.has_passed(report) {
                let remark = format!("not needed, {} passes", waiver.case);
                report.remarks.push(self.at(waiver, &remark));
            }
        }
    }

    fn at(&self, waiver: &Waiver, remark: &str) -> String {
        format!("{}:{}: {remark}", self.file, waiver.line)
    }
}

impl Waiver {
    fn of(file: &str, read: WaiverFile) -> Result<Self, CaseError> {
        let line = |at: &Spanned<String>| at.referenced.line();
        for (field, text) in [("case", &read.case), ("reason", &read.reason)] {
            if text.value.trim().is_empty() {
                return Err(wrong(file, line(text), field, "must not be empty"));
            }
        }
        let until = read.until.value.parse().map_err(|_no_date: jiff::Error| {
            let message = format!("no day such as 2030-12-31: {}", read.until.value);
            wrong(file, line(&read.until), "until", &message)
        })?;
        if let Some(issue) = &read.issue
            && !["https://", "http://"]
                .iter()
                .any(|it| issue.value.starts_with(it))
        {
            return Err(wrong(
                file,
                line(issue),
                "issue",
                "must be an address such as https://…",
            ));
        }
        Ok(Self {
            line: line(&read.case),
            case: read.case.value,
            reason: read.reason.value,
            until,
            issue: read.issue.map(|issue| issue.value),
        })
    }

    fn is_about(&self, id: &str) -> bool {
        WildMatch::new(&self.case).matches(id)
    }

    /// What could not be judged is not excused.
    fn failing<'r>(&self, report: &'r Report) -> impl Iterator<Item = &'r Arc<str>> {
        report
            .results
            .iter()
            .filter(|it| self.is_about(&it.id) && matches!(it.outcome, Outcome::Failed(_)))
            .map(|it| &it.id)
    }

    fn has_passed(&self, report: &Report) -> bool {
        let mut results = report.results.iter();
        results.any(|it| self.is_about(&it.id) && it.outcome == Outcome::Passed)
    }

    fn said(&self) -> String {
        let Self { reason, until, .. } = self;
        let issue = self.issue.iter().map(|it| format!(", {it}"));
        format!("{reason} (until {until}{})", issue.collect::<String>())
    }
}

fn wrong(file: &str, line: u64, field: &str, message: &str) -> CaseError {
    CaseError {
        origin: file.to_owned(),
        line,
        field: field.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::runner::{CaseResult, Failure};

    fn report() -> Report {
        let result = |id: &str, outcome| CaseResult {
            id: id.into(),
            outcome,
            steps: 1,
            cells: 1,
            took: Duration::ZERO,
            convergence: None,
        };
        let failed = || Outcome::Failed(Failure::new(1, "wrong".to_owned()));
        Report {
            results: vec![
                result("upstream/np-01", failed()),
                result("upstream/np-02", failed()),
                result("upstream/np-03", Outcome::Passed),
                result("upstream/np-04", Outcome::Error("no network".to_owned())),
            ],
            ..Report::default()
        }
    }

    fn applied(waivers: &str) -> Report {
        let mut report = report();
        let waivers = Waivers::read("w.yaml", waivers).unwrap();
        let cases = Catalogue::built_in().cases;
        waivers.apply(&mut report, &cases, "2026-06-15".parse().unwrap());
        report
    }

    #[test]
    fn a_failure_may_be_excused_until_its_day_is_over() {
        let report = applied(
            "- {case: upstream/np-01, reason: known, until: 2026-06-15, issue: 'https://example.org/1'}\n\
             - {case: 'upstream/np-0?', reason: all, until: 2026-06-14}\n",
        );
        assert_eq!(
            report.waived.into_iter().collect::<Vec<_>>(),
            [(
                "upstream/np-01".into(),
                "known (until 2026-06-15, https://example.org/1)".to_owned()
            )]
        );
        assert_eq!(
            report.remarks,
            [
                "w.yaml:2: upstream/np-01: waived until 2026-06-14, which is over",
                "w.yaml:2: upstream/np-02: waived until 2026-06-14, which is over",
            ]
        );
    }

    #[test]
    fn what_nothing_needs_is_said_and_no_error_is_excused() {
        let report = applied(
            "- {case: 'upstream/*', reason: all, until: 2026-12-31}\n\
             - {case: upstream/np-03, reason: passes, until: 2026-12-31}\n\
             - {case: upstream/np-99, reason: no such case, until: 2026-12-31}\n\
             - {case: upstream/np-05, reason: was not run, until: 2026-12-31}\n",
        );
        assert_eq!(
            (report.waived(), report.failed(), report.errors()),
            (2, 0, 1)
        );
        assert_eq!(
            report.remarks,
            [
                "w.yaml:2: not needed, upstream/np-03 passes",
                "w.yaml:3: not needed, no case is called upstream/np-99",
            ]
        );
    }

    #[test]
    fn what_is_no_waiver_is_said_with_its_line_and_field() {
        for (text, said) in [
            (
                "- {case: a/b, reason: r, until: soon}",
                "w.yaml:1: until: no day",
            ),
            (
                "\n- {case: a/b, reason: ' ', until: 2026-01-01}",
                "w.yaml:2: reason: must not",
            ),
            (
                "- {case: a/b, reason: r, until: 2026-01-01, issue: 7}",
                "w.yaml:1: issue: must be",
            ),
            (
                "- {case: a/b, reason: r, until: 2026-01-01, because: x}",
                "w.yaml:1: [0].because: unknown field",
            ),
            (
                "- {case: a/b, until: 2026-01-01}",
                "w.yaml:1: [0].reason: missing field",
            ),
            ("case: a/b", "w.yaml:1: waivers:"),
        ] {
            let error = Waivers::read("w.yaml", text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }
}
