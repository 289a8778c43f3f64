//! The agent with a real API server as its source: what it waits for, what it enforces, and what stays when the API
//! goes.
#![expect(clippy::unwrap_used, reason = "a panic is how a test says no")]

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use sluice_cluster::{Component, ControlOptions, ControlPlane, skipped, why_no_control_plane};
use sluice_lab::promtool::{self, CHOSEN};
use sluice_lab::{Confinement, Mode};
use support::{Agent, Node, privileged};

const OBJECTS: &str = r#"{"apiVersion":"v1","kind":"List","items":[
    {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x"}},
    {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"x"},
        "spec":{"nodeName":"node-1","containers":[{"name":"c","image":"i"}]}},
    {"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny","namespace":"x"},
        "spec":{"podSelector":{},"policyTypes":["Ingress"]}}]}"#;

/// An API server, and a node beside it.
struct Bed {
    node: Node,
    control: ControlPlane,
}

impl Bed {
    fn agent(&self) -> Agent {
        self.agent_by(&self.control.kubeconfig())
    }

    fn agent_called(&self, node: &str) -> Agent {
        self.agent_with(&self.control.kubeconfig(), &["--node-name", node])
    }

    fn agent_by(&self, kubeconfig: &Path) -> Agent {
        self.agent_with(kubeconfig, &["--node-name", "node-1"])
    }

    fn agent_with(&self, kubeconfig: &Path, name: &[&str]) -> Agent {
        let kubeconfig = kubeconfig.display().to_string();
        // As in a container: with the calls of the chart's profile and the capabilities of its mode alone.
        let confinement = Confinement::of(Mode::Nfqueue).unwrap();
        let arguments = [
            "--metrics-bind-address",
            "127.0.0.1:9080",
            "--mode",
            "nfqueue",
            "--kubeconfig",
            &kubeconfig,
        ];
        self.node.spawn_confined(
            |command| confinement.impose(command),
            &[name, &arguments].concat(),
        )
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.control.kubectl(arguments).unwrap()
    }

    fn start_api(&self) {
        self.control.start_component(Component::ApiServer).unwrap();
        self.control.wait_ready().unwrap();
    }

    /// Waits until what the API says of an object is enforced.
    fn await_enforced(&self, kind: &str, object: &[&str]) -> Value {
        let line = [
            &["get", "-o", "jsonpath={.metadata.resourceVersion}"],
            object,
        ]
        .concat();
        let wanted: u64 = self.kubectl(&line).parse().unwrap();
        self.node.eventually("an object is enforced", |status| {
            let resources = status["source"]["resources"].as_array();
            let of_kind = resources
                .into_iter()
                .flatten()
                .find(|it| it["kind"] == kind);
            let version =
                of_kind.and_then(|it| it["resourceVersion"].as_str()?.parse::<u64>().ok());
            version.is_some_and(|version| version >= wanted)
        })
    }
}

#[test]
fn an_agent_enforces_what_an_api_says_and_keeps_it_when_the_api_goes() {
    if skipped(why_no_control_plane()) {
        return;
    }
    let control = ControlPlane::start(ControlOptions::default()).unwrap();
    let node = Node::within(&control.netns());
    let bed = Bed { node, control };
    bed.control.apply(OBJECTS).unwrap();
    bed.control.kill(Component::ApiServer).unwrap();
    let agent = nothing_is_touched_before_the_api_answers(&bed);
    bed.start_api();
    what_the_api_says_is_enforced(&bed);
    what_was_enforced_stays_without_an_api(&bed);
    drop(agent);
    an_agent_that_finds_no_api_leaves_the_gate_of_the_former_and_ends_at_once(&bed);
    bed.start_api();
    an_agent_without_a_usable_kubeconfig_waits_for_one(&bed);
    an_agent_whose_node_nobody_knows_waits_for_it(&bed);
}

fn nothing_is_touched_before_the_api_answers(bed: &Bed) -> Agent {
    let agent = bed.agent();
    bed.node
        .eventually("the agent says that the API is away", |status| {
            // A server that was just killed resets connections first.
            let troubles = status["source"]["troubles"].to_string();
            status["source"]["connected"] == false && troubles.contains("Connection refused")
        });
    let answer = bed.node.get("/readyz");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("Connection refused"),
        "{answer}"
    );
    assert!(bed.node.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(!bed.node.gate());
    agent
}

fn what_the_api_says_is_enforced(bed: &Bed) {
    let ready = |status: &Value| status["agent"]["ready"] == true;
    let status = bed.node.eventually("the agent is ready", ready);
    assert_eq!(
        (&status["source"]["synced"], &status["source"]["connected"]),
        (&true.into(), &true.into())
    );
    let address =
        r#"{"status":{"phase":"Running","podIP":"10.0.0.7","podIPs":[{"ip":"10.0.0.7"}]}}"#;
    let pod = ["pod", "a", "-n", "x"];
    bed.kubectl(&[&["patch", "--subresource=status", "-p", address][..], &pod].concat());
    let status = bed.await_enforced("Pod", &pod);
    assert_eq!(
        (&status["pods"]["local"], &status["pods"]["isolated"]),
        (&1.into(), &1.into())
    );
    bed.kubectl(&["delete", "networkpolicy", "deny", "-n", "x"]);
    bed.node
        .eventually("what is gone is not enforced", |status| {
            status["pods"]["isolated"] == 0
        });
    bed.control.apply(OBJECTS).unwrap();
    let status = bed.await_enforced("NetworkPolicy", &["networkpolicy", "deny", "-n", "x"]);
    assert_eq!(status["pods"]["isolated"], 1);
}

fn what_was_enforced_stays_without_an_api(bed: &Bed) {
    bed.control.kill(Component::ApiServer).unwrap();
    let status = bed.node.eventually("the loss is told of", |status| {
        status["source"]["disconnected_since"].is_number()
    });
    assert_eq!(
        (&status["agent"]["ready"], &status["pods"]["isolated"]),
        (&true.into(), &1.into())
    );
    assert!(bed.node.get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = bed.node.metrics();
    let silent = metrics
        .lines()
        .find_map(|line| line.strip_prefix("sluice_api_disconnected_seconds "));
    assert!(silent.unwrap().parse::<f64>().unwrap() > 0.0, "{metrics}");
    let lines = |text: &str| {
        bed.node
            .log()
            .lines()
            .filter(|line| line.contains(text))
            .count()
    };
    // On a busy machine it may be lost twice.
    let (lost, found) = (
        lines("the Kubernetes API does not answer"),
        lines("the Kubernetes API answers"),
    );
    assert!(found >= 1 && found <= lost, "{}", bed.node.log());
}

fn an_agent_that_finds_no_api_leaves_the_gate_of_the_former_and_ends_at_once(bed: &Bed) {
    let agent = bed.agent();
    bed.node
        .eventually("the agent says that the API is away", |status| {
            status["source"]["connected"] == false && status["agent"]["ready"] == false
        });
    assert!(bed.node.gate(), "the gate of the former agent is in force");
    let (code, took) = agent.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(bed.node.gate());
}

fn an_agent_without_a_usable_kubeconfig_waits_for_one(bed: &Bed) {
    let path = bed.node.path("kubeconfig");
    let agent = bed.agent_by(&path);
    let said = format!("--kubeconfig {}: ", path.display());
    for (text, what) in [
        (None, "No such file"),
        (Some("current-context: x"), "contexts: no"),
    ] {
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let wrong = format!("{said}{what}");
        let status = bed.node.eventually(what, |status| {
            status["source"]["troubles"].to_string().contains(what)
        });
        assert!(
            status["agent"]["not_ready"]
                .as_str()
                .unwrap()
                .contains(&wrong),
            "{status:#}"
        );
        let text = bed.node.run("status", &[]).stdout;
        let text = String::from_utf8(text).unwrap();
        let mut lines = text.lines();
        // Those who have not looked again yet say what was wrong before.
        let why =
            lines.find(|line| line.starts_with("not ready  the Kubernetes API: --kubeconfig "));
        assert!(why.is_some_and(|why| why.contains(&wrong)), "{text}");
        let answer = bed.node.get("/readyz");
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains(&wrong),
            "{answer}"
        );
        assert!(bed.node.get("/healthz").starts_with("HTTP/1.1 200"));
        assert!(bed.node.gate(), "the gate of the former agent is in force");
        let log = bed.node.log();
        assert_eq!(
            log.lines().filter(|line| line.contains(&wrong)).count(),
            1,
            "{log}"
        );
    }
    fs::copy(bed.control.kubeconfig(), &path).unwrap();
    bed.node.eventually("the agent carries on", |status| {
        status["agent"]["ready"] == true && status["pods"]["isolated"] == 1
    });
    drop(agent);
}

fn an_agent_whose_node_nobody_knows_waits_for_it(bed: &Bed) {
    let agent = bed.agent_called("node-9");
    let said = "no Node is called \"node-9\", of 0 that there are; is --node-name right?";
    let status = bed.node.eventually("the name is told of", |status| {
        status["agent"]["not_ready"] == said
    });
    assert_eq!(status["source"]["synced"], true);
    assert!(
        status["source"]["troubles"].to_string().contains("node-9"),
        "{status:#}"
    );
    let answer = bed.node.get("/readyz");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains(said),
        "{answer}"
    );
    assert!(bed.node.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(bed.node.gate(), "the gate of the former agent is in force");
    let metrics = bed.node.metrics();
    for line in [
        "sluice_ready 0",
        "sluice_api_synced{resource=\"pods\"} 1",
        "sluice_api_forbidden{resource=\"pods\"} 0",
    ] {
        assert!(
            metrics.lines().any(|found| found == line),
            "{line} in {metrics}"
        );
    }
    let lines = |log: &str| {
        log.lines()
            .filter(|line| line.contains("no Node is called \"node-9\""))
            .count()
    };
    assert_eq!(lines(&bed.node.log()), 1, "{}", bed.node.log());
    let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-9"}}"#;
    bed.control.apply(node).unwrap();
    let status = bed.node.eventually("the agent carries on", |status| {
        status["agent"]["ready"] == true
    });
    assert_eq!(status["source"]["troubles"], serde_json::json!([]));
    drop(agent);
}

#[test]
fn a_pod_without_an_account_waits_for_it_and_no_source_at_all_is_bad_usage() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    assert_eq!(node.spawn_under(&[]).ended(), Some(2));
    let log = node.log();
    assert!(log.contains("no source of policies"), "{log}");
    let in_pod = [
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", "1"),
    ];
    let agent = node.spawn_under(&in_pod);
    node.eventually("the missing file is named", |status| {
        let troubles = status["source"]["troubles"].to_string();
        troubles.contains("/var/run/secrets/kubernetes.io/serviceaccount/")
    });
    assert!(node.get("/readyz").contains("the pod's service account: "));
    assert!(!node.gate() && !node.pinned());
    assert_eq!(agent.stop().0, Some(0));
}

/// An API that nobody answers for is told of by resource, and what is written to it by outcome, all the same.
#[test]
fn promtool_has_nothing_against_what_is_told_of_an_api_by_resource_and_outcome() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let agent = node.spawn_under(&[
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", "1"),
    ]);
    node.eventually("the agent looks for an API", |status| {
        status["source"]["connected"] == false
    });
    let page = node.metrics();
    for series in [
        "sluice_api_objects{resource=\"pods\"} ",
        "sluice_api_synced{resource=\"nodes\"} ",
        "sluice_api_heard_timestamp_seconds{resource=\"namespaces\"} ",
        "sluice_api_forbidden{resource=\"networkpolicies.networking.k8s.io\"} ",
        "sluice_api_forbidden{resource=\"apis\"} ",
        "sluice_reporter_writes_total{outcome=\"refused\",what=\"event\"} ",
    ] {
        assert!(page.contains(series), "{series} in {page}");
    }
    drop(agent);
    let Ok(found) = promtool::findings(&page) else {
        println!("skipped: no promtool (Debian's package prometheus)");
        return;
    };
    let chosen = CHOSEN.map(str::to_owned);
    assert!(found.iter().all(|it| chosen.contains(it)), "{found:?}");
}
