//! `lint`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use sluice_conformance::lint::{Finding, RULES, Severity};
use sluice_kubernetes::written;

use super::offline::load;
use super::{Output, Stopped, print};

/// `lint`.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// Manifests: files and directories (read recursively)
    #[arg(value_name = "PATH", required_unless_present = "list")]
    paths: Vec<PathBuf>,
    /// Print every rule and what it looks for
    #[arg(long)]
    list: bool,
    /// A rule that does not matter. Repeatable
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    allow: Vec<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn lint(args: &LintArgs) -> Result<ExitCode, Stopped> {
    if args.list {
        list(args.output);
        return Ok(ExitCode::SUCCESS);
    }
    let is_unknown = |name: &&String| !RULES.iter().any(|rule| rule.name == **name);
    if let Some(unknown) = args.allow.iter().find(is_unknown) {
        let message =
            format!("--allow: no rule {unknown}; `sluice-conformance lint --list` has all");
        return Err(Stopped(2, message));
    }
    if args.paths.iter().any(|path| path.as_os_str() == "-") {
        let message = "lint reads files and directories, no standard input";
        return Err(Stopped(2, message.to_owned()));
    }
    let world = load(&args.paths)?;
    let written = written(&args.paths).map_err(|error| Stopped(2, error.to_string()))?;
    let mut findings = sluice_conformance::lint::lint(&world, &written);
    findings.retain(|finding| !args.allow.iter().any(|name| name == finding.rule));
    if args.output == Output::Json {
        let all: Vec<Value> = findings.iter().map(json).collect();
        print(&json!({ "policies": written.len(), "findings": all }).to_string());
    } else {
        text(&findings, written.len());
    }
    Ok(ExitCode::from(u8::from(!findings.is_empty())))
}

fn list(output: Output) {
    if output == Output::Json {
        let rule = |rule: &sluice_conformance::lint::Rule| {
            json!({
                "name": rule.name,
                "severity": rule.severity.to_string(),
                "sentence": rule.sentence,
            })
        };
        let rules: Vec<Value> = RULES.iter().map(rule).collect();
        print(&json!({ "rules": rules }).to_string());
        return;
    }
    let width = RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    for rule in RULES {
        let severity = rule.severity.to_string();
        print(&format!(
            "{:width$}  {severity:7}  {}",
            rule.name, rule.sentence
        ));
    }
}

fn text(findings: &[Finding], policies: usize) {
    let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
    for finding in findings {
        print(&finding.to_string());
        *counts.entry(finding.severity).or_default() += 1;
    }
    let count = |severity| counts.get(&severity).copied().unwrap_or(0);
    print(&format!(
        "{policies} policies, {} warnings, {} notes",
        count(Severity::Warning),
        count(Severity::Note)
    ));
}

fn json(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule,
        "severity": finding.severity.to_string(),
        "file": finding.place.file.display().to_string(),
        "line": finding.place.line,
        "object": finding.object,
        "field": finding.field,
        "message": finding.message,
    })
}
