//! The agents: installed by the chart, asked for their status, read in their logs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use sluice_cluster::programs;

use crate::world::{LIMIT, World, soon};

/// The release's namespace.
pub(crate) const NAMESPACE: &str = "sluice-system";
/// The agents' pods.
pub(crate) const SELECTOR: &str = "app.kubernetes.io/component=agent";
/// The name of the DaemonSet, and of the `ClusterRole`.
pub(crate) const NAME: &str = "sluice";
/// Kubelets look every second instead of every ten: what is awaited here comes about sooner.
const VALUES: [&str; 1] = ["probes.periodSeconds=1"];

/// A pod of the DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentPod {
    pub(crate) name: String,
    pub(crate) node: usize,
    /// Its startup probe was answered, and it has not ended since.
    pub(crate) started: bool,
    pub(crate) ready: bool,
    pub(crate) restarts: u64,
    /// Of the command line, as JSON.
    pub(crate) arguments: String,
}

/// The archive of the agent's image.
pub(crate) fn image() -> Result<PathBuf> {
    let name = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    };
    Ok(programs::target()?.join(format!("image/sluice-{name}.tar")))
}

/// Why there is no image; none where there is one.
pub(crate) fn why_no_image() -> Option<String> {
    match image() {
        Ok(path) if path.is_file() => None,
        Ok(path) => Some(format!(
            "{}: not built; run cargo xtask image",
            path.display()
        )),
        Err(error) => Some(error.to_string()),
    }
}

/// The chart's directory.
pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm/sluice")
}

impl World {
    /// Installs the chart with these values, or brings it to them, and waits until all agents are ready.
    pub(crate) fn install(&mut self, values: &[&str]) -> Result<()> {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        if self.installed.as_ref() == Some(&values) {
            return self.all_ready().map(drop);
        }
        self.installed = None;
        self.helm(&values, &["--wait", "--timeout=180s"])?;
        self.installed = Some(values);
        self.all_ready().map(drop)
    }

    /// The same without waiting, for values with which agents do not become ready.
    pub(crate) fn install_blindly(&mut self, values: &[&str]) -> Result<()> {
        let values: Vec<_> = values.iter().map(|value| (*value).to_owned()).collect();
        self.installed = None;
        self.helm(&values, &[])
    }

    fn helm(&self, values: &[String], more: &[&str]) -> Result<()> {
        let chart = chart().display().to_string();
        let mut line = vec![
            "upgrade",
            "--install",
            "sluice",
            &chart,
            "--namespace",
            NAMESPACE,
            "--create-namespace",
        ];
        line.extend(more);
        for value in VALUES.into_iter().chain(values.iter().map(String::as_str)) {
            line.extend(["--set", value]);
        }
        self.cluster.control().helm(&line).map(drop)
    }

    /// The agents' pods that are not about to end, in order of their nodes.
    pub(crate) fn agents(&self) -> Result<Vec<AgentPod>> {
        let text = self.kubectl(&[
            "get",
            "pods",
            "--namespace",
            NAMESPACE,
            "--selector",
            SELECTOR,
            "--output=json",
        ])?;
        let list: Value = serde_json::from_str(&text).context("the agents")?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let mut agents: Vec<_> = items
            .iter()
            .filter(|item| item["metadata"]["deletionTimestamp"].is_null())
            .filter_map(agent_pod)
            .collect();
        agents.sort_by_key(|agent| agent.node);
        Ok(agents)
    }

    /// Waits until every node has an agent that is ready.
    pub(crate) fn all_ready(&self) -> Result<Vec<AgentPod>> {
        soon("an agent that is ready on every node", || {
            let agents = self.agents()?;
            let is_there = agents.len() == self.cluster.nodes().len();
            Ok((is_there && agents.iter().all(|agent| agent.ready)).then_some(agents))
        })
    }

    /// The log of a node's agent, of the container that runs.
    pub(crate) fn log(&self, node: usize) -> Result<String> {
        let agents = self.agents()?;
        let agent = agents.iter().find(|agent| agent.node == node);
        let agent = agent.with_context(|| format!("no agent on node-{node}"))?;
        self.kubectl(&["logs", "--namespace", NAMESPACE, &agent.name])
    }

    /// Waits until a log says something: the first line that has all of `words`.
    pub(crate) fn logged(&self, node: usize, words: &[&str]) -> Result<String> {
        let what = format!("a line of the agent on node-{node} with {words:?}");
        soon(&what, || {
            // A container that is about to start has none.
            let Ok(log) = self.log(node) else {
                return Ok(None);
            };
            let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
            Ok(log.lines().find(has_all).map(str::to_owned))
        })
    }

    /// What `sluice ARGUMENTS` does on a node, as its administrator would run it.
    pub(crate) fn sluice(&self, node: usize, arguments: &[&str]) -> Result<String> {
        let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        let program = programs::target()?.join(triple).join("release/sluice");
        let program = program.display().to_string();
        let mut line = vec![program.as_str()];
        line.extend(arguments);
        self.cluster.node(node).run(&line)
    }

    /// The status of a node's agent.
    pub(crate) fn status(&self, node: usize) -> Result<Value> {
        let text = self.sluice(node, &["status", "--output=json"])?;
        serde_json::from_str(&text).context("the status")
    }

    /// Waits until a node's status is so.
    pub(crate) fn status_is(
        &self,
        node: usize,
        what: &str,
        so: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let what = format!("{what} in the status of node-{node}");
        soon(&what, || {
            Ok(self.status(node).ok().filter(|status| so(status)))
        })
    }

    /// The sum of a counter of all agents.
    pub(crate) fn counter(&self, name: &str) -> Result<u64> {
        let mut sum = 0;
        for node in 1..=self.cluster.nodes().len() {
            let status = self.status(node)?;
            sum += status["counters"][name]
                .as_u64()
                .with_context(|| name.to_owned())?;
        }
        Ok(sum)
    }

    /// Runs a program in a node's agent's container, as `kubectl exec` does.
    pub(crate) fn exec(&self, node: usize, arguments: &[&str]) -> Result<String> {
        let agents = self.agents()?;
        let agent = agents.iter().find(|agent| agent.node == node);
        let agent = agent.with_context(|| format!("no agent on node-{node}"))?;
        let mut line = vec![
            "exec",
            "--namespace",
            NAMESPACE,
            &agent.name,
            "--",
            "/sluice",
        ];
        line.extend(arguments);
        self.kubectl(&line)
    }

    /// Waits until the DaemonSet's latest pods are on all nodes, and ready.
    pub(crate) fn rolled_out(&self) -> Result<Vec<AgentPod>> {
        let limit = format!("--timeout={}s", LIMIT.as_secs());
        let daemonset = format!("daemonset/{NAME}");
        self.kubectl(&[
            "rollout",
            "status",
            &daemonset,
            "--namespace",
            NAMESPACE,
            &limit,
        ])?;
        self.all_ready()
    }
}

fn agent_pod(item: &Value) -> Option<AgentPod> {
    let node = item.pointer("/spec/nodeName")?.as_str()?;
    let container = item.pointer("/status/containerStatuses/0");
    let of = |key: &str| container.and_then(|container| container.get(key));
    Some(AgentPod {
        name: item.pointer("/metadata/name")?.as_str()?.to_owned(),
        node: node.strip_prefix("node-")?.parse().ok()?,
        started: of("started").and_then(Value::as_bool).unwrap_or_default(),
        ready: of("ready").and_then(Value::as_bool).unwrap_or_default(),
        restarts: of("restartCount")
            .and_then(Value::as_u64)
            .unwrap_or_default(),
        arguments: item.pointer("/spec/containers/0/args")?.to_string(),
    })
}
