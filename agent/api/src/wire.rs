//! How the API writes lists and watches. Pure: bytes in, objects' text out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct Page<'j> {
    pub(crate) metadata: PageMetadata,
    #[serde(borrow)]
    pub(crate) items: Option<Vec<&'j RawValue>>,
}

/// Where the list stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageMetadata {
    #[serde(default)]
    pub(crate) resource_version: String,
    /// How to ask for the next page; empty on the last.
    #[serde(default, rename = "continue")]
    pub(crate) next: String,
}

/// One line of a watch.
#[derive(Debug)]
pub(crate) enum Told<'j> {
    /// Added or modified: the object.
    There(&'j str),
    /// Deleted: the object as it was.
    Gone(&'j str),
    /// Everything up to this version was told of; whether that ends the initial events.
    Bookmark { version: String, ends_list: bool },
    /// The watch is over: a status.
    Error(&'j str),
}

/// Tells where the initial events of a streaming list end.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

#[derive(Deserialize)]
struct Line<'j> {
    #[serde(borrow, rename = "type")]
    meaning: Cow<'j, str>,
    #[serde(borrow)]
    object: &'j RawValue,
}

#[derive(Deserialize)]
struct Mark {
    metadata: MarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MarkMetadata {
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl<'j> Told<'j> {
    /// Reads a line.
    ///
    /// # Errors
    /// Where it is no event that is known.
    pub(crate) fn read(line: &'j [u8]) -> Result<Self, String> {
        let Line { meaning, object } =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        match &*meaning {
            "ADDED" | "MODIFIED" => Ok(Self::There(object.get())),
            "DELETED" => Ok(Self::Gone(object.get())),
            "ERROR" => Ok(Self::Error(object.get())),
            "BOOKMARK" => {
                let Mark { metadata } =
                    serde_json::from_str(object.get()).map_err(|error| error.to_string())?;
                let end = metadata.annotations.get(INITIAL_EVENTS_END);
                Ok(Self::Bookmark {
                    ends_list: end.is_some_and(|value| value == "true"),
                    version: metadata.resource_version,
                })
            }
            other => Err(format!("an event of the type {other:?}")),
        }
    }
}

/// Bytes that come in pieces, as lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// How far it was looked for the end of a line.
    searched: usize,
}

impl Lines {
    /// A line may be this long: etcd takes objects of a few MB at most.
    pub(crate) const LONGEST: usize = 32 << 20;

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// Takes all lines that are whole, in order.
    ///
    /// # Errors
    /// The first of `each`, or a line that does not end.
    pub(crate) fn drain<E>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut start = 0;
        let mut outcome = Ok(());
        while let Some(length) = memchr::memchr(b'\n', &self.bytes[start.max(self.searched)..]) {
            let end = start.max(self.searched) + length;
            let line = &self.bytes[start..end];
            start = end + 1;
            if !line.trim_ascii().is_empty() {
                outcome = each(line);
                if outcome.is_err() {
                    break;
                }
            }
        }
        self.bytes.drain(..start);
        self.searched = self.bytes.len();
        outcome
    }

    /// Whether a line does not end.
    pub(crate) fn overflows(&self) -> bool {
        self.bytes.len() > Self::LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\nrest";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut read = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                let outcome: Result<(), ()> = lines.drain(|line| {
                    read.push(String::from_utf8_lossy(line).into_owned());
                    Ok(())
                });
                outcome.unwrap();
            }
            assert_eq!(read, ["{\"a\":1}", "{\"b\":2}"], "pieces of {size}");
        }
    }

    #[test]
    fn events_are_told_apart() {
        let read = |line: &'static str| Told::read(line.as_bytes());
        let object = r#"{"type":"ADDED","object":{"metadata":{"name":"x"}}}"#;
        assert!(matches!(
            read(object),
            Ok(Told::There(r#"{"metadata":{"name":"x"}}"#))
        ));
        assert!(matches!(
            read(r#"{"type":"DELETED","object":{}}"#),
            Ok(Told::Gone("{}"))
        ));
        assert!(matches!(
            read(r#"{"type":"ERROR","object":{}}"#),
            Ok(Told::Error("{}"))
        ));
        for (annotations, ends) in [
            ("{}", false),
            (r#"{"k8s.io/initial-events-end":"true"}"#, true),
        ] {
            let line = format!(
                r#"{{"type":"BOOKMARK","object":{{"metadata":{{"resourceVersion":"7","annotations":{annotations}}}}}}}"#
            );
            let Ok(Told::Bookmark { version, ends_list }) = Told::read(line.as_bytes()) else {
                panic!("no bookmark: {line}");
            };
            assert_eq!((&*version, ends_list), ("7", ends));
        }
        for broken in [r#"{"type":"OTHER","object":{}}"#, "{", "[]", ""] {
            assert!(Told::read(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_page_may_have_no_items() {
        let page: Page<'_> =
            serde_json::from_str(r#"{"metadata":{"resourceVersion":"3"},"items":null}"#).unwrap();
        assert!(page.items.is_none() && page.metadata.next.is_empty());
    }
}
