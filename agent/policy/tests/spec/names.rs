//! What is known, by name: a source that lists everything anew finds out from it what is gone.

use sluice_policy::{AdminKind, AdminName, AdminPolicy, Event, Index, Pod, Scope};

use crate::support::build::{
    admin, admin_in, built, cluster, ingress, namespace, node, pod, pod_name, pods_of,
};

/// All names: pods, namespaces, nodes, NetworkPolicies, and admin policies by kind.
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
    let of_kind = |kind| {
        let names = index.admin_policy_names(kind);
        sorted(names.map(ToString::to_string).collect())
    };
    let all = [
        sorted(pods.collect()),
        sorted(namespaces.collect()),
        sorted(nodes.collect()),
        sorted(policies.collect()),
        of_kind(AdminKind::AdminNetworkPolicy),
        of_kind(AdminKind::BaselineAdminNetworkPolicy),
        of_kind(AdminKind::ClusterNetworkPolicy),
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
        Event::AdminPolicy(admin("anp/one")),
        Event::AdminPolicy(admin("anp/two")),
        Event::AdminPolicy(admin("banp/default")),
        Event::AdminPolicy(admin("admin/one")),
        Event::AdminPolicy(admin("baseline/two")),
    ]
}

#[test]
fn every_object_is_known_by_name_and_nothing_else_is() {
    // No pod declares its namespace, and no policy does.
    assert_eq!(
        names(&cluster(objects())),
        "x/a x/pending z/host; y; n1; w/np x/np; one two; default; one two"
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
        Event::AdminPolicyGone(admin("anp/two").name),
        Event::AdminPolicyGone(admin("banp/default").name),
        Event::AdminPolicyGone(admin("admin/one").name),
    ]);
    assert_eq!(names(&index), "x/a; ; ; x/np; one; ; two");
    let counts = index.snapshot().counts();
    assert_eq!(
        (
            counts.network_policies,
            counts.admin_network_policies,
            counts.baseline_admin_network_policies,
            counts.cluster_network_policies
        ),
        (1, 1, 0, 1)
    );
}

#[test]
fn a_cluster_network_policy_that_changes_tiers_is_the_same_object() {
    let mut index = cluster([Event::AdminPolicy(admin("admin/one"))]);
    let _changes = index.apply([Event::AdminPolicy(admin("baseline/one"))]);
    assert_eq!(index.snapshot().counts().cluster_network_policies, 1);
}

#[test]
fn policies_of_one_tier_and_priority_are_tied_in_the_order_in_which_they_are_asked() {
    let policies = [
        "anp/b:5",
        "admin/c:5",
        "admin/a:5",
        "anp/a:5",
        "anp/alone:6",
        "baseline/x:5",
        "baseline/y:7",
        "admin/z:7",
        "banp/default",
    ];
    let mut index = cluster(policies.map(|name| Event::AdminPolicy(admin(name))));
    let ties = |index: &Index| -> Vec<String> {
        let ties = index.ties().into_iter();
        let text = |(one, other): (AdminName, AdminName)| format!("{one} = {other}");
        ties.map(text).collect()
    };
    assert_eq!(
        ties(&index),
        [
            "AdminNetworkPolicy/a = ClusterNetworkPolicy/a",
            "ClusterNetworkPolicy/a = AdminNetworkPolicy/b",
            "AdminNetworkPolicy/b = ClusterNetworkPolicy/c",
        ]
    );
    let _changes = index.apply([
        Event::AdminPolicyGone(admin("admin/a").name),
        Event::AdminPolicy(admin("anp/b:4")),
        Event::AdminPolicy(admin("anp/a:3")),
    ]);
    assert_eq!(ties(&index), [""; 0]);
}

#[test]
fn policies_that_select_nothing_are_known() {
    let of = |name: &str, namespaces: &str, pods: &str| {
        Event::AdminPolicy(AdminPolicy {
            subject: pods_of(namespaces, pods),
            ..admin_in(name, &["deny any"])
        })
    };
    let elsewhere = Pod {
        node: Some("n9".into()),
        ..pod("x/b", "pod=b", &["10.0.0.2"])
    };
    let mut events = objects();
    events.extend([
        Event::Pod(elsewhere),
        of("anp/one", "", "pod=b"),
        of("anp/two", "", "pod=host"),
        of("admin/one", "kubernetes.io/metadata.name=y", ""),
    ]);
    let mut index = built(Scope::Node("n1".into()), events);
    let empty = |index: &Index| {
        let mut names: Vec<String> = index.selects_nothing().map(ToString::to_string).collect();
        names.sort_unstable();
        names.join(" ")
    };
    // A pod of another node is one, a host-network pod and one without an address are none.
    assert_eq!(
        empty(&index),
        "AdminNetworkPolicy/two ClusterNetworkPolicy/one w/np"
    );
    let _changes = index.apply([
        Event::PodGone(pod_name("x/b")),
        Event::Pod(pod("w/c", "", &["10.0.0.3"])),
    ]);
    assert_eq!(
        empty(&index),
        "AdminNetworkPolicy/one AdminNetworkPolicy/two ClusterNetworkPolicy/one"
    );
}
