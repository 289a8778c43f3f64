//! Restarts and upgrades: what is pinned is taken over, what changed meanwhile is in force before the agent is ready.

use std::fs;
use std::process::Command;
use std::time::Instant;

use sluice_lab::stream::{Direction, Hammer, Lost, Stream};
use sluice_lab::{Cell, Family, Lab, Mode};

use super::{DENIED_EVERY, EITHER, How, Load, PACE, agent, pair};
use crate::common::eventually;

/// Has the policy of the server name these pods.
pub(super) fn allow(lab: &Lab, pods: &str) {
    let directory = &lab.manifests().paths()[0];
    let path = directory.join("policy.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let (head, _) = text.split_once("values:").unwrap();
    fs::write(&path, format!("{head}values: [{pods}]}}]}}}}]\n")).unwrap();
}

fn sends(stream: &Stream, more: u64) {
    let upto = stream.sent() + more;
    eventually("more is sent", || stream.sent() >= upto);
}

/// Connections of one pod to the server that are open, and others that it goes on opening.
struct Visitor {
    streams: Vec<(Cell, Stream)>,
    hammers: Vec<(Cell, Hammer)>,
}

impl Visitor {
    fn start(lab: &Lab, pod: &str) -> Self {
        let (mut streams, mut hammers) = (Vec::new(), Vec::new());
        for protocol in EITHER {
            for family in [Family::Ipv4, Family::Ipv4, Family::Ipv6] {
                let cell = pair(pod, "server", protocol, family);
                streams.push((cell.clone(), lab.stream(&cell, PACE).unwrap()));
            }
            let cell = pair(pod, "server", protocol, Family::Ipv4);
            hammers.push((cell.clone(), lab.hammer(&cell, DENIED_EVERY).unwrap()));
        }
        Self { streams, hammers }
    }

    fn flows(&self) {
        for (cell, stream) in &self.streams {
            let upto = stream.delivered(Direction::Backward) + 20;
            let flows = || stream.delivered(Direction::Backward) >= upto;
            eventually(&format!("{cell} flows"), flows);
        }
        for (cell, hammer) in &self.hammers {
            let upto = hammer.delivered() + 20;
            eventually(&format!("{cell} opens"), || hammer.delivered() >= upto);
        }
    }

    /// Nothing that was sent at `since` or later arrives, and some was.
    fn is_shut_out(&self, since: Instant) {
        for (cell, stream) in &self.streams {
            sends(stream, 20);
            for direction in [Direction::Forward, Direction::Backward] {
                let deliveries = stream.deliveries(direction);
                let leak = deliveries.iter().find(|it| it.sent >= since);
                assert!(
                    leak.is_none(),
                    "{cell}: {direction:?}: {leak:?} since {since:?}"
                );
            }
        }
        for (cell, hammer) in &self.hammers {
            let upto = hammer.sent() + 20;
            eventually("more is tried", || hammer.sent() >= upto);
            let deliveries = hammer.deliveries();
            let leak = deliveries.iter().find(|it| it.sent >= since);
            assert!(leak.is_none(), "{cell}: {leak:?} since {since:?}");
        }
    }

    fn is_uncut(&mut self) {
        for (cell, stream) in &mut self.streams {
            assert!(stream.stop(), "{cell}");
            assert_eq!(
                (stream.lost(), stream.broken()),
                (Lost::default(), None),
                "{cell}"
            );
        }
    }
}

#[test]
fn a_policy_that_was_narrowed_while_the_agent_was_away_is_in_force_once_it_is_ready() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        for fail_open in [false, true] {
            let Some(mut lab) = (How { mode, fail_open }).up() else {
                return;
            };
            let mut load = Load::start(&lab);
            load.streams
                .retain(|(cell, _)| cell.from.name.as_ref() == "near");
            let client = Visitor::start(&lab, "client");
            let mut late = Visitor::start(&lab, "late");
            client.flows();
            late.flows();
            agent(&mut lab).kill().unwrap();
            allow(&lab, "late");
            for (_, stream) in client.streams.iter().chain(&late.streams) {
                sends(stream, 20);
            }
            agent(&mut lab).restart().unwrap();
            client.is_shut_out(Instant::now());
            late.flows();
            late.is_uncut();
            let tolls = load.end(|_, _| !fail_open);
            assert_eq!((tolls.lost, tolls.leaked), (0, 0), "{mode:?} {fail_open}");
        }
    }
}

/// Each pinned map, and a way to make one of another layout.
const MAPS: [(&str, &str); 9] = [
    ("pods", "hash key 16 value 32 entries 64"),
    ("slots", "array key 4 value 32 entries 64"),
    ("state", "array key 4 value 16 entries 1"),
    ("epochs", "array key 4 value 8 entries 64"),
    ("leases", "lru_hash key 40 value 80 entries 64"),
    ("denials", "lru_hash key 40 value 80 entries 64"),
    ("flows", "lru_hash key 40 value 8 entries 64"),
    ("guards", "hash key 8 value 64 entries 64"),
    ("counters", "percpu_array key 4 value 8 entries 1"),
];

/// Puts a map of another layout in the place of a pinned one; the programs in the kernel keep the one they have.
fn replace_map(lab: &mut Lab, name: &'static str, layout: &'static str) {
    let replace = move |pins: &std::path::Path| {
        let pin = pins.join(name);
        fs::remove_file(&pin).unwrap();
        let mut bpftool = Command::new("bpftool");
        bpftool.args(["map", "create"]).arg(&pin).arg("type");
        bpftool.args(layout.split(' ')).args(["name", name]);
        assert!(bpftool.status().unwrap().success(), "{bpftool:?}");
    };
    agent(lab).visit(replace).unwrap();
}

#[test]
fn maps_of_another_layout_are_replaced_without_a_window() {
    let how = How {
        mode: Mode::Hybrid,
        fail_open: false,
    };
    let Some(mut lab) = how.up() else {
        return;
    };
    let mut load = Load::start(&lab);
    load.streams
        .retain(|(cell, _)| cell.from.name.as_ref() == "near");
    let mut late = Visitor::start(&lab, "late");
    for (name, layout) in MAPS {
        // new leases in the epoch that new maps begin with
        let client = Visitor::start(&lab, "client");
        client.flows();
        let told = |lab: &mut Lab| {
            let replaced = format!("replacing a pinned map map=\"{name}\"");
            agent(lab).log().matches(&replaced).count()
        };
        let told_before = told(&mut lab);
        agent(&mut lab).kill().unwrap();
        replace_map(&mut lab, name, layout);
        allow(&lab, "late");
        agent(&mut lab).restart().unwrap();
        client.is_shut_out(Instant::now());
        late.flows();
        allow(&lab, "client, late");
        let (_, hammer) = &client.hammers[0];
        let before = hammer.delivered();
        eventually("the client is let in", || hammer.delivered() > before);
        assert_eq!(told(&mut lab), told_before + 1, "{name}");
    }
    late.is_uncut();
    let tolls = load.end(|_, _| true);
    assert_eq!((tolls.lost, tolls.leaked), (0, 0));
}

#[test]
fn the_mode_is_changed_without_a_window() {
    let how = How {
        mode: Mode::Hybrid,
        fail_open: false,
    };
    let Some(mut lab) = how.up() else {
        return;
    };
    let mut load = Load::start(&lab);
    for mode in [Mode::Nfqueue, Mode::Hybrid, Mode::Nfqueue, Mode::Hybrid] {
        agent(&mut lab).kill().unwrap();
        agent(&mut lab).set_mode(mode);
        agent(&mut lab).restart().unwrap();
        for (_, stream) in &load.streams {
            sends(stream, 20);
        }
        let status = agent(&mut lab).status().unwrap();
        assert_eq!(status["agent"]["mode"], mode.name());
    }
    let tolls = load.end(|_, _| true);
    assert_eq!((tolls.lost, tolls.leaked), (0, 0));
}
