//! Enforcers that are started by a command: those of `bench/rivals`, and some that do not do what they are to.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{assert_said, bench, command, output, said, skipped};
use crate::place::{assert_proven, compare};

/// A script of `bench/rivals`.
fn rival(name: &str) -> String {
    format!("{}/rivals/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Whether a program is missing; says so.
fn lacks(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    let lacks = !found.is_ok_and(|output| output.status.success());
    if lacks {
        println!("skipped: no {program}");
    }
    lacks
}

fn measure(script: &str, workloads: &str) {
    let workload_count = workloads.split(',').count();
    let report = compare(&format!(
        "--modes conntrack,external --workloads {workloads} --external {}",
        rival(script)
    ));
    assert_proven(&report, workload_count * 2 * 5);
    assert!(
        report["external"]["program"]
            .as_str()
            .is_some_and(|program| program.ends_with(script)),
        "{report:#}"
    );
    let memory = &report["memory_kb"]["external"];
    assert!(memory["resident"].as_u64() > Some(0), "{memory}");
}

#[test]
fn sets_of_nftables_are_measured_by_their_command() {
    if skipped() || lacks("nft") {
        return;
    }
    measure("nft-sets.sh", "tcp_crr,tcp_crr_ipv6,udp_new,tcp_crr_nodes");
}

#[test]
fn a_chain_of_iptables_is_measured_by_its_command() {
    if skipped() || lacks("iptables") {
        return;
    }
    measure("iptables.sh", "tcp_crr,tcp_crr_ipv6,udp_new,tcp_crr_nodes");
}

/// A run whose external command is this script: its exit code, and what it said.
fn run(script: &str) -> (Option<i32>, String) {
    let line = "compare --noisy --rounds 5 --slice 40 --modes external --workloads tcp_crr";
    let shell = ["--external", "sh", "--external", "-c", "--external", script];
    let output = output(command().args(line.split(' ')).args(shell));
    (output.status.code(), said(&output))
}

#[test]
fn a_command_that_does_not_do_what_it_is_to_ends_the_run() {
    if skipped() {
        return;
    }
    for (script, code, texts) in [
        (
            "echo no such table >&2; exit 7",
            3,
            &["ended by itself: exit status: 7", "no such table"][..],
        ),
        // It says that it is ready, and the stranger gets through.
        ("echo ready; exec sleep 1000", 1, &["stranger"]),
        (
            r#"touch "$SLUICE_BENCH_READY"; exec sleep 1000"#,
            1,
            &["stranger"],
        ),
    ] {
        let (found, said) = run(script);
        assert_eq!(found, Some(code), "{script}: {said}");
        for text in texts {
            assert!(said.contains(text), "{script}: {said}");
        }
    }
    let line = "compare --modes external --workloads tcp_crr --external /nowhere/enforce";
    assert_said(line, &bench(line), (3, "/nowhere/enforce"));
}

/// It is told of its node, and ends with all that it started: also what ignores SIGTERM or left its group.
#[test]
fn a_command_is_told_of_its_node_and_ends_whole() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let script = format!(
        r#"trap "" TERM
        sleep 1001 & echo $! > {pids}
        setsid sleep 1001 & echo $! >> {pids}
        echo $$ >> {pids}
        env | grep ^SLUICE_BENCH_ > {env}
        cat "$SLUICE_BENCH_PODS" > {pods}
        ls "$SLUICE_BENCH_MANIFESTS" > {files}
        readlink "$SLUICE_BENCH_NETNS" /proc/self/ns/net > {netns}
        echo ready; while :; do wait; done"#,
        pids = at("pids"),
        env = at("env"),
        pods = at("pods"),
        files = at("files"),
        netns = at("netns"),
    );
    let (code, said) = run(&script);
    assert_eq!(code, Some(1), "{said}");
    let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
    assert!(read("env").contains("SLUICE_BENCH_NODE=node-1\n"));
    assert!(read("files").contains("policies.yaml"));
    let pods: serde_json::Value = serde_json::from_str(&read("pods")).unwrap();
    assert_eq!(pods[0]["name"], "client");
    assert_eq!(pods[0]["addresses"][0], "10.244.9.1");
    assert!(pods[0]["interface"].is_string() && pods[0]["node"] == "node-1");
    let netns = read("netns");
    let [given, own] = [0, 1].map(|line| netns.lines().nth(line).unwrap());
    assert_eq!(given, own);
    for pid in read("pids").lines() {
        let process = PathBuf::from(format!("/proc/{pid}/cmdline"));
        // A number may have been given to somebody else since.
        let command = fs::read_to_string(process).unwrap_or_default();
        assert!(!command.contains("1001"), "{pid} lives: {command}");
    }
    assert_eq!(read("pids").lines().count(), 3);
}
