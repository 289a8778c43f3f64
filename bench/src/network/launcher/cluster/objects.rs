//! The objects that a launch consists of. Pure.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::Place;
use super::sight::Node;
use crate::network::benchmark::Benchmark;
use crate::network::duration;
use crate::network::launcher::Plan;

/// The orchestrator's pod, container and Service.
pub(super) const ORCHESTRATOR: &str = "orchestrator";
/// The container of every worker.
pub(super) const WORKER: &str = "worker";
/// Where the orchestrator listens.
pub(super) const PORT: u16 = 50_051;
/// Who has made something.
pub(super) const MANAGER: (&str, &str) = ("app.kubernetes.io/managed-by", "sluice-bench");
/// What a Service finds its pod by.
const POD: &str = "sluice-bench/pod";
/// Nobody in particular.
const USER: u32 = 65_532;
/// How long a worker may take to end, in seconds: it kills what it runs.
const GRACE: u64 = 5;

/// Where everything is.
pub(super) fn namespace(place: &Place) -> Value {
    let mut labels = json!({ MANAGER.0: MANAGER.1 });
    if place.inject {
        labels["istio-injection"] = "enabled".into();
    }
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": place.namespace, "labels": labels},
    })
}

/// The name of a worker's pod, which is the worker's; they count from 1.
pub(super) fn worker_name(number: usize) -> String {
    format!("worker-{number}")
}

/// Where workers find the orchestrator. Which one of the pod's ports is spoken what on, a mesh reads from its name.
pub(super) fn service_of_orchestrator() -> Value {
    service(
        ORCHESTRATOR,
        &json!({
            "selector": {POD: ORCHESTRATOR},
            "ports": [{"name": "grpc", "port": PORT, "targetPort": PORT}],
        }),
    )
}

/// Says which ports a worker's servers listen on, for a mesh: workers reach each other by their pods' addresses.
pub(super) fn service_of_worker(name: &str, benchmarks: &[Benchmark]) -> Value {
    let mut ports: Vec<_> = benchmarks
        .iter()
        .map(|it| (it.port(), scheme(*it)))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let ports = ports.iter().map(|(port, scheme)| {
        json!({"name": format!("{scheme}-{port}"), "port": port, "targetPort": port})
    });
    service(
        name,
        &json!({
            "clusterIP": "None",
            "selector": {POD: name},
            "ports": ports.collect::<Vec<_>>(),
        }),
    )
}

fn scheme(benchmark: Benchmark) -> &'static str {
    match benchmark {
        Benchmark::FortioHttp => "http",
        _ => "tcp",
    }
}

fn service(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

/// A worker on a node; the orchestrator will be at `host`.
pub(super) fn worker(
    (name, node): (&str, &Node),
    plan: &Plan,
    place: &Place,
    host: IpAddr,
) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let args = [
        ["--host", &host.to_string()],
        ["--port", &PORT.to_string()],
        ["--deadline", &duration::shown(lifetime(plan))],
        // The orchestrator comes once every worker is there.
        ["--patience", &duration::shown(lifetime(plan))],
    ];
    let container = json!({
        "name": WORKER,
        "image": place.worker_image,
        "command": ["/worker"],
        "args": args.concat(),
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_IP", "status.podIP"),
            field("NODE_NAME", "spec.nodeName"),
            {"name": "AVAILABILITY_ZONE", "value": node.zone},
        ],
    });
    pod(name, container, std::slice::from_ref(node), plan, GRACE)
}

/// The orchestrator, on one of the nodes that have a worker; it listens in the family of `host`.
pub(super) fn orchestrator(plan: &Plan, place: &Place, nodes: &[Node], host: IpAddr) -> Value {
    let benchmarks: Vec<_> = plan.benchmarks.iter().map(|it| it.name()).collect();
    let any = if host.is_ipv4() { "0.0.0.0" } else { "::" };
    let args = [
        ["--benchmark", &benchmarks.join(",")],
        ["--host", any],
        ["--port", &PORT.to_string()],
        ["--timeout", &duration::shown(plan.timeout)],
        ["--seconds", &plan.seconds.to_string()],
        ["--workers", &nodes.len().to_string()],
    ];
    let args = [&args.concat()[..], &["--hand-over"]].concat();
    let container = json!({
        "name": ORCHESTRATOR,
        "image": place.orchestrator_image,
        "command": ["/orchestrator"],
        "args": args,
    });
    // What runs is ended, and told of, within a timeout each for client and server.
    let grace = 2 * plan.timeout.as_secs() + GRACE;
    pod(ORCHESTRATOR, container, nodes, plan, grace)
}

/// How long a pod may be there, also where nobody takes it away.
fn lifetime(plan: &Plan) -> Duration {
    plan.deadline + 4 * plan.timeout
}

fn pod(name: &str, mut container: Value, nodes: &[Node], plan: &Plan, grace: u64) -> Value {
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": true,
    });
    // iperf3 and netserver write there.
    container["volumeMounts"] = json!([{"name": "tmp", "mountPath": "/tmp"}]);
    let terms = nodes.iter().map(|node| {
        json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.name]}]})
    });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {POD: name, MANAGER.0: MANAGER.1},
            // Of a mesh: what it adds to the pod has to be there first.
            "annotations": {"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"},
        },
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": lifetime(plan).as_secs(),
            "terminationGracePeriodSeconds": grace,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": terms.collect::<Vec<_>>(),
            }}},
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            benchmarks: vec![Benchmark::FortioHttp, Benchmark::NetperfTcpRr],
            seconds: 3,
            timeout: Duration::from_secs(30),
            deadline: Duration::from_mins(30),
        }
    }

    fn place(inject: bool) -> Place {
        Place {
            kubeconfig: None,
            namespace: "n".to_owned(),
            node_labels: String::new(),
            orchestrator_image: "o:1".to_owned(),
            worker_image: "w:1".to_owned(),
            inject,
        }
    }

    fn nodes() -> Vec<Node> {
        let node = |name: &str| Node {
            name: name.to_owned(),
            zone: "north".to_owned(),
        };
        ["a", "b"].map(node).into()
    }

    #[test]
    fn a_mesh_is_asked_for_by_the_namespace() {
        for (inject, label) in [(true, json!("enabled")), (false, Value::Null)] {
            let namespace = namespace(&place(inject));
            let labels = &namespace["metadata"]["labels"];
            assert_eq!(labels["istio-injection"], label);
            assert_eq!(labels[MANAGER.0], MANAGER.1);
        }
    }

    #[test]
    fn a_worker_is_on_its_node_and_the_orchestrator_on_one_of_theirs() {
        let nodes = nodes();
        let host = "fd96::7".parse().unwrap();
        let terms = |pod: &Value| {
            let required = "requiredDuringSchedulingIgnoredDuringExecution";
            let terms = &pod["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"];
            let terms = terms.as_array().unwrap().iter();
            let values = terms.map(|term| term["matchFields"][0]["values"][0].clone());
            values.collect::<Vec<_>>()
        };
        let worker = worker(("worker-2", &nodes[1]), &plan(), &place(false), host);
        assert_eq!(terms(&worker), ["b"]);
        let container = &worker["spec"]["containers"][0];
        assert_eq!(
            (&container["image"], &container["args"][1]),
            (&json!("w:1"), &json!("fd96::7"))
        );
        assert_eq!(container["env"][3]["value"], "north");
        let orchestrator = orchestrator(&plan(), &place(false), &nodes, host);
        assert_eq!(terms(&orchestrator), ["a", "b"]);
        let args = &orchestrator["spec"]["containers"][0]["args"];
        assert_eq!(
            (&args[1], &args[3]),
            (&json!("fortio-http,netperf-tcp-rr"), &json!("::"))
        );
    }

    #[test]
    fn a_service_says_which_ports_there_are() {
        let benchmarks = [
            Benchmark::FortioHttp,
            Benchmark::NetperfTcpRr,
            Benchmark::NetperfTcpStream,
        ];
        let service = service_of_worker("worker-1", &benchmarks);
        let ports = service["spec"]["ports"].as_array().unwrap().iter();
        let names: Vec<_> = ports.map(|port| port["name"].clone()).collect();
        assert_eq!(names, ["http-8080", "tcp-12865"]);
        assert_eq!(service["spec"]["selector"][POD], "worker-1");
    }
}
