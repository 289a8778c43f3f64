//! The seccomp profile of the chart: where a kubelet looks for it, and whether an agent runs under it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::world::World;

const PROFILE: &str = include_str!("../../../../helm/seccomp/sluice.json");
/// Where kubelets look for profiles.
const KUBELETS: &str = "/var/lib/kubelet/seccomp";
/// Where containerd has the bundles of the containers that run: what it told runc.
const BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";

/// Puts the profile where every kubelet looks for it.
pub(crate) fn give_profile(world: &World) -> Result<()> {
    for node in world.cluster.nodes() {
        let directory = node.path(KUBELETS);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let path = directory.join("sluice.json");
        fs::write(&path, PROFILE).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Fails unless every node's agent runs under the calls of the profile and no others.
pub(crate) fn is_the_profiles(world: &World) -> Result<()> {
    let profile: Value = serde_json::from_str(PROFILE)?;
    let wanted = calls(&profile["syscalls"]);
    for node in 1..=world.cluster.nodes().len() {
        let told = container(world, node)?;
        let seccomp = &told["linux"]["seccomp"];
        assert_eq!(
            seccomp["defaultAction"], profile["defaultAction"],
            "node-{node}"
        );
        assert_eq!(calls(&seccomp["syscalls"]), wanted, "node-{node}");
        println!("node-{node}: the agent runs under {} calls", wanted.len());
    }
    Ok(())
}

fn calls(rules: &Value) -> BTreeSet<&str> {
    let rules = rules.as_array().into_iter().flatten();
    let names = rules.flat_map(|rule| rule["names"].as_array().into_iter().flatten());
    names.filter_map(Value::as_str).collect()
}

/// What runc was told of the container of a node's agent.
fn container(world: &World, node: usize) -> Result<Value> {
    let bundles = world.cluster.node(node).path(BUNDLES);
    let entries = fs::read_dir(&bundles).with_context(|| bundles.display().to_string())?;
    let configs: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path().join("config.json")))
        .collect::<Result<_>>()?;
    let read = |path: &PathBuf| -> Option<Value> {
        // One that has just ended is not the one.
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    };
    let is_agent =
        |it: &Value| it["process"]["args"][0] == "/sluice" && it["process"]["args"][1] == "agent";
    let mut agents: Vec<_> = configs.iter().filter_map(read).filter(is_agent).collect();
    ensure!(agents.len() == 1, "node-{node}: {} agents", agents.len());
    agents.pop().context("an agent")
}
