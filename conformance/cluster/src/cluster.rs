//! A whole cluster: a control plane and nodes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::control::{ControlOptions, ControlPlane};
use crate::home::{self, Home};
use crate::image::{Entry, Image};
use crate::network::{Family, MOST_NODES};
use crate::node::Node;
use crate::{AGNHOST, PAUSE, image, kubectl, programs};

/// What a kept cluster was made with.
const RECORD: &str = "cluster.json";
/// Debian's, for shells in pods and for the container that holds a pod's namespaces.
const BUSYBOX: &str = "/bin/busybox";

/// What a cluster is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it is called; none: a name that no other has.
    pub name: Option<String>,
    /// How many nodes, from 1.
    pub nodes: u8,
    /// The address families of nodes, pods and Services.
    pub family: Family,
    /// Archives of images that every node shall have, besides [`AGNHOST`].
    pub images: Vec<PathBuf>,
    /// Told about every step, once it is done.
    pub progress: fn(&str),
}

/// A cluster on this machine. On drop it ends, and nothing is left of it.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    // Last, since dropping it ends the rest.
    control: ControlPlane,
}

/// A chart that was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The tag that the image was given: its version, and the start of its id.
    pub tag: String,
    /// What helm said.
    pub said: String,
}

#[derive(Serialize, Deserialize)]
struct Record {
    family: Family,
    nodes: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: None,
            nodes: 2,
            family: Family::V4,
            images: Vec::new(),
            progress: |_| {},
        }
    }
}

impl Cluster {
    /// Makes a cluster and waits until its nodes are ready and pods can be created: about 10 s.
    ///
    /// ```no_run
    /// # fn main() -> anyhow::Result<()> {
    /// use sluice_cluster::{AGNHOST, Cluster, Options};
    ///
    /// let cluster = Cluster::up(&Options::default())?;
    /// let image = format!("--image={AGNHOST}");
    /// cluster.control().kubectl(&["run", "a", &image, "--", "netexec"])?;
    /// cluster.control().kubectl(&["wait", "--for=condition=Ready", "pod/a", "--timeout=60s"])?;
    /// let links = cluster.node(1).run(&["ip", "-brief", "link"])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Names what failed, and where the logs of all components are kept. Nothing else is left.
    pub fn up(options: &Options) -> Result<Self> {
        let most = MOST_NODES;
        ensure!(
            (1..=most).contains(&options.nodes),
            "{} nodes: 1 to {most} there can be",
            options.nodes
        );
        let name = options.name.clone().unwrap_or_else(crate::new_name);
        let home = Home::create(&crate::root()?, &name)?;
        let control = ControlPlane::create(
            home,
            ControlOptions {
                family: options.family,
                controllers: true,
                api_server: &[],
            },
        )?;
        let filled = fill(&control, options);
        let saved = filled.is_err().then(|| control.home().save_logs());
        let nodes = filled.with_context(|| match saved {
            Some(Ok(logs)) => format!("cluster `{name}` did not come up; logs: {}", logs.display()),
            _ => format!("cluster `{name}` did not come up"),
        })?;
        Ok(Self { nodes, control })
    }

    /// The kept cluster of this name; none where there is none, or where its processes are gone.
    pub fn open(name: &str) -> Result<Option<Self>> {
        let Some(home) = Home::open(&crate::root()?, name)? else {
            return Ok(None);
        };
        let path = home.path().join(RECORD);
        let record = fs::read(&path).with_context(|| path.display().to_string())?;
        let record: Record =
            serde_json::from_slice(&record).with_context(|| path.display().to_string())?;
        let options = ControlOptions {
            family: record.family,
            controllers: true,
            api_server: &[],
        };
        let control = ControlPlane::open(home, options)?;
        let nodes = (1..=record.nodes)
            .map(|number| Node::open(&control, number))
            .collect::<Result<_>>()?;
        let cluster = Self { nodes, control };
        Ok(cluster.is_alive().then_some(cluster))
    }

    /// The cluster that all tests of a test binary share, made with `options` when it is first asked for: one is enough
    /// for a machine. It ends with the process, and its directory goes with whatever cluster is made next.
    ///
    /// # Errors
    /// The same for each that asks, where it did not come up.
    pub fn shared(options: impl FnOnce() -> Options) -> Result<&'static Self> {
        static SHARED: OnceLock<std::result::Result<Cluster, String>> = OnceLock::new();
        let made =
            SHARED.get_or_init(|| Self::up(&options()).map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// Lets the cluster outlive this process, until [`down`] is asked for.
    pub fn keep(&mut self) -> Result<()> {
        let record = Record {
            family: self.control.family(),
            nodes: u8::try_from(self.nodes.len()).context("nodes")?,
        };
        let path = self.control.directory().join(RECORD);
        fs::write(&path, serde_json::to_vec(&record)?)
            .with_context(|| path.display().to_string())?;
        for node in &mut self.nodes {
            node.keep()?;
        }
        self.control.keep()
    }

    /// The control plane: kubectl, helm, users, stopping and starting.
    pub fn control(&self) -> &ControlPlane {
        &self.control
    }

    /// What the cluster is called.
    pub fn name(&self) -> &str {
        self.control.home().name()
    }

    /// Its nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node `node-NUMBER`; they count from 1.
    ///
    /// # Panics
    /// Where there is no such node.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// Gives every node the images of an archive.
    pub fn import_image(&self, archive: &Path) -> Result<()> {
        each(&self.nodes, |node| node.import_image(archive)).map(drop)
    }

    /// Installs the chart with the agent of an archive on every node, or brings what is installed up to date, and waits
    /// until its pods are ready. The image gets a tag of its own, so that pods are replaced if it is another one.
    ///
    /// # Errors
    /// What helm says where it fails.
    pub fn install(
        &self,
        archive: &Path,
        chart: &Path,
        namespace: &str,
        values: &[String],
    ) -> Result<Installed> {
        let tagged = self.control.directory().join("sluice.tar");
        let tag = image::retag(archive, &tagged)?;
        self.import_image(&tagged)?;
        let mut helm = self.control.helm_command()?;
        helm.args(["upgrade", "--install", "sluice"])
            .arg(chart)
            .args(["--namespace", namespace, "--create-namespace"])
            .args(["--set", "image.repository=sluice"])
            .args(["--set-string", &format!("image.tag={tag}")])
            .args(["--wait", "--timeout", "120s"]);
        for value in values {
            helm.args(["--set", value]);
        }
        let said = kubectl::text(&mut helm, None)
            .with_context(|| format!("what there is:\n{}", self.pods(namespace)))?;
        // Helm is content with all pods but those that an update may take away.
        let rollout = ["rollout", "status", "daemonset", "--timeout=120s"];
        let ours = [
            "--selector=app.kubernetes.io/instance=sluice",
            "--namespace",
            namespace,
        ];
        self.control
            .kubectl(&[&rollout[..], &ours].concat())
            .with_context(|| format!("what there is:\n{}", self.pods(namespace)))?;
        Ok(Installed { tag, said })
    }

    /// The pods of a namespace and what happened to them, for whoever looks for a reason.
    fn pods(&self, namespace: &str) -> String {
        let namespaced = |line: &[&str]| {
            let line = [line, &["--namespace", namespace]].concat();
            self.control.kubectl(&line).unwrap_or_default()
        };
        let pods = namespaced(&["get", "pods", "--output=wide"]);
        let events = namespaced(&[
            "get",
            "events",
            "--sort-by=.lastTimestamp",
            "--output=custom-columns=:.involvedObject.name,:.reason,:.message",
        ]);
        let logs = namespaced(&[
            "logs",
            "--selector=app.kubernetes.io/name=sluice",
            "--tail=5",
        ]);
        format!("{pods}{events}{logs}")
    }

    /// Whether all of its sandboxes are there.
    fn is_alive(&self) -> bool {
        self.control.sandbox().is_alive() && self.nodes.iter().all(|it| it.sandbox().is_alive())
    }
}

/// Takes a kept cluster away; whether there was one.
///
/// # Errors
/// Where a process that runs owns it, or something does not end.
pub fn down(name: &str) -> Result<bool> {
    home::down(&crate::root()?, name)
}

/// Takes away what owners left that died: the names of their clusters. Every new cluster does that too.
pub fn sweep() -> Result<Vec<String>> {
    home::sweep_beside_others(&crate::root()?)
}

/// The clusters of this checkout, kept or in use.
pub fn names() -> Result<Vec<String>> {
    Ok(home::names(&crate::root()?))
}

/// Starts everything in the control plane, and the nodes. What does not depend on one another goes on at once.
fn fill(control: &ControlPlane, options: &Options) -> Result<Vec<Node>> {
    let progress = options.progress;
    let mut images = images()?;
    images.extend(options.images.iter().cloned());
    let numbers: Vec<_> = (1..=options.nodes).collect();
    let create = |number: &u8| Node::create(control, *number, options.nodes, &images);
    let nodes = thread::scope(|scope| {
        let nodes = scope.spawn(|| each(&numbers, create));
        let ready = control.start_all();
        if ready.is_ok() {
            progress("etcd and API server ready");
        }
        let nodes = nodes
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ready.and(nodes)
    })?;
    progress("containerd and images on every node");
    let objects: Vec<_> = nodes.iter().map(Node::object).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    control.apply(&list.to_string())?;
    for node in &nodes {
        node.start(control)?;
    }
    control.wait_nodes(&nodes)?;
    progress("nodes ready");
    control.wait_ready()?;
    progress("service accounts there");
    Ok(nodes)
}

/// Does the same to all at once.
fn each<T: Sync, R: Send>(all: &[T], what: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    thread::scope(|scope| {
        let what = &what;
        let running: Vec<_> = all
            .iter()
            .map(|one| scope.spawn(move || what(one)))
            .collect();
        running
            .into_iter()
            .map(|one| {
                one.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

/// The archives of the images that every node has; written where they are older than what they are made of.
fn images() -> Result<Vec<PathBuf>> {
    let place = programs::target()?.join("kubernetes/images");
    let agnhost = programs::built("agnhost")?;
    let made_of = |tag: &str, entrypoint: &[&str], more: Vec<Entry>| Image {
        tags: vec![tag.to_owned()],
        architecture: if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        }
        .to_owned(),
        entrypoint: entrypoint.iter().map(|word| (*word).to_owned()).collect(),
        arguments: Vec::new(),
        labels: Vec::new(),
        entries: [shell(), more].concat(),
    };
    let program = Entry::Program("agnhost".to_owned(), agnhost.clone());
    // A pod's first container is ended by SIGKILL, so it may as well be a shell's sleep.
    let pause = made_of(PAUSE, &["/bin/busybox", "sleep", "2147483647"], Vec::new());
    let agnhost_image = made_of(AGNHOST, &["/agnhost"], vec![program]);
    let mut archives = Vec::new();
    for (image, name, source) in [
        (pause, "pause.tar", Path::new(BUSYBOX)),
        (agnhost_image, "agnhost.tar", agnhost.as_path()),
    ] {
        let archive = place.join(name);
        if !is_newer(&archive, source)? {
            image.write(&archive)?;
        }
        archives.push(archive);
    }
    Ok(archives)
}

/// A shell and its tools.
fn shell() -> Vec<Entry> {
    let mut entries = vec![
        Entry::Directory("bin".to_owned()),
        Entry::Program("bin/busybox".to_owned(), BUSYBOX.into()),
        Entry::Directory("tmp".to_owned()),
    ];
    for name in [
        "sh", "sleep", "cat", "ip", "nc", "wget", "ping", "seq", "date",
    ] {
        entries.push(Entry::Link(format!("bin/{name}"), "busybox".to_owned()));
    }
    entries
}

fn is_newer(path: &Path, source: &Path) -> Result<bool> {
    let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let source = time(source).with_context(|| source.display().to_string())?;
    Ok(time(path).is_ok_and(|time| time > source))
}
