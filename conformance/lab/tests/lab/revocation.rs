//! A change reaches what is open: from the moment that the agent calls it enforced, nothing it denies arrives any more,
//! and of what it still allows not one packet is lost.

use std::time::{Duration, Instant};

use crate::common::{
    REDIRECT, assert_allowed, assert_outcomes, cell, enforce, eventually, under_agents,
    under_agents_told,
};
use sluice_lab::stream::{Direction, Lost, Pace, Stream};
use sluice_lab::{Cell, Family, Lab, Manifests, Mode, Outcome, ServiceName, Target};
use sluice_policy::Protocol;

/// A server and who talks to it; the policy allows all three.
pub(crate) const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: guests, labels: {team: guests}}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: shop, labels: {app: server}}
spec: {nodeName: node-1, containers: [{name: s, image: s, ports: [{containerPort: 80}, {containerPort: 81, protocol: UDP}]}]}
status: {podIPs: [{ip: 10.244.1.1}, {ip: "fd00:10:244:1::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {role: client}}
spec: {nodeName: node-1, containers: [{name: s, image: s}]}
status: {podIPs: [{ip: 10.244.1.2}, {ip: "fd00:10:244:1::2"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: friend, namespace: shop, labels: {role: friend}}
spec: {nodeName: node-1, containers: [{name: s, image: s}]}
status: {podIPs: [{ip: 10.244.1.3}, {ip: "fd00:10:244:1::3"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: guest, namespace: guests, labels: {role: guest}}
spec: {nodeName: node-1, containers: [{name: s, image: s}]}
status: {podIPs: [{ip: 10.244.1.4}, {ip: "fd00:10:244:1::4"}]}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec:
  selector: {app: server}
  clusterIPs: [10.96.0.1, "fd00:10:96::1"]
  ports: [{name: t, port: 80}, {name: u, port: 81, protocol: UDP}]
"#;
/// Isolates the server, and lets friends and guests in.
pub(crate) const FRIENDS: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}, {namespaceSelector: {matchLabels: {team: guests}}}]}]
";
/// Lets the client in as well.
const CLIENT: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: client, namespace: shop}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {role: client}}}]}]
";
/// Lets guests go wherever nothing is strict.
const EGRESS: &str = r"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nowhere-strict, namespace: guests}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: more, operator: DoesNotExist}]}}]}]
";
/// The files, in the order of [`Change`]'s texts.
const FILES: [&str; 3] = ["pods.yaml", "friends.yaml", "client.yaml"];
/// Nothing, as a manifest.
pub(crate) const NONE: &str = "# nothing\n";

/// A change of one file, and whose connections it ends.
struct Change {
    what: &'static str,
    before: [&'static str; 3],
    file: usize,
    /// Replaced in that file: the first by the second.
    edit: (&'static str, &'static str),
    cut: &'static str,
    kept: &'static str,
}

const CHANGES: [Change; 11] = [
    Change {
        what: "the first policy, of connections older than it",
        before: [PODS, NONE, NONE],
        file: 1,
        edit: (NONE, FRIENDS),
        cut: "shop/client",
        kept: "shop/friend",
    },
    Change {
        what: "a policy narrowed",
        before: [PODS, FRIENDS, CLIENT],
        file: 2,
        edit: ("role: client", "role: nobody"),
        cut: "shop/client",
        kept: "shop/friend",
    },
    Change {
        what: "a policy deleted",
        before: [PODS, FRIENDS, CLIENT],
        file: 2,
        edit: (CLIENT, NONE),
        cut: "shop/client",
        kept: "guests/guest",
    },
    Change {
        what: "a client's labels",
        before: [PODS, FRIENDS, CLIENT],
        file: 0,
        edit: ("{role: client}", "{role: nobody}"),
        cut: "shop/client",
        kept: "guests/guest",
    },
    Change {
        what: "the server's labels",
        before: [PODS, FRIENDS, EGRESS],
        file: 0,
        edit: ("{app: server}", "{app: server, more: strict}"),
        cut: "guests/guest",
        kept: "shop/friend",
    },
    Change {
        what: "a namespace's labels",
        before: [PODS, FRIENDS, CLIENT],
        file: 0,
        edit: ("{team: guests}", "{team: gone}"),
        cut: "guests/guest",
        kept: "shop/client",
    },
    Change {
        what: "a client's addresses",
        before: [PODS, FRIENDS, CLIENT],
        file: 0,
        edit: (
            r#"[{ip: 10.244.1.2}, {ip: "fd00:10:244:1::2"}]"#,
            r#"[{ip: 10.244.1.20}, {ip: "fd00:10:244:1::20"}]"#,
        ),
        cut: "shop/client",
        kept: "shop/friend",
    },
    Change {
        what: "the client's address passes to another pod",
        before: [PODS, FRIENDS, CLIENT],
        file: 0,
        edit: (
            "{name: client, namespace: shop, labels: {role: client}}",
            "{name: heir, namespace: shop, labels: {role: heir}}",
        ),
        cut: "shop/client",
        kept: "guests/guest",
    },
    Change {
        what: "the client has ended well, and has no address any more",
        before: [PODS, FRIENDS, CLIENT],
        file: 0,
        edit: (
            "{podIPs: [{ip: 10.244.1.2}",
            "{phase: Succeeded, podIPs: [{ip: 10.244.1.2}",
        ),
        cut: "shop/client",
        kept: "shop/friend",
    },
    Change {
        what: "the guest has failed, and has no address any more",
        before: [PODS, FRIENDS, CLIENT],
        file: 0,
        edit: (
            "{podIPs: [{ip: 10.244.1.4}",
            "{phase: Failed, podIPs: [{ip: 10.244.1.4}",
        ),
        cut: "guests/guest",
        kept: "shop/client",
    },
    Change {
        what: "the client has no address yet",
        before: [PODS, FRIENDS, CLIENT],
        file: 0,
        edit: (
            r#"podIPs: [{ip: 10.244.1.2}, {ip: "fd00:10:244:1::2"}]"#,
            "phase: Pending",
        ),
        cut: "shop/client",
        kept: "shop/friend",
    },
];
/// Every way that a pod reaches the server.
fn ways(from: &str, family: Family) -> Vec<Cell> {
    let direct = |port, protocol| cell(from, "shop/server", port, protocol, family);
    let service = Target::Service(ServiceName {
        namespace: "shop".into(),
        name: "front".into(),
    });
    let direct = [direct(80, Protocol::Tcp), direct(81, Protocol::Udp)];
    let through = direct.clone().map(|cell| Cell {
        to: service.clone(),
        ..cell
    });
    direct.into_iter().chain(through).collect()
}

fn streams(lab: &Lab, from: &str, family: Family) -> Vec<(Cell, Stream)> {
    let pace = Pace {
        interval: Duration::from_millis(5),
        answered: true,
    };
    ways(from, family)
        .into_iter()
        .map(|cell| {
            let stream = lab.stream(&cell, pace).unwrap();
            (cell, stream)
        })
        .collect()
}

/// What the change ends has sent long enough since, and nothing of that arrived, either way.
pub(crate) fn assert_no_leak(what: &str, cut: &[(Cell, Stream)], since: Instant) {
    let sent: Vec<u64> = cut.iter().map(|(_, stream)| stream.sent()).collect();
    eventually("more is sent", || {
        let more = |((_, stream), then): (&(Cell, Stream), &u64)| {
            stream.sent() > then + 40 || stream.broken().is_some()
        };
        cut.iter().zip(&sent).all(more)
    });
    for (cell, stream) in cut {
        for direction in [Direction::Forward, Direction::Backward] {
            let leaks = stream.deliveries(direction);
            let leaks = leaks.iter().filter(|it| it.sent > since).count();
            assert_eq!(leaks, 0, "{what}: {cell}: {direction:?}");
        }
    }
}

/// Each change in its turn, in one lab.
fn check_all(families: &[Family], mode: Mode, arguments: &[&str]) {
    let manifests = manifests(CHANGES[0].before);
    let Some(lab) = under_agents_told(&manifests, families, mode, arguments) else {
        return;
    };
    for change in &CHANGES {
        for (file, text) in FILES.iter().zip(change.before) {
            if lab.manifests().read(file).unwrap() != text {
                enforce(&lab, file, text);
            }
        }
        check(&lab, change, families, mode, arguments.contains(&REDIRECT));
    }
}

/// The directions of connections that are redirected, or were: an entry is kept.
fn redirects(lab: &Lab) -> u64 {
    let status = lab.agents()[0].status().unwrap();
    status["maps"]["redirects"]["entries"].as_u64().unwrap()
}

/// Opens what the change ends and what it keeps, once each way is known to the kernel, and waits until everything that is
/// not translated is redirected both ways.
fn assert_redirected(lab: &Lab, change: &Change, families: &[Family], open: impl FnOnce()) {
    let ways = |from| families.iter().flat_map(move |family| ways(from, *family));
    let all: Vec<Cell> = ways(change.cut).chain(ways(change.kept)).collect();
    assert_allowed(lab, &all);
    let before = redirects(lab);
    open();
    let direct = all.iter().filter(|it| matches!(it.to, Target::Pod(_)));
    let wanted = before + 2 * direct.count() as u64;
    eventually(&format!("{}: all is redirected", change.what), || {
        redirects(lab) >= wanted
    });
}

fn check(lab: &Lab, change: &Change, families: &[Family], mode: Mode, redirect: bool) {
    let what = format!("{}, {families:?}, {mode:?}", change.what);
    let of_all = |from| -> Vec<_> {
        let each = families.iter().map(|family| streams(lab, from, *family));
        each.flatten().collect()
    };
    let (mut cut, mut kept) = (Vec::new(), Vec::new());
    let mut open = || (cut, kept) = (of_all(change.cut), of_all(change.kept));
    if redirect {
        assert_redirected(lab, change, families, open);
    } else {
        open();
    }
    for (cell, stream) in cut.iter().chain(&kept) {
        assert_flows(&what, cell, stream);
    }
    let text = change.before[change.file];
    assert!(text.contains(change.edit.0), "{what}: edits nothing");
    let edited = text.replace(change.edit.0, change.edit.1);
    enforce(lab, FILES[change.file], &edited);
    assert_no_leak(&what, &cut, Instant::now());
    for (cell, stream) in kept {
        assert_nothing_lost(&what, &cell, stream);
    }
    // What is allowed again goes on.
    enforce(lab, FILES[change.file], text);
    for (cell, stream) in &cut {
        assert_flows(&what, cell, stream);
    }
}

pub(crate) fn manifests(texts: [&str; 3]) -> Manifests {
    let files = FILES.iter().zip(texts);
    let files = files.map(|(file, text)| ((*file).to_owned(), text.to_owned()));
    Manifests::Texts(files.collect())
}

#[track_caller]
fn assert_flows(what: &str, cell: &Cell, stream: &Stream) {
    let then = stream.delivered(Direction::Backward);
    eventually(&format!("{what}: {cell}: it flows"), || {
        stream.delivered(Direction::Backward) > then + 20
    });
}

#[track_caller]
fn assert_nothing_lost(what: &str, cell: &Cell, mut stream: Stream) {
    assert!(stream.stop(), "{what}: {cell}: something does not arrive");
    assert_eq!(stream.lost(), Lost::default(), "{what}: {cell}");
}

#[test]
fn a_change_ends_what_it_denies_and_cuts_nothing_else_in_hybrid_mode() {
    check_all(&[Family::Ipv4], Mode::Hybrid, &[]);
}

#[test]
fn a_change_ends_what_it_denies_and_cuts_nothing_else_in_nfqueue_mode() {
    check_all(&[Family::Ipv4], Mode::Nfqueue, &[]);
}

#[test]
fn a_change_ends_what_it_denies_and_cuts_nothing_else_in_both_families() {
    check_all(&[Family::Ipv4, Family::Ipv6], Mode::Hybrid, &[]);
}

#[test]
fn a_change_ends_what_it_denies_and_cuts_nothing_else_of_what_is_redirected() {
    check_all(&[Family::Ipv4, Family::Ipv6], Mode::Hybrid, &[REDIRECT]);
}

#[test]
fn the_last_policy_that_goes_restores_everything_and_cuts_nothing() {
    let what = "the last policy goes";
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let before = [PODS, FRIENDS, NONE];
        let Some(lab) = under_agents(&manifests(before), &[Family::Ipv4], mode) else {
            return;
        };
        let kept = streams(&lab, "shop/friend", Family::Ipv4);
        let denied = cell(
            "shop/client",
            "shop/server",
            81,
            Protocol::Udp,
            Family::Ipv4,
        );
        let pace = Pace {
            interval: Duration::from_millis(5),
            answered: true,
        };
        let freed = lab.stream(&denied, pace).unwrap();
        for (cell, stream) in &kept {
            assert_flows(what, cell, stream);
        }
        assert_eq!(freed.delivered(Direction::Forward), 0);
        lab.manifests().remove(FILES[1]).unwrap();
        assert_flows(what, &denied, &freed);
        for (cell, stream) in kept {
            assert_flows(what, &cell, &stream);
            assert_nothing_lost(what, &cell, stream);
        }
        assert_eq!(lab.agents()[0].status().unwrap()["pods"]["isolated"], 0);
    }
}

#[test]
fn a_pod_with_its_nodes_address_isolates_nobody() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let host = r"
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: guests, labels: {role: guest}}
spec: {nodeName: node-1, hostNetwork: true, containers: [{name: s, image: s, ports: [{containerPort: 82}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: guests}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";
        let pods = format!("{PODS}{host}");
        let before = [pods.as_str(), FRIENDS, NONE];
        let Some(lab) = under_agents(&manifests(before), &[Family::Ipv4], mode) else {
            return;
        };
        assert_eq!(lab.agents()[0].status().unwrap()["pods"]["isolated"], 2);
        let to_host = |from| cell(from, "guests/host", 82, Protocol::Tcp, Family::Ipv4);
        let from_host = |to, port| cell("guests/host", to, port, Protocol::Tcp, Family::Ipv4);
        let cells = [
            to_host("shop/client"),
            to_host("guests/guest"),
            from_host("shop/server", 80),
        ];
        println!("{mode:?}");
        let expected = [Outcome::Allowed, Outcome::Denied, Outcome::Allowed];
        assert_outcomes(&lab, &cells, &expected);
    }
}
