//! The command line as typed.
#![expect(clippy::print_stderr, reason = "a command prints")]

mod cluster;
mod diff;
mod flags;
mod fuzz;
mod lab;
mod lint;
mod list;
mod matrix;
mod mutants;
mod offline;
mod outputs;
mod progress;
mod run;
mod whole;

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{
    ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};
use sluice_conformance::case::Case;
use sluice_conformance::catalogue::Catalogue;
use sluice_conformance::selection::{Selection, Shard, is_any, meant_id, meant_word, unknown};

const EXIT_CODES: &str = "Exit codes: 0 it holds, 1 it was judged and does not hold, 2 bad usage or bad input, 3 the \
                          machine cannot do this, 130 Ctrl-C, SIGTERM or SIGHUP ended it.";

/// As shells say that Ctrl-C ended a program; other signals that end a run are taken for it.
const INTERRUPTED: u8 = 130;

/// Tests enforcers of Kubernetes network policies against truth tables.
#[derive(Debug, Parser)]
#[command(name = "sluice-conformance", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
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
    Run(Box<run::RunArgs>),
    /// Test the suite itself: evaluators with one fault each, of which a case must tell every one
    Mutants(mutants::MutantsArgs),
    /// Draw cases by chance, judge them, and make those that fail small
    Fuzz(fuzz::FuzzArgs),
    /// Show who can reach whom under manifests, by the API text
    Matrix(matrix::MatrixArgs),
    /// Show which connections two sets of policies treat differently (exit 1 where there are any)
    Diff(diff::DiffArgs),
    /// Say what policies most likely do not mean (exit 1 where there is anything to say)
    Lint(lint::LintArgs),
    /// Print the JSON Schema of case files
    Schema,
}

/// Which cases.
#[derive(Debug, Args)]
struct CasesArgs {
    /// Cases by id, in which `*` stands for anything: `upstream/np-01`, `ports/*` [default: all]
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

pub(crate) fn run() -> ExitCode {
    let typed = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
    let given = typed.subcommand().map(|(_, given)| given);
    let ended = ended(cli.verb, given.unwrap_or(&typed));
    let unprinted = UNPRINTED.get();
    let unprinted = unprinted.map(|error| Stopped(3, format!("stdout: {error}")));
    let ended = ended.and_then(|code| unprinted.map_or(Ok(code), Err));
    ended.unwrap_or_else(|Stopped(code, message)| {
        eprintln!("error: {message}");
        ExitCode::from(code)
    })
}

/// `given` are the verb's flags as typed.
fn ended(verb: Verb, given: &ArgMatches) -> Result<ExitCode, Stopped> {
    match verb {
        Verb::List(args) => list::list(&args),
        Verb::Explain(args) => list::explain(&args),
        Verb::Run(args) => run::run(&args, given),
        Verb::Mutants(args) => mutants::mutants(&args),
        Verb::Fuzz(args) => fuzz::run(&args, given),
        Verb::Matrix(args) => matrix::matrix(&args),
        Verb::Diff(args) => diff::diff(&args),
        Verb::Lint(args) => lint::lint(&args),
        Verb::Schema => {
            print(&sluice_conformance::schema::text());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What came of a text that could not be printed, the first of them: whatever else a command does is done all the same,
/// as files may be written besides.
static UNPRINTED: OnceLock<io::Error> = OnceLock::new();

/// A text for whoever asked. A reader that has gone away is no error.
fn print(text: &str) {
    match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            UNPRINTED.get_or_init(|| error);
        }
        _ => {}
    }
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |it| format!(" (did you mean {it}?)"))
}

/// The text of a file that a flag names.
fn read(flag: &str, path: &Path) -> Result<String, Stopped> {
    fs::read_to_string(path)
        .map_err(|error| Stopped(2, format!("{flag} {}: {error}", path.display())))
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
        for (flag, words) in [("--include", &self.include), ("--exclude", &self.exclude)] {
            if words.iter().any(String::is_empty) {
                return Err(Stopped(2, format!("{flag}: a word of it is empty")));
            }
        }
        let words = self.include.iter().chain(&self.exclude);
        if let Some(word) = unknown(words, &catalogue.cases).first() {
            let meant = did_you_mean(meant_word(word, &catalogue.cases));
            let message = format!("no case has the tag, feature or theme {word}{meant}");
            return Err(Stopped(2, message));
        }
        if let Some(id) = self.ids.iter().find(|id| !is_any(id, &catalogue.cases)) {
            let meant = did_you_mean(meant_id(id, &catalogue.cases).as_deref());
            let all = "`sluice-conformance list` has all";
            let message = format!("no case is called {id}{meant}; {all}");
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
