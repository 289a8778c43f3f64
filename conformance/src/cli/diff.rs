//! `diff`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use sluice_conformance::decide::{Both, Decider};
use sluice_conformance::expect::Expected;
use sluice_conformance::judge::destination;
use sluice_kubernetes::World;
use sluice_oracle::{Cell, Port};

use super::offline::{AskArgs, json_of, load, word};
use super::{Output, Stopped, print};

/// `diff`.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// Manifests as they were: a file or a directory
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// Manifests as they are to be
    #[arg(value_name = "AFTER")]
    after: PathBuf,
    /// Manifests that belong to both: pods, namespaces, policies that stay. Repeatable
    #[arg(long, value_name = "PATH")]
    manifests: Vec<PathBuf>,
    #[command(flatten)]
    ask: AskArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// A cell of which something else is said.
struct Change {
    cell: Cell,
    before: Said,
    after: Said,
}

/// None where an end of the cell is not there.
type Said = Option<(Expected, Option<Both>)>;

pub(super) fn diff(args: &DiffArgs) -> Result<ExitCode, Stopped> {
    let load = |path: &PathBuf| load(&[args.manifests.clone(), vec![path.clone()]].concat());
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    let cells = args.ask.cells(&[&before, &after])?;
    let (before, after) = (said(args, &before, &cells), said(args, &after, &cells));
    let count = cells.len();
    let all = cells.into_iter().zip(before.into_iter().zip(after));
    let changes: Vec<Change> = all
        .filter(|(_, (before, after))| verdict(before) != verdict(after))
        .map(|(cell, (before, after))| Change {
            cell,
            before,
            after,
        })
        .collect();
    if args.output == Output::Json {
        let json = json!({
            "cells": count,
            "changes": changes.iter().map(json).collect::<Vec<_>>(),
        });
        print(&json.to_string());
    } else {
        print(&text(&changes, count));
    }
    Ok(ExitCode::from(u8::from(!changes.is_empty())))
}

fn said(args: &DiffArgs, world: &World, cells: &[Cell]) -> Vec<Said> {
    let there = cells.iter().filter(|cell| is_there(world, cell));
    let there: Vec<Cell> = there.cloned().collect();
    let decided = Decider::new(world).decide(&there);
    let judged = args.ask.judge(world, &there);
    let mut said = judged.into_iter().zip(decided);
    let mut next = || said.next().map(|((_, said), decided)| (said, decided.by));
    let one = |cell: &Cell| if is_there(world, cell) { next() } else { None };
    cells.iter().map(one).collect()
}

fn is_there(world: &World, cell: &Cell) -> bool {
    use sluice_oracle::Target;
    let has = |name| {
        let pod = world.pod(name);
        pod.is_some_and(|pod| cell.family.address(pod).is_some())
    };
    has(&cell.from)
        && match &cell.to {
            Target::Pod(name) => has(name),
            Target::Service(name) => world
                .services
                .iter()
                .any(|it| it.namespace == name.namespace && it.name == name.name),
        }
}

fn verdict(said: &Said) -> &'static str {
    said.as_ref().map_or("not there", |(said, _)| word(said))
}

fn by(said: &Said) -> String {
    let by = said.as_ref().and_then(|(_, by)| by.as_ref());
    by.map_or_else(String::new, ToString::to_string)
}

fn json(change: &Change) -> Value {
    let side = |said: &Said| {
        json!({
            "verdict": verdict(said),
            "evaluator": said.as_ref().and_then(|(_, by)| by.as_ref()),
        })
    };
    let mut value = json_of(&change.cell);
    value["before"] = side(&change.before);
    value["after"] = side(&change.after);
    value
}

/// A table for each port: who connects to whom, and what was and will be said by whom.
fn text(changes: &[Change], count: usize) -> String {
    let mut ports: BTreeMap<Port, Vec<[String; 4]>> = BTreeMap::new();
    for change in changes {
        let row = |family: &str| {
            [
                format!(
                    "{} > {}{family}",
                    change.cell.from,
                    destination(&change.cell.to)
                ),
                format!("{} > {}", verdict(&change.before), verdict(&change.after)),
                by(&change.before),
                by(&change.after),
            ]
        };
        let rows = ports.entry(change.cell.port).or_default();
        // Most clusters say of both families the same.
        let bare = row("");
        if !rows.contains(&bare) {
            let is_of_pair = |it: &[String; 4]| it[0] == bare[0];
            let new = if rows.iter().any(is_of_pair) {
                row(&format!(" {}", change.cell.family))
            } else {
                bare
            };
            rows.push(new);
        }
    }
    let mut text = String::new();
    for (port, rows) in &ports {
        let _infallible = writeln!(text, "{port}");
        text.push_str(&aligned(rows));
    }
    let _infallible = writeln!(text, "{} of {count} cells change", changes.len());
    text
}

fn aligned(rows: &[[String; 4]]) -> String {
    let head = ["", "verdict", "decided by", "decided then by"].map(str::to_owned);
    let all: Vec<&[String; 4]> = std::iter::once(&head).chain(rows).collect();
    let widths = [0, 1, 2].map(|at| all.iter().map(|row| row[at].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in all {
        for (cell, width) in row.iter().zip(widths) {
            let _infallible = write!(text, "{cell:width$}  ");
        }
        text.push_str(&row[3]);
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}
