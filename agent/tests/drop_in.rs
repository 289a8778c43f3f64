//! kube-network-policies' `DaemonSet`s with another image: the arguments that they are published with start the agent,
//! which enforces, and answers where its monitoring asks.

use support::{Node, privileged};

mod support;

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n\
                   spec: {nodeName: node-1, containers: [{name: c, image: i}]}\nstatus: {podIP: 10.0.0.1}\n\
                   ---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: x}\n\
                   spec: {podSelector: {}, policyTypes: [Ingress]}\n";

/// `args` of the containers in its releases' manifests and chart, the node's name as the kubelet puts it in; the first
/// is what its images have as the program. And the queue that is asked for.
const PUBLISHED: [(&str, &[&str], u64); 4] = [
    (
        "install.yaml",
        &[
            "/bin/netpol",
            "--hostname-override=node-1",
            "--v=2",
            "--nfqueue-id=98",
        ],
        98,
    ),
    (
        "install-cnp.yaml",
        &[
            "/bin/netpol",
            "--hostname-override=node-1",
            "--v=4",
            "--nfqueue-id=89",
        ],
        89,
    ),
    (
        "the chart",
        &[
            "/bin/netpol",
            "--hostname-override=node-1",
            "--v=2",
            "--nfqueue-id=99",
            "--admin-network-policy=true",
            "--baseline-admin-network-policy=true",
        ],
        99,
    ),
    (
        "every flag",
        &[
            "/bin/netpol",
            "-hostname-override=node-1",
            "-fail-open=false",
            "-nfqueue-id=100",
            "-metrics-bind-address=:9080",
            "-netfilter-bug-1766-fix=true",
            "-disable-nri",
            "-strict-mode=true",
            "-v=2",
            "-vmodule=conntrack=4",
            "-logging-format=json",
            "-log-flush-frequency=5s",
            "-log-json-info-buffer-size=0",
            "-log-json-split-stream=false",
            "-log-text-info-buffer-size=0",
            "-log-text-split-stream",
        ],
        100,
    ),
];

#[test]
fn published_arguments_start_an_agent_that_enforces() {
    if !privileged() {
        return;
    }
    for (manifest, arguments, queue) in PUBLISHED {
        let node = Node::new();
        node.write("world.yaml", POD);
        let agent = node.spawn_as(arguments);
        let ready = |status: &serde_json::Value| status["agent"]["ready"] == true;
        let status = node.eventually(manifest, ready);
        assert_eq!(status["pods"]["isolated"], 1, "{manifest}: {status:#}");
        assert_eq!(status["gate"]["queues"][0]["num"], queue, "{manifest}");
        let metrics = node.metrics();
        for name in [
            "packet_process_duration_microseconds_count 0".to_owned(),
            format!("nfqueue_queue_total{{queue=\"{queue}\"}} 0"),
            format!("nfqueue_queue_dropped{{queue=\"{queue}\"}} 0"),
            format!("nfqueue_user_dropped{{queue=\"{queue}\"}} 0"),
            format!("nfqueue_packet_id{{queue=\"{queue}\"}} 0"),
        ] {
            let line = format!("kube_network_policies_{name}");
            assert!(metrics.lines().any(|it| it == line), "{line} in\n{metrics}");
        }
        assert_eq!(agent.stop().0, Some(0), "{manifest}: {}", node.log());
    }
}

#[test]
fn flags_without_effect_are_named_once() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let arguments = ["/bin/netpol", "--hostname-override=node-1", "--disable-nri"];
    let agent = node.spawn_as(&arguments);
    node.eventually("ready", |status| status["agent"]["ready"] == true);
    assert_eq!(agent.stop().0, Some(0));
    let said = |line: &&str| line.contains("without effect") && line.contains("--disable-nri");
    let log = node.log();
    assert_eq!(log.lines().filter(said).count(), 1, "{log}");
}

#[test]
fn what_only_its_tracker_has_is_refused_by_name() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let agent = node.spawn_as(&[
        "/bin/netpol",
        "--nfqueue-id=198",
        "--ip-tracker-address=kube-ip-tracker.kube-system.svc:10999",
    ]);
    assert_eq!(agent.ended(), Some(2));
    let log = node.log();
    assert!(log.contains("--ip-tracker-address"), "{log}");
    assert!(!node.gate(), "nothing was touched");
}
