//! What the tools show of tiers.

use std::net::IpAddr;

use sluice_policy::{Index, Scope};

use super::explain_snapshot;
use super::tests::{asked, json, model, tables};

/// A policy of each kind, with a NetworkPolicy between them that a Pass leads to.
const TIERS: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: y}}
---
{apiVersion: v1, kind: Pod, metadata: {name: d, namespace: z}}
---
{apiVersion: policy.networking.k8s.io/v1alpha1, kind: AdminNetworkPolicy, metadata: {name: isolate}, spec: {priority: 10, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: x}}}, ingress: [
  {action: Pass, from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: y}}}], ports: [{portNumber: {port: 80}}]},
  {action: Allow, from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: x}}}]},
  {action: Deny, from: [{namespaces: {}}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny-all, namespace: x}, spec: {podSelector: {}, ingress: []}}
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: lock}, spec: {tier: Baseline, priority: 0, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: z}}}, ingress: [
  {action: Deny, from: [{namespaces: {}}], protocols: [{tcp: {destinationPort: {range: {start: 80, end: 81}}}}]}]}}
---
{apiVersion: policy.networking.k8s.io/v1alpha1, kind: BaselineAdminNetworkPolicy, metadata: {name: default}, spec: {subject: {namespaces: {}}, egress: [
  {action: Deny, to: [{networks: [10.244.0.3/32, 'fd00:10:244::3/128']}], ports: [{portRange: {start: 80, end: 81, protocol: TCP}}]}]}}
";

#[test]
fn tables_say_which_tier_denies() {
    let model = model(TIERS);
    assert_eq!(
        tables(&model, &asked(&model, &["80", "81"])),
        "\
rows are sources, columns destinations; . allowed, X denied

80/TCP x/a x/b y/c z/d
x/a      .   .   X   X
x/b      .   .   X   X
y/c      X   X   .   X
z/d      X   X   X   .
X Baseline BaselineAdminNetworkPolicy/default rule 0 egress: * but y/c > y/c
X Admin AdminNetworkPolicy/isolate rule 2 ingress: z/d > x/*
X x/deny-all ingress: y/c > x/*
X Baseline ClusterNetworkPolicy/lock rule 0 ingress: * > z/d

81/TCP x/a x/b y/c z/d
x/a      .   .   X   X
x/b      .   .   X   X
y/c      X   X   .   X
z/d      X   X   X   .
X Baseline BaselineAdminNetworkPolicy/default rule 0 egress: * but y/c > y/c
X Admin AdminNetworkPolicy/isolate rule 2 ingress: * but x/b > x/a
X Admin AdminNetworkPolicy/isolate rule 2 ingress: * but x/a > x/b
X Baseline ClusterNetworkPolicy/lock rule 0 ingress: * > z/d
"
    );
}

#[test]
fn cells_name_tier_policy_and_rule() {
    let model = model(TIERS);
    let text = json(&model, &asked(&model, &["81"]));
    let matrix: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cells = matrix["cells"].as_array().unwrap();
    for (from, to, direction, allowed, tier, policy, rule) in [
        (
            "x/b",
            "x/a",
            "ingress",
            true,
            "Admin",
            "AdminNetworkPolicy/isolate",
            1,
        ),
        (
            "y/c",
            "x/a",
            "ingress",
            false,
            "Admin",
            "AdminNetworkPolicy/isolate",
            2,
        ),
        (
            "x/a",
            "z/d",
            "ingress",
            false,
            "Baseline",
            "ClusterNetworkPolicy/lock",
            0,
        ),
        (
            "x/a",
            "y/c",
            "egress",
            false,
            "Baseline",
            "BaselineAdminNetworkPolicy/default",
            0,
        ),
    ] {
        let cell = cells
            .iter()
            .find(|cell| cell["from"] == from && cell["to"] == to)
            .expect("a cell");
        assert_eq!(
            cell[direction],
            serde_json::json!({"allowed": allowed, "tier": tier, "policy": policy, "rule": rule}),
            "{from} {to}"
        );
    }
}

#[test]
fn ports_default_to_those_that_admin_policies_name_too() {
    let model = model(TIERS);
    let shown: Vec<String> = asked(&model, &[])
        .services
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(shown, ["80/TCP", "81/TCP"]);
}

#[test]
fn explanations_go_through_the_tiers() {
    let model = model(TIERS);
    let explain = |from, to, port| {
        let itself = |_ends| Ok(&*model.snapshot);
        let explained = explain_snapshot(&model.snapshot, itself, from, to, port, "TCP").unwrap();
        let explanation: super::Explanation = serde_json::from_value(explained).unwrap();
        explanation.to_string()
    };
    assert_eq!(
        explain("y/c", "x/a", 80),
        "\
y/c (10.244.0.3) > x/a (10.244.0.1) 80/TCP: denied

egress of y/c: allowed
  Exempt         -        neither the pod itself nor its own node
  Admin          -        no policy selects y/c
  NetworkPolicy  -        no policy selects y/c
  Baseline       -        no rule matches
  Default        allowed  no policy has a say
ingress of x/a: denied
  Exempt         -        neither the pod itself nor its own node
  Admin          -        AdminNetworkPolicy/isolate: rule 0 passes
  NetworkPolicy  denied   x/deny-all: isolated, and no rule matches"
    );
    let denied = "\
ingress of z/d: denied
  Exempt         -        neither the pod itself nor its own node
  Admin          -        no policy selects z/d
  NetworkPolicy  -        no policy selects z/d
  Baseline       denied   ClusterNetworkPolicy/lock: rule 0 denies";
    assert!(explain("x/a", "z/d", 81).ends_with(denied));
}

#[test]
fn an_agent_explains_pods_of_every_node_alike() {
    let model = model(TIERS);
    let mut names: Vec<String> = model
        .snapshot
        .pods()
        .map(|it| it.name.to_string())
        .collect();
    names.sort();
    names.dedup();
    let pairs = || {
        names
            .iter()
            .flat_map(|from| names.iter().map(move |to| (from, to)))
    };
    for node in ["node-1", "elsewhere"] {
        let mut index = Index::new(Scope::Node(node.into()));
        let _changes = index.apply(model.world.events());
        for ((from, to), port) in pairs().flat_map(|pair| [80, 81, 443].map(|port| (pair, port))) {
            let itself = |_ends| Ok(&*model.snapshot);
            let whole = explain_snapshot(&model.snapshot, itself, from, to, port, "TCP");
            let about = |ends: [IpAddr; 2]| Ok(Box::new(index.snapshot_about(&ends)));
            let agents = explain_snapshot(&index.snapshot(), about, from, to, port, "TCP");
            assert_eq!(agents, whole, "{from} > {to} {port} on {node}");
        }
    }
}
