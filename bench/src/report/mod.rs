//! What a run printed as JSON, made into files for readers: Markdown, CSV, and plots.

mod document;
mod markdown;
mod plots;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use self::document::{Document, read};

/// A run's document, and the name that its files get.
#[derive(Debug)]
pub struct Run {
    /// The name of its file, without the extension.
    pub name: String,
    /// As it was printed.
    pub text: String,
    /// As it was read.
    pub document: Document,
}

/// Writes the files of `runs` into `directory`; which ones.
pub fn write(runs: &[Run], directory: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    let mut written = Vec::new();
    for run in runs {
        for (file, text) in files(run)? {
            let path = directory.join(file);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            written.push(path);
        }
    }
    Ok(written)
}

fn files(run: &Run) -> Result<Vec<(String, String)>> {
    let name = &run.name;
    let mut files = vec![
        (format!("{name}.json"), run.text.clone()),
        (format!("{name}.csv"), document::csv(&run.document)),
        (format!("{name}.md"), markdown::page(name, &run.document)),
    ];
    match &run.document {
        Document::Compare(compare) => {
            files.push((format!("{name}-ratios.svg"), plots::ratios(compare)?));
            files.push((format!("{name}-slices.svg"), plots::slices(compare)?));
        }
        Document::Policies(policies) => {
            files.push((format!("{name}-cost.svg"), plots::cost(policies)?));
        }
    }
    Ok(files)
}
