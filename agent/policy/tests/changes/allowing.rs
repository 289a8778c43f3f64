//! Which batches deny nothing that was allowed.

use sluice_policy::{Event, Index, Pod, Ports, Scope};

use crate::objects;
use crate::support::build::{
    admin_in, admin_out, any, block, built, cluster, declared, egress, ingress, labels, namespace,
    node, own, pod, pod_name, pods_in, pods_of, ports, rule,
};

#[test]
fn only_a_further_policy_of_whom_one_isolates_denies_nothing() {
    let from_c = || {
        let rules = vec![rule(vec![own("pod=c")], Ports::Any)];
        Event::NetworkPolicy(ingress("x/more", "pod=a", rules))
    };
    let to_c = || {
        let rules = vec![rule(vec![own("pod=c")], Ports::Any)];
        Event::NetworkPolicy(egress("x/more", "pod=a", rules))
    };
    let closed = || Event::NetworkPolicy(ingress("x/closed", "pod=a", vec![]));
    let isolates_b = || Event::NetworkPolicy(ingress("x/b", "pod=b", vec![]));
    let gone = |name: &str| Event::NetworkPolicyGone("x".into(), name.into());
    let check = |known: Vec<Event>, events: Vec<Event>, only_allows: bool| {
        let mut index = cluster(objects().into_iter().chain(known));
        let changes = index.apply(events);
        assert_eq!(changes.only_allows, only_allows, "{changes:?}");
    };
    check(vec![], vec![from_c()], true);
    check(vec![], vec![closed()], true);
    check(vec![], vec![from_c(), closed()], true);
    // Its egress was free until then, and so was b.
    check(vec![], vec![to_c()], false);
    check(vec![], vec![isolates_b()], false);
    check(vec![], vec![from_c(), isolates_b()], false);
    check(vec![isolates_b()], vec![from_c()], true);
    // An edited one may allow less, and one that goes may have been the only one to allow something.
    check(
        vec![from_c()],
        vec![Event::NetworkPolicy(ingress("x/more", "pod=a", vec![]))],
        false,
    );
    check(vec![from_c()], vec![gone("more")], false);
    check(vec![], vec![from_c(), gone("np")], false);
    let labelled = |name| Event::Namespace(namespace(name, "a=b"));
    check(vec![], vec![from_c(), labelled("empty")], true);
    check(vec![], vec![from_c(), labelled("y")], false);
    let pod = Event::Pod(pod("x/f", "pod=f", &["10.0.0.6"]));
    check(vec![], vec![from_c(), pod], false);
}

/// The objects, the rules of x/c by what is special about its peers, and an admin policy of x/d.
fn ruled(scope: Scope) -> Index {
    let peers = vec![pods_in("team=red", ""), block("10.0.0.9/32", &[])];
    let by_name = vec![any(ports(&["web/TCP"]))];
    let admin = ["deny pods pod=bad @ 80/TCP", "allow pods team=blue"];
    let policies = [
        Event::NetworkPolicy(ingress("x/team", "pod=c", vec![rule(peers, Ports::Any)])),
        Event::NetworkPolicy(egress("x/web", "pod=c", by_name)),
        Event::AdminPolicy(sluice_policy::AdminPolicy {
            subject: pods_of("", "pod=d"),
            ..admin_in("anp/a", &admin)
        }),
        Event::AdminPolicy(sluice_policy::AdminPolicy {
            subject: pods_of("", "pod=d"),
            ..admin_out("anp/b", &["deny nodes zone=a"])
        }),
    ];
    built(scope, objects().into_iter().chain(policies))
}

/// Whether a batch only allows, after another one, and changes something.
#[track_caller]
fn check(known: Vec<Event>, events: Vec<Event>, only_allows: bool) {
    let mut index = ruled(Scope::Cluster);
    let _changes = index.apply(known);
    let name = format!("{events:?}");
    let changes = index.apply(events);
    assert!(!changes.addresses.is_empty(), "nothing: {name}");
    assert_eq!(changes.only_allows, only_allows, "{name}: {changes:?}");
}

#[test]
fn peers_that_nobody_denies_what_was_allowed_close_nothing() {
    let e = |labels: &str| Event::Pod(pod("y/e", labels, &["10.0.0.5"]));
    let b = |labels: &str| Event::Pod(pod("x/b", labels, &["10.0.0.2"]));
    let y = |labels: &str| Event::Namespace(namespace("y", labels));
    // A selection gained is more of what adds up, and one lost is less.
    check(vec![], vec![y("team=red")], true);
    check(vec![y("team=red")], vec![y("")], false);
    check(
        vec![y("team=red")],
        vec![Event::NamespaceGone("y".into())],
        false,
    );
    check(vec![b("pod=z")], vec![b("pod=b")], true);
    check(vec![], vec![b("pod=z")], false);
    // One of many that loses something spoils it, whichever comes first.
    check(vec![], vec![y("team=red"), b("pod=z")], false);
    check(vec![], vec![b("pod=z"), y("team=red")], false);
    // Where a tier denies, it is the other way round.
    check(vec![], vec![e("pod=bad")], false);
    check(vec![e("pod=bad")], vec![e("pod=e")], true);
    check(vec![e("pod=bad")], vec![e("pod=bad,team=blue")], true);
    let zone = |with: &str| {
        Event::Node(sluice_policy::Node {
            labels: labels(with),
            ..node("n7", &["192.168.0.7"])
        })
    };
    check(vec![zone("zone=b")], vec![zone("zone=a")], false);
    check(vec![zone("zone=a")], vec![zone("zone=b")], true);
    // The pods of a node cannot refuse it, and so others can once it is gone.
    let own = || Event::Node(node("n1", &["192.168.0.1"]));
    check(vec![], vec![own()], false);
    check(vec![own()], vec![Event::NodeGone("n1".into())], false);
    // A pod of the scope that comes, goes, or comes under other rules may be isolated now.
    check(vec![], vec![Event::PodGone(pod_name("x/b"))], false);
    check(
        vec![],
        vec![e("pod=e"), Event::Pod(pod("x/f", "pod=f", &["10.0.0.6"]))],
        false,
    );
    check(vec![], vec![b("pod=a")], false);
    check(vec![], vec![y("team=red"), b("pod=c")], false);
}

#[test]
fn of_names_each_number_counts() {
    let with = |names: &[&str]| {
        Event::Pod(Pod {
            ports: names.iter().map(|name| declared(name)).collect(),
            ..pod("x/b", "pod=b", &["10.0.0.2"])
        })
    };
    check(vec![], vec![with(&["web=80/TCP"])], true);
    let two = ["web=80/TCP", "web=81/TCP"];
    check(vec![with(&two[..1])], vec![with(&two)], true);
    check(vec![with(&two)], vec![with(&two[1..])], false);
    check(vec![with(&two[..1])], vec![with(&two[1..])], false);
}

#[test]
fn pods_of_other_nodes_are_peers_alone() {
    let remote = |name: &str, labels: &str, address: &str| {
        Event::Pod(Pod {
            node: Some("n2".into()),
            ..pod(name, labels, &[address])
        })
    };
    let mut index = ruled(Scope::Node("n1".into()));
    let mut check = |event: Event, only_allows: bool| {
        let name = format!("{event:?}");
        let changes = index.apply([event]);
        assert!(!changes.addresses.is_empty(), "nothing: {name}");
        assert_eq!(changes.only_allows, only_allows, "{name}: {changes:?}");
    };
    check(remote("x/r", "pod=b", "10.0.0.7"), true);
    check(remote("x/r", "pod=r", "10.0.0.7"), false);
    check(Event::PodGone(pod_name("x/r")), true);
    check(remote("x/r", "pod=b", "10.0.0.7"), true);
    check(Event::PodGone(pod_name("x/r")), false);
    // What it is denied as a pod, its address was not, and the other way round.
    check(remote("x/r", "pod=bad", "10.0.0.7"), false);
    check(Event::PodGone(pod_name("x/r")), true);
    check(remote("x/r", "pod=r", "10.0.0.1"), false);
}

#[test]
fn so_many_peers_that_it_takes_too_long_to_look_may_close_something() {
    // Each of these sees each pod of y.
    let subjects = |number: usize| {
        let (namespace, address) = (format!("s{number}/a"), format!("10.1.0.{number}"));
        let rules = vec![rule(vec![pods_in("team=red", "")], Ports::Any)];
        let name = format!("s{number}/np");
        [
            Event::Pod(pod(&namespace, "pod=s", &[&address])),
            Event::NetworkPolicy(ingress(&name, "", rules)),
        ]
    };
    let peer = |number: usize| {
        let (name, labels) = (format!("y/p{number}"), format!("n={number}"));
        Event::Pod(pod(&name, &labels, &[&format!("10.2.0.{number}")]))
    };
    let changes = |subjects_of: usize, peers: usize| {
        let subjects = (1..=subjects_of).flat_map(subjects);
        let mut index = cluster(subjects.chain((1..=peers).map(peer)));
        index.apply([Event::Namespace(namespace("y", "team=red"))])
    };
    let few = changes(20, 20);
    let many = changes(60, 60);
    assert!(few.only_allows && !many.only_allows);
    assert_eq!((few.addresses.len(), many.addresses.len()), (20, 60));
}
