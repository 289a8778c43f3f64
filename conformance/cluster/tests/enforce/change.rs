//! Policies, labels, pods and namespaces that change, on a cluster that runs.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sluice_lab::stream::Hammer;
use sluice_policy::Protocol;

use crate::install::DENY_ALL;
use crate::shared::case;
use crate::traffic::last_wrong;
use crate::truth::quick_cells;
use crate::world::{self, World, soon};

/// A default deny, and two that allow.
const THREE: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: x}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: b-to-a, namespace: x}
spec:
  podSelector: {matchLabels: {pod: a}}
  ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80, protocol: UDP}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: y-to-a, namespace: x}
spec:
  podSelector: {matchLabels: {pod: a}}
  ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}], ports: [{port: 81, protocol: UDP}]}]
";
/// From, to, port, and whether the three of them deny it.
const WATCHED: [(&str, &str, u16, bool); 5] = [
    ("x/b", "x/a", 80, false),
    ("y/b", "x/a", 81, false),
    ("y/b", "x/a", 80, true),
    ("x/c", "x/a", 80, true),
    ("z/a", "x/b", 80, true),
];
/// How often the three are applied and deleted.
const ROUNDS: usize = 5;
/// What comes out right for so long has come to rest.
const CALM: Duration = Duration::from_millis(400);
/// How long a change may take in the middle of all rounds, on a machine that does other things besides: it is some
/// milliseconds where that does nothing else.
const SOON: Duration = Duration::from_secs(1);

#[test]
fn a_default_deny_and_two_allows_are_in_force_as_apply_returns() -> Result<()> {
    case(|world| {
        let (mut applied, mut deleted) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let hammers = hammers(world)?;
            world.apply(THREE)?;
            applied.push(late(&hammers, true)?);
            world.kubectl(&["delete", "networkpolicies", "--all", "--namespace=x"])?;
            deleted.push(late(&hammers, false)?);
        }
        for (what, late) in [("applied", &mut applied), ("deleted", &mut deleted)] {
            late.sort();
            let (median, most) = (late[ROUNDS / 2], late[ROUNDS - 1]);
            println!(
                "{what}: the last packet that came out otherwise was sent {median:?} (median), {most:?} (most) after kubectl returned, of {ROUNDS}"
            );
            ensure!(median <= SOON, "{what}: {late:?}");
        }
        Ok(())
    })
}

fn hammers(world: &World) -> Result<Vec<Hammer>> {
    let open = |(from, to, port, _): &(&str, &str, u16, bool)| {
        world.hammer(from, to, Protocol::Udp, *port)
    };
    WATCHED.iter().map(open).collect()
}

/// How long after now a packet was sent that came out otherwise, once all is calm.
fn late(hammers: &[Hammer], in_force: bool) -> Result<Duration> {
    let returned = Instant::now();
    soon("traffic as policies want it", || {
        let wrong = hammers
            .iter()
            .zip(&WATCHED)
            .filter_map(|(hammer, (.., denied))| last_wrong(hammer, in_force && *denied));
        let last = wrong.max().unwrap_or(returned).max(returned);
        Ok((last.elapsed() > CALM).then(|| last.duration_since(returned)))
    })
}

#[test]
fn kubelets_probe_pods_that_nobody_else_may_reach() -> Result<()> {
    case(|world| {
        let mut pod = world::pod("x", "probed", 1);
        pod["spec"]["containers"][0]["livenessProbe"] = serde_json::json!({
            "tcpSocket": {"port": 80}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 3,
        });
        world.apply(&pod.to_string())?;
        world.look()?;
        let cells: Vec<_> = quick_cells()
            .into_iter()
            .filter(|cell| cell.to == "x/a")
            .collect();
        world.enforces(DENY_ALL, &cells)?;
        let before = probes(world)?;
        let seen = soon("ten more probes of the kubelet", || {
            Ok(Some(probes(world)?.saturating_sub(before)).filter(|seen| *seen >= 10))
        })?;
        let status = world.kubectl(&["get", "pod", "probed", "--namespace=x", "--output=json"])?;
        let status: Value = serde_json::from_str(&status)?;
        let container = &status["status"]["containerStatuses"][0];
        assert_eq!(container["ready"], true);
        assert_eq!(container["restartCount"], 0);
        println!("{seen} probes of the kubelet answered under deny-all, no restart");
        world
            .kubectl(&["delete", "pod", "probed", "--namespace=x"])
            .map(drop)
    })
}

/// How many connections to the pod were answered that conntrack remembers, for two minutes; each probe is one.
fn probes(world: &World) -> Result<usize> {
    let to = world.pod("x/probed")?.address.to_string();
    let log = world
        .cluster
        .node(1)
        .run(&["conntrack", "-L", "-p", "tcp", "--orig-dst", &to])?;
    Ok(log
        .lines()
        .filter(|line| line.contains("[ASSURED]"))
        .count())
}

#[test]
fn what_changes_is_followed_by_every_node() -> Result<()> {
    case(|world| {
        let cells = quick_cells();
        for (what, change) in CHANGES {
            change(world).context(*what)?;
            let seen = world.agrees(what, &cells)?;
            println!("{what}: {} allowed, {} denied", seen.allowed, seen.denied);
        }
        Ok(())
    })
}

type Change = fn(&mut World) -> Result<()>;

/// In this order: each goes on from what is there.
const CHANGES: &[(&str, Change)] = &[
    ("a policy comes", |world| {
        world.apply(&policy("[{from: [{podSelector: {}}]}]"))
    }),
    ("it is narrowed", |world| {
        world.apply(&policy(
            "[{from: [{podSelector: {matchLabels: {pod: b}}}]}]",
        ))
    }),
    ("it is widened", |world| {
        world.apply(&policy("[{from: [{namespaceSelector: {matchLabels: {changed: 'yes'}}}, {podSelector: {matchLabels: {changed: 'yes'}}}]}]"))
    }),
    ("a pod gets the label", |world| {
        world
            .kubectl(&["label", "pod", "c", "changed=yes", "--namespace=x"])
            .map(drop)
    }),
    ("a namespace gets the label", |world| {
        world
            .kubectl(&["label", "namespace", "z", "changed=yes"])
            .map(drop)
    }),
    ("the pod loses it", |world| {
        world
            .kubectl(&["label", "pod", "c", "changed-", "--namespace=x"])
            .map(drop)
    }),
    ("the namespace loses it", |world| {
        world
            .kubectl(&["label", "namespace", "z", "changed-"])
            .map(drop)
    }),
    ("a pod is replaced by another with its address", replace),
    ("the policy goes", |world| {
        world
            .kubectl(&["delete", "networkpolicies", "--all", "--namespace=x"])
            .map(drop)
    }),
];

fn policy(ingress: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: changes, namespace: x}}\n\
         spec:\n  podSelector: {{matchLabels: {{pod: a}}}}\n  ingress: {ingress}\n"
    )
}

/// What x/b may, the pod that gets its address may not: it is y/c, which is made anew on the same node.
fn replace(world: &mut World) -> Result<()> {
    world.apply(&policy(
        "[{from: [{podSelector: {matchLabels: {pod: b}}}]}]",
    ))?;
    let pod = world.pod("x/b")?;
    let (node, address) = (pod.node, pod.address);
    world.kubectl(&["delete", "pod", "b", "--namespace=x"])?;
    world.kubectl(&["delete", "pod", "c", "--namespace=y"])?;
    hand_out_next(world, node, address)?;
    world.apply(&world::pod("y", "c", node).to_string())?;
    world.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "pod/c",
        "--namespace=y",
        "--timeout=90s",
    ])?;
    world.apply(&world::pod("x", "b", node).to_string())?;
    world.look()?;
    let got = world.pod("y/c")?.address;
    ensure!(got == address, "y/c has {got} and not {address}");
    Ok(())
}

/// By then a sandbox that is taken away has given its address back.
const GIVEN_BACK: Duration = Duration::from_mins(1);

/// The network plugin hands out addresses one after another: the next one is to be this.
fn hand_out_next(world: &World, node: usize, address: IpAddr) -> Result<()> {
    let IpAddr::V4(address) = address else {
        bail!("{address} is not of IPv4");
    };
    // A pod's object may go before its sandbox has given the address back.
    let kept = format!("/var/lib/cni/networks/sluice/{address}");
    let kept = world.cluster.node(node).path(&kept);
    let start = Instant::now();
    while kept.exists() {
        ensure!(start.elapsed() < GIVEN_BACK, "{address} is not given back");
        // reason: from one look to the next; the processor is left to what is waited for
        std::thread::sleep(Duration::from_millis(1));
    }
    let before = std::net::Ipv4Addr::from(u32::from(address) - 1);
    let path = world
        .cluster
        .node(node)
        .path("/var/lib/cni/networks/sluice/last_reserved_ip.0");
    fs::write(&path, before.to_string()).with_context(|| path.display().to_string())
}

#[test]
fn a_namespace_that_is_deleted_takes_its_policies_along() -> Result<()> {
    case(|world| {
        let cells: Vec<_> = quick_cells()
            .into_iter()
            .filter(|cell| cell.from == "y/a" || cell.to == "y/a")
            .collect();
        world.enforces(DENY_ALL, &cells)?;
        world.kubectl(&["delete", "namespace", "x", "--timeout=90s"])?;
        for node in 1..=world.cluster.nodes().len() {
            world.status_is(node, "no policy", |status| {
                status["policies"]["NetworkPolicy"] == 0
            })?;
        }
        world.restore()?;
        let seen = world.agrees("x is back, without policies", &cells)?;
        assert_eq!(seen.denied, 0);
        Ok(())
    })
}
