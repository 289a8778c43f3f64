//! The command line of `report`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use sluice_bench::report::{Markers, Run, Runs, section, way};

use crate::{EXIT_CODES, Output, Usage};

const EXAMPLES: &str = "\
Examples:
  sluice-bench report compare.json policies.json
  sluice-bench report *.json --out bench/results/today --readme bench/README.md

";

/// What `report` takes.
#[derive(Debug, Args)]
#[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
pub(crate) struct ReportArgs {
    /// Documents of `-o json`: of compare, policies, latency, micro, and of network launcher
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where the files are written; a copy of each document too [default: bench/results/DATE-MACHINE]
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
    /// Write the section of results of this text anew, between `<!-- results -->` and `<!-- /results -->`
    #[arg(long, value_name = "FILE")]
    readme: Option<PathBuf>,
    /// For likeness with the others: it is quick anyway
    #[arg(long)]
    quick: bool,
    /// What was written: a path a line, or one JSON document
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl ReportArgs {
    /// Writes the files, and says which.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let runs = usage(self.files.iter().map(|file| Run::read(file)).collect())?;
        let runs = usage(Runs::new(runs).map_err(Into::into))?;
        // What makes no sense is said before anything is written.
        let readme = usage(self.readme.as_deref().map(read_readme).transpose())?;
        let out = self.out.clone().unwrap_or_else(|| runs.directory());
        let mut written = usage(runs.write(&out))?;
        if let Some((path, text)) = readme {
            let link = way(path, &out)?;
            let markers = Markers::find(&text)?;
            let text = markers.with(&section(&runs, &link)?);
            usage(fs::write(path, text).with_context(|| path.display().to_string()))?;
            written.push(path.to_owned());
        }
        match self.output {
            Output::Table => written
                .iter()
                .for_each(|path| println!("{}", path.display())),
            Output::Json => println!("{}", serde_json::json!({ "written": written })),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is wrong with files is for whoever named them.
fn usage<T>(result: Result<T>) -> Result<T> {
    result.map_err(|error| Usage(format!("{error:#}")).into())
}

fn read_readme(path: &Path) -> Result<(&Path, String)> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Markers::find(&text).with_context(|| path.display().to_string())?;
    Ok((path, text))
}
