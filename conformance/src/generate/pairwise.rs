//! Everything that a policy can be, combined so that every two values of every two dimensions come together.

use serde_json::{Value, json};

use super::covering;
use super::draft::{Direction, Draft, label, policy, requirement};
use crate::case::{Case, Object};

const THEME: &str = "pairwise";

const DIRECTIONS: [Direction; 2] = Direction::ALL;
const SUBJECTS: [&str; 5] = ["all", "a", "in-a-b", "not-in-c", "exists"];
const PEERS: [&str; 13] = [
    "missing",
    "pods",
    "pods-and-nobody",
    "namespaces",
    "by-name",
    "pods-of-namespaces",
    "pods-of-all",
    "pods-or-namespaces",
    "ipv4",
    "ipv4-except",
    "ipv6",
    "ipv6-except",
    "block-or-pods",
];
const OPERATORS: [&str; 5] = ["label", "in", "not-in", "exists", "does-not-exist"];
const PORTS: [&str; 13] = [
    "missing",
    "empty",
    "all",
    "80",
    "81",
    "82",
    "name-80",
    "name-81",
    "name-nobody",
    "80-to-81",
    "79-to-80",
    "80-and-name-81",
    "80-and-81",
];
const PROTOCOLS: [Option<&str>; 4] = [None, Some("TCP"), Some("UDP"), Some("SCTP")];
const TYPES: [&str; 4] = ["default", "own", "both", "other"];
/// Of no rule nothing else could be said.
const RULES: [usize; 3] = [1, 2, 3];
const STACKS: [&str; 5] = ["alone", "deny-all", "allow-all", "deny-of-y", "other-pods"];

/// One row of the covering array.
struct Combination {
    direction: Direction,
    subject: &'static str,
    peers: &'static str,
    operator: &'static str,
    ports: &'static str,
    protocol: Option<&'static str>,
    types: &'static str,
    rules: usize,
    stack: &'static str,
}

pub(super) fn cases() -> Vec<Case> {
    let rows = covering::array(&SIZES);
    rows.iter().map(|row| Combination::of(row).case()).collect()
}

const SIZES: [usize; 9] = [
    DIRECTIONS.len(),
    SUBJECTS.len(),
    PEERS.len(),
    OPERATORS.len(),
    PORTS.len(),
    PROTOCOLS.len(),
    TYPES.len(),
    RULES.len(),
    STACKS.len(),
];

impl Combination {
    fn of(row: &[usize]) -> Self {
        Self {
            direction: DIRECTIONS[row[0]],
            subject: SUBJECTS[row[1]],
            peers: PEERS[row[2]],
            operator: OPERATORS[row[3]],
            ports: PORTS[row[4]],
            protocol: PROTOCOLS[row[5]],
            types: TYPES[row[6]],
            rules: RULES[row[7]],
            stack: STACKS[row[8]],
        }
    }

    fn case(&self) -> Case {
        let protocol = self
            .protocol
            .map_or_else(|| "default".to_owned(), str::to_lowercase);
        let Self {
            subject,
            peers,
            operator,
            ports,
            types,
            rules,
            stack,
            ..
        } = self;
        let direction = self.direction.rules();
        let name = format!(
            "{direction}-of-{subject}-peers-{peers}-{operator}-ports-{ports}-{protocol}-types-{types}-rules-{rules}-{stack}"
        );
        let sentence = format!(
            "a policy allows what its rules match and nothing else: {direction} of {subject}, peers {peers} by {operator}, \
             ports {ports} of {protocol}, policyTypes {types}, rules {rules}, other policies {stack}"
        );
        let mut objects = vec![policy("x", "policy", &self.spec())];
        objects.extend(self.other());
        Draft {
            theme: THEME,
            name,
            sentence,
            tags: vec![direction],
            world: "grid",
            objects,
            steps: Vec::new(),
        }
        .case()
    }

    fn spec(&self) -> Value {
        let mut spec =
            json!({"podSelector": subject(self.subject), self.direction.rules(): self.list()});
        let types = match self.types {
            "own" => vec![self.direction.policy_type()],
            "both" => vec!["Ingress", "Egress"],
            "other" => vec![self.direction.other().policy_type()],
            _ => return spec,
        };
        spec["policyTypes"] = json!(types);
        spec
    }

    /// The rules: the one that is combined, and others behind it.
    fn list(&self) -> Vec<Value> {
        let mut own = json!({});
        let peers = self.direction.peers();
        if let Some(entries) = self.peer_entries() {
            own[peers] = json!(entries);
        }
        if let Some(entries) = self.port_entries() {
            own["ports"] = json!(entries);
        }
        let second = json!({peers: [{"namespaceSelector": label("ns", "z"), "podSelector": label("pod", "c")}], "ports": [{"protocol": "UDP", "port": 81}]});
        let third = json!({peers: [{"namespaceSelector": label("ns", "x")}], "ports": [{"protocol": "SCTP"}]});
        let mut list = vec![own, second, third];
        list.truncate(self.rules);
        list
    }

    fn peer_entries(&self) -> Option<Vec<Value>> {
        let pods = || selector("pod", self.operator, ["b", "c"]);
        let namespaces = || selector("ns", self.operator, ["y", "z"]);
        let block = |cidr: &str, except: &[&str]| {
            let mut block = json!({"cidr": cidr});
            if !except.is_empty() {
                block["except"] = json!(except);
            }
            json!({"ipBlock": block})
        };
        Some(match self.peers {
            "pods" => vec![json!({"podSelector": pods()})],
            "pods-and-nobody" => vec![
                json!({"podSelector": pods()}),
                json!({"podSelector": label("pod", "none")}),
            ],
            "namespaces" => vec![json!({"namespaceSelector": namespaces()})],
            "by-name" => {
                let by_name = selector("kubernetes.io/metadata.name", self.operator, ["y", "z"]);
                vec![json!({"namespaceSelector": by_name})]
            }
            "pods-of-namespaces" => {
                vec![json!({"namespaceSelector": namespaces(), "podSelector": pods()})]
            }
            "pods-of-all" => vec![json!({"namespaceSelector": {}, "podSelector": pods()})],
            "pods-or-namespaces" => vec![
                json!({"podSelector": pods()}),
                json!({"namespaceSelector": namespaces()}),
            ],
            "ipv4" => vec![block("$4(y/b/30)", &[])],
            "ipv4-except" => vec![block("0.0.0.0/0", &["$4(z/a/31)", "$4(y/b/32)"])],
            "ipv6" => vec![block("$6(y/b/126)", &[])],
            "ipv6-except" => vec![block("::/0", &["$6(z/a/127)", "$6(y/b/128)"])],
            "block-or-pods" => vec![block("$4(z/b/32)", &[]), json!({"podSelector": pods()})],
            _ => return None,
        })
    }

    fn port_entries(&self) -> Option<Vec<Value>> {
        let named = |number: u16| {
            let protocol = self.protocol.unwrap_or("TCP").to_lowercase();
            json!({"port": format!("serve-{number}-{protocol}")})
        };
        let number = |number: u16| json!({"port": number});
        let entries = match self.ports {
            "missing" => return None,
            "all" => vec![json!({})],
            "80" => vec![number(80)],
            "81" => vec![number(81)],
            "82" => vec![number(82)],
            "name-80" => vec![named(80)],
            "name-81" => vec![named(81)],
            "name-nobody" => vec![json!({"port": "nobody"})],
            "80-to-81" => vec![json!({"port": 80, "endPort": 81})],
            "79-to-80" => vec![json!({"port": 79, "endPort": 80})],
            "80-and-name-81" => vec![number(80), named(81)],
            "80-and-81" => vec![number(80), number(81)],
            _ => vec![],
        };
        let with_protocol = |mut entry: Value| {
            if let Some(protocol) = self.protocol {
                entry["protocol"] = json!(protocol);
            }
            entry
        };
        Some(entries.into_iter().map(with_protocol).collect())
    }

    /// The policy beside it.
    fn other(&self) -> Option<Object> {
        let rules = self.direction.rules();
        let types = json!([self.direction.policy_type()]);
        Some(match self.stack {
            "deny-all" => policy(
                "x",
                "deny-all",
                &json!({"podSelector": {}, "policyTypes": types, rules: []}),
            ),
            "allow-all" => policy(
                "x",
                "allow-all",
                &json!({"podSelector": {}, "policyTypes": types, rules: [{}]}),
            ),
            "deny-of-y" => policy(
                "y",
                "deny-all",
                &json!({"podSelector": {}, "policyTypes": types, rules: []}),
            ),
            "other-pods" => {
                let rule = json!({"ports": [{"protocol": "TCP", "port": 81}]});
                policy(
                    "x",
                    "other",
                    &json!({"podSelector": label("pod", "b"), "policyTypes": types, rules: [rule]}),
                )
            }
            _ => return None,
        })
    }
}

fn subject(name: &str) -> Value {
    match name {
        "a" => label("pod", "a"),
        "in-a-b" => requirement("pod", "In", &["a", "b"]),
        "not-in-c" => requirement("pod", "NotIn", &["c"]),
        "exists" => requirement("pod", "Exists", &[]),
        _ => json!({}),
    }
}

fn selector(key: &str, operator: &str, [first, second]: [&str; 2]) -> Value {
    match operator {
        "in" => requirement(key, "In", &[first, second]),
        "not-in" => requirement(key, "NotIn", &[first]),
        "exists" => requirement(key, "Exists", &[]),
        "does-not-exist" => requirement(key, "DoesNotExist", &[]),
        _ => label(key, first),
    }
}
