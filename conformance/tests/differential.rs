//! The evaluator says what the oracle says: on everything that Kubernetes' own suite has, and on random policies.

use proptest::prelude::*;
use sluice_conformance::{Family, Oracle, Step, upstream};
use sluice_kubernetes::{World, load_text};
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

#[test]
fn the_evaluator_says_what_the_oracle_says_about_upstream() {
    for step in upstream::CASES.iter().flat_map(|case| case.steps) {
        assert_eq!(
            disagreements(&step.load().world),
            [""; 0],
            "{}",
            step.manifests()
        );
    }
}

/// Pods in all the ways that matter: two nodes, two pods in their network, ports of one name with several numbers.
const WORLD: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.18.0.1}, {type: InternalIP, address: 'fd00:172::1'}]}}
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

/// One of some texts.
fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(ToOwned::to_owned)
}

/// A list in flow style.
fn list(
    item: impl Strategy<Value = String>,
    lengths: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    prop::collection::vec(item, lengths).prop_map(|items| format!("[{}]", items.join(", ")))
}

fn selector() -> impl Strategy<Value = String> {
    let requirement = one_of(&[
        "{key: app, operator: In, values: [a, c]}",
        "{key: app, operator: NotIn, values: [a]}",
        "{key: tier, operator: NotIn, values: [db, front]}",
        "{key: tier, operator: Exists}",
        "{key: tier, operator: DoesNotExist}",
        "{key: app, operator: In, values: [b]}",
    ]);
    let labels = one_of(&[
        "{}",
        "{app: a}",
        "{app: b}",
        "{tier: db}",
        "{app: a, tier: db}",
    ]);
    prop_oneof![
        2 => Just("{}".to_owned()),
        3 => labels.prop_map(|labels| format!("{{matchLabels: {labels}}}")),
        2 => list(requirement, 1..3).prop_map(|some| format!("{{matchExpressions: {some}}}")),
    ]
}

fn namespaces() -> impl Strategy<Value = String> {
    one_of(&[
        "{}",
        "{matchLabels: {team: red}}",
        "{matchLabels: {kubernetes.io/metadata.name: y}}",
        "{matchExpressions: [{key: team, operator: NotIn, values: [red]}]}",
    ])
}

fn peer() -> impl Strategy<Value = String> {
    let block = one_of(&[
        "{cidr: 0.0.0.0/0}",
        "{cidr: '::/0'}",
        "{cidr: 10.244.0.0/16, except: [10.244.0.2/32, 10.244.0.4/31]}",
        "{cidr: 10.244.0.2/31}",
        "{cidr: 'fd00:10:244::/64', except: ['fd00:10:244::1/128']}",
        "{cidr: 172.18.0.0/16, except: [172.18.0.1/32]}",
        "{cidr: 10.244.0.0/30}",
        "{cidr: 10.0.0.0/8, except: [10.244.0.0/16]}",
    ]);
    prop_oneof![
        3 => selector().prop_map(|pods| format!("{{podSelector: {pods}}}")),
        2 => namespaces().prop_map(|namespaces| format!("{{namespaceSelector: {namespaces}}}")),
        2 => (selector(), namespaces()).prop_map(|(pods, namespaces)| format!("{{podSelector: {pods}, namespaceSelector: {namespaces}}}")),
        3 => block.prop_map(|block| format!("{{ipBlock: {block}}}")),
    ]
}

fn port() -> impl Strategy<Value = String> {
    one_of(&[
        "{}",
        "{port: 80}",
        "{port: 81}",
        "{port: 80, endPort: 81}",
        "{port: 1, endPort: 80}",
        "{port: 82, endPort: 65535}",
        "{port: web}",
        "{port: alt, protocol: UDP}",
        "{port: web, protocol: UDP}",
        "{protocol: UDP}",
        "{protocol: SCTP}",
        "{port: 80, protocol: UDP}",
    ])
}

fn rules(peers: &'static str) -> impl Strategy<Value = String> {
    let rule = (
        prop::option::of(list(peer(), 0..3)),
        prop::option::of(list(port(), 0..3)),
    )
        .prop_map(move |(some, ports)| {
            let some = some.map(|some| format!("{peers}: {some}"));
            let ports = ports.map(|ports| format!("ports: {ports}"));
            format!(
                "{{{}}}",
                [some, ports]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        });
    list(rule, 0..3)
}

fn policy() -> impl Strategy<Value = (String, String)> {
    let types = one_of(&[
        "",
        ", policyTypes: [Ingress]",
        ", policyTypes: [Egress]",
        ", policyTypes: [Ingress, Egress]",
    ]);
    let ingress = prop::option::of(rules("from"));
    let egress = prop::option::of(rules("to"));
    (one_of(&["x", "y"]), selector(), types, ingress, egress).prop_map(
        |(namespace, pods, types, ingress, egress)| {
            let ingress = ingress
                .map(|rules| format!(", ingress: {rules}"))
                .unwrap_or_default();
            let egress = egress
                .map(|rules| format!(", egress: {rules}"))
                .unwrap_or_default();
            (
                namespace,
                format!("{{podSelector: {pods}{types}{ingress}{egress}}}"),
            )
        },
    )
}

fn manifests(policies: &[(String, String)]) -> String {
    let mut text = WORLD.to_owned();
    for (number, (namespace, spec)) in policies.iter().enumerate() {
        text.extend([format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{number}, namespace: {namespace}}}, spec: {spec}}}\n"
        )]);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_evaluator_says_what_the_oracle_says_about_random_policies(policies in prop::collection::vec(policy(), 0..6)) {
        let loaded = load_text("case", &manifests(&policies));
        let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
        prop_assert_eq!(problems, Vec::<String>::new());
        prop_assert_eq!(disagreements(&loaded.world), Vec::<String>::new());
    }
}

#[test]
fn the_comparison_would_show_a_difference() {
    let step = Step {
        policies: &[("x/p", "podSelector: {}")],
        labels: &[],
        expect: &[],
    };
    let mut world = step.load().world;
    world.api_policies.clear();
    assert!(!disagreements(&world).is_empty());
}
