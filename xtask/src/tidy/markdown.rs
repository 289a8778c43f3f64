//! The code in a Markdown document: fenced blocks and inline spans.

/// A line of a fenced block, or an inline span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code<'a> {
    /// From 1.
    pub line: usize,
    /// Without fence or backticks.
    pub text: &'a str,
    /// Inline, so it may be a mere mention.
    pub inline: bool,
}

/// All code, in order.
pub(super) fn code(document: &str) -> Vec<Code<'_>> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, text) in document.lines().enumerate() {
        let line = number + 1;
        if text.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(Code {
                line,
                text,
                inline: false,
            });
        } else {
            let spans = text.split('`').skip(1).step_by(2);
            found.extend(spans.map(|text| Code {
                line,
                text,
                inline: true,
            }));
        }
    }
    found
}

/// The targets of links, with their lines.
pub(super) fn links(document: &str) -> Vec<(usize, &str)> {
    let lines = document.lines().enumerate();
    lines
        .flat_map(|(number, text)| {
            let targets = text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next());
            targets.map(move |target| (number + 1, target))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{code, links};

    #[test]
    fn blocks_and_spans_are_code() {
        let document = "Run `a b` or `c`.\n```console\n$ d `e`\n```\nplain";
        let found: Vec<_> = code(document)
            .into_iter()
            .map(|code| (code.line, code.text, code.inline))
            .collect();
        assert_eq!(
            found,
            [(1, "a b", true), (1, "c", true), (3, "$ d `e`", false)]
        );
    }

    #[test]
    fn links_are_found() {
        assert_eq!(
            links("see [a](b.md) and\n[c](d/e.md#f)"),
            [(1, "b.md"), (2, "d/e.md#f")]
        );
    }
}
