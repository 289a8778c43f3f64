//! What a batch says it changed: exactly the pods and addresses whose verdicts can be different.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod allowing;

use sluice_policy::{Changes, Event, Index, NetworkPolicy, Pod, Ports, Scope};
use support::build::{
    any, block, built, cluster, declared, egress, ingress, namespace, node, own, pod, pod_name,
    pods_in, policy, ports, rule,
};

/// x/a to x/d and y/e, each with its name as label `pod`, and x/a taking x/b only.
fn objects() -> Vec<Event> {
    let pods = [
        ("x/a", "10.0.0.1"),
        ("x/b", "10.0.0.2"),
        ("x/c", "10.0.0.3"),
        ("x/d", "10.0.0.4"),
        ("y/e", "10.0.0.5"),
    ];
    let named = pods
        .map(|(name, address)| Event::Pod(pod(name, &format!("pod={}", &name[2..]), &[address])));
    named
        .into_iter()
        .chain([Event::NetworkPolicy(from_b())])
        .collect()
}

fn from_b() -> NetworkPolicy {
    ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![own("pod=b")], ports(&["80/TCP"]))],
    )
}

/// Checks which pods and addresses a batch changes: pods by name, addresses by their last number.
#[track_caller]
fn check(
    index: &mut Index,
    events: impl IntoIterator<Item = Event>,
    pods: &[&str],
    addresses: &[&str],
) {
    let changes = index.apply(events);
    let names: Vec<String> = changes.pods.iter().map(ToString::to_string).collect();
    assert_eq!(names, pods, "pods of {changes:?}");
    let found: Vec<String> = changes.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(found, addresses, "addresses of {changes:?}");
}

#[test]
fn an_equal_object_changes_nothing() {
    let mut index = cluster(objects());
    let before = index.snapshot();
    assert_eq!(index.apply(objects()), Changes::default());
    assert!(
        std::sync::Arc::ptr_eq(&before, &index.snapshot()),
        "no new snapshot for nothing"
    );
    assert_eq!(
        index.apply([
            Event::PodGone(pod_name("x/unknown")),
            Event::NodeGone("n9".into())
        ]),
        Changes::default()
    );
}

#[test]
fn a_policy_changes_whom_it_selects() {
    let closed = Event::NetworkPolicy(ingress("x/closed", "pod in (c|d)", vec![]));
    check(
        &mut cluster(objects()),
        [closed],
        &["x/c", "x/d"],
        &["10.0.0.3", "10.0.0.4"],
    );
    let nobody = Event::NetworkPolicy(ingress("x/closed", "pod=z", vec![any(Ports::Any)]));
    check(&mut cluster(objects()), [nobody], &[], &[]);
    let neither = Event::NetworkPolicy(policy("x/neither", ""));
    check(&mut cluster(objects()), [neither], &[], &[]);
    let gone = Event::NetworkPolicyGone("x".into(), "np".into());
    check(&mut cluster(objects()), [gone], &["x/a"], &["10.0.0.1"]);
}

#[test]
fn a_policy_that_selects_others_changes_both() {
    let other = Event::NetworkPolicy(NetworkPolicy {
        pods: support::build::selector("pod=c"),
        ..from_b()
    });
    check(
        &mut cluster(objects()),
        [other],
        &["x/a", "x/c"],
        &["10.0.0.1", "10.0.0.3"],
    );
}

#[test]
fn an_edit_that_says_the_same_changes_nothing() {
    let twice = rule(
        vec![own("pod=b"), own("pod=b")],
        ports(&["80/TCP", "80-80/TCP"]),
    );
    let same = Event::NetworkPolicy(ingress("x/np", "pod=a", vec![twice]));
    check(&mut cluster(objects()), [same], &[], &[]);
    let with_more = ingress(
        "x/np",
        "pod=a",
        vec![
            from_b().ingress.unwrap().remove(0),
            rule(vec![own("pod=b")], ports(&["80/TCP"])),
        ],
    );
    check(
        &mut cluster(objects()),
        [Event::NetworkPolicy(with_more)],
        &[],
        &[],
    );
    let redundant = Event::NetworkPolicy(ingress("x/zz", "pod=a", from_b().ingress.unwrap()));
    check(&mut cluster(objects()), [redundant], &[], &[]);
}

#[test]
fn what_comes_and_goes_within_a_batch_changes_nothing() {
    let gone_and_back = || {
        let all = objects().into_iter();
        [
            Event::PodGone(pod_name("x/b")),
            Event::NetworkPolicyGone("x".into(), "np".into()),
        ]
        .into_iter()
        .chain(all)
    };
    check(&mut cluster(objects()), gone_and_back(), &[], &[]);
}

#[test]
fn a_peer_changes_its_own_address_and_the_pods_that_see_it() {
    let other_b = Event::Pod(pod("x/b2", "pod=b", &["10.0.0.9"]));
    let mut index = cluster(objects());
    check(&mut index, [other_b], &["x/a", "x/b2"], &["10.0.0.9"]);
    check(
        &mut index,
        [Event::PodGone(pod_name("x/b2"))],
        &["x/a", "x/b2"],
        &["10.0.0.9"],
    );
    let relabelled = Event::Pod(pod("x/b", "pod=z", &["10.0.0.2"]));
    check(&mut index, [relabelled], &["x/a"], &["10.0.0.2"]);
}

#[test]
fn churn_among_peers_of_others_leaves_a_pod_alone() {
    let stranger = Event::Pod(pod("y/z", "pod=b", &["10.0.0.9"]));
    check(&mut cluster(objects()), [stranger], &["y/z"], &["10.0.0.9"]);
}

#[test]
fn labels_that_no_selector_asks_for_change_nothing() {
    let relabelled = Event::Pod(pod("x/b", "pod=b,version=2", &["10.0.0.2"]));
    check(&mut cluster(objects()), [relabelled], &[], &[]);
    let subject = Event::Pod(pod("x/a", "pod=a,version=2", &["10.0.0.1"]));
    check(&mut cluster(objects()), [subject], &[], &[]);
}

#[test]
fn a_namespace_label_changes_only_whom_it_lets_in_or_out() {
    let team = ingress(
        "x/team",
        "pod=c",
        vec![rule(vec![pods_in("team=red", "")], Ports::Any)],
    );
    let mut index = cluster(objects().into_iter().chain([Event::NetworkPolicy(team)]));
    check(
        &mut index,
        [Event::Namespace(namespace("y", "other=1"))],
        &[],
        &[],
    );
    check(
        &mut index,
        [Event::Namespace(namespace("y", "team=red"))],
        &["x/c"],
        &["10.0.0.5"],
    );
    check(
        &mut index,
        [Event::Namespace(namespace("y", "team=red,other=1"))],
        &[],
        &[],
    );
    check(
        &mut index,
        [Event::NamespaceGone("y".into())],
        &["x/c"],
        &["10.0.0.5"],
    );
}

#[test]
fn a_declared_port_changes_whoever_rules_speak_of_by_that_name() {
    let with = |port: &str| {
        Event::Pod(Pod {
            ports: [declared(port)].into(),
            ..pod("x/c", "pod=c", &["10.0.0.3"])
        })
    };
    let by_name = [
        Event::NetworkPolicy(ingress("x/in", "pod=c", vec![any(ports(&["web/TCP"]))])),
        Event::NetworkPolicy(egress("x/out", "pod=d", vec![any(ports(&["web/TCP"]))])),
    ];
    let mut index = cluster(objects().into_iter().chain(by_name));
    check(&mut index, [with("other=80/TCP")], &[], &[]);
    check(
        &mut index,
        [with("web=80/TCP")],
        &["x/c", "x/d"],
        &["10.0.0.3"],
    );
    check(
        &mut index,
        [with("web=81/TCP")],
        &["x/c", "x/d"],
        &["10.0.0.3"],
    );
}

#[test]
fn a_block_that_has_the_peers_address_anyway_makes_a_peer_no_news() {
    let rules = vec![rule(
        vec![block("10.0.0.0/24", &[]), own("pod=z")],
        Ports::Any,
    )];
    let mut index = cluster(
        objects()
            .into_iter()
            .chain([Event::NetworkPolicy(ingress("x/c", "pod=c", rules))]),
    );
    check(
        &mut index,
        [Event::Pod(pod("x/b", "pod=z", &["10.0.0.2"]))],
        &["x/a"],
        &["10.0.0.2"],
    );
}

#[test]
fn a_node_changes_its_own_pods_and_its_own_address() {
    let mut index = cluster(objects());
    let all = ["x/a", "x/b", "x/c", "x/d", "y/e"];
    check(
        &mut index,
        [Event::Node(node("n1", &["192.168.0.1"]))],
        &all,
        &["192.168.0.1"],
    );
    check(
        &mut index,
        [Event::Node(node("n2", &["192.168.0.2"]))],
        &[],
        &[],
    );
    let moved = ["192.168.0.1", "192.168.0.3"];
    check(
        &mut index,
        [Event::Node(node("n1", &["192.168.0.3"]))],
        &all,
        &moved,
    );
}

#[test]
fn pods_outside_the_scope_are_never_listed() {
    let remote = |name: &str, labels: &str, address: &str| Pod {
        node: Some("n2".into()),
        ..pod(name, labels, &[address])
    };
    let mut index = built(Scope::Node("n1".into()), objects());
    check(
        &mut index,
        [Event::Pod(remote("x/r", "pod=a", "10.0.0.9"))],
        &[],
        &["10.0.0.9"],
    );
    check(
        &mut index,
        [Event::Pod(remote("x/s", "pod=b", "10.0.0.8"))],
        &["x/a"],
        &["10.0.0.8"],
    );
    let moved = Event::Pod(remote("x/c", "pod=c", "10.0.0.3"));
    check(&mut index, [moved], &["x/c"], &["10.0.0.3"]);
}

#[test]
fn isolation_is_told_by_address() {
    let mut index = cluster([Event::Pod(pod("x/a", "pod=a", &["10.0.0.1", "fd00::1"]))]);
    let isolation = |changes: &Changes| -> Vec<String> {
        let text = |isolation: sluice_policy::Isolation| {
            format!("{} {}", isolation.ingress, isolation.egress)
        };
        changes
            .isolation
            .iter()
            .map(|(address, i)| format!("{address} {}", i.map_or("none".into(), text)))
            .collect()
    };
    let changes = index.apply([Event::NetworkPolicy(ingress("x/np", "", vec![]))]);
    assert_eq!(
        isolation(&changes),
        ["10.0.0.1 true false", "fd00::1 true false"]
    );
    let changes = index.apply([Event::NetworkPolicy(ingress("x/np2", "", vec![]))]);
    assert_eq!(isolation(&changes), [""; 0]);
    let changes = index.apply([Event::NetworkPolicy(egress("x/np2", "", vec![]))]);
    assert_eq!(
        isolation(&changes),
        ["10.0.0.1 true true", "fd00::1 true true"]
    );
    let changes = index.apply([Event::PodGone(pod_name("x/a"))]);
    assert_eq!(isolation(&changes), ["10.0.0.1 none", "fd00::1 none"]);
}

#[test]
fn an_address_that_changes_hands_changes_both_pods() {
    let younger = Event::Pod(Pod {
        created: 1,
        ..pod("x/new", "pod=b", &["10.0.0.2"])
    });
    let mut index = cluster(objects());
    // The rules of x/a see the same labels there as before.
    check(&mut index, [younger], &["x/b", "x/new"], &["10.0.0.2"]);
    check(&mut index, [Event::PodGone(pod_name("x/b"))], &[], &[]);
}
