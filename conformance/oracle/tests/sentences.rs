//! Sentences of the API text that Kubernetes' own suite leaves out.

use sluice_kubernetes::{World, load_text};
use sluice_oracle::{Family, Oracle};
use sluice_policy::{Pod, Protocol};

const PODS: &str = "
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.18.0.1}, {type: InternalIP, address: 'fd00:172::1'}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: x, labels: {app: web}}, spec: {nodeName: n1, containers: [{ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: old, namespace: x, labels: {app: web, version: old}}, spec: {nodeName: n2, containers: [{ports: [{name: http, containerPort: 80}, {name: dns, containerPort: 53}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: x}, spec: {nodeName: n1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host1, namespace: x, labels: {app: host}}, spec: {nodeName: n1, hostNetwork: true}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host2, namespace: x, labels: {app: host}}, spec: {nodeName: n2, hostNetwork: true}}
";

fn world(specs: &[&str]) -> World {
    let mut text = PODS.to_owned();
    for (number, spec) in specs.iter().enumerate() {
        text.extend([format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{number}, namespace: x}}, spec: {{{spec}}}}}\n"
        )]);
    }
    let loaded = load_text("case", &text);
    assert_eq!(loaded.problems, []);
    loaded.world
}

fn pod<'w>(world: &'w World, name: &str) -> &'w Pod {
    world
        .pods
        .iter()
        .map(|facts| &facts.pod)
        .find(|pod| *pod.name.name == *name)
        .expect("a pod of that name")
}

/// Asks about `FROM > TO PORT` in TCP and IPv4, one after another.
#[track_caller]
fn check(specs: &[&str], expected: &[(&str, bool)]) {
    check_in(specs, Family::Ipv4, Protocol::Tcp, expected);
}

#[track_caller]
fn check_in(specs: &[&str], family: Family, protocol: Protocol, expected: &[(&str, bool)]) {
    let world = world(specs);
    for (question, allowed) in expected {
        let words: Vec<&str> = question.split_whitespace().collect();
        let [from, ">", to, port] = words.as_slice() else {
            panic!("{question}")
        };
        let (from, to, port) = (
            pod(&world, from),
            pod(&world, to),
            port.parse().expect("a port"),
        );
        assert_eq!(
            Oracle::new(&world).allowed(from, to, family, protocol, port),
            *allowed,
            "{question} {specs:?}"
        );
    }
}

#[test]
fn a_range_includes_both_ends() {
    check(
        &["podSelector: {}, ingress: [{ports: [{port: 80, endPort: 82}]}]"],
        &[
            ("web > old 79", false),
            ("web > old 80", true),
            ("web > old 82", true),
            ("web > old 83", false),
        ],
    );
    check(
        &["podSelector: {}, ingress: [{ports: [{port: 80, endPort: 80}]}]"],
        &[("web > old 80", true), ("web > old 81", false)],
    );
}

#[test]
fn a_named_port_is_that_of_each_destination() {
    let named = "podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]";
    check(
        &[named],
        &[
            ("bare > web 8080", true),
            ("bare > web 80", false),
            ("bare > old 80", true),
            ("bare > old 8080", false),
        ],
    );
    check(
        &[named],
        &[("web > bare 8080", false), ("web > bare 80", false)],
    );
    let dns = "podSelector: {}, ingress: [{ports: [{port: dns, protocol: UDP}]}]";
    check_in(
        &[dns],
        Family::Ipv4,
        Protocol::Udp,
        &[("bare > web 53", true), ("bare > old 53", false)],
    );
    check(&[dns], &[("bare > web 53", false)]);
}

#[test]
fn a_missing_label_satisfies_not_in_and_does_not_exist_alone() {
    for (operator, bare, web, old) in [
        ("NotIn, values: [old]", true, true, false),
        ("In, values: [old]", false, false, true),
        ("Exists", false, false, true),
        ("DoesNotExist", true, true, false),
    ] {
        let spec = format!(
            "podSelector: {{}}, ingress: [{{from: [{{podSelector: {{matchExpressions: [{{key: version, operator: {operator}}}]}}}}]}}]"
        );
        check(
            &[&spec],
            &[
                ("bare > web 1", bare),
                ("web > bare 1", web),
                ("old > bare 1", old),
            ],
        );
    }
}

#[test]
fn the_own_node_gets_in_and_other_nodes_only_by_address() {
    let deny = "podSelector: {}";
    check(
        &[deny],
        &[
            ("host1 > web 1", true),
            ("host2 > web 1", false),
            ("host2 > old 1", true),
            ("host1 > old 1", false),
        ],
    );
    let by_label =
        "podSelector: {}, ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}]}]";
    check(
        &[by_label],
        &[("host2 > web 1", false), ("bare > web 1", true)],
    );
    let by_address = "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 172.18.0.2/32}}]}]";
    check(
        &[by_address],
        &[("host2 > web 1", true), ("bare > web 1", false)],
    );
    let by_anyone = "podSelector: {}, ingress: [{}]";
    check(&[by_anyone], &[("host2 > web 1", true)]);
}

#[test]
fn pods_in_the_network_of_their_node_are_isolated_by_nothing() {
    let deny = "podSelector: {}, policyTypes: [Ingress, Egress]";
    check(
        &[deny],
        &[
            ("host1 > host2 1", true),
            ("host1 > web 1", true),
            ("web > host2 1", false),
        ],
    );
    let to_label = "podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]";
    check(
        &[to_label],
        &[("web > host2 1", false), ("web > bare 1", true)],
    );
    let to_address = "podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 172.18.0.0/16}}]}]";
    check(
        &[to_address],
        &[("web > host2 1", true), ("web > bare 1", false)],
    );
}

#[test]
fn a_pod_reaches_itself_whatever_policies_say() {
    check(
        &["podSelector: {}, policyTypes: [Ingress, Egress]"],
        &[("web > web 1", true), ("web > bare 1", false)],
    );
}

#[test]
fn an_exception_of_one_rule_denies_nothing_that_another_allows() {
    let except = "podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.0.2/32]}}]}]";
    check(&[except], &[("web > old 1", false), ("web > bare 1", true)]);
    let allow = "podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.244.0.2/32}}]}]";
    check(
        &[except, allow],
        &[("web > old 1", true), ("web > bare 1", true)],
    );
}

#[test]
fn a_network_of_one_family_says_nothing_of_the_other() {
    let all4 = "podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]";
    check(&[all4], &[("bare > web 1", true)]);
    check_in(
        &[all4],
        Family::Ipv6,
        Protocol::Tcp,
        &[("bare > web 1", false)],
    );
}

#[test]
fn without_an_address_of_the_family_there_is_no_connection() {
    check_in(
        &[],
        Family::Ipv6,
        Protocol::Tcp,
        &[("web > host1 1", true), ("web > host2 1", false)],
    );
}

#[test]
fn rules_of_a_direction_that_is_no_type_are_nothing() {
    check(
        &["podSelector: {}, policyTypes: [Ingress], ingress: [{}], egress: [{ports: [{port: 1}]}]"],
        &[("web > bare 2", true)],
    );
    check(
        &["podSelector: {}, policyTypes: [Egress], ingress: [{ports: [{port: 1}]}], egress: [{}]"],
        &[("web > bare 2", true)],
    );
}

#[test]
fn entries_of_a_list_are_alternatives_and_parts_of_an_entry_are_not() {
    let either = "podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}]}, {ports: [{port: 2}]}]";
    check(
        &[either],
        &[
            ("web > bare 1", true),
            ("bare > web 1", false),
            ("bare > web 2", true),
            ("web > bare 3", false),
        ],
    );
}
