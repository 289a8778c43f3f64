//! `sluice-lab demo` as it is called: exit codes, documents, and that nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use sluice_lab::expect::expectations;
use sluice_lab::judge::judge;
use sluice_lab::{Family, Mode, Outcome, Target};

use crate::common::{agent_binary, eventually, example, skipped, under_agents};

/// Calls of the demo that see only each other's runs.
struct Demo {
    agent: PathBuf,
    runs: TempDir,
}

impl Demo {
    fn new() -> Option<Self> {
        if skipped() {
            return None;
        }
        Some(Self {
            agent: agent_binary()?,
            runs: tempfile::tempdir().unwrap(),
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-lab"));
        command
            .arg("demo")
            .arg("--agent")
            .arg(&self.agent)
            .arg("--runs")
            .arg(self.runs.path())
            .args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What is in the directory of runs, but for its lock.
    fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.runs.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The only document on standard output.
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    })
}

/// Processes whose command line says that they belong to the runs below `root`.
fn processes_of(root: &Path) -> BTreeSet<i32> {
    let root = root.to_string_lossy().into_owned();
    let is_of_root = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        text(&line).contains(&root)
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_string_lossy().parse().ok());
    pids.filter(is_of_root).collect()
}

#[test]
fn the_default_world_is_right_in_every_mode_and_family() {
    let Some(demo) = Demo::new() else { return };
    for (arguments, total) in [
        (["--mode", "hybrid", "--family", "4"], 324),
        (["--mode", "hybrid", "--family", "6"], 324),
        (["--mode", "hybrid", "--family", "dual"], 648),
        (["--mode", "nfqueue", "--family", "4"], 324),
        (["--mode", "nfqueue", "--family", "dual"], 648),
    ] {
        let output = demo.run(&[&arguments[..], &["-o", "json"]].concat());
        let report = document(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {report:#}");
        assert_eq!(report["ok"], true);
        assert_eq!(report["mode"], arguments[1]);
        assert_eq!(report["pods"], 9);
        assert_eq!(report["probes"]["total"], total);
        assert_eq!(report["probes"]["correct"], total);
        assert_eq!(report["probes"]["incorrect"], 0);
        assert_eq!(report["second_round"]["correct"], total);
        assert_eq!(report["incorrect"], Value::Array(Vec::new()));
        assert_eq!(report["status"]["agent"]["mode"], arguments[1]);
        let queued = report["second_round"]["queued_allowed"].as_u64().unwrap();
        assert_eq!(
            queued == 0,
            arguments[1] == "hybrid",
            "{arguments:?}: {queued}"
        );
        assert!(report["seconds"]["probe"].as_f64().is_some());
    }
    assert_eq!(demo.left(), Vec::<PathBuf>::new());
}

#[test]
fn the_demo_runs_with_no_more_rights_than_the_agent_needs() {
    let Some(demo) = Demo::new() else { return };
    for mode in ["hybrid", "nfqueue"] {
        let output = demo.run(&["--confined", "--mode", mode, "-o", "json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(document(&output)["ok"], true);
    }
}

#[test]
fn the_table_shows_what_was_expected_and_observed() {
    let Some(demo) = Demo::new() else { return };
    let output = demo.run(&[]);
    let table = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{table}{}",
        text(&output.stderr)
    );
    for part in [
        "80/TCP IPv4",
        "81/UDP IPv4",
        "expected",
        "observed",
        "comparison",
        "how packets travelled",
        "324 of 324",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(table.lines().last().unwrap().starts_with("ok "), "{table}");
}

#[test]
fn manifests_come_from_standard_input_too() {
    let Some(demo) = Demo::new() else { return };
    let pod = |name| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n\
             spec: {{containers: [{{name: c, image: i, ports: [{{containerPort: 5}}]}}]}}\n"
        )
    };
    let mut child = demo
        .command(&["--manifests", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all([pod("one"), pod("two")].concat().as_bytes())
        .unwrap();
    let report = document(&child.wait_with_output().unwrap());
    assert_eq!(report["probes"]["correct"], 4, "{report:#}");
}

#[test]
fn bad_input_is_named_all_at_once() {
    let Some(demo) = Demo::new() else { return };
    let room = tempfile::tempdir().unwrap();
    let bad = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: bad, namespace: x}\nspec:\n  \
               podSelector: {}\n  ingress: [{ports: [{port: 0}], from: [{ipBlock: {cidr: 10.0.0.0/99}}]}]\n";
    fs::write(room.path().join("bad.yaml"), bad).unwrap();
    fs::write(room.path().join("worse.yaml"), "a: [").unwrap();
    let output = demo.run(&["--manifests", room.path().to_str().unwrap()]);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for part in ["bad.yaml", "x/bad", "port", "cidr", "worse.yaml"] {
        assert!(errors.contains(part), "{part}: {errors}");
    }
    assert!(
        errors.contains(&room.path().display().to_string()),
        "names of copies are shown: {errors}"
    );
    for arguments in [
        ["--manifests", "/no/such/path"],
        ["--mode", "fast"],
        ["--family", "5"],
        ["--agent", "/no/agent"],
    ] {
        assert_eq!(demo.run(&arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(demo.left(), Vec::<PathBuf>::new());
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let Some(demo) = Demo::new() else { return };
    // Often, as it matters how far the agent's process is that moment.
    for signal in [Signal::INT, Signal::TERM].repeat(10) {
        let mut child = demo
            .command(&["-o", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("the agent runs", || {
            processes_of(demo.runs.path()).len() > 1
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        eventually("the demo ends", || child.try_wait().unwrap().is_some());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
        eventually("all processes end", || {
            processes_of(demo.runs.path()).is_empty()
        });
        assert_eq!(demo.left(), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_killed_demo_leaves_a_directory_and_the_next_run_removes_it() {
    let Some(demo) = Demo::new() else { return };
    let mut child = demo
        .command(&[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the agent runs", || {
        processes_of(demo.runs.path()).len() > 1
    });
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    eventually("all processes end", || {
        processes_of(demo.runs.path()).is_empty()
    });
    assert_eq!(demo.left().len(), 1);
    // A process that the killed one was about to start may hold the run for a moment longer.
    eventually("the next run removes it", || {
        assert_eq!(demo.run(&["-o", "json"]).status.code(), Some(0));
        demo.left().is_empty()
    });
}

#[test]
fn a_kept_run_can_be_entered_until_it_is_taken_down() {
    let Some(demo) = Demo::new() else { return };
    let output = demo.run(&["--keep", "-o", "json"]);
    let (report, how) = (document(&output), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{how}");
    assert_eq!(report["ok"], true);

    let line = how
        .lines()
        .find(|line| line.contains("pod x/a:"))
        .unwrap_or_else(|| panic!("{how}"));
    let enter: Vec<_> = line.split_once(": ").unwrap().1.split(' ').collect();
    let addresses = Command::new(enter[0])
        .args(&enter[1..])
        .args(["ip", "-brief", "address"])
        .output()
        .unwrap();
    assert!(
        text(&addresses.stdout).contains("10.244.1.1/32"),
        "{addresses:?}"
    );
    let run = demo.left().pop().unwrap();
    let pid = fs::read_to_string(run.join("pid")).unwrap();
    assert!(processes_of(demo.runs.path()).contains(&pid.trim().parse().unwrap()));
    let socket = run.join("0/agent.sock");
    let status = Command::new(&demo.agent)
        .args(["status", "-o", "json", "--socket"])
        .arg(socket)
        .output()
        .unwrap();
    assert_eq!(document(&status)["agent"]["ready"], true);

    let down = demo.run(&["--down"]);
    assert_eq!(down.status.code(), Some(0), "{}", text(&down.stderr));
    assert_eq!(demo.left(), Vec::<PathBuf>::new());
    eventually("all processes end", || {
        processes_of(demo.runs.path()).is_empty()
    });
    assert_eq!(text(&demo.run(&["--down"]).stdout), "nothing is up\n");
}

#[test]
fn what_is_observed_is_what_the_matrix_says() {
    let Some(demo) = Demo::new() else { return };
    let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
    for world in ["default", "two-nodes"] {
        let path = format!("{manifests}/{world}");
        let arguments = ["matrix", "-o", "json", "--manifests", &path];
        let matrix = document(&Command::new(&demo.agent).args(arguments).output().unwrap());
        let lab =
            under_agents(&example(world), &[Family::Ipv4, Family::Ipv6], Mode::Hybrid).unwrap();
        let cells: Vec<_> = lab.plan().cells();
        let expected = expectations(lab.plan(), lab.world(), &cells);
        let judged = judge(&lab, &cells, &expected).unwrap();
        let text = |cell: &Value, field: &str| cell[field].as_str().unwrap().to_owned();
        let said: BTreeMap<_, _> = matrix["cells"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| {
                let port = format!("{}/{}", cell["port"], text(cell, "protocol"));
                let key = format!(
                    "{} > {} {port} {}",
                    text(cell, "from"),
                    text(cell, "to"),
                    text(cell, "family")
                );
                (key, cell["allowed"].as_bool().unwrap())
            })
            .collect();
        let observed: BTreeMap<_, _> = cells
            .iter()
            .zip(judged.replies)
            .filter(|(cell, _)| matches!(cell.to, Target::Pod(_)))
            .map(|(cell, reply)| {
                let outcome = lab.outcome(cell, reply);
                (cell.to_string(), outcome == Outcome::Allowed)
            })
            .collect();
        assert_eq!(said, observed, "{world}");
    }
}
