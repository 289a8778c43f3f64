//! The chart: what it renders is taken by a real API server with every switch on and off, what is wrong with values is
//! said by name, and what was generated from it is current. Installing it is the cluster's to show.

mod alerts;
mod documented;
mod refused;
mod uninstall;
mod used;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use sluice_cluster::{
    Channel, ControlOptions, ControlPlane, programs, skipped, why_no_control_plane,
};

/// What the chart is rendered for; helm knows no server where it renders.
const KUBERNETES: &str = "1.35.4";

/// Switches that belong together, as `--set` takes them, and what has to be among what is rendered.
const VALUES: [(&str, &str); 15] = [
    ("", "kind: DaemonSet"),
    (
        "agent.redirectEstablished=true",
        "--redirect-established=true",
    ),
    (
        "agent.mode=nfqueue,agent.failOpen=true,agent.revokeEstablished=false,agent.dropSpoofed=false",
        r#"add: ["NET_ADMIN"]"#,
    ),
    (
        "agent.queueNum=98,agent.queues=2,agent.markBits=0x700,agent.verbosity=2,agent.logFormat=json",
        "--queues=2",
    ),
    (
        "agent.interfaces={veth*,eth0},agent.excludeInterfaces={wg*},agent.netfilterBug1766Fix=true",
        r#""--interfaces=veth*,eth0""#,
    ),
    (
        "agent.adminNetworkPolicy=false,agent.baselineAdminNetworkPolicy=false,agent.clusterNetworkPolicy=true",
        r#"resources: ["clusternetworkpolicies"]"#,
    ),
    (
        "agent.kubeconfig=/etc/kube/config,agent.extraArgs={--mode=hybrid}",
        r#""--kubeconfig=/etc/kube/config""#,
    ),
    ("agent.manifests={/etc/a,/etc/b}", r#""--manifests=/etc/b""#),
    (
        "metrics.port=9999,metrics.address=::1,apiServer.host=api.example,probes.startupSeconds=95",
        r#""--metrics-bind-address=[::1]:9999""#,
    ),
    (
        "events.enabled=false,serviceAccount.create=false,serviceAccount.name=mine,rbac.create=true",
        "name: mine",
    ),
    (
        "rbac.create=false,cleanup.onUninstall=true",
        "kind: DaemonSet",
    ),
    ("cleanup.onUninstall=true", "kind: Job"),
    (
        "securityContext.seccomp=Localhost,securityContext.seLinuxOptions.type=spc_t,priorityClassName=",
        "localhostProfile: sluice.json",
    ),
    (
        "fullnameOverride=other,podLabels.a=b,podAnnotations.c=d,updateStrategy.rollingUpdate.maxUnavailable=3,\
         image.tag=1.2.3,image.pullSecrets[0].name=registry,extraVolumes[0].name=x,extraVolumes[0].emptyDir.medium=Memory,\
         extraVolumeMounts[0].name=x,extraVolumeMounts[0].mountPath=/x,agent.extraEnv[0].name=A,agent.extraEnv[0].value=b",
        r#"image: "sluice:1.2.3""#,
    ),
    (
        "monitoring.podMonitor.enabled=true,monitoring.podMonitor.interval=30s,monitoring.podMonitor.labels.a=b,\
         monitoring.prometheusRule.enabled=true,monitoring.dashboard.enabled=true,monitoring.dashboard.annotations.a=b",
        "kind: PrometheusRule",
    ),
];

/// What is generated: the file in `helm/manifests`, the namespace's name is fixed, and what renders it.
const GENERATED: [(&str, &[&str]); 2] = [
    ("sluice.yaml", &["--no-hooks"]),
    (
        "cleanup.yaml",
        &[
            "--show-only",
            "templates/cleanup-daemonset.yaml",
            "--set",
            "cleanup.onUninstall=true",
        ],
    ),
];

/// The custom resources that the monitoring of the chart is made of, as the Prometheus operator defines them.
const MONITORING: [&str; 2] = [
    "podmonitors.monitoring.coreos.com",
    "prometheusrules.monitoring.coreos.com",
];

/// The directory `helm` of the repository.
fn helm_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../helm")
}

fn helm(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(programs::built("helm")?);
    let home = tempfile::tempdir()?;
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, home.path());
    }
    command.args(arguments).output().context("helm")
}

fn render(arguments: &[&str]) -> Result<Output> {
    let chart = helm_directory().join("sluice");
    let chart = chart.to_str().context("the path of the chart")?;
    let place = ["--namespace", "kube-system", "--kube-version", KUBERNETES];
    helm(&[&["template", "sluice", chart], &place[..], arguments].concat())
}

fn rendered(arguments: &[&str]) -> Result<String> {
    let output = render(arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether the tests can run here; says why not.
fn lacks_helm() -> bool {
    let lacks = programs::built("helm").err();
    skipped(lacks.map(|reason| reason.to_string()))
}

#[test]
fn helm_finds_nothing_wrong() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    let chart = helm_directory().join("sluice");
    for (values, _) in VALUES {
        let chart = chart.to_str().context("path")?;
        let output = helm(&["lint", "--strict", chart, "--set", values])?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{values}: {said}");
        assert!(!said.contains("[WARNING]"), "{values}: {said}");
    }
    Ok(())
}

#[test]
fn an_api_server_takes_what_is_rendered_whatever_the_switches() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    if skipped(why_no_control_plane()) {
        return Ok(());
    }
    let control = ControlPlane::start(ControlOptions::default())?;
    for resource in MONITORING {
        control.define(resource, Channel::Operator)?;
    }
    for (values, wanted) in VALUES {
        let text = rendered(&["--set", values])?;
        assert!(text.contains(wanted), "{values}: {wanted} in\n{text}");
        let said = dry_run(&control, &text).with_context(|| values.to_owned())?;
        let objects = text
            .lines()
            .filter(|line| line.starts_with("kind: "))
            .count();
        assert_eq!(said.lines().count(), objects, "{values}: {said}");
    }
    for (file, _) in GENERATED {
        let path = helm_directory().join("manifests").join(file);
        dry_run(&control, &fs::read_to_string(path)?).context(file)?;
    }
    Ok(())
}

/// What the API server would make of it; fields that it does not know are errors.
fn dry_run(control: &ControlPlane, manifests: &str) -> Result<String> {
    let path = control.directory().join("manifests.yaml");
    fs::write(&path, manifests)?;
    let path = path.to_str().context("path")?;
    control.kubectl(&[
        "create",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        path,
    ])
}

#[test]
fn a_cleanup_has_the_rights_of_its_mode_and_no_others() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    // The one that removes, and the one that keeps agents away.
    for (mode, rights) in [
        ("hybrid", [r#"["NET_ADMIN","BPF"]"#, r#"["NET_ADMIN"]"#]),
        ("nfqueue", [r#"["NET_ADMIN"]"#; 2]),
    ] {
        let mode = format!("agent.mode={mode}");
        let text = rendered(&[
            "--show-only=templates/cleanup-daemonset.yaml",
            "--set",
            &mode,
        ])?;
        let added = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("add: "));
        assert_eq!(added.collect::<Vec<_>>(), rights, "{mode}");
        assert_eq!(text.matches("mountPath: /bpf").count(), 2, "{mode}");
    }
    Ok(())
}

/// `SLUICE_WRITE=1` writes the files instead.
#[test]
fn the_manifests_are_what_the_chart_renders() -> Result<()> {
    if lacks_helm() {
        return Ok(());
    }
    for (file, arguments) in GENERATED {
        let path = helm_directory().join("manifests").join(file);
        let text = format!(
            "# Generated from the chart, helm/sluice.\n{}",
            rendered(arguments)?
        );
        if std::env::var_os("SLUICE_WRITE").is_some() {
            fs::write(&path, &text)?;
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == text,
            "{}: not what the chart renders; write it with SLUICE_WRITE=1 in the environment of this test",
            path.display()
        );
    }
    Ok(())
}

/// Whether a program can be started; says that it cannot.
fn lacks(program: &str) -> bool {
    let mut command = Command::new(program);
    let found = command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let lacks = found.is_err();
    if lacks {
        println!("skipped: no {program}; Debian has it in the package prometheus");
    }
    lacks
}
