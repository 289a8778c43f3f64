//! Ports by name: every name of the world `names` for every protocol, each of which some pods have and others do not.

use serde_json::json;

use super::draft::{Direction, Draft, policy};
use super::ports::PROTOCOLS;
use crate::case::Case;

const THEME: &str = "name-forms";

/// Those that pods have, and one that none has.
const NAMES: [&str; 8] = [
    "web", "web2", "web-udp", "dns", "dns-tcp", "admin", "assoc", "nobody",
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        for name in NAMES {
            cases.extend(PROTOCOLS.map(|protocol| case(direction, name, protocol)));
        }
    }
    cases
}

fn case(direction: Direction, name: &str, protocol: &str) -> Case {
    let way = direction.rules();
    let spec = json!({
        "podSelector": {},
        "policyTypes": [direction.policy_type()],
        way: [{"ports": [{"port": name, "protocol": protocol}]}],
    });
    Draft {
        theme: THEME,
        name: format!("{way}-{name}-{}", protocol.to_lowercase()),
        sentence: format!(
            "an {way} rule for the port {name} of {protocol} opens on each destination what it has under that name"
        ),
        tags: vec![way, "ports"],
        world: "names",
        objects: vec![policy("x", "policy", &spec)],
        steps: Vec::new(),
    }
    .case()
}
