//! The gate's table is what the architecture says, as `nft` lists it, and changes as a whole.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::net::IpAddr;

use common::Node;
use common::bpf::Programs;
use sluice_ebpf::Marks;
use sluice_netlink::{Gate, GateConfig, Isolated, Matcher, QueueVerb};

mod common;

const BOTH: Isolated = Isolated {
    ingress: true,
    egress: true,
};
const INGRESS: Isolated = Isolated {
    ingress: true,
    egress: false,
};
const NEITHER: Isolated = Isolated {
    ingress: false,
    egress: false,
};

fn config(matcher: Matcher) -> GateConfig {
    let marks = Marks::from_mask(Marks::DEFAULT_MASK).unwrap();
    GateConfig {
        marks,
        queue: 100,
        queues: 2,
        fail_open: true,
        accept_for_good: false,
        honour_pass: matcher != Matcher::Sets,
        early_datagrams: false,
        redirect: None,
        matcher,
        verb: common::verb(),
    }
}

/// Without counts, and with numbers where names are a matter of `/etc`.
fn list(node: &Node) -> String {
    node.run(
        "nft",
        &[
            "--stateless",
            "--numeric-protocol",
            "list",
            "table",
            "inet",
            "sluice",
        ],
    )
}

fn elements(node: &Node, set: &str) -> Vec<String> {
    let text = node.run("nft", &["list", "set", "inet", "sluice", set]);
    let Some((_, rest)) = text.split_once("elements = {") else {
        return Vec::new();
    };
    let inner = rest.split_once('}').unwrap().0;
    let mut elements: Vec<String> = inner
        .split(',')
        .map(|element| element.trim().to_owned())
        .collect();
    elements.sort();
    elements
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

/// The table as `nft` lists it, without the two expressions that not every `nft` can name.
fn listed(node: &Node) -> String {
    let nameless = [
        "comment \"translated\"",
        "comment \"gate-pass\"",
        "comment \"gate-deny\"",
        "comment \"queue\"",
    ];
    let text = list(node);
    let lines =
        text.lines().map(
            |line| match nameless.iter().find(|comment| line.ends_with(*comment)) {
                Some(comment) => format!("\t\t… {comment}"),
                None => line.to_owned(),
            },
        );
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// The table as the kernel has it, expression by expression.
fn bytecode(node: &Node) -> String {
    node.run(
        "nft",
        &["--debug=netlink", "list", "table", "inet", "sluice"],
    )
}

fn assert_listed(node: &Node, golden: &str) {
    let listed = listed(node);
    assert!(
        listed == golden,
        "the table is not what is expected, but\n{listed}"
    );
}

#[test]
fn the_table_with_sets_is_the_golden_one() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    let isolated = [(ip("10.0.0.1"), BOTH), (ip("fd00::1"), INGRESS)];
    node.netns
        .enter(|| Gate::install(&config(Matcher::Sets), &isolated, &[]))
        .unwrap()
        .unwrap();
    assert_listed(&node, include_str!("golden/sets.nft"));
    let bytecode = bytecode(&node);
    let queue = match common::verb() {
        QueueVerb::Nft => "[ queue num 100-101 bypass fanout ]",
        QueueVerb::Xt => "[ target name NFQUEUE rev 3 ]",
    };
    assert_eq!(bytecode.matches(queue).count(), 2, "{bytecode}");
}

#[test]
fn the_table_with_programs_is_the_golden_one() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    let install = || {
        let programs = Programs::pin(true, false);
        let matcher = Matcher::Bpf {
            pass: programs.pass(),
            deny: programs.deny(),
        };
        Gate::install(&config(matcher), &[(ip("10.0.0.1"), BOTH)], &[])
    };
    // The rules hold the programs: their pins are gone by now.
    let mut gate = node.netns.enter(install).unwrap().unwrap();
    assert_listed(&node, include_str!("golden/bpf.nft"));
    assert_eq!(
        bytecode(&node).matches("[ match name bpf rev 1 ]").count(),
        5
    );
    assert_eq!(gate.update(&[(ip("10.0.0.2"), BOTH)], &[]).unwrap(), 0);
}

#[test]
fn a_pinned_program_is_found_and_a_missing_one_is_not() {
    if !common::privileged() {
        return;
    }
    let probe = || {
        let programs = Programs::pin(true, false);
        let missing = programs.pass().with_file_name("missing");
        (
            Gate::probe_bpf_match(&programs.pass()).unwrap(),
            Gate::probe_bpf_match(&missing).unwrap(),
        )
    };
    let node = Node::with_pods(0);
    assert_eq!(node.netns.enter(probe).unwrap(), (true, false));
    assert_eq!(node.run("nft", &["list", "tables"]), "");
}

#[test]
fn the_verb_that_is_probed_can_be_installed() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    println!("this kernel queues by {:?}", common::verb());
    let install = || Gate::install(&config(Matcher::Sets), &[], &[]);
    drop(node.netns.enter(install).unwrap().unwrap());
    assert_eq!(node.run("nft", &["list", "tables"]), "table inet sluice\n");
    assert!(list(&node).contains("comment \"queue\""));
}

#[test]
fn installing_replaces_what_was_there_and_removing_leaves_nothing() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    let install = |queue, isolated: &[(IpAddr, Isolated)]| {
        let config = GateConfig {
            queue,
            ..config(Matcher::Sets)
        };
        drop(
            node.netns
                .enter(|| Gate::install(&config, isolated, &[]))
                .unwrap()
                .unwrap(),
        );
    };
    let installed = || node.netns.enter(Gate::is_installed).unwrap().unwrap();
    let remove = || node.netns.enter(Gate::remove).unwrap().unwrap();
    assert!(!installed());
    install(100, &[(ip("10.0.0.1"), BOTH)]);
    install(200, &[(ip("10.0.0.2"), BOTH)]);
    assert!(installed());
    assert_eq!(elements(&node, "ingress4"), ["10.0.0.2"]);
    assert_eq!(list(&node).matches("comment \"revoked\"").count(), 2);
    assert!(remove());
    assert!(!remove());
    assert!(!installed());
    assert_eq!(node.run("nft", &["list", "ruleset"]), "");
}

#[test]
fn a_refused_gate_leaves_the_old_one_and_says_which_rule() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    node.netns
        .enter(|| Gate::install(&config(Matcher::Sets), &[(ip("10.0.0.1"), BOTH)], &[]))
        .unwrap()
        .unwrap();
    let before = list(&node);
    let matcher = Matcher::Bpf {
        pass: "/nonexistent".into(),
        deny: "/nonexistent".into(),
    };
    let Err(error) = node
        .netns
        .enter(|| Gate::install(&config(matcher), &[], &[]))
        .unwrap()
    else {
        panic!("a missing program was taken")
    };
    assert!(
        error.to_string().contains("rule postrouting/translated"),
        "{error}"
    );
    assert_eq!(list(&node), before);
}

#[test]
fn updates_change_only_what_differs() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    let start = [(ip("10.0.0.1"), BOTH), (ip("10.0.0.2"), INGRESS)];
    let mut gate = node
        .netns
        .enter(|| Gate::install(&config(Matcher::Sets), &start, &[]))
        .unwrap()
        .unwrap();
    assert_eq!(gate.update(&start, &[]).unwrap(), 0);
    let changes = [
        (ip("10.0.0.1"), INGRESS),
        (ip("10.0.0.2"), NEITHER),
        (ip("fd00::3"), BOTH),
    ];
    assert_eq!(gate.update(&changes, &[]).unwrap(), 4);
    assert_eq!(elements(&node, "ingress4"), ["10.0.0.1"]);
    assert_eq!(elements(&node, "egress4"), [""; 0]);
    assert_eq!(elements(&node, "ingress6"), ["fd00::3"]);
    assert_eq!(elements(&node, "egress6"), ["fd00::3"]);
}

#[test]
fn an_update_that_fails_is_not_believed() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    let install = || Gate::install(&config(Matcher::Sets), &[], &[]);
    let mut gate = node.netns.enter(install).unwrap().unwrap();
    node.netns.enter(Gate::remove).unwrap().unwrap();
    let error = gate.update(&[(ip("10.0.0.1"), BOTH)], &[]).unwrap_err();
    assert_eq!(error.errno(), Some(rustix::io::Errno::NOENT));
    drop(node.netns.enter(install).unwrap().unwrap());
    assert_eq!(gate.update(&[(ip("10.0.0.1"), BOTH)], &[]).unwrap(), 2);
    assert_eq!(elements(&node, "egress4"), ["10.0.0.1"]);
}

#[test]
fn sets_may_be_larger_than_a_message_and_a_send_buffer() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(0);
    let count = 20_000;
    let pods: Vec<(IpAddr, Isolated)> = (0..count)
        .map(|number: u32| {
            (
                IpAddr::from((0xfd00_u128 << 112 | u128::from(number)).to_be_bytes()),
                BOTH,
            )
        })
        .collect();
    let mut gate = node
        .netns
        .enter(|| Gate::install(&config(Matcher::Sets), &pods, &[]))
        .unwrap()
        .unwrap();
    assert_eq!(elements(&node, "egress6").len(), 20_000);
    let released: Vec<_> = pods
        .iter()
        .map(|(address, _)| (*address, NEITHER))
        .collect();
    assert_eq!(gate.update(&released, &[]).unwrap(), 40_000);
    assert_eq!(elements(&node, "ingress6"), [""; 0]);
}
