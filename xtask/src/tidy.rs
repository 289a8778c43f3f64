//! `cargo xtask tidy`: checks what prose and layout promise and no compiler does.
//!
//! Each check is a pure function from the files of the repository to findings, in a file of its own, with a test
//! that shows it a bad sample. A finding is one line: where, and what is wrong.

mod changelog;
mod code_map;
mod commands;
mod habits;
mod headers;
mod imports;
mod markdown;
mod orphans;
mod rust;
mod size;
mod toolchain;
mod tree;
mod words;

use std::process::ExitCode;

use self::tree::{Finding, Tree};
use crate::{exit, repo};

/// A check, and what it keeps true.
struct Check {
    name: &'static str,
    promise: &'static str,
    run: fn(&Tree) -> Vec<Finding>,
}

const CHECKS: &[Check] = &[
    Check {
        name: "imports",
        promise: "each foreign library stays in its room",
        run: imports::check,
    },
    Check {
        name: "orphans",
        promise: "every .rs file is part of a crate",
        run: orphans::check,
    },
    Check {
        name: "headers",
        promise: "every .rs file says what it owns",
        run: headers::check,
    },
    Check {
        name: "size",
        promise: "files and functions fit into a head",
        run: size::check,
    },
    Check {
        name: "habits",
        promise: "no todo, no ignored test, no sleeping in tests",
        run: habits::check,
    },
    Check {
        name: "commands",
        promise: "commands in the documents exist",
        run: commands::check,
    },
    Check {
        name: "code map",
        promise: "paths and crates in the documents exist",
        run: code_map::check,
    },
    Check {
        name: "toolchain",
        promise: "one Rust version everywhere",
        run: toolchain::check,
    },
    Check {
        name: "changelog",
        promise: "there is room for what comes next",
        run: changelog::check,
    },
];

/// What `tidy` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A word that no file may contain, in any case (repeatable)
    #[arg(long, value_name = "WORD")]
    forbid: Vec<String>,
}

/// Runs every check. Findings go to stdout, one line each; exit code 1 where there are any.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tree = Tree::read(&repo::root())?;
    let mut total = 0;
    let mut report = |name: &str, promise: &str, findings: Vec<Finding>| {
        for finding in &findings {
            println!("{finding}");
        }
        eprintln!(
            "{name}: {promise}: {}",
            if findings.is_empty() { "yes" } else { "NO" }
        );
        total += findings.len();
    };
    for check in CHECKS {
        report(check.name, check.promise, (check.run)(&tree));
    }
    if !args.forbid.is_empty() {
        report(
            "words",
            "no forbidden word",
            words::check(&tree, &args.forbid),
        );
    }
    println!("{total} findings in {} files", tree.len());
    Ok(exit::holds(total == 0))
}
