//! What the API server writes: lists, and watches of a line for each event. Pure.

use std::fmt::Write as _;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::targets::{Change, PodSeen};

/// What came of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// Something happened to an object.
    Event(Change, Value),
    /// Nothing happened up to this version.
    Bookmark(String),
    /// The watch cannot go on, for this reason: what there is has to be listed anew.
    Expired(String),
}

/// Why something that the server sent is no object.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No JSON, or other than it is to be.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A kind of event that nobody knows.
    #[error("an event of type {0:?}")]
    Type(String),
}

#[derive(Deserialize)]
struct RawEvent {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata {
    name: String,
    creation_timestamp: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStatus {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
}

#[derive(Deserialize)]
struct RawObject {
    metadata: RawMetadata,
    status: Option<RawStatus>,
}

/// Reads a line of a watch.
pub fn line(text: &[u8]) -> Result<Line, WireError> {
    let RawEvent { kind, object } = serde_json::from_slice(text)?;
    let change = match kind.as_str() {
        "ADDED" => Change::Added,
        "MODIFIED" => Change::Modified,
        "DELETED" => Change::Deleted,
        "BOOKMARK" => return Ok(Line::Bookmark(version(&object))),
        "ERROR" => {
            let message = object["message"].as_str().unwrap_or_default();
            return Ok(Line::Expired(message.to_owned()));
        }
        _ => return Err(WireError::Type(kind)),
    };
    Ok(Line::Event(change, object))
}

/// The version of an object or of a list: where a watch goes on.
pub fn version(object: &Value) -> String {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.unwrap_or_default().to_owned()
}

/// What is said of a pod. An address that is none is as good as none.
pub fn pod(object: &Value) -> Result<PodSeen, WireError> {
    let RawObject { metadata, status } = RawObject::deserialize(object)?;
    let ip = status.and_then(|status| status.pod_ip);
    Ok(PodSeen {
        name: metadata.name,
        created: metadata.creation_timestamp,
        ip: ip.and_then(|text| text.parse::<IpAddr>().ok()),
    })
}

/// When an object was made, by the API server's clock, in whole seconds.
pub fn created(object: &Value) -> Result<Timestamp, WireError> {
    Ok(RawObject::deserialize(object)?.metadata.creation_timestamp)
}

/// An object as it can be made anew: without what the server has given it.
pub fn fresh(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "spec": object["spec"],
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "labels": metadata["labels"],
        },
    })
}

/// Lines out of the pieces that they come in.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// The lines that `piece` completes, without their ends; empty ones left out.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        self.pending.extend_from_slice(piece);
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let rest = self.pending.split_off(end + 1);
        let whole = std::mem::replace(&mut self.pending, rest);
        let lines = whole.split(|byte| *byte == b'\n');
        lines
            .filter(|line| !line.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// `text` as a value in the query of a URL.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(byte.into());
            }
            _ => {
                let _infallible = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let object = json!({"metadata": {"name": "a", "resourceVersion": "7"}});
        for (kind, expected) in [
            ("ADDED", Line::Event(Change::Added, object.clone())),
            ("MODIFIED", Line::Event(Change::Modified, object.clone())),
            ("DELETED", Line::Event(Change::Deleted, object.clone())),
            ("BOOKMARK", Line::Bookmark("7".to_owned())),
        ] {
            let text = json!({"type": kind, "object": object}).to_string();
            assert_eq!(line(text.as_bytes()).unwrap(), expected);
        }
        let expired = br#"{"type":"ERROR","object":{"code":410,"message":"too old"}}"#;
        let expected = Line::Expired("too old".to_owned());
        assert_eq!(line(expired).unwrap(), expected);
        for wrong in ["", "{}", r#"{"type":"GONE","object":{}}"#] {
            assert!(line(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pod_is_its_name_its_birth_and_its_address() {
        let of = |status: &Value| {
            json!({
                "metadata": {"name": "a", "creationTimestamp": "2026-01-23T18:41:31Z"},
                "status": status,
            })
        };
        for (status, ip) in [
            (Value::Null, None),
            (json!({"phase": "Pending"}), None),
            (json!({"podIP": ""}), None),
            (json!({"podIP": "10.0.0.1"}), Some("10.0.0.1")),
            (json!({"podIP": "fd00::1"}), Some("fd00::1")),
        ] {
            let pod = pod(&of(&status)).unwrap();
            assert_eq!(pod.ip, ip.map(|text| text.parse().unwrap()), "{status}");
            assert_eq!(pod.name, "a");
        }
        assert!(pod(&json!({"metadata": {"name": "a"}})).is_err());
        let at = created(&of(&Value::Null)).unwrap();
        assert_eq!(at.to_string(), "2026-01-23T18:41:31Z");
    }

    #[test]
    fn an_object_can_be_made_anew_without_what_the_server_gave_it() {
        let object = json!({
            "apiVersion": "v1", "kind": "X", "spec": {"a": [1]}, "status": {},
            "metadata": {"name": "a", "namespace": "b", "labels": {"c": "d"}, "uid": "7", "resourceVersion": "8"},
        });
        let expected = json!({
            "apiVersion": "v1", "kind": "X", "spec": {"a": [1]},
            "metadata": {"name": "a", "namespace": "b", "labels": {"c": "d"}},
        });
        assert_eq!(fresh(&object), expected);
    }

    #[test]
    fn lines_are_whole_whatever_they_come_in() {
        let mut lines = Lines::default();
        assert!(lines.push(b"one\ntw").len() == 1);
        assert!(lines.push(b"").is_empty());
        assert_eq!(
            lines.push(b"o\n\nthree\n"),
            [b"two".to_vec(), b"three".to_vec()]
        );
        assert!(lines.push(b"rest").is_empty());
    }

    #[test]
    fn what_means_something_in_a_url_is_escaped() {
        for (given, expected) in [
            ("target=test-policy", "target%3Dtest-policy"),
            ("a in (b,c)&x", "a%20in%20%28b%2Cc%29%26x"),
        ] {
            assert_eq!(escaped(given), expected);
        }
    }
}
