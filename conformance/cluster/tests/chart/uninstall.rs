//! What an uninstall that does not come to its end leaves, and that what the documents say then is so. A real helm and a
//! real API server, and no node: the hooks are waited for in vain.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sluice_cluster::{ControlOptions, ControlPlane, skipped, why_no_control_plane};

use crate::{KUBERNETES, helm_directory, lacks_helm};

const NAMESPACE: [&str; 2] = ["--namespace", "kube-system"];

/// A control plane with the chart installed as the documents have it; none where this machine has none, which is said.
fn installed() -> Result<Option<ControlPlane>> {
    if lacks_helm() || skipped(why_no_control_plane()) {
        return Ok(None);
    }
    let control = ControlPlane::start(ControlOptions {
        controllers: true,
        ..ControlOptions::default()
    })?;
    let chart = helm_directory().join("sluice");
    let chart = chart.to_str().context("the path of the chart")?;
    control.helm(&[&["install", "sluice", chart], &NAMESPACE[..]].concat())?;
    Ok(Some(control))
}

/// The objects of the chart that there are, as `kind/name`.
fn objects(control: &ControlPlane) -> Result<Vec<String>> {
    const KINDS: &str = "daemonsets,jobs,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,configmaps";
    let line = [
        "get",
        KINDS,
        "--output=name",
        "--selector=app.kubernetes.io/name=sluice",
    ];
    let said = control.kubectl(&[&line[..], &NAMESPACE[..]].concat())?;
    let mut names: Vec<_> = said.lines().map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

fn releases(control: &ControlPlane) -> Result<Vec<Value>> {
    let said = control.helm(&[&["list", "--all", "--output=json"], &NAMESPACE[..]].concat())?;
    serde_json::from_str(&said).context("helm list")
}

#[test]
fn an_uninstall_that_is_not_waited_for_fails_and_leaves_its_job_alone() -> Result<()> {
    let Some(control) = installed()? else {
        return Ok(());
    };
    let line = ["uninstall", "sluice", "--timeout=5s"];
    let failed = control.helm(&[&line[..], &NAMESPACE[..]].concat());
    let said = format!("{:#}", failed.err().context("helm waited for nobody")?);
    ensure!(
        said.contains("uninstallation completed with 1 error"),
        "{said}"
    );
    // `before-hook-creation` takes it away where there is another uninstall.
    assert_eq!(objects(&control)?, ["job.batch/sluice-cleanup"]);
    assert_eq!(releases(&control)?, Vec::<Value>::new());

    let chart = helm_directory().join("sluice");
    let chart = chart.to_str().context("path")?;
    control.helm(&[&["install", "sluice", chart], &NAMESPACE[..]].concat())?;
    let failed = control.helm(&[&line[..], &NAMESPACE[..]].concat());
    ensure!(failed.is_err(), "helm waited for nobody");
    assert_eq!(
        objects(&control)?,
        ["job.batch/sluice-cleanup"],
        "the second time"
    );
    Ok(())
}

#[test]
fn without_hooks_nothing_is_left_in_the_api_and_nodes_are_cleaned_by_the_manifest() -> Result<()> {
    let Some(control) = installed()? else {
        return Ok(());
    };
    let line = ["uninstall", "sluice", "--no-hooks"];
    control.helm(&[&line[..], &NAMESPACE[..]].concat())?;
    assert_eq!(objects(&control)?, Vec::<String>::new());

    // As `helm/README.md` has it for a release with values of its own.
    let chart = helm_directory().join("sluice");
    let chart = chart.to_str().context("path")?;
    let render = [
        "template",
        "sluice",
        chart,
        "--set=image.repository=registry.example/sluice,cleanup.onUninstall=true,rbac.create=true",
        "--show-only=templates/cleanup-daemonset.yaml",
        "--kube-version",
        KUBERNETES,
    ];
    let own = control.helm(&[&render[..], &NAMESPACE[..]].concat())?;
    ensure!(own.contains("image: \"registry.example/sluice:"), "{own}");
    let plain = helm_directory().join("manifests/cleanup.yaml");
    for text in [own, fs::read_to_string(plain)?] {
        control.apply(&text)?;
        assert_eq!(objects(&control)?, ["daemonset.apps/sluice-cleanup"]);
        let rollout = [
            "rollout",
            "status",
            "daemonset/sluice-cleanup",
            "--timeout=60s",
        ];
        control.kubectl(&[&rollout[..], &NAMESPACE[..]].concat())?;
        control.kubectl(&[&["delete", "daemonset/sluice-cleanup"], &NAMESPACE[..]].concat())?;
    }
    Ok(())
}

#[test]
fn an_uninstall_that_was_killed_is_asked_for_again() -> Result<()> {
    let Some(control) = installed()? else {
        return Ok(());
    };
    let line = [&["uninstall", "sluice"], &NAMESPACE[..]].concat();
    let mut helm = control.helm_command()?.args(&line).spawn()?;
    let waits = [
        "wait",
        "--for=create",
        "job/sluice-cleanup",
        "--timeout=60s",
    ];
    control.kubectl(&[&waits[..], &NAMESPACE[..]].concat())?;
    helm.kill()?;
    helm.wait()?;
    let status = &releases(&control)?[0]["status"];
    assert_eq!(status, "uninstalling");
    ensure!(objects(&control)?.len() > 1, "the hooks are left");

    let failed = control.helm(&[&line[..], &["--timeout=5s"]].concat());
    ensure!(failed.is_err(), "helm waited for nobody");
    assert_eq!(objects(&control)?, ["job.batch/sluice-cleanup"]);
    assert_eq!(releases(&control)?, Vec::<Value>::new());
    Ok(())
}
