//! Both clients in a real cluster, by their manifests and in the order of perf-tests' example, and a real Prometheus that
//! asks them: of each histogram `PromQL` has as many observations as there are targets.

mod packed;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sluice_bench::latency::wire::escaped;
use sluice_cluster::{
    AGNHOST, Cluster, ControlPlane, Options, names, programs, skipped, until, why_no_cluster,
};

/// How long anything may take, on a machine that does other things besides.
const LIMIT: Duration = Duration::from_mins(3);
/// Fewer than in the manifests: what starts them is as busy with six.
const TARGETS: u32 = 6;
/// Of the policy client's own changes.
const TRANSITIONS: u32 = 3;
const NO_IMAGE: &str = "there is no image of the agent; run cargo xtask image";
/// As in the manifests.
const IMAGE: &str = "sluice-bench:0.1.0";
/// The clients by the names of perf-tests.
const CLIENTS: [&str; 2] = [
    "pod-creation-reachability-latency",
    "policy-creation-enforcement-latency",
];
/// In the control plane's network, from where all pods are reached.
const PROMETHEUS: &str = "127.0.0.1:9090";

#[test]
fn both_clients_measure_in_a_cluster_and_prometheus_has_their_figures() -> Result<()> {
    let agent = programs::agent_image()?;
    let no_image = || agent.is_none().then(|| NO_IMAGE.to_owned());
    if skipped(
        why_no_cluster()
            .or_else(no_image)
            .or_else(why_no_prometheus),
    ) {
        return Ok(());
    }
    let agent = agent.context(NO_IMAGE)?;
    let directory = tempfile::tempdir()?;
    let archive = directory.path().join("image.tar");
    packed::pack(IMAGE, &CLIENTS, Vec::new(), &archive)?;
    let cluster = Cluster::up(&Options {
        images: vec![archive],
        ..Options::default()
    })?;
    let name = cluster.name().to_owned();
    cluster.install(&agent, &programs::chart(), "sluice-system", &[])?;
    let room = Room {
        prometheus: Prometheus::start(cluster.control())?,
        control: cluster.control(),
    };
    let measured = room.reach_pods().and_then(|()| room.enforce_policy());
    measured.with_context(|| room.told())?;
    drop(room);
    drop(cluster);
    ensure!(!names()?.contains(&name), "{name} is left");
    Ok(())
}

/// What the cases go by.
struct Room<'a> {
    prometheus: Prometheus<'a>,
    control: &'a ControlPlane,
}

/// Debian's Prometheus, with the configuration that is beside the manifests. It ends with this value.
struct Prometheus<'a> {
    control: &'a ControlPlane,
    place: PathBuf,
    child: Child,
}

fn why_no_prometheus() -> Option<String> {
    let is_there = Path::new("/usr/bin/prometheus").is_file();
    (!is_there).then(|| "there is no Prometheus; run cargo xtask cluster tools".to_owned())
}

fn manifest(name: &str) -> PathBuf {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/latency");
    manifests.join(name)
}

impl Room<'_> {
    /// The client is there first; pods are made under its eyes.
    fn reach_pods(&self) -> Result<()> {
        self.apply("namespace.yaml")?;
        self.apply("pod/permissions.yaml")?;
        self.apply("pod/policy-allow-egress-to-target-pods.yaml")?;
        self.apply("pod/test-client-deployment.yaml")?;
        self.rolled_out("default", "pod-creation-reachability-latency")?;
        self.prometheus.find_clients()?;
        self.make_targets("pod/target-deployment.yaml")?;
        for histogram in [
            "pod_ip_address_assigned_latency_seconds",
            "pod_ip_address_assigned_precise_seconds",
            "pod_creation_reachability_latency_seconds",
            "pod_creation_reachability_precise_seconds",
        ] {
            self.prometheus.knows(histogram, "", TARGETS)?;
        }
        self.take_away("pod-creation-reachability-latency")
    }

    /// Targets are there first, and the policy that lets the client through comes last.
    fn enforce_policy(&self) -> Result<()> {
        self.apply("policy/permissions.yaml")?;
        self.apply("policy/transitions.yaml")?;
        self.apply("policy/policy-deny-egress-to-target-pods.yaml")?;
        self.make_targets("policy/target-deployment.yaml")?;
        self.rolled_out("test-policy", "target-dep")?;
        let more = format!("-Transitions={TRANSITIONS}");
        let patch = json!([
            {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": more},
        ]);
        self.make("policy/test-client-deployment.yaml", "json", &patch)?;
        self.rolled_out("default", "policy-creation-enforcement-latency")?;
        self.prometheus.find_clients()?;
        self.apply("policy/policy-allow-egress-to-target-pods.yaml")?;
        for histogram in [
            "policy_enforcement_latency_policy_creation_seconds",
            "policy_enforcement_policy_creation_precise_seconds",
        ] {
            self.prometheus.knows(histogram, "", TARGETS)?;
        }
        for labels in ["{transition=\"allow\"}", "{transition=\"deny\"}"] {
            let histogram = "policy_enforcement_transition_seconds";
            self.prometheus.knows(histogram, labels, TRANSITIONS)?;
        }
        self.take_away("policy-creation-enforcement-latency")
    }

    /// As it is, with the API server's address in its place.
    fn apply(&self, name: &str) -> Result<()> {
        let path = manifest(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let address = self.control.family().control()[0].to_string();
        let applied = self
            .control
            .apply(&text.replace("{{.kubeAPIServerIP}}", &address));
        applied.map(drop).with_context(|| name.to_owned())
    }

    /// With a change.
    fn make(&self, name: &str, kind: &str, patch: &Value) -> Result<()> {
        let (file, patch) = (manifest(name).display().to_string(), patch.to_string());
        let line = [
            "patch", "--local", "-f", &file, "--type", kind, "-p", &patch, "-o", "json",
        ];
        let changed = self.control.kubectl(&line)?;
        self.control.apply(&changed).map(drop)
    }

    /// Fewer of them, and of an image that is there.
    fn make_targets(&self, name: &str) -> Result<()> {
        let arguments = ["netexec", "--http-port=80"];
        let containers = json!([{"name": "server", "image": AGNHOST, "args": arguments}]);
        let spec = json!({"replicas": TARGETS, "template": {"spec": {"containers": containers}}});
        self.make(name, "strategic", &json!({"spec": spec}))
    }

    fn rolled_out(&self, namespace: &str, deployment: &str) -> Result<()> {
        let (deployment, limit) = (format!("deployment/{deployment}"), limit());
        let line = [
            "rollout",
            "status",
            &deployment,
            "--namespace",
            namespace,
            &limit,
        ];
        self.control.kubectl(&line).map(drop)
    }

    /// The client, its policy and its targets are gone.
    fn take_away(&self, deployment: &str) -> Result<()> {
        let client = format!("deployment/{deployment}");
        let policy = "networkpolicy/allow-egress-to-target";
        // Their pods first.
        let delete = ["delete", "--cascade=foreground", &limit()].map(str::to_owned);
        for objects in [
            ["--namespace=default", &client, policy],
            ["--namespace=test-policy", "deployment/target-dep", "--wait"],
        ] {
            let line: Vec<&str> = delete.iter().map(String::as_str).chain(objects).collect();
            self.control.kubectl(&line)?;
        }
        Ok(())
    }

    /// For whoever looks for a reason.
    fn told(&self) -> String {
        let pods = self.control.kubectl(&["get", "pods", "-A", "-o", "wide"]);
        let log = self
            .control
            .kubectl(&["logs", "--selector=test=np-test-client", "--tail=30"]);
        format!("{}{}", pods.unwrap_or_default(), log.unwrap_or_default())
    }
}

fn limit() -> String {
    format!("--timeout={}s", LIMIT.as_secs())
}

impl<'a> Prometheus<'a> {
    fn start(control: &'a ControlPlane) -> Result<Self> {
        let place = control.directory().join("prometheus");
        fs::create_dir_all(&place)?;
        let config = place.join("prometheus.yaml");
        fs::copy(manifest("prometheus.yaml"), &config)?;
        // It ends with the thread that starts it, whatever that ends by.
        let child = control
            .enter("setpriv")
            .args(["--pdeathsig", "KILL", "prometheus"])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                place.join("data").display()
            ))
            .arg(format!("--web.listen-address={PROMETHEUS}"))
            .stdout(Stdio::null())
            .stderr(File::create(place.join("log"))?)
            .spawn()
            .context("start Prometheus")?;
        let prometheus = Self {
            control,
            place,
            child,
        };
        let log = || fs::read_to_string(prometheus.place.join("log")).unwrap_or_default();
        until("an answer of Prometheus", LIMIT, || {
            Ok(prometheus
                .get("/-/ready")
                .ok()
                .filter(|it| it.contains(" 200 ")))
        })
        .with_context(log)?;
        Ok(prometheus)
    }

    /// Tells it where the clients are: where they are now. In one step, as it reads what changes.
    fn find_clients(&self) -> Result<()> {
        let template = manifest("targets.yaml.tmpl");
        let template = format!("go-template-file={}", template.display());
        let line = [
            "get",
            "pods",
            "--all-namespaces",
            "--selector=test=np-test-client",
        ];
        let targets = self
            .control
            .kubectl(&[&line[..], &["-o", &template]].concat())?;
        let draft = self.place.join("draft");
        fs::write(&draft, targets)?;
        Ok(fs::rename(draft, self.place.join("targets.yaml"))?)
    }

    /// Waits until there are so many observations, all of one client; and there is a median.
    fn knows(&self, histogram: &str, labels: &str, observations: u32) -> Result<()> {
        let count = format!("{histogram}_count{labels}");
        let is_so = |found: &BTreeMap<String, f64>| {
            found.len() == 1
                && found
                    .values()
                    .all(|it| it.to_string() == observations.to_string())
        };
        let what = format!("{observations} of {count}");
        let mut last = BTreeMap::new();
        until(&what, LIMIT, || {
            last = self.ask(&count)?;
            Ok(is_so(&last).then_some(()))
        })
        .with_context(|| format!("{last:?}"))?;
        for quantile in [0.5, 0.99] {
            let query = format!("histogram_quantile({quantile}, {histogram}_bucket{labels})");
            let found = self.ask(&query)?;
            println!("{query}: {found:?}");
            let is_number = found.len() == 1 && found.values().all(|it| it.is_finite());
            ensure!(is_number, "{query}: {found:?}");
        }
        Ok(())
    }

    /// What `PromQL` answers, by pod.
    fn ask(&self, query: &str) -> Result<BTreeMap<String, f64>> {
        let answer = self.get(&format!("/api/v1/query?query={}", escaped(query)))?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        let body: Value = serde_json::from_str(body).with_context(|| answer.clone())?;
        ensure!(body["status"] == "success", "{query}: {body}");
        let results = body["data"]["result"].as_array().context("no result")?;
        let one = |result: &Value| {
            let pod = result["metric"]["pod"].as_str()?.to_owned();
            Some((pod, result["value"][1].as_str()?.parse().ok()?))
        };
        results
            .iter()
            .map(|it| one(it).with_context(|| it.to_string()))
            .collect()
    }

    fn get(&self, path: &str) -> Result<String> {
        self.control.inside(|| {
            let mut stream = TcpStream::connect(PROMETHEUS)?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: {PROMETHEUS}\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })?
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        // One that has ended is as good.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
