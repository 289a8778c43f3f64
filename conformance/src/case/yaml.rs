//! YAML that is not what it ought to be: in which line and field, in words of those who write it.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess};
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, MessageFormatter as _, Spanned};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// One-based.
    pub(crate) line: u64,
    /// Such as `steps[0].events[1]`; none where the whole text is meant.
    pub(crate) field: Option<String>,
    /// In words that need no knowledge of the parser.
    pub(crate) message: String,
}

/// Reads a text of one document.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let read = serde_saphyr::from_str_with_options(text, crate::world::yaml());
    read.map_err(|error| fault(error.without_snippet(), text))
}

fn fault(error: &Error, text: &str) -> Fault {
    let location = error.location();
    let field = location.and_then(|location| field(error, text, location));
    Fault {
        line: location.map_or(1, |location| location.line()),
        field: field.filter(|field| !field.is_empty()),
        message: words(error),
    }
}

fn words(error: &Error) -> String {
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` is there twice"),
        Error::DuplicateMappingKey { key: None, .. } => "a field is there twice".to_owned(),
        Error::MultipleDocuments { .. } => "more than one document in the file".to_owned(),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => "too large, or too deep".to_owned(),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
            "more than one field where there is to be one".to_owned()
        }
        Error::Unexpected { expected, .. } => format!("expected {}", kind(expected)),
        Error::AliasError { error, .. } => words(error),
        other => {
            let message = serde_saphyr::UserMessageFormatter.format_message(other);
            message.lines().next().unwrap_or_default().to_owned()
        }
    }
}

/// What the parser calls a kind of value, in plain words.
fn kind(name: &str) -> &str {
    match name {
        "sequence start" => "a list",
        "mapping start" => "fields",
        "string scalar" | "scalar" => "a text",
        other => other,
    }
}

/// The field that an error is about: what the text has at its place.
fn field(error: &Error, text: &str, location: Location) -> Option<String> {
    let place = (location.line(), location.column());
    match error {
        Error::SerdeMissingField { field, .. } => {
            let holder = path(text, place, Keys::Not).unwrap_or_default();
            Some(joined(&holder, field))
        }
        Error::SerdeUnknownField { field, .. } => {
            let found = path(text, place, Keys::Too).filter(|it| !it.is_empty());
            found.or_else(|| Some(field.clone()))
        }
        Error::DuplicateMappingKey { .. } => path(text, place, Keys::Too),
        _ => path(text, place, Keys::Not),
    }
}

/// Whether a key is the field that it begins, or still what holds it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Too,
    Not,
}

fn joined(holder: &str, key: &str) -> String {
    if holder.is_empty() {
        key.to_owned()
    } else {
        format!("{holder}.{key}")
    }
}

/// The field at a line and column; none where the text is no YAML.
fn path(text: &str, place: (u64, u64), keys: Keys) -> Option<String> {
    let mut options = crate::world::yaml();
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options).ok()?;
    let mut path = String::new();
    let mut node = &root.value;
    loop {
        match node {
            Node::Leaf => return Some(path),
            Node::List(items) => {
                let begun = |(_, item): &(usize, &Spanned<Node>)| start(item) <= place;
                let Some((number, item)) = items.iter().enumerate().rfind(begun) else {
                    return Some(path);
                };
                path = format!("{path}[{number}]");
                node = &item.value;
            }
            Node::Fields(fields) => {
                let begun = |(key, _): &&(Spanned<String>, Spanned<Node>)| start(key) <= place;
                let Some((key, value)) = fields.iter().rfind(begun) else {
                    return Some(path);
                };
                let is_key = start(key) == place;
                if is_key && keys == Keys::Not {
                    return Some(path);
                }
                path = joined(&path, &key.value);
                if is_key {
                    return Some(path);
                }
                node = &value.value;
            }
        }
    }
}

fn start<T>(of: &Spanned<T>) -> (u64, u64) {
    (of.referenced.line(), of.referenced.column())
}

/// YAML of whatever shape, with the place of everything.
enum Node {
    Fields(Vec<(Spanned<String>, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Fields(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use crate::case::{Origin, read_case};

    #[test]
    fn what_cannot_be_read_is_said_with_its_line_and_field_in_plain_words() {
        let head = "id: a/b\nsentence: s\n";
        for (text, wanted) in [
            (format!("{head}tags: ingress\n"), "3: tags: expected a list"),
            (
                format!("{head}steps:\n  - title: t\n    order: some\n"),
                "5: steps[0].order: unknown variant `some`, expected one of fixed, any",
            ),
            (
                format!("{head}steps:\n  - events:\n      - delete: x/p\n      - aply: {{}}\n"),
                "6: steps[0].events[1]: unknown variant `aply`",
            ),
            (
                format!("{head}steps:\n  - events: [agent: stop]\n"),
                "4: steps[0].events[0].agent: unknown variant `stop`",
            ),
            (
                format!(
                    "{head}steps:\n  - events:\n      - open: {{name: c, from: x/a, to: x/b}}\n"
                ),
                "5: steps[0].events[0].open.port: missing field",
            ),
            (
                format!("{head}steps:\n  - tittle: t\n"),
                "4: steps[0].tittle: unknown field",
            ),
            (format!("{head}id: a/c\n"), "3: id: `id` is there twice"),
            (
                format!("{head}steps:\n  - events:\n      - delete: x/p\n        apply: {{}}\n"),
                "6: steps[0].events[0]: more than one field",
            ),
            (
                format!("{head}---\n{head}"),
                "4: case: more than one document in the file",
            ),
            (
                format!("{head}policies: [{}]\n", "[],".repeat(300_000)),
                "3: case: too large, or too deep",
            ),
        ] {
            let error = read_case(Origin::File("c".into()), &text).unwrap_err();
            let (wanted, error) = (format!("c:{wanted}"), error.to_string());
            assert!(error.starts_with(&wanted), "{wanted}: {error}");
        }
    }
}
