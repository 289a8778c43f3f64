//! The launcher in a real Kubernetes: as the Job of its manifests, and from outside where something goes wrong. Whatever
//! happens, its namespace is gone afterwards.
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that fails fails the test"
)]

mod packed;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sluice_bench::network::task::{Results, Status};
use sluice_cluster::{Cluster, Node, Options, programs, skipped, why_no_cluster};

use packed::{PROGRAM, pack};

/// As in the manifests.
const IMAGE: &str = "sluice-network:0.1.0";
/// Of Debian's packages.
const INSTALLED: [&str; 2] = ["/usr/bin/iperf3", "/usr/bin/qperf"];
/// The same, of non-free, which not every machine may install from.
const NON_FREE: [&str; 2] = ["/usr/bin/netperf", "/usr/bin/netserver"];
const PATIENCE: Duration = Duration::from_mins(2);

fn tools() -> Vec<PathBuf> {
    let fortio = programs::directory().unwrap().join("fortio");
    let mut tools = vec![fortio];
    tools.extend(INSTALLED.map(PathBuf::from));
    if has_netperf() {
        tools.extend(NON_FREE.map(PathBuf::from));
    }
    tools
}

fn has_netperf() -> bool {
    NON_FREE.iter().all(|tool| Path::new(tool).is_file())
}

/// A benchmark of each program, and what its client is called.
fn benchmarks() -> Vec<(&'static str, &'static str)> {
    let mut benchmarks = vec![
        ("iperf3-tcp", "iperf3"),
        ("qperf-tcp", "qperf"),
        ("fortio-http", "fortio"),
    ];
    if has_netperf() {
        benchmarks.push(("netperf-tcp-rr", "netperf"));
    }
    benchmarks
}

fn why_no_tools() -> Option<String> {
    let missing = tools().into_iter().find(|tool| !tool.is_file())?;
    let missing = missing.display();
    Some(format!("no {missing} (cargo xtask cluster tools)"))
}

#[test]
fn a_launcher_measures_a_cluster_and_leaves_nothing() {
    if skipped(why_no_cluster().or_else(why_no_tools)) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("image.tar");
    let names = ["launcher", "orchestrator", "worker"];
    pack(IMAGE, &names, tools(), &archive).unwrap();
    let cluster = Cluster::up(&Options {
        images: vec![archive],
        ..Options::default()
    });
    let cluster = cluster.unwrap();
    if !has_netperf() {
        println!("without netperf, which is not installed");
    }
    let site = Site::new(&cluster);
    site.a_job_measures_every_pair_and_keeps_the_results();
    site.what_cannot_be_launched_is_said();
    site.a_worker_that_is_killed_is_lost();
    site.a_launcher_that_is_told_to_end_collects_what_there_is();
    assert_eq!(site.namespaces(), site.before);
}

/// A cluster, and the namespaces that it has by itself.
struct Site<'a> {
    cluster: &'a Cluster,
    before: Vec<String>,
}

/// What a launcher said, and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    output: String,
    errors: String,
}

impl<'a> Site<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let control = cluster.control();
        for (name, zone) in [("node-1", "north"), ("node-2", "south")] {
            let zone = format!("topology.kubernetes.io/zone={zone}");
            control.kubectl(&["label", "node", name, &zone]).unwrap();
        }
        let mut site = Self {
            cluster,
            before: Vec::new(),
        };
        site.before = site.namespaces();
        site
    }

    fn kubectl(&self, line: &str) -> String {
        let words: Vec<_> = line.split(' ').collect();
        self.cluster.control().kubectl(&words).unwrap()
    }

    fn namespaces(&self) -> Vec<String> {
        let names = self.kubectl("get namespaces -o name");
        names.lines().map(str::to_owned).collect()
    }

    /// Starts a launcher outside of the cluster.
    fn launch(&self, namespace: &str, line: &str) -> Child {
        let control = self.cluster.control();
        let image = format!("-orchImage {IMAGE} -namespace {namespace} -outputFileDirectory");
        control
            .enter(PROGRAM)
            .args(["network", "launcher", "-o", "json"])
            .args(image.split(' '))
            .arg(control.directory().join("results"))
            .args(line.split(' '))
            .env("KUBECONFIG", control.kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until a client of iperf3 runs in a pod.
    fn await_client(&self) {
        let runs = || self.cluster.nodes().iter().any(has_client);
        let limit = Instant::now() + PATIENCE;
        while !runs() {
            assert!(Instant::now() < limit, "no client: {:?}", self.namespaces());
            // reason: from one look to the next
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn a_job_measures_every_pair_and_keeps_the_results(&self) {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/network");
        for name in ["permissions", "claim-on-a-node", "reader", "job"] {
            let text = fs::read_to_string(place.join(format!("{name}.yaml"))).unwrap();
            // Shorter, and of each program.
            let names: Vec<_> = benchmarks().into_iter().map(|it| it.0).collect();
            let more = format!("- {}\n        - -seconds=1\n", names.join(","));
            let text = text.replace("- iperf3-tcp\n", &more);
            self.cluster.control().apply(&text).unwrap();
        }
        let done = "wait --for=condition=Complete job/sluice-network --timeout=300s";
        let words: Vec<_> = done.split(' ').collect();
        if let Err(error) = self.cluster.control().kubectl(&words) {
            let log = self.kubectl("logs job/sluice-network");
            let pods = self.kubectl("get pods -A -o wide");
            panic!("{error:#}\n{pods}\n{log}");
        }
        self.kubectl("wait --for=condition=Ready pod/reader --timeout=180s");
        let shown = self.kubectl(
            "exec reader -- busybox find /share/networkperformance_results -type f ! -name *.figures.json \
             -exec busybox cat {} +",
        );
        let results: Results = serde_json::from_str(&shown).unwrap();
        let seen = results.results.iter().map(|it| {
            let (task, of) = (&it.task, |at: &sluice_bench::network::task::Vm| {
                (at.hostname.clone(), at.availability_zone.clone())
            });
            let (client, server) = (of(&task.client.vm), of(&task.server.vm));
            (task.command.clone(), task.status, client, server)
        });
        let node = |number: u8, zone: &str| (format!("node-{number}"), zone.to_owned());
        let (one, two) = (node(1, "north"), node(2, "south"));
        let expected = benchmarks().into_iter().map(|(_, command)| {
            let of = |client: &(String, String), server: &(String, String)| {
                (
                    command.to_owned(),
                    Status::Done,
                    client.clone(),
                    server.clone(),
                )
            };
            [of(&one, &two), of(&two, &one)]
        });
        let expected: Vec<_> = expected.flatten().collect();
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        // What others read has these fields, and no others.
        let document: Value = serde_json::from_str(&shown).unwrap();
        let task = document["results"][0]["task"].as_object().unwrap();
        let fields: Vec<_> = task.keys().map(String::as_str).collect();
        let expected = [
            "args",
            "client",
            "command",
            "server",
            "status",
            "task_options",
        ];
        assert_eq!(fields, expected);
        assert_eq!(self.namespaces(), self.before);
    }

    fn what_cannot_be_launched_is_said(&self) {
        let usual = format!("-benchmark iperf3-tcp -workerImage {IMAGE} -node-labels=");
        let own = usual.replace(IMAGE, "registry.invalid/none:1");
        let cases = [
            ("default", usual.clone(), 3, "no launcher has made it"),
            ("none", format!("{usual}x=y"), 3, "0 nodes match `x=y`"),
            (
                "pull",
                format!("{own} -timeout 8s"),
                3,
                "registry.invalid/none:1",
            ),
            (
                "late",
                format!("{usual} -seconds 60 -deadline 12s"),
                1,
                "not over within the deadline",
            ),
        ];
        let started = cases.map(|(namespace, line, code, why)| {
            (self.launch(namespace, &line), namespace, code, why)
        });
        for (child, namespace, code, why) in started {
            let said = Said::of(child);
            assert_eq!(said.code, Some(code), "{namespace}: {said:?}");
            assert!(said.errors.contains(why), "{namespace}: {said:?}");
        }
        assert_eq!(self.namespaces(), self.before);
    }

    fn a_worker_that_is_killed_is_lost(&self) {
        let line = format!("-benchmark iperf3-tcp -workerImage {IMAGE} -node-labels= -seconds 60");
        let launcher = self.launch("lost", &line);
        self.await_client();
        self.kubectl("delete pod worker-2 --namespace lost --grace-period=0 --force");
        let said = Said::of(launcher);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert_eq!(said.statuses(), [5, 5], "{said:?}");
        assert_eq!(self.namespaces(), self.before);
    }

    fn a_launcher_that_is_told_to_end_collects_what_there_is(&self) {
        let line = format!("-benchmark iperf3-tcp -workerImage {IMAGE} -node-labels= -seconds 60");
        let launcher = self.launch("told", &line);
        self.await_client();
        kill_process(Pid::from_child(&launcher), Signal::INT).unwrap();
        let said = Said::of(launcher);
        assert_eq!(said.code, Some(130), "{said:?}");
        assert_eq!(said.statuses(), [3, 0], "{said:?}");
        assert_eq!(self.namespaces(), self.before);
    }
}

/// Whether a client of iperf3 runs in a pod of a node.
fn has_client(node: &Node) -> bool {
    let processes = fs::read_dir(node.path("/proc")).unwrap().flatten();
    processes
        .map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default())
        .any(|line| line.starts_with(b"iperf3\0-c"))
}

impl Said {
    fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            output: text(&output.stdout),
            errors: text(&output.stderr),
        }
    }

    /// What became of each task.
    fn statuses(&self) -> Vec<u64> {
        let document: Value = serde_json::from_str(&self.output).unwrap();
        let results = document["results"].as_array().unwrap().iter();
        results
            .map(|it| it["task"]["status"].as_u64().unwrap())
            .collect()
    }
}
