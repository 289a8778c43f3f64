//! Blocks of addresses: networks of every size around one pod, and exceptions of every size within them.

use serde_json::{Value, json};

use super::draft::{Direction, Draft, policy};
use crate::case::Case;

const THEME: &str = "block-forms";

/// Prefixes around y/b: all addresses, half of them, whole octets, and one to eight addresses.
const IPV4: [u8; 10] = [0, 1, 8, 16, 24, 28, 29, 30, 31, 32];
const IPV6: [u8; 8] = [0, 1, 16, 64, 120, 126, 127, 128];
/// A network's prefix, and that of what is excepted from it.
const EXCEPT_IPV4: [(u8, u8); 7] = [
    (0, 1),
    (0, 32),
    (8, 24),
    (24, 28),
    (24, 32),
    (28, 30),
    (30, 31),
];
const EXCEPT_IPV6: [(u8, u8); 5] = [(0, 1), (0, 128), (16, 64), (64, 126), (126, 127)];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for direction in Direction::ALL {
        for (family, prefixes, excepted) in [
            (4, &IPV4[..], &EXCEPT_IPV4[..]),
            (6, &IPV6[..], &EXCEPT_IPV6[..]),
        ] {
            cases.extend(prefixes.iter().map(|bits| whole(direction, family, *bits)));
            cases.extend(excepted.iter().map(|bits| holed(direction, family, *bits)));
        }
    }
    cases
}

fn whole(direction: Direction, family: u8, bits: u8) -> Case {
    let words = format!("the network of {bits} bits around the IPv{family} address of y/b");
    let block = json!({"cidr": format!("${family}(y/b/{bits})")});
    case(direction, &format!("ipv{family}-{bits}"), &words, &block)
}

fn holed(direction: Direction, family: u8, (bits, except): (u8, u8)) -> Case {
    let words = format!(
        "the network of {bits} bits around the IPv{family} address of y/b, except its part of {except} bits"
    );
    let block = json!({
        "cidr": format!("${family}(y/b/{bits})"),
        "except": [format!("${family}(y/b/{except})")],
    });
    case(
        direction,
        &format!("ipv{family}-{bits}-except-{except}"),
        &words,
        &block,
    )
}

fn case(direction: Direction, name: &str, words: &str, block: &Value) -> Case {
    let way = direction.rules();
    let spec = json!({
        "podSelector": {"matchLabels": {"pod": "a"}},
        "policyTypes": [direction.policy_type()],
        way: [{direction.peers(): [{"ipBlock": block}]}],
    });
    Draft {
        theme: THEME,
        name: format!("{way}-{name}"),
        sentence: format!("an {way} rule for {words} allows the addresses within it and no others"),
        tags: vec![way, "blocks"],
        world: "grid",
        objects: vec![policy("x", "policy", &spec)],
        steps: Vec::new(),
    }
    .case()
}
