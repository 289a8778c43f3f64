//! `matrix`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use sluice_conformance::decide::Decider;
use sluice_conformance::expect::Expected;
use sluice_conformance::report::{Judged, tables};
use sluice_kubernetes::World;
use sluice_oracle::Cell;

use super::offline::{AskArgs, json_of, load, word};
use super::{Output, Stopped, print};

const LEGEND: &str = "rows are sources, columns destinations; . allowed, X denied, * left open by the API, ? by the \
                      backend that is chosen";

/// `matrix`.
#[derive(Debug, Args)]
pub(super) struct MatrixArgs {
    /// Manifests: files, directories (read recursively), or - for stdin
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    ask: AskArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn matrix(args: &MatrixArgs) -> Result<ExitCode, Stopped> {
    let world = load(&args.paths)?;
    let cells = args.ask.cells(&[&world])?;
    let judged = args.ask.judge(&world, &cells);
    if args.output == Output::Json {
        print(&json(&world, &judged).to_string());
    } else {
        print(&format!("{LEGEND}\n\n{}", tables(&judged)));
    }
    Ok(ExitCode::SUCCESS)
}

fn json(world: &World, judged: &[Judged]) -> Value {
    let cells: Vec<Cell> = judged.iter().map(|(cell, _)| cell.clone()).collect();
    let decided = Decider::new(world).decide(&cells);
    let pods = world.pods.iter().map(|facts| &facts.pod);
    let pods = pods.map(|pod| {
        json!({
            "name": pod.name.to_string(),
            "node": pod.node.as_deref(),
            "ips": pod.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    });
    let cells = judged.iter().zip(decided).map(|((cell, said), decided)| {
        let mut value = json_of(cell);
        value["verdict"] = word(said).into();
        if let Expected::Open(topics) = said {
            value["open"] = topics.iter().map(ToString::to_string).collect();
        }
        value["evaluator"] = json!(decided.by);
        value
    });
    json!({ "pods": pods.collect::<Vec<_>>(), "cells": cells.collect::<Vec<_>>() })
}
