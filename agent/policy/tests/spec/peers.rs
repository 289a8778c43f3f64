//! Peers by selector: namespaces and labels, every operator.

use sluice_policy::{Event, Peers, Ports, Rule};

use crate::support::build::{any, egress, ingress, namespace, own, pod, pods_in, rule, snapshot};
use crate::{check, three_pods, with};

/// Whether x/a takes a connection from a pod with these labels, by a rule for pods that a selector matches.
#[track_caller]
fn check_selector(selector: &str, matched: &[&str], unmatched: &[&str]) {
    for (labels, sign) in matched
        .iter()
        .map(|l| (l, "+"))
        .chain(unmatched.iter().map(|l| (l, "-")))
    {
        let peer = pod("x/peer", labels, &["10.0.0.9"]);
        let policy = ingress("x/np", "pod=a", vec![rule(vec![own(selector)], Ports::Any)]);
        let events = [
            Event::Pod(peer),
            Event::Pod(pod("x/a", "pod=a", &["10.0.0.1"])),
            Event::NetworkPolicy(policy),
        ];
        let verdict = snapshot(events)
            .evaluate(&crate::tuple("10.0.0.9 > 10.0.0.1 80/TCP"))
            .action();
        let expected = if sign == "+" {
            crate::Action::Allow
        } else {
            crate::Action::Deny
        };
        assert_eq!(
            verdict, expected,
            "selector {selector:?}, labels {labels:?}"
        );
    }
}

#[test]
fn in_needs_the_key_and_one_of_the_values() {
    check_selector(
        "k in (1|2)",
        &["k=1", "k=2,other=1"],
        &["k=3", "other=1", "", "k="],
    );
}

#[test]
fn not_in_needs_none_of_the_values_and_matches_without_the_key() {
    check_selector("k notin (1|2)", &["k=3", "other=1", ""], &["k=1", "k=2"]);
}

#[test]
fn exists_needs_the_key_whatever_its_value() {
    check_selector("k", &["k=1", "k="], &["", "other=1"]);
}

#[test]
fn does_not_exist_needs_the_key_to_be_missing() {
    check_selector("!k", &["", "other=1"], &["k=1", "k="]);
}

#[test]
fn requirements_must_all_hold() {
    check_selector(
        "k=1,l notin (2)",
        &["k=1", "k=1,l=1"],
        &["k=1,l=2", "l=1", ""],
    );
    check_selector("k in (1|2),k in (2|3)", &["k=2"], &["k=1", "k=3"]);
    check_selector("k=1,k=2", &[], &["k=1", "k=2"]);
}

#[test]
fn an_empty_selector_matches_pods_without_labels() {
    check_selector("", &["", "k=1"], &[]);
}

#[test]
fn a_pod_selector_alone_means_the_own_namespace() {
    let snapshot = with([ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![own("")], Ports::Any)],
    )]);
    check(
        &snapshot,
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "-10.0.0.3 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_namespace_selector_alone_means_all_pods_of_those_namespaces() {
    let name = "kubernetes.io/metadata.name=y";
    let snapshot = with([ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![pods_in(name, "")], Ports::Any)],
    )]);
    check(
        &snapshot,
        &["-10.0.0.2 > 10.0.0.1 80/TCP", "+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn an_empty_namespace_selector_means_every_namespace() {
    let snapshot = with([ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![pods_in("", "")], Ports::Any)],
    )]);
    check(
        &snapshot,
        &[
            "+10.0.0.2 > 10.0.0.1 80/TCP",
            "+10.0.0.3 > 10.0.0.1 80/TCP",
            "-8.8.8.8 > 10.0.0.1 80/TCP",
        ],
    );
}

#[test]
fn both_selectors_in_one_peer_must_match_and_of_two_peers_one() {
    let name = "kubernetes.io/metadata.name=y";
    let both = with([ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![pods_in(name, "pod=b")], Ports::Any)],
    )]);
    check(
        &both,
        &["-10.0.0.2 > 10.0.0.1 80/TCP", "-10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    let either = with([ingress(
        "x/np",
        "pod=a",
        vec![rule(vec![pods_in(name, ""), own("pod=b")], Ports::Any)],
    )]);
    check(
        &either,
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_namespace_is_selected_by_its_labels_not_by_its_name() {
    let by = |selector: &str| {
        ingress(
            "x/np",
            "pod=a",
            vec![rule(vec![pods_in(selector, "")], Ports::Any)],
        )
    };
    let declared = || {
        three_pods()
            .into_iter()
            .chain([Event::Namespace(namespace("y", "team=red"))])
    };
    let with = |selector| snapshot(declared().chain([Event::NetworkPolicy(by(selector))]));
    check(&with("team=red"), &["+10.0.0.3 > 10.0.0.1 80/TCP"]);
    check(&with("name=y"), &["-10.0.0.3 > 10.0.0.1 80/TCP"]);
    check(
        &with("!team"),
        &["-10.0.0.3 > 10.0.0.1 80/TCP", "+10.0.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn an_undeclared_namespace_has_its_name_as_label_and_no_other() {
    let by = |selector: &str| {
        with([ingress(
            "x/np",
            "pod=a",
            vec![rule(vec![pods_in(selector, "")], Ports::Any)],
        )])
    };
    check(
        &by("kubernetes.io/metadata.name=y"),
        &["+10.0.0.3 > 10.0.0.1 80/TCP"],
    );
    check(&by("team"), &["-10.0.0.3 > 10.0.0.1 80/TCP"]);
    check(&by("team notin (red)"), &["+10.0.0.3 > 10.0.0.1 80/TCP"]);
}

#[test]
fn no_selector_matches_an_address_that_is_no_pods() {
    for selector in ["", "!k", "k notin (1)"] {
        let peers = || vec![own(selector), pods_in("", selector), pods_in("!k", "")];
        let in_and_out = with([
            ingress("x/in", "pod=a", vec![rule(peers(), Ports::Any)]),
            egress("x/out", "pod=a", vec![rule(peers(), Ports::Any)]),
        ]);
        check(
            &in_and_out,
            &["-8.8.8.8 > 10.0.0.1 80/TCP", "-10.0.0.1 > 8.8.8.8 80/TCP"],
        );
    }
}

#[test]
fn missing_peers_mean_everybody_and_peers_that_were_left_out_mean_nobody() {
    let everybody = with([ingress("x/np", "pod=a", vec![any(Ports::Any)])]);
    check(
        &everybody,
        &["+10.0.0.2 > 10.0.0.1 80/TCP", "+8.8.8.8 > 10.0.0.1 80/TCP"],
    );
    let nobody = Rule {
        peers: Peers::Of(vec![]),
        ports: Ports::Any,
    };
    check(
        &with([ingress("x/np", "pod=a", vec![nobody])]),
        &["-10.0.0.2 > 10.0.0.1 80/TCP"],
    );
}

#[test]
fn a_replica_with_the_same_labels_is_somebody_else() {
    let replicas =
        ["1", "2"].map(|n| Event::Pod(pod(&format!("x/r{n}"), "app=r", &[&format!("10.0.1.{n}")])));
    let closed = Event::NetworkPolicy(ingress("x/np", "app=r", vec![]));
    check(
        &snapshot(replicas.clone().into_iter().chain([closed])),
        &["-10.0.1.1 > 10.0.1.2 80/TCP"],
    );
    let among = Event::NetworkPolicy(ingress(
        "x/np",
        "app=r",
        vec![rule(vec![own("app=r")], Ports::Any)],
    ));
    check(
        &snapshot(replicas.into_iter().chain([among])),
        &["+10.0.1.1 > 10.0.1.2 80/TCP"],
    );
}

#[test]
fn a_selector_covers_all_addresses_of_a_pod() {
    let events = [
        Event::Pod(pod("x/a", "pod=a", &["10.0.0.1", "fd00::1"])),
        Event::Pod(pod("x/b", "pod=b", &["10.0.0.2", "fd00::2"])),
        Event::Pod(pod("x/c", "pod=c", &["10.0.0.3", "fd00::3"])),
        Event::NetworkPolicy(ingress(
            "x/np",
            "pod=a",
            vec![rule(vec![own("pod=b")], Ports::Any)],
        )),
    ];
    let expected = [
        "+10.0.0.2 > 10.0.0.1 80/TCP",
        "+fd00::2 > fd00::1 80/TCP",
        "-10.0.0.3 > 10.0.0.1 80/TCP",
        "-fd00::3 > fd00::1 80/TCP",
    ];
    check(&snapshot(events), &expected);
}
