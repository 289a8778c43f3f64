//! `status`: what there is, whether it runs, and how to reach it.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use sluice_cluster::Cluster;

use super::{Output, Which};

/// What `status` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Says what there is. Exit code 1 where there is no such cluster, or a part of it has ended.
pub(super) fn run(args: &Args) -> Result<ExitCode> {
    print(&super::open(&args.which)?, args.output)
}

/// Says what a cluster consists of.
pub(super) fn print(cluster: &Cluster, output: Output) -> Result<ExitCode> {
    let state = state(cluster)?;
    match output {
        Output::Json => println!("{state:#}"),
        Output::Text => print!("{}", text(&state)),
    }
    let ended = parts(&state).any(|part| part["runs"] != true);
    Ok(ExitCode::from(u8::from(ended)))
}

fn state(cluster: &Cluster) -> Result<Value> {
    let control = cluster.control();
    let nodes = cluster.nodes().iter().map(|node| {
        json!({
            "name": node.name(), "pid": node.pid(), "addresses": node.addresses(),
            "components": components(node.components()),
        })
    });
    Ok(json!({
        "name": cluster.name(),
        "server": control.url(),
        "kubeconfig": control.kubeconfig(),
        "kubectl": control.kubectl_script()?,
        "control": {
            "pid": control.pid(), "addresses": control.family().control(),
            "components": components(control.components()),
        },
        "nodes": nodes.collect::<Vec<_>>(),
    }))
}

fn components(all: Vec<(String, bool)>) -> Value {
    all.into_iter()
        .map(|(name, runs)| json!({"name": name, "runs": runs}))
        .collect()
}

/// The components of all machines.
fn parts(state: &Value) -> impl Iterator<Item = &Value> {
    let nodes = state["nodes"].as_array().into_iter().flatten();
    std::iter::once(&state["control"])
        .chain(nodes)
        .flat_map(|machine| machine["components"].as_array().into_iter().flatten())
}

fn text(state: &Value) -> String {
    let nodes = state["nodes"].as_array().into_iter().flatten();
    let control = (&Value::from("control"), &state["control"]);
    let machines = std::iter::once(control).chain(nodes.map(|node| (&node["name"], node)));
    let mut lines = Vec::new();
    for (name, machine) in machines {
        let addresses = machine["addresses"].as_array().into_iter().flatten();
        let addresses: Vec<_> = addresses.filter_map(Value::as_str).collect();
        let all = machine["components"].as_array().into_iter().flatten();
        let parts: Vec<_> = all.map(part).collect();
        let name = name.as_str().unwrap_or_default();
        lines.push(format!(
            "{name:<8} {:<24} {}",
            addresses.join(" "),
            parts.join(" ")
        ));
    }
    let word = |key: &str| state[key].as_str().unwrap_or_default();
    let named = match word("name") {
        super::NAME => String::new(),
        name => format!(" --name {name}"),
    };
    lines.push(format!("kubeconfig  {}", word("kubeconfig")));
    lines.push(format!("kubectl     {} get pods -A", word("kubectl")));
    lines.push(format!(
        "or          cargo xtask cluster kubectl{named} get pods -A"
    ));
    lines.push(format!(
        "a shell     cargo xtask cluster enter{named} node-1"
    ));
    lines.join("\n") + "\n"
}

fn part(part: &Value) -> String {
    let name = part["name"].as_str().unwrap_or_default();
    if part["runs"] == true {
        name.to_owned()
    } else {
        format!("{name} (ENDED)")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn a_part_that_has_ended_is_seen_at_a_glance() {
        let state = json!({
            "name": "other", "kubectl": "/k", "kubeconfig": "/c",
            "control": {"addresses": ["10.99.0.100"], "components": [{"name": "etcd", "runs": true}]},
            "nodes": [{"name": "node-1", "addresses": ["10.99.0.1"], "components": [{"name": "kubelet", "runs": false}]}],
        });
        let text = text(&state);
        assert!(
            text.contains("10.99.0.1                kubelet (ENDED)"),
            "{text}"
        );
        assert!(text.contains("--name other get pods"), "{text}");
    }
}
