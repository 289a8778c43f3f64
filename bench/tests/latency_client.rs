//! The clients against a real API server: what they log, serve and report. There is no network policy in between; a
//! target answers once something listens.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that fails fails the test"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sluice_cluster::{ControlOptions, ControlPlane, skipped, why_no_control_plane};

/// Of the control plane, in its own network: targets have it as well.
const ADDRESS: &str = "10.99.0.100";
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// A client that runs.
struct Client<'a> {
    control: &'a ControlPlane,
    child: Child,
    log: Receiver<String>,
    said: Vec<String>,
}

impl<'a> Client<'a> {
    fn start(control: &'a ControlPlane, verb: &str, more: &[&str]) -> Self {
        let mut child = control
            .enter(env!("CARGO_BIN_EXE_sluice-bench"))
            .args(["latency", verb, "-HostNamespace=default"])
            .args([
                "-TargetLabelSelector=target=test-policy",
                "-TargetPort=8000",
            ])
            .args(["-TargetNamespace=test-policy", "-MetricsPort=9160"])
            .args(["-MaxTargets=2", "-o", "json"])
            .args(more)
            .env("KUBECONFIG", control.kubeconfig())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = lines(child.stderr.take().unwrap());
        Self {
            control,
            child,
            log,
            said: Vec::new(),
        }
    }

    /// Waits until the client has said something with this text in it.
    fn says(&mut self, text: &str) {
        let limit = Instant::now() + PATIENCE;
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("never: {text}; {:#?}", self.said));
            self.said.push(line);
            if self.said.last().is_some_and(|line| line.contains(text)) {
                return;
            }
        }
    }

    fn get(&self, path: &str) -> String {
        let ask = || {
            let mut stream = TcpStream::connect("127.0.0.1:9160").unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        self.control.inside(ask).unwrap()
    }

    /// Ends it as a pod is ended: its report.
    fn terminate(mut self) -> Value {
        // The child is in no namespace of processes of its own, so this is its id.
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        for text in [
            "Exiting idle state",
            "Shutting down metrics server",
            "Closing ",
        ] {
            self.says(text);
        }
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    told
}

/// Answers everybody from now on.
fn listen(control: &ControlPlane) -> thread::JoinHandle<()> {
    let listener = control.inside(|| TcpListener::bind((ADDRESS, 8000)));
    let listener = listener.unwrap().unwrap();
    thread::spawn(move || {
        // Until the process ends.
        while let Ok((mut stream, _)) = listener.accept() {
            let _read = stream.read(&mut [0; 512]);
            let _written = stream.write_all(ANSWER);
        }
    })
}

fn make_pod(control: &ControlPlane, name: &str) {
    control
        .apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: test-policy, \
             labels: {{target: test-policy}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}"
        ))
        .unwrap();
}

fn give_address(control: &ControlPlane, name: &str) {
    let status = format!(r#"{{"status":{{"podIP":"{ADDRESS}","podIPs":[{{"ip":"{ADDRESS}"}}]}}}}"#);
    let patch = ["patch", "pod", name, "-n", "test-policy"];
    let more = ["--subresource=status", "-p", &status];
    control.kubectl(&[&patch[..], &more].concat()).unwrap();
}

#[test]
fn clients_log_serve_and_report_as_perf_tests_do() {
    if skipped(why_no_control_plane()) {
        return;
    }
    let control = ControlPlane::start(ControlOptions::default()).unwrap();
    control
        .kubectl(&["create", "namespace", "test-policy"])
        .unwrap();
    pods_are_reached_as_they_come(&control);
    a_policy_is_timed_from_its_creation(&control);
}

fn pods_are_reached_as_they_come(control: &ControlPlane) {
    let mut client = Client::start(control, "pod", &[]);
    for text in [
        "Starting pod creation reachability latency client",
        "] --HostNamespace=default",
        "] --MaxTargets=2",
        "] --MetricsPort=9160",
        "] --TargetLabelSelector=target=test-policy",
        "] --TargetNamespace=test-policy",
        "] --TargetPort=8000",
        "Verifying test client configuration",
        "Starting HTTP server on \":9160\".",
        "Starting to measure pod creation reachability latency",
        "Starting 10 workers for parallel processing of pod Add and Update events",
        "Creating PodWatcher for namespace \"test-policy\" and labelSelector \"target=test-policy\"",
        "Going into idle state",
    ] {
        client.says(text);
    }
    let healthz = client.get("/healthz");
    assert!(healthz.starts_with("HTTP/1.1 200"), "{healthz}");
    make_pod(control, "early");
    give_address(control, "early");
    client.says("Test client got pod \"early\" with assigned IP \"10.99.0.100\", ");
    client.says("Sending requests \"curl --connect-timeout 1 10.99.0.100:8000\"");
    let page = client.get("/metrics");
    for line in [
        "pod_ip_address_assigned_latency_seconds_count 1",
        "pod_ip_address_assigned_precise_seconds_count 1",
        "pod_creation_reachability_latency_seconds_count 0",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    listen(control);
    client.says("Pod \"early\" in namespace \"test-policy\" reached ");
    for name in ["second", "third"] {
        make_pod(control, name);
        give_address(control, name);
    }
    client.says("Pod \"second\" in namespace \"test-policy\" reached ");
    let page = client.get("/metrics");
    for line in [
        "pod_ip_address_assigned_latency_seconds_count 2",
        "pod_creation_reachability_latency_seconds_count 2",
        "pod_creation_reachability_precise_seconds_count 2",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let report = client.terminate();
    assert_eq!(report["test"], "pod-creation-reachability-latency");
    assert_eq!(report["unreached"], 0);
    let reached = report["reached"].as_array().unwrap();
    assert_eq!(reached.len(), 2, "{reached:?}");
    assert_eq!(reached[0]["pod"], "early");
    assert!(reached[1]["precise"].as_f64() <= reached[1]["latency"].as_f64());
}

const POLICY: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
    metadata: {name: allow-egress-to-target, namespace: default}, spec: {podSelector: {}}}";

fn a_policy_is_timed_from_its_creation(control: &ControlPlane) {
    // Targets answer at once here: what they answer before there is a policy is not counted.
    let named = ["-AllowPolicyName=allow-egress-to-target"];
    let mut client = Client::start(control, "policy", &named);
    for text in [
        "Starting policy creation enforcement latency client",
        "] --AllowPolicyName=allow-egress-to-target",
        "Starting to measure network policy enforcement latency on network policy creation",
        "2 pods listed",
        "answers although there is no policy \"allow-egress-to-target\"",
    ] {
        client.says(text);
    }
    control.apply(POLICY).unwrap();
    for text in [
        "with IP \"10.99.0.100\" reached ",
        "with IP \"10.99.0.100\" reached ",
        "Going into idle state",
    ] {
        client.says(text);
    }
    let page = client.get("/metrics");
    for line in [
        "policy_enforcement_latency_policy_creation_seconds_count 2",
        "policy_enforcement_policy_creation_precise_seconds_count 2",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
    let report = client.terminate();
    assert_eq!(report["reached"].as_array().unwrap().len(), 2);
    assert!(report["early"].as_u64() > Some(0));
}
