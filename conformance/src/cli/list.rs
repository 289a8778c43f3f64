//! `list` and `explain`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use sluice_conformance::case::Case;
use sluice_conformance::expect::{self, Expected};
use sluice_conformance::judge::destination;
use sluice_oracle::{Family, Port, Reading};

use super::{CasesArgs, Output, Stopped};

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
        println!("{}", json!({ "cases": all }));
        return Ok(ExitCode::SUCCESS);
    }
    let width = chosen.iter().map(|case| case.id.len()).max().unwrap_or(0);
    for case in &chosen {
        println!("{:width$}  {}", case.id, case.sentence);
    }
    println!("{} cases", chosen.len());
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
        explain_one(case).map_err(|error| Stopped(2, format!("{}: {error}", case.origin)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn explain_one(case: &Case) -> anyhow::Result<()> {
    println!("{}: {}", case.id, case.sentence);
    println!("world {}, {}", case.world, case.origin);
    for object in &case.objects {
        println!("{}", object.value());
    }
    let mut state = case.start()?;
    for (number, step) in case.steps.iter().enumerate() {
        println!(
            "step {}{}",
            number + 1,
            step.title
                .as_deref()
                .map_or_else(String::new, |it| format!(": {it}"))
        );
        for event in &step.events {
            println!("  {event:?}");
            state.apply(event)?;
        }
        let world = state.load(&case.id).world;
        for port in expect::ports(&world, &case.ports) {
            print(&world, port);
        }
    }
    Ok(())
}

/// The table of a port, where not everything is allowed.
fn print(world: &sluice_kubernetes::World, port: Port) {
    let cells = expect::cells(world, &[port], &[Family::Ipv4]);
    let said = expect::expected(world, &Reading::all(), &cells);
    if said.iter().all(|it| *it == Expected::Allowed) {
        println!("{port}: everything is allowed");
        return;
    }
    println!("{port}");
    let mut row = String::new();
    for (cell, said) in cells.iter().zip(&said) {
        let from = cell.from.to_string();
        if from != row {
            print!("{}{from:12}", if row.is_empty() { "" } else { "\n" });
            row = from;
        }
        print!(" {}", said.mark());
    }
    let columns: Vec<String> = cells
        .iter()
        .take_while(|it| it.from == cells[0].from)
        .map(|it| destination(&it.to))
        .collect();
    println!("\n{:12} {}", "to", columns.join(" "));
}
