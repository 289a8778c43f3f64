//! The world that is measured in: a client that may reach a server, a stranger that may not, and as many policies as
//! are asked for, of which the last one is the one that allows. The server may be on a node of its own.

use std::fmt::Write as _;

use sluice_lab::{Cell, Family, Manifests, Port, ServiceName, Target};
use sluice_policy::{PodName, Protocol};

/// What the server takes and throws away: streams.
pub const DISCARD: u16 = 9_999;
/// What it serves pages on.
pub const HTTP: u16 = 9_998;
/// What iperf3 listens on in the server's pod, where it does: the first port that the client may reach.
pub const IPERF3: u16 = 9_997;
/// The first of the ports that it answers on.
pub const FIRST: u16 = 10_000;
/// How many of these there are. A lease is for one port, so that with all leases ended so many connections are new. Each
/// is two descriptors in each mode, of the 20,000 that a process often may have.
pub const PORTS: u16 = 800;
/// The port of the Service.
pub const SERVICE: u16 = 7_001;
/// What the laboratory's own servers listen on, to ask who reaches whom.
const CANARY: u16 = 80;
/// The first of the ports that nobody listens on.
pub const UNSERVED: u16 = FIRST + PORTS;
/// The file of a policy that is edited to end all leases of the server.
pub const TOUCHED: &str = "touched.yaml";

const NAMESPACE: &str = "bench";

/// Where the pods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// All on `node-1`.
    One,
    /// The server on `node-2`, the others on `node-1`.
    Two,
}

impl Nodes {
    /// Their names.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Self::One => &["node-1"],
            Self::Two => &["node-1", "node-2"],
        }
    }

    /// The one that the server is on, and so the one that enforces: nobody is isolated on another.
    pub const fn of_server(self) -> &'static str {
        match self {
            Self::One => "node-1",
            Self::Two => "node-2",
        }
    }
}

/// A pod of the world.
pub fn pod(name: &str) -> PodName {
    PodName {
        namespace: NAMESPACE.into(),
        name: name.into(),
    }
}

/// The Service before the server.
pub fn service() -> ServiceName {
    ServiceName {
        namespace: NAMESPACE.into(),
        name: "server".into(),
    }
}

/// From `client` or `stranger` to the server of the laboratory: whether the policies are in force.
pub fn canary(from: &str) -> Cell {
    Cell {
        from: pod(from),
        to: Target::Pod(pod("server")),
        port: Port {
            number: CANARY,
            protocol: Protocol::Tcp,
        },
        family: Family::Ipv4,
    }
}

/// Every port of the server.
pub fn ports() -> impl Iterator<Item = u16> {
    [HTTP, DISCARD]
        .into_iter()
        .chain((0..PORTS).map(|number| FIRST + number))
}

/// The manifests: with `service`, there is a Service, and so the node translates addresses and tracks connections.
pub fn manifests(policies: usize, service: bool, nodes: Nodes) -> Manifests {
    let mut files = vec![
        ("pods.yaml".to_owned(), pods(nodes)),
        ("policies.yaml".to_owned(), self::policies(policies)),
    ];
    if policies > 0 {
        files.push((TOUCHED.to_owned(), touched(0)));
    }
    if service {
        files.push(("service.yaml".to_owned(), SERVICE_OBJECT.to_owned()));
    }
    Manifests::Texts(files)
}

/// A policy of the server that allows nobody, and another one for each `number`.
pub fn touched(number: u64) -> String {
    policy(
        "touched",
        "nobody",
        &format!("[{{port: {}}}]", number % 2 + 1),
    )
}

const SERVICE_OBJECT: &str = "\
apiVersion: v1
kind: Service
metadata: {name: server, namespace: bench}
spec:
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {role: server}
  ports: [{name: answers, port: 7001, targetPort: 10000}]
";

fn pods(nodes: Nodes) -> String {
    let mut text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n");
    for (number, name) in ["client", "server", "stranger"].iter().enumerate() {
        let last = number + 1;
        let node = if *name == "server" {
            nodes.of_server()
        } else {
            nodes.names()[0]
        };
        let _infallible = write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {NAMESPACE}, labels: {{role: {name}}}}}
spec:
  nodeName: {node}
  containers: [{{name: {name}, image: {name}, ports: [{{containerPort: {CANARY}}}]}}]
status:
  podIPs: [{{ip: 10.244.9.{last}}}, {{ip: \"fd00:10:244:9::{last}\"}}]
"
        );
    }
    text
}

/// The last of them allows; with none, nobody is isolated.
fn policies(count: usize) -> String {
    let last = FIRST + PORTS - 1;
    let ports = format!(
        "[{{port: {CANARY}}}, {{port: {IPERF3}, endPort: {last}}}, {{protocol: UDP, port: {HTTP}, endPort: {last}}}]"
    );
    let one = |number: usize| {
        let from = if number + 1 == count {
            "client".to_owned()
        } else {
            format!("nobody-{number}")
        };
        policy(&format!("policy-{number:05}"), &from, &ports)
    };
    (0..count).map(one).collect()
}

/// What makes the server take `ports` from pods of the role `from`.
fn policy(name: &str, from: &str, ports: &str) -> String {
    format!(
        "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: {NAMESPACE}}}
spec:
  podSelector: {{matchLabels: {{role: server}}}}
  policyTypes: [Ingress]
  ingress: [{{from: [{{podSelector: {{matchLabels: {{role: {from}}}}}}}], ports: {ports}}}]
"
    )
}

/// The rules that a chain of as many rules as there are policies has: all but the last are about others.
pub fn linear(rules: usize, client: std::net::IpAddr, server: std::net::IpAddr) -> String {
    let family = if client.is_ipv4() { "ip" } else { "ip6" };
    let mut text = String::new();
    for number in 1..rules {
        let [high, low] = u16::try_from(number % 65_536).unwrap_or(0).to_be_bytes();
        let other = if client.is_ipv4() {
            format!("198.18.{high}.{low}")
        } else {
            format!("2001:db8::{high:x}:{low:x}")
        };
        let _infallible = writeln!(
            text,
            "{family} saddr {other} {family} daddr {server} meta l4proto {{ tcp, udp }} accept"
        );
    }
    let _infallible = writeln!(
        text,
        "{family} saddr {client} {family} daddr {server} accept"
    );
    text
}

#[cfg(test)]
mod tests {
    use sluice_kubernetes::{World, load_text};
    use sluice_lab::expect::{Expectation, expectations};
    use sluice_lab::{Family, Plan};

    use super::*;

    fn world(policies: usize, nodes: Nodes) -> World {
        let Manifests::Texts(files) = manifests(policies, true, nodes) else {
            panic!("not texts");
        };
        let text: Vec<_> = files.into_iter().map(|(_, text)| text).collect();
        let loaded = load_text("world", &text.join("---\n"));
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        loaded.world
    }

    #[test]
    fn the_last_policy_lets_the_client_in_and_nobody_else() {
        for (policies, stranger) in [(0, "allow"), (1, "deny"), (10, "deny"), (200, "deny")] {
            let world = world(policies, Nodes::One);
            let plan = Plan::new(&world, &[Family::Ipv4], &[]);
            let cells = [canary("client"), canary("stranger")];
            let names: Vec<_> = expectations(&plan, &world, &cells)
                .iter()
                .map(Expectation::name)
                .collect();
            assert_eq!(names, ["allow", stranger], "{policies} policies");
        }
    }

    #[test]
    fn the_server_is_on_the_node_that_is_said_to_be_its_own() {
        for nodes in [Nodes::One, Nodes::Two] {
            let plan = Plan::new(&world(1, nodes), &[Family::Ipv4], &[]);
            let names: Vec<_> = plan.nodes.iter().map(|node| &*node.name).collect();
            assert_eq!(names, nodes.names());
            let of = |name| &*plan.nodes[plan.pods[plan.pod(&pod(name)).unwrap()].node].name;
            assert_eq!(of("server"), nodes.of_server());
            assert_eq!([of("client"), of("stranger")], ["node-1"; 2]);
        }
    }

    #[test]
    fn a_chain_has_as_many_rules_as_asked_for() {
        let [client, server] = ["10.244.9.1", "10.244.9.2"].map(|text| text.parse().unwrap());
        let text = linear(1_000, client, server);
        assert_eq!(text.lines().count(), 1_000);
        assert!(
            text.ends_with("ip saddr 10.244.9.1 ip daddr 10.244.9.2 accept\n"),
            "{text}"
        );
    }
}
