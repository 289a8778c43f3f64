//! `mutants`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use sluice_conformance::mutants::{Kill, Progress, Tried, trial};
use sluice_conformance::profile::Profile;

use super::{CasesArgs, Output, Stopped, print};

/// `mutants`.
#[derive(Debug, Args)]
pub(super) struct MutantsArgs {
    #[command(flatten)]
    cases: CasesArgs,
    /// How to print what became of them
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn mutants(args: &MutantsArgs) -> Result<ExitCode, Stopped> {
    let catalogue = args.cases.catalogue()?;
    let cases = args.cases.chosen(&catalogue)?;
    let started = Instant::now();
    let tried = trial(&cases, Profile::SLUICE, progress());
    let tried = tried.map_err(|error| Stopped(1, error.to_string()))?;
    let seconds = started.elapsed().as_secs_f64();
    let killed = tried.iter().filter(|it| it.killed.is_some()).count();
    if args.output == Output::Json {
        print(&report(&tried, killed, seconds).to_string());
    } else {
        print(&table(&tried));
        let count = tried.len();
        print(&format!(
            "{killed} of {count} mutants killed in {seconds:.1} s"
        ));
    }
    Ok(if killed == tried.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// One line that says how far it is, where somebody sees it.
fn progress() -> impl FnMut(Progress) {
    let mut shown = std::io::stderr();
    let is_seen = shown.is_terminal();
    move |Progress { cases, of, living }| {
        if is_seen {
            let _closed = write!(
                shown,
                "\r{cases} of {of} cases, {living} mutants live\x1b[K"
            );
        }
        if is_seen && cases == of {
            let _closed = write!(shown, "\r\x1b[K");
        }
    }
}

fn report(tried: &[Tried], killed: usize, seconds: f64) -> Value {
    let kill = |kill: &Kill| {
        json!({
            "case": *kill.case,
            "theme": kill.theme,
            "step": kill.step,
            "wrong": kill.wrong.to_string(),
        })
    };
    let one = |it: &Tried| {
        json!({
            "id": it.id,
            "sentence": it.sentence,
            "killed": it.killed.as_ref().map(kill),
        })
    };
    json!({
        "mutants": tried.len(),
        "killed": killed,
        "seconds": seconds,
        "themes": themes(tried),
        "results": tried.iter().map(one).collect::<Vec<_>>(),
    })
}

/// How many mutants each theme killed.
fn themes(tried: &[Tried]) -> BTreeMap<&str, usize> {
    let mut themes = BTreeMap::new();
    for kill in tried.iter().filter_map(|it| it.killed.as_ref()) {
        *themes.entry(kill.theme.as_str()).or_default() += 1;
    }
    themes
}

fn table(tried: &[Tried]) -> String {
    let by = |it: &Tried| {
        it.killed.as_ref().map_or_else(
            || "LIVES".to_owned(),
            |kill| format!("{}, step {}", kill.case, kill.step),
        )
    };
    let id = tried.iter().map(|it| it.id.len()).max().unwrap_or(0);
    let case = tried.iter().map(|it| by(it).len()).max().unwrap_or(0);
    let mut text = String::new();
    for it in tried {
        let _infallible = writeln!(text, "{:id$}  {:case$}  {}", it.id, by(it), it.sentence);
    }
    let themes = themes(tried).into_iter();
    let themes: Vec<String> = themes
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    text + &format!("killed by theme: {}", themes.join(", "))
}
