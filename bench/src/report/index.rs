//! Pages for readers: one for each document, and one of them all.

use std::fmt::Write as _;

use anyhow::Result;

use super::plot::Plot;
use super::{Run, Runs};

/// The page of a document.
pub(super) fn page_of(run: &Run, plots: &[Plot]) -> String {
    let chapter = run.document.chapter();
    let mut text = format!("# {}\n\n{}", chapter.title(), head(run));
    let _infallible = write!(text, "\n{}", chapter.summary());
    write_plots(&run.name, plots, &mut text);
    text.push_str(&chapter.tables());
    text
}

/// How it was measured, and what has to be known to read it.
fn head(run: &Run) -> String {
    let chapter = run.document.chapter();
    let command = run.document.command();
    let mut text = format!("```console\n$ {command} > {}.json\n```\n\n", run.name);
    if let Some(env) = chapter.env() {
        let _infallible = writeln!(text, "{}.", env.line());
    }
    let _infallible = writeln!(text, "{}", chapter.remarks());
    text
}

fn write_plots(name: &str, plots: &[Plot], text: &mut String) {
    for plot in plots {
        let _infallible = writeln!(text, "\n![{}]({name}-{}.svg)", plot.title, plot.suffix);
    }
}

/// The page of all.
pub(super) fn page(runs: &Runs) -> Result<String> {
    let (date, machine) = runs.when_and_where();
    let mut text = format!(
        "# Results of {date}, {machine}\n\nMade by `sluice-bench report` of the documents beside this page, which have every sample. How figures come about is in bench/README.md.\n"
    );
    for run in &runs.0 {
        let chapter = run.document.chapter();
        let name = &run.name;
        let _infallible = write!(
            text,
            "\n## {}\n\n{}{}\n{}",
            chapter.title(),
            head(run),
            runs.where_else(run).trim_start(),
            chapter.summary()
        );
        write_plots(name, &chapter.plots()?, &mut text);
        let _infallible = writeln!(
            text,
            "\n[All tables]({name}.md), [every sample]({name}.csv), [the document]({name}.json)."
        );
    }
    Ok(text)
}
