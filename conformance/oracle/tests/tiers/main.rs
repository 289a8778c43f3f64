//! Sentences of `policy.networking.k8s.io` as cases: which tier says what, in which order, about whom.

mod matching;
mod order;

use sluice_kubernetes::{World, load_text};
use sluice_oracle::{Family, Oracle};
use sluice_policy::{Pod, Protocol};

const CLUSTER: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: red, labels: {team: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {team: blue}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {zone: a}}, status: {addresses: [{type: InternalIP, address: 172.18.0.1}, {type: InternalIP, address: 'fd00:172::1'}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: n2, labels: {zone: b}}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}, {type: ExternalIP, address: 192.0.2.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: red, labels: {app: web}}, spec: {nodeName: n1, containers: [{ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: red, labels: {app: db}}, spec: {nodeName: n2, containers: [{ports: [{name: http, containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: blue, labels: {app: web}}, spec: {nodeName: n1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host1, namespace: red, labels: {app: web}}, spec: {nodeName: n1, hostNetwork: true, containers: [{ports: [{name: http, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host2, namespace: red, labels: {app: web}}, spec: {nodeName: n2, hostNetwork: true}}
";

const EVERYONE: &str = "subject: {namespaces: {}}";
const FROM_ALL: &str = "from: [{namespaces: {}}]";
const TO_ALL: &str = "to: [{namespaces: {}}]";

/// An object of the admin kinds, or a `NetworkPolicy`; the short name of its kind, a name, and its spec.
type Object<'t> = (&'t str, &'t str, &'t str);

fn manifest((kind, name, spec): &Object<'_>) -> String {
    let spec = spec
        .replace("EVERYONE", EVERYONE)
        .replace("FROM_ALL", FROM_ALL)
        .replace("TO_ALL", TO_ALL);
    let (group, kind, namespace) = match *kind {
        "anp" => (
            "policy.networking.k8s.io/v1alpha1",
            "AdminNetworkPolicy",
            "",
        ),
        "banp" => (
            "policy.networking.k8s.io/v1alpha1",
            "BaselineAdminNetworkPolicy",
            "",
        ),
        "cnp" => (
            "policy.networking.k8s.io/v1alpha2",
            "ClusterNetworkPolicy",
            "",
        ),
        "np" => ("networking.k8s.io/v1", "NetworkPolicy", ", namespace: red"),
        other => panic!("{other}"),
    };
    format!(
        "---\n{{apiVersion: {group}, kind: {kind}, metadata: {{name: {name}{namespace}}}, spec: {{{spec}}}}}\n"
    )
}

fn text(objects: &[Object<'_>]) -> String {
    let objects: String = objects.iter().map(manifest).collect();
    format!("{CLUSTER}{objects}")
}

fn world(objects: &[Object<'_>]) -> World {
    let loaded = load_text("case", &text(objects));
    assert_eq!(loaded.problems, []);
    loaded.world
}

fn pod<'w>(world: &'w World, name: &str) -> &'w Pod {
    let (namespace, name) = name.split_once('/').expect("a namespace");
    world
        .pods
        .iter()
        .map(|facts| &facts.pod)
        .find(|pod| *pod.name.namespace == *namespace && *pod.name.name == *name)
        .expect("a pod of that name")
}

/// Asks about `FROM > TO PORT[/PROTOCOL]` in IPv4, one after another.
#[track_caller]
fn check(objects: &[Object<'_>], expected: &[(&str, bool)]) {
    check_world(&world(objects), expected);
}

#[track_caller]
fn check_world(world: &World, expected: &[(&str, bool)]) {
    for (question, allowed) in expected {
        let words: Vec<&str> = question.split_whitespace().collect();
        let [from, ">", to, port] = words.as_slice() else {
            panic!("{question}")
        };
        let (port, protocol) = port.split_once('/').unwrap_or((port, "TCP"));
        let protocol = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|known| known.to_string() == protocol)
            .expect("a protocol");
        let port = port.parse().expect("a port");
        let said = Oracle::new(world).allowed(
            pod(world, from),
            pod(world, to),
            Family::Ipv4,
            protocol,
            port,
        );
        assert_eq!(said, *allowed, "{question}");
    }
}
