//! `list` and `explain`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sluice_conformance::case::{Case, Step};
use sluice_conformance::expect;
use sluice_conformance::report::{Judged, tables};
use sluice_kubernetes::World;
use sluice_oracle::{Family, Port, Reading};

use super::{CasesArgs, Output, Stopped, print};

/// Ids that are longer than this push their sentences aside.
const WIDEST: usize = 40;

/// `list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    cases: CasesArgs,
    /// How to print them
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    cases: CasesArgs,
}

pub(super) fn list(args: &ListArgs) -> Result<ExitCode, Stopped> {
    let catalogue = args.cases.catalogue()?;
    let chosen = args.cases.chosen(&catalogue)?;
    if args.output == Output::Json {
        let all: Vec<_> = chosen.iter().map(|case| json(case)).collect();
        print(&json!({ "cases": all }).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let longest = chosen.iter().map(|case| case.id.len()).max().unwrap_or(0);
    let width = longest.min(WIDEST);
    for case in &chosen {
        print(&format!("{:width$}  {}", case.id, case.sentence));
    }
    print(&format!("{} cases", chosen.len()));
    Ok(ExitCode::SUCCESS)
}

fn json(case: &Case) -> serde_json::Value {
    json!({
        "id": *case.id,
        "sentence": case.sentence,
        "theme": case.theme(),
        "tags": case.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "features": case.features.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "steps": case.steps.len(),
        "static": case.is_static(),
        "origin": case.origin.to_string(),
    })
}

pub(super) fn explain(args: &ExplainArgs) -> Result<ExitCode, Stopped> {
    let catalogue = args.cases.catalogue()?;
    for case in args.cases.chosen(&catalogue)? {
        let text = explained(case);
        print(&text.map_err(|error| Stopped(2, format!("{}: {error}", case.origin)))?);
    }
    Ok(ExitCode::SUCCESS)
}

fn explained(case: &Case) -> anyhow::Result<String> {
    let mut text = head(case);
    for object in &case.objects {
        writeln!(text, "{object}")?;
    }
    let mut state = case.start()?;
    for (number, step) in case.steps.iter().enumerate() {
        let title = step
            .title
            .as_deref()
            .map_or_else(String::new, |it| format!(": {it}"));
        writeln!(text, "step {}{title}", number + 1)?;
        for event in &step.events {
            state.apply(event)?;
        }
        text.push_str(&said(step));
        text.push_str(&matrix(&state.load(&case.id).world, &case.ports));
    }
    Ok(text)
}

/// All of a case but its objects and steps.
fn head(case: &Case) -> String {
    let mut text = format!(
        "{}: {}\nworld {}, {}\n",
        case.id, case.sentence, case.world, case.origin
    );
    for (title, words) in [
        ("tags", texts(&case.tags)),
        ("features", texts(&case.features)),
        ("source", texts(&case.source)),
        ("ports", texts(&case.ports)),
    ] {
        text.push_str(&listed(title, &words));
    }
    text
}

/// All that a step says but its matrix, a line each.
fn said(step: &Step) -> String {
    let mut text = String::new();
    for event in &step.events {
        let _infallible = writeln!(text, "  {event}");
    }
    if step.any_order {
        text.push_str("  in any order\n");
    }
    for (title, names) in [("alive", &step.alive), ("cut", &step.cut)] {
        let line = listed(title, &texts(names));
        if !line.is_empty() {
            let _infallible = write!(text, "  {line}");
        }
    }
    for object in &step.accepted {
        let _infallible = writeln!(text, "  accepted: {object}");
    }
    for (object, field) in &step.rejected {
        let _infallible = writeln!(text, "  rejected for {field}: {object}");
    }
    text
}

fn texts<T: ToString>(words: impl IntoIterator<Item = T>) -> Vec<String> {
    words.into_iter().map(|it| it.to_string()).collect()
}

/// A line for words, where there are any.
fn listed(title: &str, words: &[String]) -> String {
    if words.is_empty() {
        return String::new();
    }
    format!("{title}: {}\n", words.join(", "))
}

/// What the API says of every port. IPv6 has tables of its own where it is not what is said of IPv4.
fn matrix(world: &World, more: &[Port]) -> String {
    let ports = expect::ports(world, more);
    let cells = expect::cells(world, &ports, &Family::ALL);
    let said = expect::expected(world, &Reading::all(), &cells);
    let judged: Vec<Judged> = cells.into_iter().zip(said).collect();
    tables(&judged)
}
