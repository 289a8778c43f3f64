//! The same of admin policies: what another tier decides before is no change.

use sluice_policy::{AdminPolicy, Event, Index, Node, Pod};

use crate::support::build::{
    admin_in, admin_out, any, cluster, declared, ingress, labels, namespace, node, own, pod,
    pod_name, pods_of, ports, rule,
};
use crate::{check, objects};

/// Those pods, their policy, and admin policies.
fn ruled(policies: impl IntoIterator<Item = AdminPolicy>) -> Index {
    let policies = policies.into_iter().map(Event::AdminPolicy);
    cluster(objects().into_iter().chain(policies))
}

/// A policy for x/c alone.
fn of_c(policy: AdminPolicy) -> AdminPolicy {
    AdminPolicy {
        subject: pods_of("", "pod=c"),
        ..policy
    }
}

fn zone(name: &str, with: &str, addresses: &[&str]) -> Event {
    Event::Node(Node {
        labels: labels(with),
        ..node(name, addresses)
    })
}

fn pod_b() -> Event {
    Event::Pod(pod("x/b2", "pod=b", &["10.0.0.9"]))
}

#[test]
fn a_policy_changes_its_subjects_alone() {
    let policy = |rules: &[&str]| Event::AdminPolicy(of_c(admin_in("anp/a", rules)));
    let mut index = ruled([]);
    let (c, address) = (&["x/c"][..], &["10.0.0.3"][..]);
    check(&mut index, [policy(&["deny pods pod=b"])], c, address);
    check(&mut index, [policy(&["deny pods pod=b"])], &[], &[]);
    check(&mut index, [policy(&["pass pods pod=b"])], c, address);
    // The same as before, in more words.
    let same = ["pass pods pod=b", "allow pods pod=b @ 80/TCP"];
    check(&mut index, [policy(&same)], &[], &[]);
    let gone = Event::AdminPolicyGone(admin_in("anp/a", &[]).name);
    check(&mut index, [gone], c, address);
}

#[test]
fn a_priority_that_orders_nothing_anew_is_no_change() {
    let policies = |priority| {
        let first = format!("anp/a:{priority}");
        [
            of_c(admin_in(&first, &["deny pods pod=b"])),
            of_c(admin_in("anp/b:5", &["allow pods pod=b"])),
        ]
    };
    let mut index = ruled(policies(1));
    let mut edit = |priority, pods: &[&str], addresses: &[&str]| {
        let events = policies(priority).map(Event::AdminPolicy);
        check(&mut index, events, pods, addresses);
    };
    edit(4, &[], &[]);
    edit(6, &["x/c"], &["10.0.0.3"]);
}

#[test]
fn a_baseline_changes_nobody_whom_a_network_policy_isolates() {
    let baseline = |rule: &str| Event::AdminPolicy(admin_in("banp/default", &[rule]));
    let all_but_a = ["x/b", "x/c", "x/d", "y/e"];
    let addresses = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
    let mut index = ruled([]);
    check(&mut index, [baseline("deny any")], &all_but_a, &addresses);
    check(
        &mut index,
        [baseline("deny pods pod=b")],
        &all_but_a,
        &addresses,
    );
    // Now it is asked about x/a as well.
    let gone = Event::NetworkPolicyGone("x".into(), "np".into());
    check(&mut index, [gone], &["x/a"], &["10.0.0.1"]);
    check(
        &mut index,
        [pod_b()],
        &["x/a", "x/b", "x/b2", "x/c", "x/d", "y/e"],
        &["10.0.0.9"],
    );
}

#[test]
fn a_peer_that_a_tier_before_decides_about_is_no_news() {
    let admin = |rules: &[&str]| AdminPolicy {
        subject: pods_of("", "pod=a"),
        ..admin_in("anp/a", rules)
    };
    for (rules, is_news) in [
        (&["deny any"][..], false),
        (&["allow any"], false),
        (&["deny any @ 80/TCP"], false),
        (&["pass any @ 81/TCP", "deny any"], false),
        (&["deny any @ 81/TCP"], true),
        (&["pass any @ 80/TCP", "deny any"], true),
        (&["pass any"], true),
    ] {
        let mut index = ruled([admin(rules)]);
        let pods = if is_news {
            &["x/a", "x/b2"][..]
        } else {
            &["x/b2"]
        };
        check(&mut index, [pod_b()], pods, &["10.0.0.9"]);
    }
}

#[test]
fn a_peer_of_an_admin_policy_changes_its_own_address_and_the_pods_that_see_it() {
    let mut index = ruled([of_c(admin_out("anp/a", &["deny pods pod=b"]))]);
    let seen = ["x/a", "x/b2", "x/c"];
    check(&mut index, [pod_b()], &seen, &["10.0.0.9"]);
    let gone = Event::PodGone(pod_name("x/b2"));
    check(&mut index, [gone], &seen, &["10.0.0.9"]);
    // To pass where nobody else is asked is to say nothing.
    let mut index = ruled([of_c(admin_out("anp/a", &["pass pods pod=b"]))]);
    check(&mut index, [pod_b()], &["x/a", "x/b2"], &["10.0.0.9"]);
}

#[test]
fn a_namespace_label_changes_who_is_ruled() {
    let red = AdminPolicy {
        subject: pods_of("team=red", ""),
        ..admin_in("anp/a", &["deny any"])
    };
    let mut index = ruled([red]);
    let y = |with| Event::Namespace(namespace("y", with));
    check(&mut index, [y("team=blue")], &[], &[]);
    check(&mut index, [y("team=red")], &["y/e"], &["10.0.0.5"]);
    check(&mut index, [y("team=red,other=1")], &[], &[]);
    let gone = Event::NamespaceGone("y".into());
    check(&mut index, [gone], &["y/e"], &["10.0.0.5"]);
}

#[test]
fn a_node_label_changes_the_nodes_addresses_and_who_sees_them() {
    let mut index = ruled([of_c(admin_out("anp/a", &["deny nodes zone=a"]))]);
    let (n2, n2_moved) = (&["192.168.0.2"][..], &["192.168.0.9"][..]);
    check(&mut index, [zone("n2", "zone=b", n2)], &[], &[]);
    check(&mut index, [zone("n2", "zone=a", n2)], &["x/c"], n2);
    check(&mut index, [zone("n2", "zone=a,x=y", n2)], &[], &[]);
    check(
        &mut index,
        [zone("n2", "zone=a", n2_moved)],
        &["x/c"],
        &["192.168.0.2", "192.168.0.9"],
    );
    check(
        &mut index,
        [Event::NodeGone("n2".into())],
        &["x/c"],
        n2_moved,
    );
}

#[test]
fn a_name_that_no_tier_before_decides_about_changes_with_the_declared_port() {
    let with = |port: &str| {
        Event::Pod(Pod {
            ports: [declared(port)].into(),
            ..pod("x/d", "pod=d", &["10.0.0.4"])
        })
    };
    let mut index = ruled([of_c(admin_out(
        "anp/a",
        &["allow any @ 80/TCP", "deny any @ web"],
    ))]);
    check(&mut index, [with("web=80/TCP")], &[], &[]);
    check(&mut index, [with("web=80/UDP")], &["x/c"], &["10.0.0.4"]);
    check(&mut index, [with("other=80/UDP")], &["x/c"], &["10.0.0.4"]);
    // One port more behind the last: only the end of the stretch is another.
    check(&mut index, [with("web=90/TCP")], &["x/c"], &["10.0.0.4"]);
    let both = Event::Pod(Pod {
        ports: [declared("web=90/TCP"), declared("web=91/TCP")].into(),
        ..pod("x/d", "pod=d", &["10.0.0.4"])
    });
    check(&mut index, [both], &["x/c"], &["10.0.0.4"]);
}

#[test]
fn isolation_changes_with_the_last_rule_that_denies() {
    let mut index = ruled([]);
    let mut edit = |rules: &[&str]| -> Vec<String> {
        let changes = index.apply([Event::AdminPolicy(of_c(admin_in("anp/a", rules)))]);
        let text = |(address, isolation): &(_, Option<sluice_policy::Isolation>)| {
            format!("{address} {}", isolation.is_some_and(|i| i.ingress))
        };
        changes.isolation.iter().map(text).collect()
    };
    assert_eq!(edit(&["allow any"]), [""; 0]);
    assert_eq!(edit(&["allow pods pod=b", "deny any"]), ["10.0.0.3 true"]);
    assert_eq!(edit(&["deny any"]), [""; 0]);
    assert_eq!(edit(&["pass any", "deny any"]), ["10.0.0.3 false"]);
}

#[test]
fn policies_of_other_tiers_keep_what_they_said() {
    // The admin tier of x/a comes and goes; what its NetworkPolicy sees of its peers stays followed.
    let all = admin_in("anp/a", &["allow any @ 90/TCP"]);
    let mut index = ruled([all.clone()]);
    let _changes = index.apply([Event::AdminPolicyGone(all.name)]);
    check(&mut index, [pod_b()], &["x/a", "x/b2"], &["10.0.0.9"]);
    let network = ingress(
        "x/np2",
        "pod=d",
        vec![rule(vec![own("pod=b")], ports(&["1/TCP"]))],
    );
    let everybody = ingress("x/np2", "pod=d", vec![any(ports(&["1/TCP"]))]);
    let same_peer = admin_in("anp/a", &["deny pods pod=b"]);
    let _changes = index.apply([Event::NetworkPolicy(network), Event::AdminPolicy(same_peer)]);
    // Both tiers had this peer; one has it no more.
    let _changes = index.apply([Event::NetworkPolicy(everybody)]);
    let everyone = ["x/a", "x/b", "x/b2", "x/c", "x/d", "y/e"];
    let gone = Event::PodGone(pod_name("x/b2"));
    check(&mut index, [gone], &everyone, &["10.0.0.9"]);
}
