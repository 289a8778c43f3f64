//! An API that goes away, comes back, forgets, or refuses.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sluice_cluster::Component;

use crate::agents::{AgentPod, NAME};
use crate::shared::case;
use crate::truth::quick_cells;
use crate::world::{World, soon};

/// Only b reaches a.
const FORMER: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: former, namespace: x}
spec:
  podSelector: {matchLabels: {pod: a}}
  ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]
";
/// Only z reaches b.
const LATTER: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: latter, namespace: x}
spec:
  podSelector: {matchLabels: {pod: b}}
  ingress: [{from: [{namespaceSelector: {matchLabels: {ns: z}}}]}]
";

#[test]
fn while_api_server_and_etcd_are_away_the_last_state_is_enforced_and_then_the_new_one() -> Result<()>
{
    case(|world| {
        let cells = quick_cells();
        let truth = world.enforces(FORMER, &cells)?.truth;
        let before = world.all_ready()?;
        let control = world.cluster.control();
        control.stop(Component::ApiServer)?;
        control.stop(Component::Etcd)?;
        for node in 1..=world.cluster.nodes().len() {
            let status = world.status_is(node, "no connection", |status| {
                status["source"]["connected"] == false
                    && status["source"]["disconnected_since"].is_f64()
            })?;
            assert_eq!(status["agent"]["ready"], true, "{status}");
        }
        println!("{}", world.sluice(1, &["status"])?);
        world.comes_out(&cells, &truth).context("without an API")?;
        control.start_component(Component::Etcd)?;
        control.start_component(Component::ApiServer)?;
        control.wait_ready()?;
        replace_policies(world)?;
        connected(world)?;
        let seen = world.agrees("one policy for another as the API comes back", &cells)?;
        println!(
            "{}",
            world.logged(1, &["the Kubernetes API does not answer"])?
        );
        println!(
            "{}",
            world.logged(1, &["the Kubernetes API answers again"])?
        );
        assert_eq!(
            world.all_ready()?,
            before,
            "the same pods, and none restarted"
        );
        ensure!(seen.denied > 0, "everything is allowed");
        Ok(())
    })
}

/// Waits until every agent reads all of the API again.
fn connected(world: &World) -> Result<()> {
    let start = Instant::now();
    for node in 1..=world.cluster.nodes().len() {
        world.status_is(node, "a connection", |status| {
            status["source"]["connected"] == true && status["source"]["troubles"] == json!([])
        })?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("agents read the API again {seconds:.1} s after they could");
    Ok(())
}

/// Kills the API server and starts another, which knows no watch of the former.
fn crash(world: &World) -> Result<()> {
    let control = world.cluster.control();
    control.kill(Component::ApiServer)?;
    // The last of its threads may have the port for a moment longer.
    soon("an end of the API server", || {
        let bound = control.inside(|| TcpListener::bind(("0.0.0.0", 6443)))?;
        Ok(bound.ok().map(drop))
    })?;
    control.start_component(Component::ApiServer)?;
    control.wait_ready()
}

fn replace_policies(world: &World) -> Result<()> {
    world.kubectl(&["delete", "networkpolicy", "former", "--namespace=x"])?;
    world.apply(LATTER)
}

#[test]
fn watches_that_are_cut_are_taken_up_again() -> Result<()> {
    case(|world| {
        let cells = quick_cells();
        world.enforces(FORMER, &cells)?;
        crash(world)?;
        replace_policies(world)?;
        let start = Instant::now();
        world.agrees("one policy for another after the watches were cut", &cells)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("in force on every node {seconds:.1} s after the watches were cut");
        connected(world)
    })
}

#[test]
fn what_is_deleted_while_nobody_watches_is_missed_by_the_next_list() -> Result<()> {
    case(|world| {
        let cells = quick_cells();
        let truth = world.enforces(FORMER, &cells)?.truth;
        for node in world.cluster.nodes() {
            node.run(&["nft", CUT])?;
        }
        replace_policies(world)?;
        compact(world)?;
        crash(world)?;
        for node in 1..=world.cluster.nodes().len() {
            world.status_is(node, "no connection", |status| {
                status["source"]["connected"] == false
            })?;
        }
        world
            .comes_out(&cells, &truth)
            .context("nodes that are cut off")?;
        for node in world.cluster.nodes() {
            node.run(&["nft", "delete table inet cut"])?;
        }
        connected(world)?;
        world
            .agrees("what was deleted and made meanwhile", &cells)
            .map(drop)
    })
}

/// A node that hears nothing of the API server, and is refused when it speaks.
const CUT: &str = "add table inet cut; \
    add chain inet cut in { type filter hook prerouting priority -300; }; \
    add rule inet cut in tcp sport 6443 drop; \
    add chain inet cut out { type filter hook output priority 0; }; \
    add rule inet cut out tcp dport 6443 reject with tcp reset";

/// Lets etcd forget all but what is: no watch can go on from where it was.
fn compact(world: &World) -> Result<()> {
    let ask = |path: &str, body: &Value| -> Result<Value> {
        world
            .cluster
            .control()
            .inside(|| post(path, &body.to_string()))?
    };
    let now = ask("/v3/kv/range", &json!({"key": "AA=="}))?;
    let revision = &now["header"]["revision"];
    ensure!(revision.is_string(), "etcd: {now}");
    ask(
        "/v3/kv/compaction",
        &json!({"revision": revision, "physical": true}),
    )
    .map(drop)
}

fn post(path: &str, body: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", 2379)).context("etcd")?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: etcd\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let start = answer.find('{').context("etcd: no answer")?;
    let end = answer.rfind('}').context("etcd: no answer")?;
    serde_json::from_str(&answer[start..=end]).with_context(|| format!("etcd: {answer}"))
}

#[test]
fn an_agent_that_may_not_read_policies_says_so_and_keeps_the_last_ones() -> Result<()> {
    case(|world| {
        let cells = quick_cells();
        let truth = world.enforces(FORMER, &cells)?.truth;
        let before = world.all_ready()?;
        let installed = world.installed.take();
        let rule = take_rule(world)?;
        // Who watches already is not asked again.
        crash(world)?;
        for node in 1..=world.cluster.nodes().len() {
            world.status_is(node, "what may not be read", |status| {
                status["source"]["troubles"]
                    .to_string()
                    .contains("networkpolicies.networking.k8s.io")
            })?;
            println!(
                "{}",
                world.logged(node, &["WARN", "networkpolicies.networking.k8s.io"])?
            );
        }
        replace_policies(world)?;
        world.comes_out(&cells, &truth).context("the last state")?;
        assert_eq!(
            world.all_ready()?,
            before,
            "the same pods, ready, and none restarted"
        );
        give_rule(world, &rule)?;
        connected(world)?;
        world.agrees("what has changed meanwhile, once it may be read", &cells)?;
        assert_eq!(world.all_ready()?, before);
        world.installed = installed;
        Ok(())
    })
}

/// Takes the right to read policies from the agents.
fn take_rule(world: &World) -> Result<Value> {
    let role: Value =
        serde_json::from_str(&world.kubectl(&["get", "clusterrole", NAME, "--output=json"])?)?;
    let rules = role["rules"].as_array().context("a role with rules")?;
    let of_policies = |rule: &Value| rule["resources"] == json!(["networkpolicies"]);
    let at = rules
        .iter()
        .position(of_policies)
        .context("a rule for policies")?;
    let patch = json!([{"op": "remove", "path": format!("/rules/{at}")}]).to_string();
    world.kubectl(&[
        "patch",
        "clusterrole",
        NAME,
        "--type=json",
        "--patch",
        &patch,
    ])?;
    Ok(rules[at].clone())
}

fn give_rule(world: &World, rule: &Value) -> Result<()> {
    let patch = json!([{"op": "add", "path": "/rules/-", "value": rule}]).to_string();
    world
        .kubectl(&[
            "patch",
            "clusterrole",
            NAME,
            "--type=json",
            "--patch",
            &patch,
        ])
        .map(drop)
}

#[test]
fn a_kubeconfig_that_is_not_there_leaves_an_agent_that_waits_and_says_why() -> Result<()> {
    case(|world| {
        let cells = quick_cells();
        let truth = world.enforces(FORMER, &cells)?.truth;
        world.install_blindly(&["agent.kubeconfig=/nowhere/config"])?;
        let waits = |agent: &AgentPod| {
            agent.arguments.contains("/nowhere/config") && agent.started && !agent.ready
        };
        let agent = soon("an agent that has started and is not ready", || {
            Ok(world.agents()?.into_iter().find(waits))
        })?;
        assert_eq!(agent.restarts, 0, "{agent:?}");
        println!("{}", world.logged(agent.node, &["/nowhere/config"])?);
        world
            .comes_out(&cells, &truth)
            .context("rules stay in force")?;
        world.install(&[])
    })
}
