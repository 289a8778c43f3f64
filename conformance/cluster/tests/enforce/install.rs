//! The chart comes, and goes without a trace.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::agents::{NAME, NAMESPACE, SELECTOR};
use crate::life::POLICY;
use crate::probe::Via;
use crate::shared::case;
use crate::truth::every_cell;
use crate::world::World;

/// Everybody is kept from everybody, and asks nobody.
pub(crate) const DENY_ALL: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: x}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";
/// The bits of marks that are Sluice's by default.
const MARK_BITS: u32 = 0x70;

#[test]
fn the_chart_puts_a_ready_agent_on_every_node_with_no_more_rights_than_it_needs() -> Result<()> {
    case(|world| {
        let agents = world.all_ready()?;
        ensure!(agents.iter().all(|agent| agent.restarts == 0), "{agents:?}");
        let text = world.kubectl(&[
            "get",
            "pods",
            "--namespace",
            NAMESPACE,
            "--selector",
            SELECTOR,
            "--output=jsonpath={.items[0].spec.containers[0].securityContext}",
        ])?;
        let rights: Value = serde_json::from_str(&text)?;
        assert_eq!(rights["privileged"], false);
        assert_eq!(rights["capabilities"]["drop"], serde_json::json!(["ALL"]));
        assert_eq!(
            rights["capabilities"]["add"],
            serde_json::json!(["NET_ADMIN", "BPF", "PERFMON"])
        );
        for agent in agents {
            let is_connected = |it: &Value| it["source"]["connected"] == true;
            let status = world.status_is(agent.node, "a connection", is_connected)?;
            assert_eq!(status["agent"]["ready"], true);
            assert_eq!(status["agent"]["mode"], "hybrid");
            assert_eq!(status["source"]["kind"], "kubernetes");
            assert_eq!(status["gate"]["installed"], true);
            assert_eq!(status["tc"]["attach"], "tcx");
            println!(
                "node-{}: {}",
                agent.node,
                world.sluice(agent.node, &["status"])?
            );
        }
        let said = world
            .cluster
            .control()
            .helm(&["test", "sluice", "--namespace", NAMESPACE])?;
        ensure!(said.contains("Succeeded"), "{said}");
        Ok(())
    })
}

#[test]
fn uninstalling_leaves_no_rule_no_pin_no_program_and_no_mark() -> Result<()> {
    case(|world| {
        world.install(&["cleanup.onUninstall=true"])?;
        let cells = every_cell(&[Via::Pod]);
        let seen = world.enforces(POLICY, &cells)?;
        ensure!(
            seen.denied > 0 && marked(world)? > 0,
            "nothing would be left in any case"
        );
        world.installed = None;
        world.cluster.control().helm(&[
            "uninstall",
            NAME,
            "--namespace",
            NAMESPACE,
            "--wait",
            "--timeout=300s",
        ])?;
        for node in 1..=world.cluster.nodes().len() {
            let left = left(world, node)?;
            ensure!(left.is_empty(), "node-{node}: {left:?}");
        }
        assert_eq!(marked(world)?, 0, "connections with Sluice's marks");
        world
            .comes_out(&cells, &vec![true; cells.len()])
            .context("pods talk freely")
            .map(drop)
    })
}

/// What there is of an agent in the kernel of a node.
fn left(world: &World, node: usize) -> Result<Vec<String>> {
    let node = world.cluster.node(node);
    let mut left = Vec::new();
    for line in node.run(&["nft", "list", "tables"])?.lines() {
        if line.contains("sluice") {
            left.push(line.to_owned());
        }
    }
    let pins = node.path("/sys/fs/bpf/sluice");
    if pins.exists() {
        left.push(pins.display().to_string());
    }
    let programs = node.run(&["bpftool", "--json", "net", "show"])?;
    let programs: Value = serde_json::from_str(&programs)?;
    let attached = programs[0]["tc"].as_array().cloned().unwrap_or_default();
    left.extend(attached.iter().map(ToString::to_string));
    Ok(left)
}

/// How many connections of all nodes have a mark of Sluice's.
fn marked(world: &World) -> Result<usize> {
    let mut sum = 0;
    for node in world.cluster.nodes() {
        let table = node.run(&["conntrack", "-L"])?;
        let marks = table
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("mark="));
        let marks = marks.filter_map(|mark| mark.parse::<u32>().ok());
        sum += marks.filter(|mark| mark & MARK_BITS != 0).count();
    }
    Ok(sum)
}
