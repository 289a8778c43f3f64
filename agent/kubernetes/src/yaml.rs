//! Text to trees: YAML with several documents, and JSON as a part of it.
//!
//! Scalars are read as the API server's tools read them (YAML 1.1: `yes` and `off` are booleans). Input is hostile until
//! read: nesting, and what aliases expand to, is bounded.

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::node::{Entry, Node, Value};

/// How deep a document may nest: far more than any Kubernetes kind, and little stack.
const DEEPEST: usize = 200;
/// How many nodes all aliases of a file may expand to together.
const MOST_ALIASED: usize = 1_000_000;
/// How many errors of one file are reported before the rest of it is given up.
const MOST_ERRORS: usize = 20;

/// What is not YAML, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// One-based.
    pub(crate) line: u32,
    /// One-based.
    pub(crate) column: u32,
    pub(crate) message: String,
}

/// Every document that can be read, without empty ones, and an error for each that cannot.
pub(crate) fn parse(text: &str) -> (Vec<Node>, Vec<SyntaxError>) {
    let mut options = granit_parser::options! { simple_key_max_lookahead: 64 * 1024 };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::default();
    let mut errors = Vec::new();
    while let Some(next) = parser.next_event() {
        let error = match next {
            Ok((event, span)) => builder.event(event, span.start).err(),
            Err(error) => Some(SyntaxError::from(&error)),
        };
        let Some(error) = error else { continue };
        errors.push(error);
        builder.abandon();
        if errors.len() >= MOST_ERRORS || !matches!(parser.proceed_next_document(), Ok(true)) {
            break;
        }
    }
    (builder.documents, errors)
}

impl From<&ScanError> for SyntaxError {
    fn from(error: &ScanError) -> Self {
        Self::at(*error.marker(), error.info())
    }
}

impl SyntaxError {
    fn at(mark: Marker, message: impl Into<String>) -> Self {
        Self {
            line: number(mark.line()),
            column: number(mark.col() + 1),
            message: message.into(),
        }
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Turns events into trees.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    /// The collections that are open, outermost first.
    open: Vec<Frame>,
    /// What aliases of the current document may refer to.
    anchors: HashMap<usize, Node>,
    /// Nodes that came from aliases so far.
    aliased: usize,
}

/// A collection that is being read.
struct Frame {
    line: u32,
    anchor: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    /// The entries so far, and the key whose value comes next.
    Map(Vec<Entry>, Option<(String, u32)>),
}

impl Builder {
    fn event(&mut self, event: Event<'_>, at: Marker) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(text, style, anchor, tag.as_deref(), at)
            }
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::SequenceStart(_, anchor, _) => self.start(Kind::List(Vec::new()), anchor, at),
            Event::MappingStart(_, anchor, _) => {
                self.start(Kind::Map(Vec::new(), None), anchor, at)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(at),
            Event::DocumentStart(..) | Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Forgets the document that is being read.
    fn abandon(&mut self) {
        self.open.clear();
        self.anchors.clear();
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Marker,
    ) -> Result<(), SyntaxError> {
        let line = number(at.line());
        if let Some(Frame {
            kind: Kind::Map(_, key @ None),
            ..
        }) = self.open.last_mut()
        {
            *key = Some((text.into_owned(), line));
            return Ok(());
        }
        let is_text = style != ScalarStyle::Plain
            || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        let value = if is_text {
            Value::Text(text.into_owned())
        } else {
            resolve(text)
        };
        self.finish(Node { line, value }, anchor, at)
    }

    fn alias(&mut self, anchor: usize, at: Marker) -> Result<(), SyntaxError> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(SyntaxError::at(
                at,
                "an alias cannot stand inside of what it refers to",
            ));
        };
        self.aliased += node.size();
        if self.aliased > MOST_ALIASED {
            return Err(SyntaxError::at(at, "aliases expand to too much"));
        }
        if self.open.len() + node.depth() > DEEPEST {
            return Err(SyntaxError::at(at, "nested too deeply"));
        }
        let node = node.clone();
        self.finish(node, 0, at)
    }

    fn start(&mut self, kind: Kind, anchor: usize, at: Marker) -> Result<(), SyntaxError> {
        if self.open.len() >= DEEPEST {
            return Err(SyntaxError::at(at, "nested too deeply"));
        }
        if matches!(
            self.open.last(),
            Some(Frame {
                kind: Kind::Map(_, None),
                ..
            })
        ) {
            return Err(SyntaxError::at(at, "a key must be a scalar"));
        }
        self.open.push(Frame {
            line: number(at.line()),
            anchor,
            kind,
        });
        Ok(())
    }

    fn end(&mut self, at: Marker) -> Result<(), SyntaxError> {
        let Some(frame) = self.open.pop() else {
            return Ok(());
        };
        let value = match frame.kind {
            Kind::List(items) => Value::List(items),
            Kind::Map(entries, _) => Value::Map(merge(entries, at)?),
        };
        self.finish(
            Node {
                line: frame.line,
                value,
            },
            frame.anchor,
            at,
        )
    }

    /// Puts a complete node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize, at: Marker) -> Result<(), SyntaxError> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|frame| &mut frame.kind) {
            None if node.value == Value::Null => {}
            None => self.documents.push(node),
            Some(Kind::List(items)) => items.push(node),
            Some(Kind::Map(entries, key)) => match key.take() {
                Some((key, line)) => entries.push(Entry { key, line, node }),
                None => return Err(SyntaxError::at(at, "a key must be a scalar")),
            },
        }
        Ok(())
    }
}

/// Takes in what `<<` refers to: keys that are written out win.
fn merge(mut entries: Vec<Entry>, at: Marker) -> Result<Vec<Entry>, SyntaxError> {
    while let Some(index) = entries.iter().position(|entry| entry.key == "<<") {
        let sources = match entries.remove(index).node.value {
            Value::Map(source) => vec![source],
            Value::List(items) => items
                .into_iter()
                .map(into_map)
                .collect::<Option<_>>()
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        if sources.is_empty() {
            return Err(SyntaxError::at(
                at,
                "'<<' must refer to an object or a list of them",
            ));
        }
        for entry in sources.into_iter().flatten() {
            if !entries.iter().any(|own| own.key == entry.key) {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}

fn into_map(node: Node) -> Option<Vec<Entry>> {
    match node.value {
        Value::Map(entries) => Some(entries),
        _ => None,
    }
}

/// The value of a plain scalar.
fn resolve(text: Cow<'_, str>) -> Value {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        plain => integer(plain)
            .map(Value::Integer)
            .or_else(|| float(plain).map(Value::Float))
            .unwrap_or_else(|| Value::Text(text.into_owned())),
    }
}

/// Decimal, `0x`, `0o`, `0b`, and octal by a leading zero.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

fn float(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        && text.contains(|digit: char| digit.is_ascii_digit())
        && text
            .chars()
            .all(|character| character.is_ascii_digit() || "+-.eE".contains(character));
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> serde_json::Value {
        let (documents, errors) = parse(text);
        assert_eq!(errors, []);
        assert_eq!(documents.len(), 1, "{documents:?}");
        documents[0].to_json()
    }

    #[test]
    fn scalars_are_what_the_api_tools_read() {
        for (text, json) in [
            ("80", "80"),
            ("'80'", "\"80\""),
            ("!!str 80", "\"80\""),
            ("0x10", "16"),
            ("010", "8"),
            ("08", "8.0"),
            ("-1", "-1"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("yes", "true"),
            ("off", "false"),
            ("y", "\"y\""),
            ("x", "\"x\""),
            ("~", "null"),
            ("", "null"),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("1_000", "\"1_000\""),
            ("99999999999999999999", "1e+20"),
            ("fd00::1", "\"fd00::1\""),
        ] {
            assert_eq!(
                one(&format!("- {text}\n- end")).to_string(),
                format!("[{json},\"end\"]"),
                "{text}"
            );
        }
    }

    #[test]
    fn documents_are_read_one_by_one_and_empty_ones_left_out() {
        let (documents, errors) = parse("---\n# nothing\n---\na: 1\n---\n{\"b\": [2]}\n...\n---\n");
        assert_eq!(errors, []);
        let lines: Vec<_> = documents
            .iter()
            .map(|document| (document.line, document.to_json().to_string()))
            .collect();
        assert_eq!(
            lines,
            [(4, "{\"a\":1}".to_owned()), (6, "{\"b\":[2]}".to_owned())]
        );
    }

    #[test]
    fn json_with_tabs_and_long_lines_is_read() {
        assert_eq!(
            one("{\n\t\"a\": {\n\t\t\"b\": [\n\t\t\t1\n\t\t]\n\t}\n}\n").to_string(),
            "{\"a\":{\"b\":[1]}}"
        );
        let long = "x".repeat(5000);
        assert_eq!(one(&format!("{{\"a\": \"{long}\", \"b\": 1}}"))["b"], 1);
    }

    #[test]
    fn an_error_names_its_place_and_spares_the_other_documents() {
        let (documents, errors) = parse("a: 1\n---\nb: [1, 2\nc: }\n---\nd: 1\n");
        assert_eq!(documents.len(), 2);
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].line, 4, "{errors:?}");
    }

    #[test]
    fn aliases_and_merges_expand() {
        assert_eq!(
            one("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n").to_string(),
            "{\"a\":{\"x\":1,\"y\":2},\"b\":{\"x\":1,\"y\":3},\"c\":{\"x\":1,\"y\":2}}"
        );
    }

    #[test]
    fn bombs_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let previous = format!("*a{}, ", level - 1).repeat(10);
            bomb.extend([format!("a{level}: &a{level} [{previous}]\n")]);
        }
        assert!(parse(&bomb).1[0].message.contains("too much"));
        assert!(!parse(&"[".repeat(100_000)).1.is_empty());
        assert!(!parse(&"- ".repeat(100_000)).1.is_empty());
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for level in 1..1000 {
            chain.extend([format!("a{level}: &a{level} [*a{}]\n", level - 1)]);
        }
        assert!(parse(&chain).1[0].message.contains("deeply"));
        assert!(!parse("a: &a [*a]").1.is_empty());
    }
}
