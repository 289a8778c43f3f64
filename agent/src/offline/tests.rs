//! Whole answers, as people and scripts see them.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use super::matrix::{Asked, default_services, write_json};
use super::{Model, explain_snapshot, table};
use crate::cli::{Cli, Command};

/// Two namespaces, a pod that has ended, and a policy in each direction.
const SMALL: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}, spec: {containers: [{ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: y}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done, namespace: y}, status: {phase: Failed}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny-all, namespace: y}, spec: {podSelector: {}}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: out, namespace: y}, spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.244.0.0/16}}]}]}}
";

pub(super) fn model(text: &str) -> Model {
    let loaded = sluice_kubernetes::load_text("f.yaml", text);
    assert_eq!(loaded.problems, []);
    Model::of(loaded.world)
}

pub(super) fn asked<'w>(model: &'w Model, ports: &[&str]) -> Asked<'w> {
    let mut asked = Asked::of(&model.world, &[], &[]).expect("all pods");
    asked.services = match ports {
        [] => default_services(&model.world),
        some => some
            .iter()
            .map(|port| port.parse().expect("a port"))
            .collect(),
    };
    asked
}

pub(super) fn json(model: &Model, asked: &Asked<'_>) -> String {
    let mut out = Vec::new();
    write_json(model, asked, &mut out).expect("written to memory");
    String::from_utf8(out).expect("text")
}

pub(super) fn tables(model: &Model, asked: &Asked<'_>) -> String {
    let mut out = Vec::new();
    table::write(model, asked, &mut out).expect("written to memory");
    String::from_utf8(out).expect("text")
}

#[test]
fn the_json_is_as_scripts_expect_it() {
    let model = model(SMALL);
    let text = json(&model, &asked(&model, &[]));
    let expected = r#"{"pods": [
 {"name":"x/a","node":"node-1","ips":["10.244.0.1","fd00:10:244::1"]},
 {"name":"y/b","node":"node-1","ips":["10.244.0.2","fd00:10:244::2"]},
 {"name":"y/done","node":"node-1","ips":[]}],
"cells": [
 {"from":"x/a","to":"x/a","port":80,"protocol":"TCP","family":"IPv4","allowed":true,"egress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null},"ingress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null}},
 {"from":"x/a","to":"x/a","port":80,"protocol":"TCP","family":"IPv6","allowed":true,"egress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null},"ingress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null}},
 {"from":"x/a","to":"y/b","port":80,"protocol":"TCP","family":"IPv4","allowed":false,"egress":{"allowed":true,"tier":"Default","policy":null,"rule":null},"ingress":{"allowed":false,"tier":"NetworkPolicy","policy":"y/deny-all","rule":null}},
 {"from":"x/a","to":"y/b","port":80,"protocol":"TCP","family":"IPv6","allowed":false,"egress":{"allowed":true,"tier":"Default","policy":null,"rule":null},"ingress":{"allowed":false,"tier":"NetworkPolicy","policy":"y/deny-all","rule":null}},
 {"from":"y/b","to":"x/a","port":80,"protocol":"TCP","family":"IPv4","allowed":true,"egress":{"allowed":true,"tier":"NetworkPolicy","policy":"y/out","rule":0},"ingress":{"allowed":true,"tier":"Default","policy":null,"rule":null}},
 {"from":"y/b","to":"x/a","port":80,"protocol":"TCP","family":"IPv6","allowed":false,"egress":{"allowed":false,"tier":"NetworkPolicy","policy":"y/out","rule":null},"ingress":{"allowed":true,"tier":"Default","policy":null,"rule":null}},
 {"from":"y/b","to":"y/b","port":80,"protocol":"TCP","family":"IPv4","allowed":true,"egress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null},"ingress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null}},
 {"from":"y/b","to":"y/b","port":80,"protocol":"TCP","family":"IPv6","allowed":true,"egress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null},"ingress":{"allowed":true,"tier":"Exempt","policy":null,"rule":null}}]}
"#;
    assert_eq!(text, expected);
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}

#[test]
fn the_same_question_has_the_same_answer() {
    let answer = || {
        let model = model(SMALL);
        let asked = asked(&model, &[]);
        (json(&model, &asked), tables(&model, &asked))
    };
    assert_eq!(answer(), answer());
}

#[test]
fn families_that_differ_have_a_table_each() {
    let model = model(SMALL);
    assert_eq!(
        tables(&model, &asked(&model, &[])),
        "\
rows are sources, columns destinations; . allowed, X denied

80/TCP IPv4 x/a y/b
x/a           .   X
y/b           .   .
X y/deny-all ingress: * > y/b

80/TCP IPv6 x/a y/b
x/a           .   X
y/b           X   .
X y/out egress: y/b > *
X y/deny-all ingress: * > y/b

not shown, as they have no address: y/done
"
    );
}

/// Three namespaces of three pods.
fn nine_pods() -> String {
    let mut text = String::new();
    for namespace in ["x", "y", "z"] {
        for pod in ["a", "b", "c"] {
            text.extend([format!(
                "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {pod}, namespace: {namespace}, labels: {{pod: {pod}}}}}}}\n"
            )]);
        }
    }
    text
}

#[test]
fn pods_that_fare_alike_are_named_together() {
    let policy = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}, {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}, podSelector: {matchLabels: {pod: b}}}]}]}}\n";
    let other = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: q, namespace: z}, spec: {podSelector: {matchLabels: {pod: c}}, policyTypes: [Egress]}}\n";
    let model = model(&(nine_pods() + policy + other));
    assert_eq!(
        tables(&model, &asked(&model, &["80"])),
        "\
rows are sources, columns destinations; . allowed, X denied

80/TCP x/a x/b x/c y/a y/b y/c z/a z/b z/c
x/a      .   .   .   .   .   .   .   .   .
x/b      .   .   .   .   .   .   .   .   .
x/c      .   .   .   .   .   .   .   .   .
y/a      X   X   X   .   .   .   .   .   .
y/b      .   .   .   .   .   .   .   .   .
y/c      X   X   X   .   .   .   .   .   .
z/a      X   X   X   .   .   .   .   .   .
z/b      X   X   X   .   .   .   .   .   .
z/c      X   X   X   X   X   X   X   X   .
X z/q egress: z/c > *
X x/p ingress: y/a y/c z/* > x/*
"
    );
}

#[test]
fn nearly_all_pods_are_all_but_some() {
    let policy = "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x}, spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]}}\n";
    let model = model(&(nine_pods() + policy));
    let shown = tables(&model, &asked(&model, &["80"]));
    let denials: Vec<&str> = shown.lines().filter(|line| line.starts_with('X')).collect();
    assert_eq!(
        denials,
        [
            "X x/p ingress: * but x/b > x/a x/c",
            "X x/p ingress: * > x/b",
        ]
    );
}

#[test]
fn only_what_is_asked_for_is_shown() {
    let model = model(SMALL);
    let names = |name: &str| vec![super::ask::pod_name(name).expect("a name")];
    let mut asked = Asked::of(&model.world, &names("x/a"), &names("y/b")).expect("known pods");
    asked.services.insert("81/UDP".parse().expect("a port"));
    assert_eq!(
        tables(&model, &asked),
        "\
rows are sources, columns destinations; . allowed, X denied

81/UDP y/b
x/a      X
X y/deny-all ingress: x/a > y/b
"
    );
}

#[test]
fn wide_tables_have_numbered_columns() {
    let text = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a-deployment-with-a-long-name, namespace: x}, spec: {replicas: 11, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}";
    let model = model(text);
    let shown = tables(&model, &asked(&model, &["80"]));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines[2],
        "80/TCP                                 1  2  3  4  5  6  7  8  9 10 11"
    );
    assert_eq!(
        lines[3],
        " 1 x/a-deployment-with-a-long-name-0   .  .  .  .  .  .  .  .  .  .  ."
    );
    assert_eq!(
        lines[13],
        "11 x/a-deployment-with-a-long-name-10  .  .  .  .  .  .  .  .  .  .  ."
    );
}

#[test]
fn ports_default_to_those_declared_and_named() {
    let model = model(
        "
{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{ports: [{containerPort: 8080}, {containerPort: 53, protocol: UDP}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, spec: {podSelector: {}, ingress: [{ports: [{port: 80}, {port: http}, {}, {port: 1, endPort: 9, protocol: SCTP}]}]}}
",
    );
    let services: Vec<String> = default_services(&model.world)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        services,
        ["1/SCTP", "9/SCTP", "53/UDP", "80/TCP", "8080/TCP"]
    );
}

/// What a command line comes to on some manifests, run in this process.
fn run(manifests: &Path, command: &str) -> Result<ExitCode, String> {
    let manifests = ["--manifests", manifests.to_str().expect("text")];
    let line = ["sluice"]
        .into_iter()
        .chain(command.split_whitespace())
        .chain(manifests);
    let outcome = match Cli::try_parse_from(line)
        .map_err(|error| error.to_string())?
        .command
    {
        Command::Matrix(args) => super::matrix(&args),
        Command::Explain(args) => super::explain(&args),
        other => panic!("parsed as {other:?}"),
    };
    outcome.map_err(|failure| failure.to_string())
}

fn small() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), SMALL).expect("a written file");
    file
}

#[test]
fn exit_codes_tell_what_came_out() {
    let manifests = small();
    for (command, code) in [
        ("explain --from x/a --to y/b --port 80", 0),
        ("explain --from x/a --to y/b --port 80 --expect deny", 0),
        ("explain --from x/a --to y/b --port 80 --expect allow", 1),
        (
            "explain --from x/a --to y/b --port 80 --expect allow -o json",
            1,
        ),
        (
            "explain --from y/b --to x/a --port 80 --protocol udp --expect allow",
            0,
        ),
        ("matrix --from x/a --port 80/TCP -o json", 0),
    ] {
        assert_eq!(
            run(manifests.path(), command),
            Ok(ExitCode::from(code)),
            "{command}"
        );
    }
}

#[test]
fn questions_that_cannot_be_answered_say_why() {
    let manifests = small();
    for (command, message) in [
        ("matrix --from x/q", "no pod x/q in the manifests"),
        (
            "explain --from x/q --to y/b --port 80",
            "no pod x/q is known",
        ),
        (
            "explain --from y/done --to y/b --port 80",
            "pod y/done has no address",
        ),
        (
            "explain --from 192.0.2.1 --to fd00:10:244::1 --port 80",
            "192.0.2.1 and x/a have no addresses of one family",
        ),
    ] {
        assert_eq!(
            run(manifests.path(), command),
            Err(message.to_owned()),
            "{command}"
        );
    }
    for command in [
        "explain --from a --to y/b --port 80",
        "explain --from x/a --to y/b --port 0",
        "matrix --to a",
    ] {
        assert!(run(manifests.path(), command).is_err(), "{command}");
    }
}

#[test]
fn manifests_that_cannot_be_read_say_why() {
    let error = run(Path::new("/nonexistent"), "matrix");
    assert_eq!(
        error,
        Err("/nonexistent: No such file or directory (os error 2)".to_owned())
    );
    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), "kind: [\n---\n{apiVersion: v1, kind: Pod}\n").unwrap();
    assert_eq!(
        run(broken.path(), "matrix"),
        Err("2 problems in the manifests".to_owned())
    );
}

#[test]
fn explanations_name_every_tier_that_was_asked() {
    let model = model(SMALL);
    let itself = |_ends| Ok(&*model.snapshot);
    let explained =
        explain_snapshot(&model.snapshot, itself, "x/a", "10.244.0.2", 80, "tcp").unwrap();
    let expected = serde_json::json!({
        "from": "x/a", "to": "y/b", "port": 80, "protocol": "TCP", "family": "IPv4", "allowed": false,
        "egress": {"allowed": true, "tier": "Default", "policy": null, "rule": null},
        "ingress": {"allowed": false, "tier": "NetworkPolicy", "policy": "y/deny-all", "rule": null},
        "addresses": ["10.244.0.1", "10.244.0.2"],
        "trace": [
            {"direction": "egress", "tier": "Exempt", "allowed": null, "policy": null, "rule": null,
             "reason": "neither the pod itself nor its own node"},
            {"direction": "egress", "tier": "Admin", "allowed": null, "policy": null, "rule": null,
             "reason": "no policy selects x/a"},
            {"direction": "egress", "tier": "NetworkPolicy", "allowed": null, "policy": null, "rule": null,
             "reason": "no policy selects x/a"},
            {"direction": "egress", "tier": "Baseline", "allowed": null, "policy": null, "rule": null,
             "reason": "no policy selects x/a"},
            {"direction": "egress", "tier": "Default", "allowed": true, "policy": null, "rule": null,
             "reason": "no policy has a say"},
            {"direction": "ingress", "tier": "Exempt", "allowed": null, "policy": null, "rule": null,
             "reason": "neither the pod itself nor its own node"},
            {"direction": "ingress", "tier": "Admin", "allowed": null, "policy": null, "rule": null,
             "reason": "no policy selects y/b"},
            {"direction": "ingress", "tier": "NetworkPolicy", "allowed": false, "policy": "y/deny-all", "rule": null,
             "reason": "isolated, and no rule matches"},
        ],
    });
    assert_eq!(explained, expected);
    let explanation: super::Explanation = serde_json::from_value(explained).unwrap();
    assert_eq!(
        explanation.to_string(),
        "\
x/a (10.244.0.1) > y/b (10.244.0.2) 80/TCP: denied

egress of x/a: allowed
  Exempt         -        neither the pod itself nor its own node
  Admin          -        no policy selects x/a
  NetworkPolicy  -        no policy selects x/a
  Baseline       -        no policy selects x/a
  Default        allowed  no policy has a say
ingress of y/b: denied
  Exempt         -        neither the pod itself nor its own node
  Admin          -        no policy selects y/b
  NetworkPolicy  denied   y/deny-all: isolated, and no rule matches"
    );
}

#[test]
fn what_is_asked_wrongly_is_named() {
    let model = model(SMALL);
    let itself = |_ends| Ok(&*model.snapshot);
    let wrong = explain_snapshot(&model.snapshot, itself, "x", "y/b", 80, "TCP");
    assert_eq!(
        wrong,
        Err("from must be NAMESPACE/POD or an IP address".to_owned())
    );
}

#[test]
fn a_pod_in_the_network_of_its_node_reaches_itself() {
    let model = model(
        "
{apiVersion: v1, kind: Node, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host, namespace: x}, spec: {hostNetwork: true}}
",
    );
    let text = json(&model, &asked(&model, &["80"]));
    let matrix: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(matrix["cells"].as_array().map(Vec::len), Some(1));
    assert_eq!(matrix["cells"][0]["egress"]["tier"], "Exempt");
}

#[test]
fn ignored_kinds_are_one_line() {
    let loaded = sluice_kubernetes::load_text(
        "f.yaml",
        "{apiVersion: v1, kind: Secret}\n---\n{apiVersion: v1, kind: ConfigMap}\n---\n{apiVersion: v1, kind: Secret}\n",
    );
    assert_eq!(
        super::ignored(&loaded).as_deref(),
        Some("ignored: 1 ConfigMap, 2 Secret")
    );
    assert_eq!(super::ignored(&sluice_kubernetes::Loaded::default()), None);
}
