//! A verdict in flight while policy changes: a worker is held between evaluation and verdict, policy is narrowed, and the
//! worker goes on. What it was about to allow is not allowed any more.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::{agent_binary, cell, enforced_since, eventually, now, skipped};
use sluice_lab::stream::{Direction, Pace};
use sluice_lab::{AgentOptions, Cell, Family, Lab, Mode, Options, Outcome, builtin};
use sluice_policy::Protocol;

/// Where a worker is held, as the agent's hook names it.
const POINTS: [&str; 2] = ["judged", "answered"];
/// The policy that lets x/b reach x/a on the port named http.
const FILE: &str = "policies-x.yaml";

/// An agent whose workers stop at points that have a file in the directory.
fn under_a_held_agent(hold: &Path, mode: Mode) -> Option<Lab> {
    if skipped() {
        return None;
    }
    let options = AgentOptions {
        binary: agent_binary()?,
        mode,
        arguments: Vec::new(),
        environment: vec![("SLUICE_TEST_HOLD".to_owned(), hold.to_owned())],
    };
    let families = Options {
        families: vec![Family::Ipv4],
        ..Options::default()
    };
    let mut lab = Lab::up(&builtin::default_world(), &families).unwrap();
    lab.start_agents(&options).unwrap();
    Some(lab)
}

fn narrow(lab: &Lab) {
    let text = lab.manifests().read(FILE).unwrap();
    let edited = text
        .replace("port: http", "port: admin")
        .replace("port: query", "port: gossip");
    assert_ne!(text, edited);
    lab.manifests().write(FILE, &edited).unwrap();
}

fn check(point: &str, protocol: Protocol, mode: Mode) {
    let what = format!("held where it has {point}, {protocol}, {mode:?}");
    let directory = tempfile::tempdir().unwrap();
    let Some(lab) = under_a_held_agent(directory.path(), mode) else {
        return;
    };
    let pair: Cell = cell("x/b", "x/a", 80, protocol, Family::Ipv4);
    let (file, held) = (
        directory.path().join(point),
        directory.path().join(point).with_extension("held"),
    );
    fs::write(&file, "").unwrap();
    let hammer = lab.hammer(&pair, Duration::from_millis(20)).unwrap();
    eventually(&format!("{what}: a worker is held"), || held.exists());
    let before = now();
    narrow(&lab);
    eventually(&format!("{what}: the agent notices that"), || {
        lab.agents()[0].log().contains("holds a verdict")
    });
    assert!(
        !enforced_since(&lab, before),
        "{what}: it is not enforced while one may still be allowed"
    );
    fs::remove_file(&file).unwrap();
    eventually(&format!("{what}: the change is enforced"), || {
        enforced_since(&lab, before)
    });
    let enforced = Instant::now();
    // A worker that had answered already lets its packet go; nothing comes of it.
    if point == POINTS[0] {
        let delivered = hammer.delivered();
        assert_eq!(delivered, 0, "{what}: an old verdict was given");
    }
    let sent = hammer.sent();
    eventually("more is sent", || hammer.sent() > sent + 20);
    // What the held worker let go may be noted later than that.
    let deliveries = hammer.deliveries();
    let leaks = deliveries.iter().filter(|it| it.sent > enforced).count();
    assert_eq!(leaks, 0, "{what}: an old lease is live");
    assert_eq!(lab.probe(&[pair]).unwrap(), [Outcome::Denied], "{what}");
}

#[test]
fn an_old_allow_never_outlives_the_change() {
    for point in POINTS {
        for mode in [Mode::Hybrid, Mode::Nfqueue] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                check(point, protocol, mode);
            }
        }
    }
}

#[test]
fn a_stream_whose_first_packet_was_held_does_not_go_on() {
    for point in POINTS {
        let hold = tempfile::tempdir().unwrap();
        let Some(lab) = under_a_held_agent(hold.path(), Mode::Hybrid) else {
            return;
        };
        let pair = cell("x/b", "x/a", 80, Protocol::Udp, Family::Ipv4);
        let file = hold.path().join(point);
        fs::write(&file, "").unwrap();
        let pace = Pace {
            interval: Duration::from_millis(5),
            answered: true,
        };
        let stream = lab.stream(&pair, pace).unwrap();
        eventually("a worker is held", || file.with_extension("held").exists());
        let before = now();
        narrow(&lab);
        eventually("the agent notices that", || {
            lab.agents()[0].log().contains("holds a verdict")
        });
        fs::remove_file(&file).unwrap();
        eventually("the change is enforced", || enforced_since(&lab, before));
        let (sent, enforced) = (stream.sent(), Instant::now());
        eventually("more is sent", || stream.sent() > sent + 50);
        let deliveries = stream.deliveries(Direction::Forward);
        let leaks = deliveries.iter().filter(|it| it.sent > enforced).count();
        assert_eq!(leaks, 0, "{point}");
    }
}

#[test]
fn what_is_under_review_when_the_agent_is_killed_stays_denied() {
    let hold = tempfile::tempdir().unwrap();
    let Some(mut lab) = under_a_held_agent(hold.path(), Mode::Nfqueue) else {
        return;
    };
    let pace = Pace {
        interval: Duration::from_micros(500),
        answered: false,
    };
    let pair = cell("x/b", "x/a", 80, Protocol::Udp, Family::Ipv4);
    let stream = lab.stream(&pair, pace).unwrap();
    eventually("it flows", || stream.delivered(Direction::Forward) > 20);
    // Somebody else's packet keeps a worker, so that nothing is judged again.
    let file = hold.path().join(POINTS[0]);
    fs::write(&file, "").unwrap();
    let other = cell("z/a", "x/a", 80, Protocol::Udp, Family::Ipv4);
    let _hammer = lab.hammer(&other, Duration::from_millis(5)).unwrap();
    eventually("a worker is held", || file.with_extension("held").exists());
    narrow(&lab);
    eventually("the agent notices that", || {
        lab.agents()[0].log().contains("holds a verdict")
    });
    let then = Instant::now();
    lab.agent("node-1").unwrap().kill().unwrap();
    fs::remove_file(&file).unwrap();
    lab.agent("node-1").unwrap().restart().unwrap();
    let sent = stream.sent();
    eventually("more is sent", || stream.sent() > sent + 100);
    let leaks = stream.deliveries(Direction::Forward);
    let leaks = leaks.iter().filter(|it| it.sent > then).count();
    assert_eq!(leaks, 0, "of an agent's last review");
}
