//! What is known, by name: a source that lists everything anew finds out from it what is gone.

use sluice_policy::{Event, Index, Pod};

use crate::support::build::{cluster, ingress, namespace, node, pod, pod_name};

/// All names: pods, namespaces, nodes, NetworkPolicies.
fn names(index: &Index) -> String {
    let pods = index.pod_names().map(ToString::to_string);
    let namespaces = index.namespace_names().map(ToString::to_string);
    let nodes = index.node_names().map(ToString::to_string);
    let policies = index
        .network_policy_names()
        .map(|(namespace, name)| format!("{namespace}/{name}"));
    let sorted = |mut names: Vec<String>| {
        names.sort_unstable();
        names.join(" ")
    };
    let all = [
        sorted(pods.collect()),
        sorted(namespaces.collect()),
        sorted(nodes.collect()),
        sorted(policies.collect()),
    ];
    all.join("; ")
}

/// An object of each kind, among them pods that no address shows.
fn objects() -> Vec<Event> {
    let host = Pod {
        host_network: true,
        ..pod("z/host", "", &["192.168.0.1"])
    };
    vec![
        Event::Pod(pod("x/a", "", &["10.0.0.1"])),
        Event::Pod(pod("x/pending", "", &[])),
        Event::Pod(host),
        Event::Namespace(namespace("y", "")),
        Event::Node(node("n1", &[])),
        Event::NetworkPolicy(ingress("x/np", "", vec![])),
        Event::NetworkPolicy(ingress("w/np", "", vec![])),
    ]
}

#[test]
fn every_object_is_known_by_name_and_nothing_else_is() {
    // No pod declares its namespace, and no policy does.
    assert_eq!(
        names(&cluster(objects())),
        "x/a x/pending z/host; y; n1; w/np x/np"
    );
}

#[test]
fn what_is_gone_is_not_known_any_more() {
    let mut index = cluster(objects());
    let _changes = index.apply([
        Event::PodGone(pod_name("x/pending")),
        Event::PodGone(pod_name("z/host")),
        Event::NamespaceGone("y".into()),
        Event::NodeGone("n1".into()),
        Event::NetworkPolicyGone("w".into(), "np".into()),
    ]);
    assert_eq!(names(&index), "x/a; ; ; x/np");
}
