//! An agent that is there and does not run, as after SIGSTOP: its queues fill.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use sluice_lab::{Family, Lab, Mode, Outcome};
use sluice_policy::Protocol;

use super::{How, Load, agent, pair};
use crate::common::{assert_outcomes, eventually};

/// Whether no thread of the agent runs: the state comes behind the name in parentheses (`proc_pid_stat(5)`).
fn is_stopped(lab: &mut Lab) -> bool {
    let tasks = format!("/proc/{}/task", agent(lab).pid());
    fs::read_dir(tasks).unwrap().all(|task| {
        // A thread may have ended since.
        let stat = fs::read_to_string(task.unwrap().path().join("stat"));
        stat.is_ok_and(|it| it.rsplit_once(") ").unwrap().1.starts_with('T'))
    })
}

/// What the kernel says of the node's queues: packets that wait, and packets that found no room.
pub(super) fn queues(lab: &Lab) -> [u64; 2] {
    let read = || fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue").unwrap();
    let text = lab.node_netns("node-1").unwrap().enter(read).unwrap();
    let mut sums = [0; 2];
    for line in text.lines() {
        let columns: Vec<u64> = line
            .split_whitespace()
            .map(|it| it.parse().unwrap())
            .collect();
        sums[0] += columns[2];
        sums[1] += columns[5] + columns[6];
    }
    sums
}

/// The same, as the agent tells it.
fn told(lab: &mut Lab) -> [u64; 2] {
    let status = agent(lab).status().unwrap();
    let queues = status["gate"]["queues"].as_array().unwrap();
    let sum = |keys: &[&str]| {
        let of = |queue: &serde_json::Value| -> u64 {
            keys.iter().map(|key| queue[*key].as_u64().unwrap()).sum()
        };
        queues.iter().map(of).sum()
    };
    [sum(&["waiting"]), sum(&["dropped", "user_dropped"])]
}

/// The packets that found no room, as the metrics have them.
fn counted(lab: &mut Lab) -> u64 {
    let metrics = agent(lab).metrics().unwrap();
    let is_counted = |line: &&str| {
        ["queue", "user"]
            .iter()
            .any(|of| line.starts_with(&format!("kube_network_policies_nfqueue_{of}_dropped{{")))
    };
    let values = metrics.lines().filter(is_counted);
    let values = values.map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

fn stop(how: How) {
    let Some(mut lab) = how.up() else {
        return;
    };
    let mut load = Load::start(&lab);
    agent(&mut lab).signal(Signal::STOP).unwrap();
    eventually("every thread has stopped", || is_stopped(&mut lab));
    let hammer = |from| {
        let cell = pair(from, "server", Protocol::Udp, Family::Ipv4);
        lab.hammer(&cell, Duration::ZERO).unwrap()
    };
    let mut unjudged = [hammer("late"), hammer("stranger")];
    // what passes for want of room is not counted by the kernel
    let overflows = || {
        if how.fail_open {
            unjudged.iter().all(|it| it.delivered() > 100)
        } else {
            queues(&lab)[1] > 100
        }
    };
    eventually("the queues overflow", overflows);
    for hammer in &mut unjudged {
        hammer.stop();
    }
    let [waiting, dropped] = queues(&lab);
    assert!(waiting > 0, "nothing waits");
    let passed: u64 = unjudged
        .iter()
        .map(sluice_lab::stream::Hammer::delivered)
        .sum();
    assert_eq!(passed > 0, how.fail_open, "{passed} passed");
    agent(&mut lab).signal(Signal::CONT).unwrap();
    eventually("the agent has caught up", || queues(&lab)[0] == 0);
    assert!(
        told(&mut lab)[1] >= dropped,
        "{:?} of {dropped}",
        told(&mut lab)
    );
    assert!(counted(&mut lab) >= dropped);
    let [late, stranger] =
        ["late", "stranger"].map(|from| pair(from, "server", Protocol::Tcp, Family::Ipv4));
    let expected = [Outcome::Allowed, Outcome::Denied];
    assert_outcomes(&lab, &[late, stranger], &expected);
    let tolls = load.end(|_, _| !how.fail_open);
    println!("{how:?}: {waiting} waited, {dropped} found no room, {tolls:?}");
    assert_eq!((tolls.lost, tolls.leaked), (0, 0));
}

#[test]
fn what_overflows_the_queues_of_a_stopped_agent_is_dropped_and_counted() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        stop(How {
            mode,
            fail_open: false,
        });
    }
}

#[test]
fn what_overflows_the_queues_of_a_stopped_agent_passes_where_it_fails_open() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        stop(How {
            mode,
            fail_open: true,
        });
    }
}
