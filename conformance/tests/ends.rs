//! How a command ends where something around it does not behave: an API server, a disk, a reader, a user.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _, pipe};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-conformance"));
    command.args(args);
    command
}

/// Its exit code, and what it said on stderr.
fn end(output: &Output) -> (Option<i32>, String) {
    let err = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), err)
}

/// A run in the cluster of a server.
fn in_cluster(directory: &Path, server: &TcpListener) -> Command {
    let address = server.local_addr().unwrap();
    let kubeconfig = directory.join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let mut command = command(&[
        "run",
        "--runner",
        "cluster",
        "upstream/np-01",
        "--kubeconfig",
    ]);
    command.arg(kubeconfig);
    command
}

/// Answers one request, by its path.
fn serve(stream: TcpStream, answer: impl Fn(&str) -> Value) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) < 3 {
            break;
        }
        head.push(line.to_ascii_lowercase());
    }
    let lengths = head.iter();
    let mut lengths = lengths.filter_map(|line| line.strip_prefix("content-length:"));
    let length = lengths.next().map_or(0, |it| it.trim().parse().unwrap());
    reader.read_exact(&mut vec![0; length]).unwrap();
    let path = head.first().and_then(|line| line.split(' ').nth(1));
    let body = answer(path.unwrap_or_default()).to_string();
    let head = format!("Content-Length: {}\r\nConnection: close", body.len());
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n{body}");
    // Nobody may listen any more.
    let _closed = reader.into_inner().write_all(answer.as_bytes());
}

/// A run in a cluster that allows everything, has one node, and answers one path with something else.
fn with_odd(odd_path: &'static str, odd: &Value) -> (Option<i32>, String) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut run = in_cluster(directory.path(), &server);
    let odd = odd.clone();
    let node = json!({
        "metadata": {"name": "n"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    // It goes with the process of the test.
    thread::spawn(move || {
        for stream in server.incoming() {
            let (odd, node) = (odd.clone(), node.clone());
            thread::spawn(move || {
                serve(stream.unwrap(), |path| match path {
                    path if path == odd_path => odd.clone(),
                    "/api/v1/nodes" => json!({"items": [node]}),
                    path if path.ends_with("selfsubjectaccessreviews") => {
                        json!({"status": {"allowed": true}})
                    }
                    _ => json!({"resources": []}),
                });
            });
        }
    });
    end(&run.output().unwrap())
}

#[test]
fn an_answer_of_another_shape_is_no_panic() {
    let admin = "/apis/policy.networking.k8s.io/v1alpha1";
    for (path, odd) in [
        ("/api/v1/nodes", json!([])),
        ("/api/v1/nodes", json!("nodes")),
        ("/api/v1/nodes", json!({"items": {}})),
        (admin, json!([])),
        (admin, json!(1)),
    ] {
        let (code, err) = with_odd(path, &odd);
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!((code, lines.len()), (Some(2), 1), "{path} {odd}: {err}");
        assert!(lines[0].starts_with("error: "), "{err}");
        assert!(lines[0].contains("no list"), "{err}");
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_soon() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.xml");
    std::fs::write(&report, "of the last run").unwrap();
    let mut run = in_cluster(directory.path(), &server);
    run.arg("--junit").arg(&report);
    let started = Instant::now();
    let (code, err) = end(&run.output().unwrap());
    assert_eq!(code, Some(2), "{err}");
    let report = std::fs::read_to_string(&report).unwrap();
    assert_eq!(report, "of the last run");
    // The kubeconfig and the report.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    assert!(err.ends_with("/version: no answer in 10s\n"), "{err}");
    // One that answers slowly may take five times 30 s later on.
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_full_disk_is_noticed_and_a_reader_that_went_away_is_not() {
    for args in [
        &["run", "upstream/np-01", "-o", "json"][..],
        &["run", "upstream/np-01"],
        &["list"],
        &["schema"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, err) = end(&command(args).stdout(full).output().unwrap());
        assert_eq!(code, Some(3), "{args:?}: {err}");
        assert!(err.starts_with("error: stdout: No space left"), "{err}");
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let (code, err) = end(&command(args).stdout(writer).output().unwrap());
        assert_eq!((code, &*err), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn a_signal_ends_fuzzing_with_what_came_of_it_so_far() {
    for signal in [Signal::INT, Signal::TERM] {
        // Whoever runs this test may ignore one of them.
        let mut child = Command::new("env")
            .args(["--default-signal=INT,TERM", "--"])
            .args([env!("CARGO_BIN_EXE_sluice-conformance"), "fuzz"])
            .args(["--cases", "4000000000", "-o", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = said.next().unwrap().unwrap();
        let seed: u64 = said.strip_prefix("fuzz --seed ").unwrap().parse().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal:?}");
        let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(tally["seed"], seed);
        let [cases, left] = ["cases", "left"].map(|it| tally[it].as_u64().unwrap());
        assert_eq!(cases + left, 4_000_000_000);
        assert_eq!(tally["disagreements"], json!([]));
    }
}
