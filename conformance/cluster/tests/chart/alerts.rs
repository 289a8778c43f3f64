//! Alert rules and dashboard: promtool reads every expression, and each alert was seen to fire.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{helm_directory, lacks};

const PROMTOOL: &str = "promtool";

fn promtool(arguments: &[&str], file: &Path) -> Result<String> {
    let output = Command::new(PROMTOOL).args(arguments).arg(file).output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{arguments:?} {}: {said}",
        file.display()
    );
    Ok(said.into_owned())
}

#[test]
fn alerts_fire_when_they_shall_and_else_not() -> Result<()> {
    if lacks(PROMTOOL) {
        return Ok(());
    }
    promtool(
        &["check", "rules"],
        &helm_directory().join("sluice/alerts/sluice.yaml"),
    )?;
    promtool(
        &["test", "rules"],
        &helm_directory().join("tests/alerts.yaml"),
    )?;
    Ok(())
}

/// A case that expects it to be silent shows little.
#[test]
fn every_alert_has_a_case_in_which_it_fires() -> Result<()> {
    let rules = fs::read_to_string(helm_directory().join("sluice/alerts/sluice.yaml"))?;
    let cases = fs::read_to_string(helm_directory().join("tests/alerts.yaml"))?;
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    for alert in alerts {
        let fires = format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels:");
        assert!(cases.contains(&fires), "{alert}: no case in which it fires");
    }
    Ok(())
}

#[test]
fn the_dashboard_asks_what_prometheus_understands() -> Result<()> {
    if lacks(PROMTOOL) {
        return Ok(());
    }
    let text = fs::read_to_string(helm_directory().join("sluice/dashboards/sluice.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let mut rules = Vec::new();
    for panel in dashboard["panels"].as_array().context("panels")? {
        assert!(panel["description"].is_string(), "{}", panel["title"]);
        for target in panel["targets"].as_array().context("targets")? {
            let asked = target["expr"].as_str().context("expr")?;
            let asked = asked
                .replace("$__rate_interval", "5m")
                .replace("$instance", ".*");
            ensure!(!asked.contains('$'), "{asked}: an unknown variable");
            rules.push(json!({"record": format!("panel:{}", rules.len()), "expr": asked}));
        }
    }
    assert!(rules.len() > 10, "{rules:?}");
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("dashboard.yaml");
    fs::write(
        &file,
        json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string(),
    )?;
    promtool(&["check", "rules"], &file)?;
    Ok(())
}
