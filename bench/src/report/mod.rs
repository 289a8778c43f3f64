//! What the others printed as JSON, made into files for readers: pages, tables and plots, and a page of them all.

mod compare;
mod document;
mod index;
mod latency;
mod micro;
mod network;
mod plot;
mod policies;
mod readme;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use self::compare::Compare;
use self::document::Env;
pub use self::document::{Document, read};
pub use self::latency::Latency;
pub use self::micro::Micro;
pub use self::network::Network;
pub use self::policies::Policies;
pub use self::readme::{Markers, NoMarkers, section, way};

/// A run's document, and the name that its files get.
#[derive(Clone, Debug)]
pub struct Run {
    /// The name of its file, without the extension.
    pub name: String,
    /// As it was printed.
    pub text: String,
    /// As it was read.
    pub document: Document,
}

/// Documents, what matters most first.
#[derive(Clone, Debug)]
pub struct Runs(Vec<Run>);

/// Documents that cannot be in one directory.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunsError {
    /// Their files would have the same names.
    #[error("two documents are called {0}: their files would be in each other's place")]
    SameName(String),
    /// Its page would be where that of all is.
    #[error("a document is called README, as the page of them all is")]
    Readme,
}

impl Runs {
    /// All of them, for one directory.
    ///
    /// # Errors
    /// Where two would be in each other's place.
    pub fn new(mut runs: Vec<Run>) -> Result<Self, RunsError> {
        runs.sort_by(|a, b| (a.turn(), &a.name).cmp(&(b.turn(), &b.name)));
        let mut names: Vec<_> = runs.iter().map(|run| &run.name).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(RunsError::SameName(pair[0].clone()));
        }
        if names.iter().any(|name| *name == "README") {
            return Err(RunsError::Readme);
        }
        Ok(Self(runs))
    }

    /// What is to be said of a document that was not measured where the first one was; nothing of others.
    fn where_else(&self, run: &Run) -> String {
        let mut runs = self.0.iter();
        let first = runs.find_map(|it| Some((&it.name, it.document.chapter().env()?)));
        let (Some((name, first)), Some(own)) = (first, run.document.chapter().env()) else {
            return String::new();
        };
        if own.is_of_machine(first) {
            return String::new();
        }
        format!(
            " Measured on another machine than `{name}`, by kernel, processor or mitigations: their figures say nothing beside each other."
        )
    }

    /// Those of a directory that was written by [`Runs::write`].
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn of_directory(directory: &Path) -> Result<Self> {
        let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
        let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
        let is_document = |path: &&PathBuf| path.extension().is_some_and(|it| it == "json");
        let paths = paths?;
        let runs = paths.iter().filter(is_document).map(|path| Run::read(path));
        let runs: Result<Vec<_>> = runs.collect();
        Ok(Self::new(runs?)?)
    }

    /// Where their files are, unless somebody says otherwise: a directory of the day and the machine.
    pub fn directory(&self) -> PathBuf {
        let (date, machine) = self.when_and_where();
        Path::new("bench/results").join(format!("{date}-{machine}"))
    }

    /// By the first document that says so, or now and here.
    fn when_and_where(&self) -> (String, String) {
        let here = crate::env::Env::read();
        let mut envs = self.0.iter().filter_map(|run| run.document.chapter().env());
        let machine = envs
            .clone()
            .next()
            .map_or_else(|| Env::from(&here).machine(), Env::machine);
        let date = envs
            .find(|env| !env.date.is_empty())
            .map(|env| env.date.clone());
        (date.unwrap_or(here.date), machine)
    }

    /// Writes their files into `directory`; which ones.
    ///
    /// # Errors
    /// Which one cannot be written.
    pub fn write(&self, directory: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let mut files = vec![("README.md".to_owned(), index::page(self)?)];
        for run in &self.0 {
            files.extend(run.files()?);
        }
        let mut written = Vec::new();
        for (file, text) in files {
            let path = directory.join(file);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            written.push(path);
        }
        Ok(written)
    }
}

impl Run {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with the file, or in which field of it.
    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let document = read(&text).with_context(|| file.display().to_string())?;
        let name = file.file_stem().unwrap_or_default();
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            text,
            document,
        })
    }

    const fn turn(&self) -> usize {
        match self.document {
            Document::Compare(_) => 0,
            Document::Policies(_) => 1,
            Document::Latency(_) => 2,
            Document::Network(_) => 3,
            Document::Micro(_) => 4,
        }
    }

    fn files(&self) -> Result<Vec<(String, String)>> {
        let name = &self.name;
        let plots = self.document.chapter().plots()?;
        let mut files = vec![
            (format!("{name}.json"), self.text.clone()),
            (format!("{name}.csv"), self.document.chapter().csv()),
            (format!("{name}.md"), index::page_of(self, &plots)),
        ];
        let plots = plots.into_iter();
        files.extend(plots.map(|plot| (format!("{name}-{}.svg", plot.suffix), plot.svg)));
        Ok(files)
    }
}

#[cfg(test)]
mod tests;
