//! A node: containerd, a kubelet and kube-proxy in namespaces of their own.
//!
//! The settings that a machine of this kind forces are named where they are made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::control::{self, ControlPlane, ip, write_json};
use crate::network::{self, Family};
use crate::sandbox::{Role, Sandbox};
use crate::{cgroup, image, kubectl, programs};

const CONTAINERD: &str = "containerd";
const KUBELET: &str = "kubelet";
const PROXY: &str = "kube-proxy";
const SOCKET: &str = "/run/containerd/containerd.sock";
/// How long a component may take, on a machine that does other things besides.
const LIMIT: Duration = Duration::from_mins(1);

/// A node of a cluster.
#[derive(Debug)]
pub struct Node {
    number: u8,
    family: Family,
    sandbox: Sandbox,
    group: String,
}

impl Node {
    /// Makes the node, plugs it in, starts containerd and gives it images.
    pub(crate) fn create(
        control: &ControlPlane,
        number: u8,
        nodes: u8,
        images: &[PathBuf],
    ) -> Result<Self> {
        let home = control.home();
        let name = name(number);
        let family = control.family();
        let group = cgroup::name(home.name(), &name);
        let sandbox = Sandbox::create(home, &name, Role::Node)?;
        cgroup::create(&group)?;
        let cable = network::cable(family, number, sandbox.pid());
        ip(control.sandbox(), &cable)?;
        ip(&sandbox, &network::node_links(family, number, nodes))?;
        let node = Self {
            number,
            family,
            sandbox,
            group,
        };
        node.start_containerd()?;
        for image in images {
            node.import_image(image)?;
        }
        Ok(node)
    }

    /// A node of a kept cluster.
    pub(crate) fn open(control: &ControlPlane, number: u8) -> Result<Self> {
        let name = name(number);
        Ok(Self {
            number,
            family: control.family(),
            group: cgroup::name(control.home().name(), &name),
            sandbox: Sandbox::open(control.home(), &name)?,
        })
    }

    /// What Kubernetes calls it: `node-1`, `node-2`, …
    pub fn name(&self) -> &str {
        self.sandbox.name()
    }

    /// Its addresses, the first family's first.
    pub fn addresses(&self) -> Vec<std::net::IpAddr> {
        self.family.node(self.number)
    }

    /// The process id of its process 1, as this machine counts.
    pub fn pid(&self) -> i32 {
        self.sandbox.pid()
    }

    /// Its network namespace, as a file.
    pub fn netns(&self) -> PathBuf {
        self.sandbox.netns()
    }

    /// A path of the node, as seen from outside: `node.path("/run")`.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.sandbox.path(inside)
    }

    /// `program` on the node: its mounts, processes and network, and a plain environment.
    pub fn enter(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.sandbox.enter(program)
    }

    /// What a program prints on the node.
    ///
    /// # Errors
    /// What it says where it fails.
    pub fn run(&self, line: &[&str]) -> Result<String> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        kubectl::text(self.enter(program).args(arguments), None)
    }

    /// Runs `code` in a thread of its own in the node's network namespace.
    pub fn inside<T: Send>(&self, code: impl FnOnce() -> T + Send) -> Result<T> {
        control::in_netns(&self.netns(), code)
    }

    /// Gives the node the images of an archive; nothing can be pulled here.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        let mut ctr = self.enter("ctr");
        ctr.args(["--namespace", "k8s.io", "images", "import"]);
        kubectl::text(ctr.arg(archive), None)
            .map(drop)
            .with_context(|| format!("{} of {}", CONTAINERD, self.name()))
    }

    /// The names of the images that it has.
    pub fn images(&self) -> Result<Vec<String>> {
        let names = self.run(&["ctr", "--namespace", "k8s.io", "images", "ls", "-q"])?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Stops the kubelet, as if the node had lost its mind; pods and their network go on.
    pub fn stop_kubelet(&self) -> Result<()> {
        self.sandbox.stop(KUBELET)
    }

    /// What was started on it, pods aside, and whether it runs.
    pub fn components(&self) -> Vec<(String, bool)> {
        self.sandbox.components()
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Lets it outlive us.
    pub(crate) fn keep(&mut self) -> Result<()> {
        self.sandbox.keep()
    }

    /// What the API server is told about the node before its kubelet is: which addresses its pods have.
    pub(crate) fn object(&self) -> serde_json::Value {
        let ranges = self.family.pods(self.number);
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name()},
            "spec": {"podCIDR": ranges.first(), "podCIDRs": ranges},
        })
    }

    /// Starts what talks to the API server.
    pub(crate) fn start(&self, control: &ControlPlane) -> Result<()> {
        self.start_kubelet(control)?;
        self.start_proxy(control)
    }

    fn start_containerd(&self) -> Result<()> {
        let config = self.sandbox.directory().join("containerd.toml");
        fs::write(&config, containerd_config()).context("containerd.toml")?;
        let network = self.path("/etc/cni/net.d/10-sluice.conflist");
        write_json(&network, &network_config(self.family, self.number))?;
        let config = config.display().to_string();
        let line = [CONTAINERD, "--config", &config].map(str::to_owned);
        self.sandbox.start(CONTAINERD, &line)?;
        let answers = || Ok(self.run(&["ctr", "version"]).ok());
        let what = format!("an answer of {CONTAINERD} on {}", self.name());
        self.sandbox
            .wait(CONTAINERD, &what, LIMIT, answers)
            .map(drop)
    }

    /// Starts the kubelet again where it was stopped.
    pub fn start_kubelet(&self, control: &ControlPlane) -> Result<()> {
        let (name, authority) = (self.name(), control.authority());
        let user = format!("system:node:{name}");
        authority.client(name, &user, &["system:nodes"])?;
        let kubeconfig = authority.kubeconfig(name, &control.url())?;
        let config = self.sandbox.directory().join("kubelet.json");
        let authority = authority.file("ca.crt");
        write_json(&config, &self.kubelet_config(&authority))?;
        let addresses: Vec<_> = self.addresses().iter().map(ToString::to_string).collect();
        let line = vec![
            programs::built(KUBELET)?.display().to_string(),
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--hostname-override={name}"),
            format!("--node-ip={}", addresses.join(",")),
        ];
        self.sandbox.start(KUBELET, &line)
    }

    fn kubelet_config(&self, authority: &Path) -> serde_json::Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "address": any(self.family),
            "authentication": {"x509": {"clientCAFile": authority}},
            "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
            // There is no service manager to ask, and version 1 of control groups is what there may be.
            "cgroupDriver": "cgroupfs", "failCgroupV1": false, "failSwapOn": false,
            // Two kubelets in one group would clean up each other's pods.
            "cgroupRoot": format!("/{}", self.group),
            // A collected image is gone for good: there is no registry.
            "imageGCHighThresholdPercent": 100,
            // The disk and the memory are others' as well.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            // There is no DNS in the cluster, and the machine's own is none of the pods' business.
            "resolvConf": "",
        })
    }

    fn start_proxy(&self, control: &ControlPlane) -> Result<()> {
        let config = self.sandbox.directory().join("kube-proxy.json");
        let kubeconfig = control.authority().file("proxy.kubeconfig");
        write_json(
            &config,
            &json!({
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
                "bindAddress": any(self.family), "hostnameOverride": self.name(), "mode": "nftables",
                "clientConnection": {"kubeconfig": kubeconfig},
                "clusterCIDR": self.family.all_pods().join(","),
                // Limits of conntrack belong to the machine, and stay as they are.
                "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            }),
        )?;
        let line = [
            programs::built(PROXY)?.display().to_string(),
            format!("--config={}", config.display()),
        ];
        self.sandbox.start(PROXY, &line)
    }
}

fn name(number: u8) -> String {
    format!("node-{number}")
}

fn any(family: Family) -> &'static str {
    if family.has_v6() { "::" } else { "0.0.0.0" }
}

fn containerd_config() -> String {
    format!(
        r#"version = 2

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{}"
# Lowering a score needs CAP_SYS_RESOURCE, which root may lack.
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{}"
conf_dir = "/etc/cni/net.d"
"#,
        image::qualified(crate::PAUSE),
        programs::PLUGINS
    )
}

/// Routed veths without a bridge: what pods send passes PREROUTING, FORWARD and POSTROUTING of their node.
fn network_config(family: Family, node: u8) -> serde_json::Value {
    let ranges: Vec<_> = family
        .pods(node)
        .iter()
        .map(|range| json!([{ "subnet": range }]))
        .collect();
    let routes: Vec<_> = family
        .everywhere()
        .iter()
        .map(|range| json!({ "dst": range }))
        .collect();
    json!({
        "cniVersion": "0.4.0", "name": "sluice",
        "plugins": [
            {
                "type": "ptp", "ipMasq": false,
                "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
            },
            {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
        ],
    })
}
