//! The tool: a cluster that outlives the command that made it, and one that is given up half way.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sluice_cluster::{names, skipped, why_no_cluster};

/// The tool, told to do something with the cluster `name`.
fn tool(verb: &str, name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-cluster"));
    command.args([verb, "--name", name]).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Result<(Option<i32>, String, String)> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((status.code(), text(stdout), text(stderr)))
}

#[test]
fn a_cluster_is_up_until_it_is_told_to_go() -> Result<()> {
    if skipped(why_no_cluster()) {
        return Ok(());
    }
    let name = format!("tool-{}", std::process::id());
    let up = output(tool("up", &name).args(["--nodes", "1", "-o", "json"]))?;
    assert_eq!(up.0, Some(0), "{up:?}");
    let state: Value = serde_json::from_str(&up.1).context("JSON and nothing else")?;
    assert_eq!(state["nodes"][0]["name"], "node-1");
    let again = output(&mut tool("up", &name))?;
    assert!(
        again.0 == Some(0) && again.2.contains("is up already"),
        "{again:?}"
    );
    let script = state["kubectl"].as_str().context("a script")?;
    let listed = output(Command::new(script).args(["get", "nodes", "-o", "name"]))?;
    assert_eq!(listed.1, "node/node-1\n", "{listed:?}");
    let inside = output(tool("enter", &name).args(["node-1", "hostname"]))?;
    assert_eq!(inside.1, "node-1\n", "{inside:?}");
    let down = output(&mut tool("down", &name))?;
    assert_eq!(
        (down.0, down.1.contains("is gone")),
        (Some(0), true),
        "{down:?}"
    );
    assert!(!names()?.contains(&name));
    let status = output(&mut tool("status", &name))?;
    assert!(
        status.0 == Some(1) && status.2.contains("there is no cluster"),
        "{status:?}"
    );
    Ok(())
}

#[test]
fn ctrl_c_leaves_nothing() -> Result<()> {
    if skipped(why_no_cluster()) {
        return Ok(());
    }
    let name = format!("cut-{}", std::process::id());
    let mut up = tool("up", &name).stderr(Stdio::piped()).spawn()?;
    let mut said = BufReader::new(up.stderr.take().context("its stderr")?).lines();
    // Half way: the API server is there, the nodes are being made.
    said.next().context("a first step")??;
    let pid = i32::try_from(up.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.context("its process id")?, Signal::INT)?;
    let rest: Vec<_> = said.map_while(Result::ok).collect();
    assert_eq!(up.wait()?.code(), Some(130), "{rest:?}");
    assert!(!names()?.contains(&name), "{rest:?}");
    Ok(())
}

#[test]
fn the_provider_kind_says_what_it_lacks() -> Result<()> {
    let nowhere = tempfile::tempdir()?;
    for verb in ["up", "down"] {
        let mut line = tool(verb, "lacking");
        line.args(["--provider", "kind"])
            .env("PATH", nowhere.path());
        let (code, stdout, stderr) = output(&mut line)?;
        assert_eq!((code, stdout.as_str()), (Some(3), ""), "{stderr}");
        assert!(stderr.contains("there is no kind; "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    Ok(())
}

#[test]
fn what_makes_no_sense_is_bad_usage() -> Result<()> {
    for (line, said) in [
        (&["down", "--provider", "kind", "--all"][..], "--all is for"),
        (&["down", "--all", "--name", "x"], "cannot be used with"),
        (&["up", "--name", "../x"], "up to 32 of a-z, 0-9 and -"),
        (&["up", "--nodes", "0"], "--nodes"),
        (&["up", "--family", "5"], "--family"),
        (&["up", "--provider", "minikube"], "--provider"),
        (&["status", "--output", "xml"], "--output"),
        (&["enter"], "MACHINE"),
        (&["install", "--set"], "--set"),
        (&["sideways"], "sideways"),
        (&[], "Usage:"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-cluster"));
        let (code, stdout, stderr) = output(command.args(line).stdin(Stdio::null()))?;
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{line:?}: {stderr}");
        assert!(stderr.contains(said), "{line:?}: {said} in: {stderr}");
    }
    Ok(())
}
