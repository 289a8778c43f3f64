//! The evaluator says what the oracle says, on random policies.

mod admin;
mod network_policy;

use proptest::prelude::*;
use sluice_kubernetes::{World, load_text};
use sluice_oracle::{Family, Oracle};
use sluice_policy::{Action, Index, Pod, Protocol, Scope, Snapshot, Tuple};

/// What is asked about: ports that policies name, ports next to them, and ports that nobody names.
const SERVICES: [(Protocol, u16); 8] = [
    (Protocol::Tcp, 79),
    (Protocol::Tcp, 80),
    (Protocol::Tcp, 81),
    (Protocol::Tcp, 82),
    (Protocol::Udp, 80),
    (Protocol::Udp, 81),
    (Protocol::Sctp, 80),
    (Protocol::Tcp, 8080),
];

fn snapshot(world: &World) -> std::sync::Arc<Snapshot> {
    let mut index = Index::new(Scope::Cluster);
    let changes = index.apply(world.events());
    assert_eq!(changes.is_empty(), world.pods.is_empty());
    index.snapshot()
}

/// The connections about which the two disagree.
fn disagreements(world: &World) -> Vec<String> {
    let (oracle, snapshot) = (Oracle::new(world), snapshot(world));
    let pods: Vec<&Pod> = world.pods.iter().map(|facts| &facts.pod).collect();
    let mut found = Vec::new();
    for source in &pods {
        for destination in &pods {
            for family in Family::ALL {
                let (Some(from), Some(to)) = (family.address(source), family.address(destination))
                else {
                    continue;
                };
                for (protocol, port) in SERVICES {
                    let tuple = Tuple {
                        source: from,
                        destination: to,
                        protocol,
                        port,
                    };
                    let said = oracle.allowed(source, destination, family, protocol, port);
                    if said != (snapshot.evaluate(&tuple).action() == Action::Allow) {
                        found.push(format!(
                            "{} > {} ({tuple}): the oracle says {said}",
                            source.name, destination.name
                        ));
                    }
                }
            }
        }
    }
    found
}

/// Pods in all the ways that matter: two nodes, two pods in their network, ports of one name with several numbers.
const WORLD: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {zone: a}}, status: {addresses: [{type: InternalIP, address: 172.18.0.1}, {type: InternalIP, address: 'fd00:172::1'}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {team: blue}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {app: a}}, spec: {nodeName: n1, containers: [{ports: [{name: web, containerPort: 80}, {name: alt, containerPort: 80, protocol: UDP}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x, labels: {app: b, tier: db}}, spec: {nodeName: n2, containers: [{ports: [{name: web, containerPort: 81}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: x}, spec: {nodeName: n1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: y, labels: {app: a, tier: db}}, spec: {nodeName: n2, containers: [{ports: [{name: web, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: y, labels: {app: b}}, spec: {nodeName: n1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host1, namespace: x, labels: {app: a}}, spec: {nodeName: n1, hostNetwork: true, containers: [{ports: [{name: web, containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host2, namespace: y}, spec: {nodeName: n2, hostNetwork: true}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done, namespace: x, labels: {app: a}}, status: {phase: Succeeded}}
---
{apiVersion: v1, kind: Pod, metadata: {name: four, namespace: y, labels: {app: c}}, status: {podIPs: [{ip: 10.244.7.7}]}}
";

/// A policy of any kind.
#[derive(Clone, Debug)]
struct Object {
    kind: &'static str,
    /// Empty for the cluster-scoped kinds.
    namespace: String,
    /// In flow style.
    spec: String,
}

impl Object {
    /// As a manifest. Numbers make names, so that ties of kinds are broken in either order.
    fn manifest(&self, number: usize) -> String {
        let (group, name) = match self.kind {
            "NetworkPolicy" => ("networking.k8s.io/v1", format!("p{number}")),
            "ClusterNetworkPolicy" => ("policy.networking.k8s.io/v1alpha2", format!("p{number}")),
            "AdminNetworkPolicy" => ("policy.networking.k8s.io/v1alpha1", format!("p{number}")),
            _ => ("policy.networking.k8s.io/v1alpha1", "default".to_owned()),
        };
        let namespace = match self.namespace.as_str() {
            "" => String::new(),
            some => format!(", namespace: {some}"),
        };
        let Self { kind, spec, .. } = self;
        format!(
            "---\n{{apiVersion: {group}, kind: {kind}, metadata: {{name: {name}{namespace}}}, spec: {spec}}}\n"
        )
    }
}

fn manifests(objects: &[Object]) -> String {
    let objects = objects.iter().enumerate();
    let objects: String = objects
        .map(|(number, object)| object.manifest(number))
        .collect();
    format!("{WORLD}{objects}")
}

/// Some admin policies, with one baseline of v1alpha1 at most, and some NetworkPolicies between them.
fn objects(admin: impl Strategy<Value = Object>) -> impl Strategy<Value = Vec<Object>> {
    let policies = prop::collection::vec(network_policy::policy(), 0..3);
    let admin = prop::collection::vec(admin, 0..5);
    let baseline = prop::option::of(admin::baseline());
    (policies, admin, baseline)
        .prop_map(|(policies, admin, baseline)| {
            policies
                .into_iter()
                .chain(admin)
                .chain(baseline)
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_says_what_the_oracle_says_about_random_policies(
        policies in prop::collection::vec(network_policy::policy(), 0..6)
    ) {
        let loaded = load_text("case", &manifests(&policies));
        let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        prop_assert_eq!(problems, Vec::<String>::new());
        prop_assert_eq!(disagreements(&loaded.world), Vec::<String>::new());
    }

    #[test]
    fn and_about_random_tiers(objects in objects(admin::policy(admin::known_peers))) {
        let loaded = load_text("case", &manifests(&objects));
        let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        prop_assert_eq!(problems, Vec::<String>::new());
        prop_assert_eq!(disagreements(&loaded.world), Vec::<String>::new());
    }

    #[test]
    fn and_where_peers_are_not_known(objects in objects(admin::policy(admin::any_peers))) {
        let loaded = load_text("case", &manifests(&objects));
        prop_assert_eq!(disagreements(&loaded.world), Vec::<String>::new());
    }
}

/// Every kind of thing that can be wrong: each by itself, beside what can be read.
const INVALID: &[&str] = &[
    "[]",
    "{podSelector: []}",
    "{podSelector: {matchLabel: {app: web}}, ingress: [{}], egress: [{}]}",
    "{podSelector: {matchLabels: {app: 1}}, ingress: [{}]}",
    "{podSelector: {matchLabels: {app: 'a b'}}, ingress: [{}]}",
    "{podSelector: {matchLabels: {'a/b/c': d}}, ingress: [{}]}",
    "{podSelector: {matchExpressions: [{key: app, operator: Is}]}}",
    "{podSelector: {matchExpressions: [{key: app, operator: In, values: []}]}}",
    "{podSelector: {matchExpressions: [{key: app, operator: Exists, values: [web]}]}}",
    "{podSelecter: {}, ingress: [{}], policyTypes: [Ingress]}",
    "{ingres: [{}]}",
    "{egress: {}}",
    "{egress: {}, policyTypes: [Ingress], ingress: [{}]}",
    "{policyTypes: [ingress]}",
    "{policyTypes: Egress, egress: [{}]}",
    "{policyTypes: [Ingress, Egress, Egress], ingress: [{}]}",
    "{ingress: [{}, {form: []}]}",
    "{ingress: [{form: []}], egress: [{}]}",
    "{ingress: [{from: {}}]}",
    "{ingress: [{from: [{}, {podSelector: {}}]}]}",
    "{ingress: [{from: [null]}]}",
    "{ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 0.0.0.0/0}}]}]}",
    "{ingress: [{from: [{namespaceSelector: {}, podSelecter: {}}]}]}",
    "{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/33}}, {ipBlock: {cidr: 0.0.0.0/0}}]}]}",
    "{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 0.0.0.0/0]}}]}]}",
    "{egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: ['::/1']}}]}]}",
    "{egress: [{to: [{ipBlock: {cidr: '::/+0'}}]}]}",
    "{egress: [{to: [{ipBlock: {cidr: '::/0', exept: []}}]}]}",
    "{ingress: [{ports: [{port: 0}, {port: 80}]}]}",
    "{ingress: [{ports: [{port: 65616}]}]}",
    "{ingress: [{ports: [{port: 81, endPort: 80}]}]}",
    "{ingress: [{ports: [{endPort: 80}]}]}",
    "{ingress: [{ports: [{port: http, endPort: 80}]}]}",
    "{ingress: [{ports: [{port: HTTP}]}]}",
    "{ingress: [{ports: [{port: '80'}]}]}",
    "{ingress: [{ports: [{protocol: tcp}]}]}",
    "{ingress: [{ports: 80}]}",
];

#[test]
fn and_about_invalid_policies() {
    for spec in INVALID {
        let object = Object {
            kind: "NetworkPolicy",
            namespace: "x".to_owned(),
            spec: (*spec).to_owned(),
        };
        let loaded = load_text("case", &manifests(&[object]));
        assert_eq!(loaded.world.api_invalid_policies.len(), 1, "{spec}");
        assert_eq!(disagreements(&loaded.world), [""; 0], "{spec}");
    }
}

#[test]
fn the_comparison_would_show_a_difference() {
    let deny = Object {
        kind: "NetworkPolicy",
        namespace: "x".to_owned(),
        spec: "{podSelector: {}}".to_owned(),
    };
    let mut world = load_text("case", &manifests(&[deny])).world;
    world.api_policies.clear();
    assert!(!disagreements(&world).is_empty());
    let invalid = Object {
        kind: "NetworkPolicy",
        namespace: "x".to_owned(),
        spec: "{podSelector: {}, ingres: []}".to_owned(),
    };
    let mut world = load_text("case", &manifests(&[invalid])).world;
    assert!(disagreements(&world).is_empty());
    world.api_invalid_policies.clear();
    assert!(!disagreements(&world).is_empty());
    let deny = Object {
        kind: "AdminNetworkPolicy",
        namespace: String::new(),
        spec: "{priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{namespaces: {}}]}]}".to_owned(),
    };
    let mut world = load_text("case", &manifests(&[deny])).world;
    assert!(disagreements(&world).is_empty());
    world.api_admin_policies.clear();
    assert!(!disagreements(&world).is_empty());
}
