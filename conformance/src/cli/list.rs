//! `list` and `explain`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sluice_conformance::case::Case;
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
    let mut text = format!(
        "{}: {}\nworld {}, {}\n",
        case.id, case.sentence, case.world, case.origin
    );
    for object in &case.objects {
        writeln!(text, "{}: {}", object.name(), object.value()["spec"])?;
    }
    let mut state = case.start()?;
    for (number, step) in case.steps.iter().enumerate() {
        let title = step
            .title
            .as_deref()
            .map_or_else(String::new, |it| format!(": {it}"));
        writeln!(text, "step {}{title}", number + 1)?;
        for event in &step.events {
            writeln!(text, "  {event}")?;
            state.apply(event)?;
        }
        text.push_str(&matrix(&state.load(&case.id).world, &case.ports));
    }
    Ok(text)
}

/// What the API says of every port, in IPv4.
fn matrix(world: &World, more: &[Port]) -> String {
    let ports = expect::ports(world, more);
    let mut cells = expect::cells(world, &ports, &[Family::Ipv4]);
    cells.retain(|cell| ports.contains(&cell.port));
    let said = expect::expected(world, &Reading::all(), &cells);
    let judged: Vec<Judged> = cells.into_iter().zip(said).collect();
    tables(&judged)
}
