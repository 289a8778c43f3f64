//! Who is served over HTTP, and what the agent allows itself for it.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use support::{Node, privileged};

mod support;

/// Says `request`, and reads until the server closes.
fn ask(request: &[u8]) -> String {
    let mut stream = TcpStream::connect("127.0.0.1:9080").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    let mut answer = Vec::new();
    // The server may close before it has read everything.
    let _told = stream
        .write_all(request)
        .and_then(|()| stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_connection_is_one_request_of_a_bounded_size() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let _agent = node.agent(&["--mode", "nfqueue"]);
    let of = |length: usize| {
        let padding = "x".repeat(length);
        format!("GET /readyz HTTP/1.1\r\nHost: node\r\nX-Padding: {padding}\r\n\r\n")
    };
    let answers = |text: String| node.netns().enter(|| ask(text.as_bytes())).unwrap();
    let answer = answers(of(8_000) + &of(1));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    let answer = answers(of(1_000_000));
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[test]
fn who_says_nothing_is_cut_off_and_more_than_a_few_are_turned_away() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    let _agent = node.agent(&["--mode", "nfqueue"]);
    let connect = || {
        let connect = || TcpStream::connect("127.0.0.1:9080").unwrap();
        node.netns().enter(connect).unwrap()
    };
    let started = Instant::now();
    let mut silent: Vec<TcpStream> = (0..40).map(|_| connect()).collect();
    for stream in &mut silent {
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        // Closed or reset: either way there is nothing to read.
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(50), "{took:?}");
    let refused = node.metrics();
    let refused = refused
        .lines()
        .find_map(|line| line.strip_prefix("sluice_events_total{event=\"http_refused\"} "));
    let refused: u32 = refused.unwrap().parse().unwrap();
    assert!((1..40).contains(&refused), "{refused} of 40");
}

#[test]
fn the_agent_may_open_as_many_files_as_it_is_let() {
    if !privileged() {
        return;
    }
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(512);
    // Whatever this process starts from now on has that limit too, and none of it needs more.
    setrlimit(Resource::Nofile, limit).unwrap();
    let node = Node::new();
    let agent = node.agent(&["--mode", "nfqueue"]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.id())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_ne!(words[3], "512", "{line:?}");
    assert_eq!(words[3], words[4], "{line:?}");
}
