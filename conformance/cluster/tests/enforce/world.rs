//! The cluster with what lives in it: pods that serve, Services, and agents. What policies mean is not known here.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sluice_cluster::{AGNHOST, Cluster, Component, Options, until};
use sluice_netlink::Netns;

use crate::kinds::{Kind, Served};
use crate::{NAMESPACES, PODS, PORTS, agents};

/// How long anything may take, on a machine that does other things besides.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

/// A pod that serves.
#[derive(Debug)]
pub(crate) struct Pod {
    /// As in `x/a`.
    pub(crate) name: String,
    pub(crate) node: usize,
    pub(crate) address: IpAddr,
    pub(crate) netns: Netns,
}

/// All of it.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// By name.
    pub(crate) pods: BTreeMap<String, Pod>,
    /// The addresses of Services, by the name of the pod behind.
    pub(crate) services: BTreeMap<String, IpAddr>,
    /// The values that the chart is installed with; none where it is not.
    pub(crate) installed: Option<Vec<String>>,
    /// The admin kinds.
    pub(crate) served: Served,
}

impl World {
    /// A cluster with pods, and no agents yet.
    pub(crate) fn up() -> Result<Self> {
        let cluster = Cluster::up(&Options {
            images: vec![agents::image()?],
            ..Options::default()
        })?;
        Ok(Self {
            cluster,
            pods: BTreeMap::new(),
            services: BTreeMap::new(),
            installed: None,
            served: Served::No,
        })
    }

    /// Makes of whatever there is what every case starts with.
    pub(crate) fn restore(&mut self) -> Result<()> {
        self.wake()?;
        self.forget_admin_policies()?;
        let there = self.list("namespaces,nodes,pods,services,networkpolicies")?;
        for line in repairs(&there) {
            let line: Vec<_> = line.iter().map(String::as_str).collect();
            self.kubectl(&line)?;
        }
        if !has_all(&there) {
            self.bring_back()?;
        }
        self.look()?;
        self.install(&[])
    }

    /// Makes what is missing. No pod is taken before its namespace has a service account, which a controller makes.
    fn bring_back(&self) -> Result<()> {
        let missing = "serviceaccount \"default\" not found";
        soon("everything is made", || {
            match self.apply(&objects().to_string()) {
                Ok(()) => Ok(Some(())),
                Err(error) if error.to_string().contains(missing) => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Starts what a case that has failed may have stopped, and joins what it may have cut.
    fn wake(&self) -> Result<()> {
        let control = self.cluster.control();
        for component in [Component::Etcd, Component::ApiServer] {
            if !control.runs(component) {
                control.start_component(component)?;
            }
        }
        for node in self.cluster.nodes() {
            node.run(&["nft", "add table inet cut; delete table inet cut"])?;
        }
        control.wait_ready()
    }

    /// Deletes every policy of the admin kinds. Their definitions stay.
    pub(crate) fn forget_admin_policies(&self) -> Result<()> {
        if self.served == Served::No {
            return Ok(());
        }
        let kinds = Kind::resources().join(",");
        self.kubectl(&["delete", &kinds, "--all"]).map(drop)
    }

    /// Waits until all pods are ready, and looks where they are.
    pub(crate) fn look(&mut self) -> Result<()> {
        self.kubectl(&[
            "wait",
            "--for=condition=Ready",
            "pods",
            "--selector=pod",
            "--all-namespaces",
            "--timeout=90s",
        ])?;
        self.pods.clear();
        self.services.clear();
        for item in self.list("pods,services")? {
            self.services.extend(service_of(&item));
            let Some(pod) = self.pod_of(&item)? else {
                continue;
            };
            self.pods.insert(pod.name.clone(), pod);
        }
        Ok(())
    }

    /// `kubectl ARGUMENTS`, as the administrator.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.control().kubectl(arguments)
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &str) -> Result<()> {
        self.cluster.control().apply(manifests).map(drop)
    }

    /// Every object of a kind, or of kinds with commas between them.
    pub(crate) fn list(&self, kind: &str) -> Result<Vec<Value>> {
        let text = self.kubectl(&["get", kind, "--all-namespaces", "--output=json"])?;
        let mut list: Value = serde_json::from_str(&text).context("a list of kubectl")?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => bail!("get {kind}: no list"),
        }
    }

    /// A pod that there must be.
    pub(crate) fn pod(&self, name: &str) -> Result<&Pod> {
        self.pods
            .get(name)
            .with_context(|| format!("no pod {name}"))
    }

    fn pod_of(&self, item: &Value) -> Result<Option<Pod>> {
        let text = |path: &str| item.pointer(path).and_then(Value::as_str);
        let namespace = text("/metadata/namespace").unwrap_or_default();
        if item["kind"] != "Pod" || !NAMESPACES.contains(&namespace) {
            return Ok(None);
        }
        let name = format!("{namespace}/{}", text("/metadata/name").unwrap_or_default());
        let address = text("/status/podIP").with_context(|| format!("{name}: no address"))?;
        let address: IpAddr = address.parse().with_context(|| name.clone())?;
        let node = text("/spec/nodeName").and_then(|node| node.strip_prefix("node-"));
        let node = node.with_context(|| format!("{name}: no node"))?.parse()?;
        let netns = self.netns_of(node, address).with_context(|| name.clone())?;
        Ok(Some(Pod {
            name,
            node,
            address,
            netns,
        }))
    }

    /// The network namespace on a node that has an address; the network plugin gave it a file.
    fn netns_of(&self, node: usize, address: IpAddr) -> Result<Netns> {
        let has_it = |netns: &Netns| {
            let is_there = netns.enter(|| UdpSocket::bind((address, 0)).is_ok());
            matches!(is_there, Ok(true))
        };
        // One more is that of a pod that is going, which had the address before.
        soon("one network namespace", || {
            let paths = files(&self.cluster.node(node).path("/run/netns"))?;
            // One that has just gone is not the one.
            let all = paths.iter().filter_map(|path| Netns::open(path).ok());
            let mut found: Vec<Netns> = all.filter(has_it).collect();
            Ok(found.pop().filter(|_| found.is_empty()))
        })
        .with_context(|| format!("that has {address}"))
    }
}

/// Waits for a condition.
pub(crate) fn soon<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until(what, LIMIT, look)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    paths.with_context(|| directory.display().to_string())
}

/// What has to be done with what there is so that every case starts with the same: lines of kubectl.
fn repairs(there: &[Value]) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for item in there {
        let metadata = &item["metadata"];
        let (kind, name) = (text(&item["kind"]), text(&metadata["name"]));
        let mut line = match kind {
            "NetworkPolicy" => vec!["delete", kind, name],
            "Node" if item["spec"]["unschedulable"] == true => vec!["uncordon", name],
            _ if metadata["labels"]["changed"].is_string() => vec!["label", kind, name, "changed-"],
            _ => continue,
        };
        if let Some(namespace) = metadata["namespace"].as_str() {
            line.extend(["--namespace", namespace]);
        }
        lines.push(line.into_iter().map(str::to_owned).collect());
    }
    lines
}

/// Whether nothing of [`objects`] is missing, or about to go.
fn has_all(there: &[Value]) -> bool {
    let objects = objects();
    let mut wanted = objects["items"].as_array().into_iter().flatten();
    let same = |one: &Value, other: &Value| {
        let field = |field: &str| one["metadata"][field] == other["metadata"][field];
        one["kind"] == other["kind"] && field("name") && field("namespace")
    };
    wanted.all(|wanted| {
        let mut there = there.iter().filter(|it| same(it, wanted));
        there.any(|it| it["metadata"]["deletionTimestamp"].is_null())
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn service_of(item: &Value) -> Option<(String, IpAddr)> {
    let namespace = item.pointer("/metadata/namespace")?.as_str()?;
    let name = item
        .pointer("/metadata/name")?
        .as_str()?
        .strip_prefix("serves-")?;
    let address = item.pointer("/spec/clusterIP")?.as_str()?.parse().ok()?;
    Some((format!("{namespace}/{name}"), address))
}

/// Namespaces, and in each of them pods and their Services.
fn objects() -> Value {
    let mut items: Vec<_> = [
        ("x", "blue", "test"),
        ("y", "blue", "production"),
        ("z", "green", "production"),
    ]
    .iter()
    .map(|(name, team, stage)| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"ns": name, "team": team, "stage": stage}},
        })
    })
    .collect();
    for (row, namespace) in NAMESPACES.iter().enumerate() {
        for (column, name) in PODS.iter().enumerate() {
            items.push(pod(namespace, name, (row + column) % 2 + 1));
            items.push(service(namespace, name));
        }
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// A pod that tells its name, `NAMESPACE-NAME`, to whoever asks.
pub(crate) fn pod(namespace: &str, name: &str, node: usize) -> Value {
    let serve = "/agnhost netexec --http-port=80 --udp-port=80 & exec /agnhost netexec --http-port=81 --udp-port=81";
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"pod": name}},
        "spec": {
            "nodeName": format!("node-{node}"), "hostname": format!("{namespace}-{name}"),
            "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false, "enableServiceLinks": false,
            "containers": [{
                "name": "server", "image": AGNHOST, "imagePullPolicy": "Never",
                "command": ["/bin/sh", "-c", serve],
                "ports": [
                    {"name": "http", "containerPort": 80, "protocol": "TCP"},
                    {"name": "admin", "containerPort": 81, "protocol": "TCP"},
                    {"name": "query", "containerPort": 80, "protocol": "UDP"},
                    {"name": "gossip", "containerPort": 81, "protocol": "UDP"},
                ],
                "readinessProbe": {
                    "httpGet": {"path": "/hostname", "port": "admin"},
                    "periodSeconds": 1, "timeoutSeconds": 5,
                },
            }],
        },
    })
}

fn service(namespace: &str, pod: &str) -> Value {
    let ports: Vec<_> = ["TCP", "UDP"]
        .iter()
        .flat_map(|protocol| PORTS.map(|port| (protocol, port)))
        .map(|(protocol, port)| {
            let name = format!("{}-{port}", protocol.to_lowercase());
            json!({"name": name, "port": port, "protocol": protocol})
        })
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": format!("serves-{pod}"), "namespace": namespace},
        "spec": {"selector": {"pod": pod}, "ports": ports},
    })
}
