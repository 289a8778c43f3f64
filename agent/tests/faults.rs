//! The agent when something goes wrong around it: what it loses it puts back, and nobody keeps it from answering or
//! from stopping.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sluice_netlink::Gate;
use support::{Node, privileged};

mod support;

#[test]
fn a_gate_that_somebody_removes_is_put_back() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let _agent = node.agent(&[]);
    assert!(node.netns().enter(Gate::remove).unwrap().unwrap());
    node.eventually("the gate", |status| status["gate"]["installed"] == true);
    assert!(node.log().contains("the gate is gone"), "{}", node.log());
}

#[test]
fn a_second_agent_with_another_socket_touches_nothing_of_the_first() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let first = node.agent(&[]);
    for mode in ["hybrid", "nfqueue"] {
        let socket = node.path("second.sock");
        let arguments = ["--mode", mode, "--socket", socket.to_str().unwrap()];
        let elsewhere = ["--metrics-bind-address", "127.0.0.1:9081"];
        let second = node.spawn_elsewhere(&[&arguments[..], &elsewhere[..]].concat());
        assert_eq!(second.ended(), Some(3), "{}", node.log());
        assert!(node.log().contains("queue 100 is taken"), "{}", node.log());
        assert!(!socket.exists(), "a failed start leaves no socket");
    }
    assert!(node.pinned() && node.gate());
    assert_eq!(first.stop().0, Some(0));
}

#[test]
fn clients_that_say_nothing_keep_neither_others_nor_the_end_waiting() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let agent = node.agent(&[]);
    let _silent: Vec<_> = (0..4)
        .map(|_| UnixStream::connect(node.path("agent.sock")).unwrap())
        .collect();
    let mut half = node
        .netns()
        .enter(|| TcpStream::connect("127.0.0.1:9080"))
        .unwrap()
        .unwrap();
    half.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let asked = Instant::now();
    assert_eq!(node.status()["agent"]["ready"], true);
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "status took {:?}",
        asked.elapsed()
    );
    let (code, took) = agent.stop();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "SIGTERM took {took:?}");
}

#[test]
fn a_file_in_the_place_of_the_socket_is_not_removed() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    fs::write(node.path("agent.sock"), "precious").unwrap();
    assert_eq!(node.spawn(&[]).ended(), Some(3));
    assert!(node.log().contains("no socket"), "{}", node.log());
    assert_eq!(node.run("cleanup", &[]).stdout, b"nothing to remove\n");
    assert_eq!(fs::read(node.path("agent.sock")).unwrap(), b"precious");
}

#[test]
fn without_pins_status_still_tells_of_the_gate() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    assert_eq!(node.agent(&["--mode", "nfqueue"]).stop().0, Some(0));
    let status = node.status();
    assert_eq!(status["gate"]["installed"], true, "{status}");
    assert!(status["agent"].is_null());
}
