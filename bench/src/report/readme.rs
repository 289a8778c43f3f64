//! The section of a README that is generated: between two lines that are comments.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::Runs;

const FROM: &str = "<!-- results -->";
const TO: &str = "<!-- /results -->";
/// What the first line of a section begins with; then comes where the documents are.
const OF: &str = "<!-- by `sluice-bench report`, of ";

/// A text with a place for a section.
#[derive(Clone, Copy, Debug)]
pub struct Markers<'a> {
    before: &'a str,
    section: &'a str,
    after: &'a str,
}

/// There is no such place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no line `{FROM}` with a line `{TO}` below it")]
pub struct NoMarkers;

impl<'a> Markers<'a> {
    /// Finds it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(text: &'a str) -> Result<Self, NoMarkers> {
        let from = format!("{FROM}\n");
        let (before, rest) = text.split_once(&from).ok_or(NoMarkers)?;
        let (section, _) = rest.split_once(TO).ok_or(NoMarkers)?;
        Ok(Self {
            before: &text[..before.len() + from.len()],
            section,
            after: &rest[section.len()..],
        })
    }

    /// What is there now.
    pub const fn section(&self) -> &'a str {
        self.section
    }

    /// The directory that the section says it is of, relative to the text's; none where it is of none.
    pub fn directory(&self) -> Option<&'a str> {
        let line = self
            .section
            .lines()
            .find_map(|line| line.strip_prefix(OF))?;
        line.strip_suffix(" -->")
    }

    /// The text with another section.
    pub fn with(&self, section: &str) -> String {
        [self.before, section, self.after].concat()
    }
}

/// The section of `runs` whose files are in the directory `link`, relative to the text's.
///
/// # Errors
/// Where a plot cannot be drawn.
pub fn section(runs: &Runs, link: &str) -> Result<String> {
    let (date, machine) = runs.when_and_where();
    let mut text =
        format!("{OF}{link} -->\n\nOf {date}, {machine}: [everything]({link}/README.md).\n");
    for run in &runs.0 {
        let chapter = run.document.chapter();
        let (name, command) = (&run.name, run.document.command());
        let _infallible = write!(
            text,
            "\n### {}\n\n`{command}`. {}{} [All tables and plots]({link}/{name}.md).\n\n{}",
            chapter.title(),
            chapter.remarks(),
            runs.where_else(run),
            chapter.summary()
        );
        if let Some(plot) = chapter.plots()?.first() {
            let suffix = plot.suffix;
            let _infallible = writeln!(text, "\n![{}]({link}/{name}-{suffix}.svg)", plot.title);
        }
    }
    text.push('\n');
    Ok(text)
}

/// The way from a text to a directory, as a link has it; both are there.
///
/// # Errors
/// Where one is not.
pub fn way(text: &Path, directory: &Path) -> std::io::Result<String> {
    let text = text.canonicalize()?;
    let from = text.parent().unwrap_or(&text);
    let way = relative(from, &directory.canonicalize()?);
    Ok(way.to_string_lossy().into_owned())
}

/// The way from a directory to another place; both whole.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components());
    let common = common.take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# A\n\n<!-- results -->\nold\n<!-- /results -->\n\nrest\n";

    #[test]
    fn a_section_takes_the_place_of_the_one_before() {
        let markers = Markers::find(TEXT).unwrap();
        assert_eq!((markers.section(), markers.directory()), ("old\n", None));
        let text = markers.with(&format!("{OF}results/x -->\nnew\n"));
        let again = Markers::find(&text).unwrap();
        assert_eq!(again.directory(), Some("results/x"));
        assert_eq!(again.with("old\n"), TEXT);
        assert_eq!(again.with(again.section()), text);
    }

    #[test]
    fn a_text_without_a_place_is_left_alone() {
        for text in [
            "",
            "<!-- results -->\n",
            "<!-- /results -->\n<!-- results -->\n",
        ] {
            assert_eq!(Markers::find(text).err(), Some(NoMarkers), "{text}");
        }
    }

    #[test]
    fn a_way_goes_up_as_far_as_it_has_to() {
        for (from, to, expected) in [
            ("/a/bench", "/a/bench/results/x", "results/x"),
            ("/a/bench", "/a/out", "../out"),
            ("/a/b/c", "/x", "../../../x"),
        ] {
            let way = relative(Path::new(from), Path::new(to));
            assert_eq!(way, Path::new(expected));
        }
    }

    /// What the README says is what the committed documents say.
    #[test]
    fn the_section_of_the_readme_is_that_of_its_documents() {
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(bench.join("README.md")).unwrap();
        let markers = Markers::find(&text).unwrap();
        if let Some(link) = markers.directory() {
            let runs = Runs::of_directory(&bench.join(link)).unwrap();
            let expected = section(&runs, link).unwrap();
            assert_eq!(
                markers.section(),
                expected,
                "sluice-bench report --readme bench/README.md"
            );
        }
    }
}
