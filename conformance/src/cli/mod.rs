//! The command line as typed.
#![expect(clippy::print_stderr, reason = "a command prints")]

mod cluster;
mod fuzz;
mod lab;
mod list;
mod mutants;
mod run;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sluice_conformance::case::Case;
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::selection::{Selection, Shard, unknown};

const EXIT_CODES: &str = "Exit codes: 0 it holds, 1 it was judged and does not hold, 2 bad usage or bad input, 3 the \
                          machine cannot do this.";

/// Tests enforcers of Kubernetes network policies against truth tables.
#[derive(Debug, Parser)]
#[command(name = "sluice-conformance", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List cases
    List(list::ListArgs),
    /// Show a case: its policies, its steps, and which connections they leave open
    Explain(list::ExplainArgs),
    /// Run cases
    Run(run::RunArgs),
    /// Test the suite itself: evaluators with one fault each, of which a case must tell every one
    Mutants(mutants::MutantsArgs),
    /// Draw cases by chance, judge them, and make those that fail small
    Fuzz(fuzz::FuzzArgs),
}

/// Which cases.
#[derive(Debug, Args)]
struct CasesArgs {
    /// Cases by id, or by its beginning: `upstream/np-01`, `ports/*` [default: all]
    #[arg(value_name = "CASE")]
    ids: Vec<String>,
    /// Only cases with one of these tags, features or themes
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    include: Vec<String>,
    /// No case with one of these
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    exclude: Vec<String>,
    /// One share of them, the I-th of N
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Cases of your own, in place of the suite's: files and directories
    #[arg(long, value_name = "PATH")]
    cases: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// Why a command could not answer: its exit code, and what it says.
struct Stopped(u8, String);

pub(crate) fn run(cli: Cli) -> ExitCode {
    let ended = match cli.verb {
        Verb::List(args) => list::list(&args),
        Verb::Explain(args) => list::explain(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Mutants(args) => mutants::mutants(&args),
        Verb::Fuzz(args) => fuzz::run(&args),
    };
    ended.unwrap_or_else(|Stopped(code, message)| {
        eprintln!("error: {message}");
        ExitCode::from(code)
    })
}

/// A text for whoever asked. A reader that has gone away is no error.
fn print(text: &str) {
    let _closed = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}

impl CasesArgs {
    fn catalogue(&self) -> Result<Catalogue, Stopped> {
        let catalogue = if self.cases.is_empty() {
            Catalogue::built_in()
        } else {
            Catalogue::from_paths(&self.cases)
                .map_err(|error| Stopped(2, format!("--cases: {error}")))?
        };
        if catalogue.errors.is_empty() {
            return Ok(catalogue);
        }
        let said: Vec<String> = catalogue.errors.iter().map(ToString::to_string).collect();
        Err(Stopped(2, said.join("\nerror: ")))
    }

    /// The cases that are meant; at least one.
    fn chosen<'c>(&self, catalogue: &'c Catalogue) -> Result<Vec<&'c Case>, Stopped> {
        let words = self.include.iter().chain(&self.exclude);
        if let Some(word) = unknown(words, &catalogue.cases).first() {
            let message = format!("no case has the tag, feature or theme {word}");
            return Err(Stopped(2, message));
        }
        let selection = Selection {
            ids: self.ids.clone(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            shard: self.shard,
        };
        let chosen = selection.of(&catalogue.cases);
        if chosen.is_empty() {
            return Err(Stopped(
                2,
                "no case is meant; `sluice-conformance list` has all".to_owned(),
            ));
        }
        Ok(chosen)
    }
}
