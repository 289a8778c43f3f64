//! Objects that come, change and go.

use sluice_policy::{Event, Index, Namespace, Pod, Ports};

use crate::support::build::{
    any, cluster, declared, egress, ingress, ip, namespace, own, pod, pod_name, pods_in, ports,
    rule,
};
use crate::{check, three_pods};

/// An index of three pods and one policy.
fn index(policy: sluice_policy::NetworkPolicy) -> Index {
    cluster(
        three_pods()
            .into_iter()
            .chain([Event::NetworkPolicy(policy)]),
    )
}

#[track_caller]
fn then(index: &mut Index, event: Event, expectations: &[&str]) {
    let _changes = index.apply([event]);
    check(&index.snapshot(), expectations);
}

fn from_b() -> sluice_policy::NetworkPolicy {
    ingress("x/np", "pod=a", vec![rule(vec![own("pod=b")], Ports::Any)])
}

#[test]
fn a_label_that_goes_takes_access_with_it() {
    let mut index = index(from_b());
    check(&index.snapshot(), &["+10.0.0.2 > 10.0.0.1 80/TCP"]);
    then(
        &mut index,
        Event::Pod(pod("x/b", "pod=z", &["10.0.0.2"])),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::Pod(pod("x/b", "", &["10.0.0.2"])),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::Pod(pod("x/b", "pod=b,more=1", &["10.0.0.2"])),
        &["+10.0.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_namespace_label_that_goes_takes_access_with_it() {
    let team = ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![pods_in("team=red", "")], Ports::Any)],
    );
    let mut index = index(team);
    then(
        &mut index,
        Event::Namespace(namespace("y", "team=red")),
        &["+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::Namespace(namespace("y", "team=blue")),
        &["-10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::Namespace(namespace("y", "team=red")),
        &["+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::NamespaceGone("y".into()),
        &["-10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    let bare = Namespace {
        name: "y".into(),
        labels: crate::support::build::labels("team=red"),
    };
    then(
        &mut index,
        Event::Namespace(bare),
        &["+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_pod_that_changes_labels_is_ruled_by_other_policies() {
    let mut index = index(ingress("x/np", "pod=a", vec![]));
    then(
        &mut index,
        Event::Pod(pod("x/a", "pod=z", &["10.0.0.1"])),
        &["+10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::Pod(pod("x/b", "pod=a", &["10.0.0.2"])),
        &["-10.0.0.1 > 10.0.0.2 80/TCP"],
    );
}

#[test]
fn a_policy_that_selects_others_now_frees_whom_it_selected() {
    let mut index = index(ingress("x/np", "pod=a", vec![]));
    let other = Event::NetworkPolicy(ingress("x/np", "pod=b", vec![]));
    then(
        &mut index,
        other,
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "-10.0.0.1 > 10.0.0.2 80/TCP"],
    );
    let direction = Event::NetworkPolicy(egress("x/np", "pod=b", vec![]));
    then(
        &mut index,
        direction,
        &["+10.0.0.1 > 10.0.0.2 80/TCP", "-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn the_last_policy_that_goes_leaves_everything_open() {
    let mut index = index(ingress("x/np", "pod=a", vec![]));
    let gone = Event::NetworkPolicyGone("x".into(), "np".into());
    then(&mut index, gone.clone(), &["+10.0.0.2 > 10.0.0.1 80/TCP"]);
    assert_eq!(index.snapshot().counts().isolated, 0);
    assert!(index.apply([gone]).is_empty());
}

#[test]
fn a_pod_that_goes_leaves_an_outside_address() {
    let mut index = index(from_b());
    then(
        &mut index,
        Event::PodGone(pod_name("x/b")),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::PodGone(pod_name("x/a")),
        &["+8.8.8.8 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_pod_that_ended_has_no_address_any_more() {
    let mut index = index(from_b());
    then(
        &mut index,
        Event::Pod(pod("x/b", "pod=b", &[])),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    then(
        &mut index,
        Event::Pod(pod("x/b", "pod=b", &["10.0.0.9"])),
        &["+10.0.0.9 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_pod_with_a_new_address_leaves_the_old_one() {
    let mut index = index(from_b());
    let moved = Event::Pod(pod("x/b", "pod=b", &["10.0.0.9"]));
    then(
        &mut index,
        moved,
        &["+10.0.0.9 > 10.0.0.1 80/TCP", "-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_named_port_follows_its_pod() {
    let with = |port: &str| Pod {
        ports: [declared(port)].into(),
        ..pod("x/a", "pod=a", &["10.0.0.1"])
    };
    let mut index = index(ingress("x/np", "pod=a", vec![any(ports(&["web/TCP"]))]));
    then(
        &mut index,
        Event::Pod(with("web=80/TCP")),
        &["+10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    let expected = ["-10.0.0.2 > 10.0.0.1 80/TCP", "+10.0.0.2 > 10.0.0.1 81/TCP"];
    then(&mut index, Event::Pod(with("web=81/TCP")), &expected);
}

fn at_b(name: &str, created: i64) -> Pod {
    Pod {
        created,
        ..pod(name, "pod=new", &["10.0.0.2"])
    }
}

fn owner(index: &Index) -> String {
    index
        .snapshot()
        .pod_at(ip("10.0.0.2"))
        .map_or_else(String::new, |pod| pod.name.to_string())
}

#[test]
fn the_youngest_pod_has_the_address_and_a_late_delete_does_not_take_it() {
    let mut index = index(from_b());
    then(
        &mut index,
        Event::Pod(at_b("x/new", 5)),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    assert_eq!(owner(&index), "x/new");
    then(
        &mut index,
        Event::PodGone(pod_name("x/b")),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
    assert_eq!(owner(&index), "x/new");
}

#[test]
fn an_older_pod_does_not_take_the_address_and_has_it_when_the_younger_goes() {
    let mut index = index(from_b());
    let _changes = index.apply([
        Event::Pod(at_b("x/older", -5)),
        Event::Pod(at_b("x/oldest", -9)),
    ]);
    assert_eq!(owner(&index), "x/b");
    let _changes = index.apply([Event::PodGone(pod_name("x/b"))]);
    assert_eq!(owner(&index), "x/older");
    let _changes = index.apply([Event::PodGone(pod_name("x/oldest"))]);
    assert_eq!(owner(&index), "x/older");
    let _changes = index.apply([Event::PodGone(pod_name("x/older"))]);
    assert_eq!(owner(&index), "");
}

#[test]
fn of_equally_old_pods_the_last_in_name_order_has_the_address() {
    let mut index = index(from_b());
    let _changes = index.apply([Event::Pod(at_b("w/z", 0))]);
    assert_eq!(owner(&index), "x/b");
    let _changes = index.apply([Event::Pod(at_b("x/c", 0))]);
    assert_eq!(owner(&index), "x/c");
}

#[test]
fn a_snapshot_stays_what_it_was() {
    let mut index = index(from_b());
    let before = index.snapshot();
    let _changes = index.apply([
        Event::PodGone(pod_name("x/b")),
        Event::NetworkPolicyGone("x".into(), "np".into()),
    ]);
    check(
        &before,
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "-10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    assert_eq!(before.counts().pods, 3);
    assert!(*before != *index.snapshot());
}

#[test]
fn policies_may_come_before_the_pods_they_speak_of() {
    let mut early = cluster([Event::NetworkPolicy(from_b())]);
    let _changes = early.apply(three_pods());
    assert!(*early.snapshot() == *index(from_b()).snapshot());
}
