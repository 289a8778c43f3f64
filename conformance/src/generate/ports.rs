//! Ports of a rule, in the world `grid`: every way to name some of 80 and 81 over TCP, UDP and SCTP, or none of them.

use serde_json::{Map, Value, json};

use super::draft::{Choice, pairs};

/// The protocols as the API writes them.
pub(super) const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Every way, single and by twos.
pub(super) fn all() -> Vec<Choice> {
    let mut all = vec![
        Choice::missing(),
        Choice::new("empty", "an empty list", json!([])),
    ];
    all.extend(numbers());
    all.extend(names());
    all.extend(ranges());
    all.extend(pairs(&for_pairs()));
    all
}

/// One entry: the protocol where it is named, and more.
fn entry(protocol: Option<&str>, more: Value) -> Value {
    let mut entry = Map::new();
    entry.extend(protocol.map(|protocol| ("protocol".to_owned(), json!(protocol))));
    if let Value::Object(more) = more {
        entry.extend(more);
    }
    json!([entry])
}

/// A protocol's part of an id and of a sentence.
fn said(protocol: Option<&str>) -> (String, String) {
    protocol.map_or_else(
        || ("default".to_owned(), "TCP by default".to_owned()),
        |protocol| (protocol.to_lowercase(), protocol.to_owned()),
    )
}

fn numbers() -> Vec<Choice> {
    let protocols = [None].into_iter().chain(PROTOCOLS.map(Some));
    let each = protocols.flat_map(|protocol| {
        let (name, words) = said(protocol);
        let all = Choice::new(
            format!("{name}-all"),
            format!("all of {words}"),
            entry(protocol, json!({})),
        );
        let numbered = [80, 81, 82].map(|number| {
            Choice::new(
                format!("{name}-{number}"),
                format!("{number} of {words}"),
                entry(protocol, json!({"port": number})),
            )
        });
        [vec![all], numbered.to_vec()].concat()
    });
    each.collect()
}

fn names() -> Vec<Choice> {
    let of = |protocol: Option<&str>, port: &str| {
        let (name, words) = said(protocol);
        Choice::new(
            format!("{name}-name-{port}"),
            format!("the name {port} of {words}"),
            entry(protocol, json!({"port": port})),
        )
    };
    let own = PROTOCOLS.into_iter().flat_map(|protocol| {
        let name = protocol.to_lowercase();
        [80, 81].map(|number| of(Some(protocol), &format!("serve-{number}-{name}")))
    });
    let mut names: Vec<Choice> = own.collect();
    // Names that a port has, but for another protocol; without a protocol, TCP is meant; and a name that none has.
    names.extend([
        of(Some("UDP"), "serve-80-tcp"),
        of(Some("SCTP"), "serve-81-udp"),
        of(Some("TCP"), "serve-80-sctp"),
        of(None, "serve-81-tcp"),
        of(None, "serve-81-udp"),
        of(Some("TCP"), "nobody"),
    ]);
    names
}

fn ranges() -> Vec<Choice> {
    let ends = [
        (80, 80),
        (80, 81),
        (79, 80),
        (81, 82),
        (1, 79),
        (82, 65_535),
        (1, 65_535),
    ];
    let of = |protocol: &'static str, (first, last): (u16, u16)| {
        let (name, words) = said(Some(protocol));
        Choice::new(
            format!("{name}-{first}-to-{last}"),
            format!("{first} to {last} of {words}"),
            entry(Some(protocol), json!({"port": first, "endPort": last})),
        )
    };
    let protocols = PROTOCOLS.into_iter();
    protocols
        .flat_map(|protocol| ends.map(|ends| of(protocol, ends)))
        .collect()
}

/// Some that overlap in every way: a port may be named by both, by one or by none.
fn for_pairs() -> Vec<Choice> {
    let kept = [
        "default-80",
        "tcp-all",
        "udp-81",
        "sctp-all",
        "tcp-name-serve-81-tcp",
        "udp-name-serve-80-udp",
        "tcp-80-to-81",
        "sctp-79-to-80",
    ];
    let all = [numbers(), names(), ranges()].concat();
    all.into_iter()
        .filter(|it| kept.contains(&&*it.name))
        .collect()
}
