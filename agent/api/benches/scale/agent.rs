//! A whole agent, in hybrid mode, as the agent of a node of the cluster: in the network namespace of the API server, and
//! with a mount namespace and a bpffs of its own, so that nothing outlives it.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::thread;
use std::time::Instant;

use sluice_cluster::ControlPlane;

use crate::fill::Size;
use crate::process::Process;
use crate::{IDLE, NODE};

/// What the agent logs once it has taken every list in, and once it is ready.
const READ: &str = "everything that the Kubernetes API has was read";
const READY: &str = "ready";
const METRICS: &str = "127.0.0.1:9080";
/// Mounts a bpffs on its first argument, and becomes the others.
const BEGIN: &str = "mount -t bpf bpf \"$0\" && exec \"$@\"";

pub(crate) fn run(control: &ControlPlane, binary: &Path, size: Size) {
    let started = Instant::now();
    let mut agent = start(control, binary);
    let mut log = BufReader::new(agent.stderr.take().unwrap()).lines();
    let line = await_line(&mut log, READ);
    let read = Instant::now();
    let counts = format!(
        r#""pods":{},"network_policies":{}"#,
        size.pods, size.policies
    );
    assert!(line.contains(&counts), "{line}");
    await_line(&mut log, READY);
    let ready = Instant::now();
    // What it says from now on is read as well, so that it never waits to say something.
    thread::spawn(move || log.map_while(Result::ok).for_each(drop));
    let answer = control.inside(|| get("/readyz")).unwrap();
    assert!(answer.contains(" 200 OK"), "{answer}");
    println!("agent");
    println!("  lists arrived and taken in after {:.2?}", read - started);
    println!(
        "  ready {:.2?} later, {:.2?} after the start",
        ready - read,
        ready - started
    );
    let process = Process::of(agent.id());
    process.tell_until_ready();
    process.tell_idle(|| thread::sleep(IDLE));
    agent.kill().unwrap();
    agent.wait().unwrap();
}

fn start(control: &ControlPlane, binary: &Path) -> Child {
    let bpffs = control.directory().join("bpf");
    fs::create_dir_all(&bpffs).unwrap();
    let mut command = control.enter("unshare");
    command
        .args(["--mount", "sh", "-c", BEGIN])
        .args([bpffs.as_path(), binary])
        .args(["agent", "--node-name", NODE, "--log-format", "json"])
        .args(["--metrics-bind-address", METRICS])
        .arg("--kubeconfig")
        .arg(control.kubeconfig())
        .arg("--bpffs")
        .arg(&bpffs)
        .arg("--socket")
        .arg(control.directory().join("agent.sock"));
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn await_line(log: &mut Lines<BufReader<ChildStderr>>, message: &str) -> String {
    let message = format!(r#""message":"{message}""#);
    let mut said = Vec::new();
    for line in log.map_while(Result::ok) {
        if line.contains(&message) {
            return line;
        }
        said.push(line);
    }
    panic!("the agent ended: {said:#?}");
}

fn get(path: &str) -> String {
    let mut stream = TcpStream::connect(METRICS).unwrap();
    // Of this version, an answer ends with its connection.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
