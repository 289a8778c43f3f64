//! The agent as a process: how it starts, what it reports, what it leaves behind. What it does to packets is the
//! laboratory's to show.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_netlink::{Rtnetlink, VethEnd};
use support::{Node, privileged};

mod support;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n\
                   spec: {nodeName: node-1, containers: [{name: c, image: i}]}\nstatus: {podIP: 10.0.0.1}\n";
const DENY: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: x}\n\
                    spec: {podSelector: {}, policyTypes: [Ingress]}\n";

#[test]
fn a_second_agent_is_refused_and_the_first_goes_on() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let first = node.agent(&[]);
    assert_eq!(
        node.spawn_elsewhere(&["--metrics-bind-address", "127.0.0.1:9081"])
            .ended(),
        Some(3)
    );
    assert!(
        node.log().contains("another agent runs on this node"),
        "{}",
        node.log()
    );
    assert_eq!(node.status()["agent"]["ready"], true);
    assert_eq!(first.stop().0, Some(0));
}

#[test]
fn a_clean_stop_leaves_rules_and_pins_and_cleanup_removes_them() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.write("pod.yaml", POD);
    node.write("deny.yaml", DENY);
    let agent = node.agent(&[]);
    let (code, took) = agent.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(30), "SIGTERM took {took:?}");
    let status = node.status();
    assert!(status["agent"].is_null(), "the pins speak: {status}");
    assert_eq!(
        (&status["pods"]["local"], &status["pods"]["isolated"]),
        (&1.into(), &1.into())
    );
    assert!(node.gate());
    let removed = String::from_utf8(node.run("cleanup", &[]).stdout).unwrap();
    assert!(
        removed.contains("removed table inet sluice") && removed.contains("gate_pass"),
        "{removed}"
    );
    assert!(!node.gate() && !node.pinned());
    assert_eq!(node.run("cleanup", &[]).stdout, b"nothing to remove\n");
    assert_eq!(
        node.run("status", &[]).status.code(),
        Some(3),
        "nothing is left to speak of"
    );
}

#[test]
fn cleanup_waits_for_an_agent_that_ends_and_then_keeps_others_away() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let agent = node.agent(&[]);
    let refused = node.run("cleanup", &["--wait", "1"]);
    assert_eq!(refused.status.code(), Some(3), "it was not told to end");
    let stopped = node.spawn_as(&["cleanup", "--wait", "60"]);
    node.await_that("it waits", || stopped.listens());
    assert_eq!(
        stopped.stop().0,
        Some(3),
        "told to stop, it removes nothing"
    );
    assert!(node.gate() && node.pinned());
    let cleaner = node.spawn_as(&["cleanup", "--wait", "60", "--stay"]);
    assert_eq!(agent.stop().0, Some(0));
    node.await_that("the gate is gone", || !node.gate() && !node.pinned());
    assert_eq!(node.spawn(&[]).ended(), Some(3), "it stays");
    assert!(!node.gate(), "{}", node.log());
    assert_eq!(cleaner.stop().0, Some(0));
    drop(node.agent(&[]));
}

#[test]
fn status_says_how_new_a_source_is_enforced() {
    if !privileged() {
        return;
    }
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let node = Node::new();
    node.write("pod.yaml", POD);
    let before = now().as_secs_f64();
    let _agent = node.agent(&["--mode", "nfqueue"]);
    let first = node.status()["agent"]["enforced_as_of"].as_f64().unwrap();
    assert!(before <= first && first <= now().as_secs_f64(), "{first}");
    let written = now().as_secs_f64();
    node.write("deny.yaml", DENY);
    node.eventually("the policy", |status| {
        status["agent"]["enforced_as_of"].as_f64() > Some(written)
            && status["pods"]["isolated"] == 1
    });
}

#[test]
fn what_is_broken_is_reported_and_what_was_valid_stays() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.write("pod.yaml", POD);
    node.write("deny.yaml", DENY);
    let _agent = node.agent(&["--mode", "nfqueue"]);
    node.write("deny.yaml", "kind: [NetworkPolicy");
    let status = node.eventually("a problem", |status| status["policies"]["invalid"] == 1);
    assert_eq!(status["policies"]["NetworkPolicy"], 1);
    assert_eq!(
        status["pods"]["isolated"], 1,
        "the file's former policy is in force"
    );
    let origin = status["invalid"][0]["origin"].as_str().unwrap();
    assert!(origin.contains("deny.yaml:1"), "{origin}");
    node.write(
        "deny.yaml",
        &DENY.replace(
            "podSelector: {}",
            "podSelector: {matchExpressions: [{key: k, operator: Is}]}",
        ),
    );
    let status = node.eventually("another problem", |status| {
        status["invalid"][0]["object"] == "NetworkPolicy x/deny"
    });
    assert_eq!(
        status["invalid"][0]["field"],
        "spec.podSelector.matchExpressions[0].operator"
    );
    assert_eq!(
        status["pods"]["isolated"], 1,
        "what it selects is unknown, so it fails closed"
    );
    node.write("deny.yaml", "");
    node.eventually("release", |status| {
        status["pods"]["isolated"] == 0 && status["policies"]["invalid"] == 0
    });
}

#[test]
fn a_file_that_is_being_written_keeps_its_policies_until_it_is_closed() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.write("pod.yaml", POD);
    node.write("deny.yaml", DENY);
    let _agent = node.agent(&["--mode", "nfqueue"]);
    let mut open = fs::File::create(node.path("manifests/deny.yaml")).unwrap();
    let (half, rest) = DENY.split_at(DENY.len() / 2);
    for (local, name, part) in [(2, "b", half), (3, "c", rest)] {
        let pod = POD
            .replace("name: a", &format!("name: {name}"))
            .replace("10.0.0.1", &format!("10.0.0.{local}"));
        node.write(&format!("{name}.yaml"), &pod);
        let status = node.eventually("the other file", |status| status["pods"]["local"] == local);
        assert_eq!(status["pods"]["isolated"], local, "{status:#}");
        open.write_all(part.replace("{}", "{matchLabels: {a: b}}").as_bytes())
            .unwrap();
    }
    drop(open);
    let status = node.eventually("the new content", |status| status["pods"]["isolated"] == 0);
    assert_eq!(status["policies"]["NetworkPolicy"], 1);
}

#[test]
fn pure_nfqueue_mode_takes_away_what_a_hybrid_agent_left() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.write("pod.yaml", POD);
    assert_eq!(node.agent(&[]).stop().0, Some(0));
    assert!(node.pinned());
    let _agent = node.agent(&["--mode", "nfqueue"]);
    assert!(!node.pinned(), "nobody would end its leases");
    assert_eq!(node.status()["gate"]["matcher"], "set");
}

#[test]
fn what_a_hybrid_agent_left_goes_also_where_the_kernel_refuses_ebpf() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.write("pod.yaml", POD);
    node.add_link("veth0");
    for verb in ["agent", "cleanup"] {
        let agent = node.agent(&[]);
        node.eventually("TC", |status| status["tc"]["attach"] != "none");
        assert_eq!(agent.stop().0, Some(0));
        assert!(node.pinned() && node.gate());
        if verb == "cleanup" {
            assert_eq!(node.spawn_without_bpf(&["cleanup"]).ended(), Some(0));
            assert!(!node.gate(), "{}", node.log());
        } else {
            let line = ["agent", "--mode=nfqueue", "--node-name=node-1"];
            let agent = node.spawn_without_bpf(&line);
            let mode = |status: &serde_json::Value| status["gate"]["matcher"] == "set";
            node.eventually("nfqueue mode", mode);
            assert_eq!(agent.stop().0, Some(0));
        }
        assert!(!node.pinned(), "{verb}: {}", node.log());
        // The kernel lets go of a link without a pin in its own time.
        node.await_that("no program is left", || {
            !node
                .tool("bpftool", &["net", "show", "dev", "veth0"])
                .contains("sluice")
        });
    }
}

#[test]
fn interfaces_get_the_program_as_they_come_unless_excluded() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let _agent = node.agent(&["--exclude-interfaces", "not*"]);
    let netns = node.netns();
    let create = |a: &str, b: &str| {
        let end = |name| VethEnd { name, netns: None };
        netns
            .enter(|| Rtnetlink::open()?.create_veth(end(a), end(b)))
            .unwrap()
            .unwrap();
    };
    create("veth0", "not0");
    let status = node.eventually("the interface", |status| {
        status["tc"]["interfaces"] == serde_json::json!(["veth0"])
    });
    assert_ne!(status["tc"]["attach"], "none");
    netns
        .enter(|| Rtnetlink::open()?.delete("veth0"))
        .unwrap()
        .unwrap();
    node.eventually("its end", |status| {
        status["tc"]["interfaces"] == serde_json::json!([])
    });
}
