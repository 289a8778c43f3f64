//! Real packets under the real agent, against the oracle.

use std::fs;
use std::path::Path;

use sluice_lab::{Agent, Counters, Family, Lab, Mode, Outcome, builtin};
use sluice_policy::Protocol;

use crate::common::{
    assert_all_right, assert_allowed, assert_outcomes, cell, enforce, eventually, example,
    under_agents,
};

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// Two rounds: cold, then with whatever the first has left in the kernel.
#[track_caller]
fn assert_right_twice(lab: &Lab) -> Counters {
    assert_all_right(lab);
    let between = lab.counters().unwrap();
    assert_all_right(lab);
    lab.counters().unwrap().since(between)
}

#[test]
fn hybrid_mode_is_right_and_sends_no_allowed_connection_to_the_queue_twice() {
    let Some(lab) = under_agents(&builtin::default_world(), &BOTH, Mode::Hybrid) else {
        return;
    };
    let second = assert_right_twice(&lab);
    assert_eq!(second.allowed, 0, "{second:?}");
    assert!(second.lease_hits > 0 && second.flow_hits > 0, "{second:?}");
}

#[test]
fn nfqueue_mode_is_right_and_queues_every_new_connection() {
    let Some(lab) = under_agents(&builtin::default_world(), &BOTH, Mode::Nfqueue) else {
        return;
    };
    let second = assert_right_twice(&lab);
    assert!(second.allowed > 0 && second.denied > 0, "{second:?}");
    assert_eq!(
        (second.lease_hits, second.flow_hits, second.gate_lease_hits),
        (0, 0, 0),
        "{second:?}"
    );
}

/// Whether the gates ask their programs: they cannot in a kernel without `xt_bpf`.
fn asks_programs(lab: &Lab) -> bool {
    let asks = |agent: &Agent| agent.status().unwrap()["gate"]["matcher"] == "bpf";
    lab.agents().iter().all(asks)
}

#[test]
fn two_nodes_services_named_ports_udp_and_sctp_are_right_in_both_modes() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let Some(lab) = under_agents(&example("two-nodes"), &BOTH, mode) else {
            return;
        };
        let second = assert_right_twice(&lab);
        if mode == Mode::Hybrid {
            // Behind a Service a lease is found by the gate's program alone.
            assert_eq!(second.allowed == 0, asks_programs(&lab), "{second:?}");
        }
    }
}

#[test]
fn workloads_blocks_egress_and_host_network_are_right_in_both_modes() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let Some(lab) = under_agents(&example("office"), &BOTH, mode) else {
            return;
        };
        assert_right_twice(&lab);
    }
}

#[test]
fn an_edited_policy_reaches_new_and_open_connections() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let Some(mut lab) = under_agents(&builtin::default_world(), &[Family::Ipv4], mode) else {
            return;
        };
        let ask = |from, to, protocol| cell(from, to, 80, protocol, Family::Ipv4);
        let (cut_tcp, cut_udp) = (
            ask("x/b", "x/a", Protocol::Tcp),
            ask("x/b", "x/a", Protocol::Udp),
        );
        let kept = ask("y/a", "y/b", Protocol::Tcp);
        let mut to_be_cut = [&cut_tcp, &cut_udp].map(|cell| lab.connect(cell).unwrap());
        let mut to_be_kept = lab.connect(&kept).unwrap();

        let text = lab.manifests().read("policies-x.yaml").unwrap();
        let edited = text
            .replace("port: http", "port: admin")
            .replace("port: query", "port: gossip");
        assert_ne!(text, edited);
        enforce(&lab, "policies-x.yaml", &edited);
        lab.reload().unwrap();

        assert_outcomes(&lab, std::slice::from_ref(&cut_tcp), &[Outcome::Denied]);
        for connection in &mut to_be_cut {
            eventually("an open connection is cut", || !lab.is_alive(connection));
        }
        eventually("a connection that is still allowed goes on", || {
            lab.is_alive(&mut to_be_kept)
        });
        assert_all_right(&lab);

        enforce(&lab, "policies-x.yaml", &text);
        lab.reload().unwrap();
        assert_allowed(&lab, std::slice::from_ref(&cut_tcp));
        assert_all_right(&lab);
    }
}

#[test]
fn a_file_that_is_not_yaml_is_reported_and_changes_nothing() {
    let Some(lab) = under_agents(&builtin::default_world(), &[Family::Ipv4], Mode::Hybrid) else {
        return;
    };
    let mut open = lab
        .connect(&cell("x/b", "x/a", 80, Protocol::Tcp, Family::Ipv4))
        .unwrap();
    lab.manifests()
        .write("broken.yaml", "kind: NetworkPolicy\nspec: [\n")
        .unwrap();
    eventually("the broken file is in the log", || {
        lab.agents()[0].log().contains("broken.yaml")
    });
    eventually("it goes on", || lab.is_alive(&mut open));
    assert_all_right(&lab);
}

#[test]
fn a_policy_that_is_invalid_closes_what_it_selects_and_nothing_else() {
    let Some(lab) = under_agents(&builtin::default_world(), &[Family::Ipv4], Mode::Hybrid) else {
        return;
    };
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: bad, namespace: z}\n\
                  spec:\n  podSelector: {matchLabels: {pod: b}}\n  ingress: [{from: [{ipBlock: {cidr: nonsense}}]}]\n";
    let (closed, open) = (
        cell("x/a", "z/b", 80, Protocol::Tcp, Family::Ipv4),
        cell("y/b", "z/a", 80, Protocol::Udp, Family::Ipv4),
    );
    let cells = [closed, open];
    assert_allowed(&lab, &cells);
    enforce(&lab, "bad.yaml", policy);
    assert_outcomes(&lab, &cells, &[Outcome::Denied, Outcome::Allowed]);
    assert_eq!(lab.agents()[0].status().unwrap()["policies"]["invalid"], 1);
}

#[test]
fn leased_and_open_connections_outlive_the_agent() {
    let Some(mut lab) = under_agents(&builtin::default_world(), &[Family::Ipv4], Mode::Hybrid)
    else {
        return;
    };
    assert_all_right(&lab);
    let leased = cell("x/b", "x/a", 80, Protocol::Tcp, Family::Ipv4);
    let denied = cell("z/a", "x/a", 80, Protocol::Tcp, Family::Ipv4);
    let mut open = lab.connect(&leased).unwrap();
    lab.agent("node-1").unwrap().kill().unwrap();
    eventually("it goes on", || lab.is_alive(&mut open));
    assert_outcomes(
        &lab,
        &[leased, denied],
        &[Outcome::Allowed, Outcome::Denied],
    );
    lab.agent("node-1").unwrap().restart().unwrap();
    eventually("it goes on still", || lab.is_alive(&mut open));
    assert_all_right(&lab);
    lab.agent("node-1").unwrap().stop().unwrap();
}

/// Whether a process or one of this process's descriptors is in, or holds, the network namespace of that inode.
fn is_held(inode: u64) -> bool {
    let name = format!("net:[{inode}]");
    let is_it =
        |link: &Path| fs::read_link(link).is_ok_and(|target| target.to_string_lossy() == name);
    let entries = |path: &str| {
        fs::read_dir(path)
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.path()))
    };
    entries("/proc").any(|process| is_it(&process.join("ns/net")))
        || entries("/proc/self/fd").any(|fd| is_it(&fd))
}

#[test]
fn nothing_is_left_of_a_lab_that_is_dropped() {
    let Some(lab) = under_agents(&example("two-nodes"), &BOTH, Mode::Hybrid) else {
        return;
    };
    let inodes: Vec<_> = ["north", "south"]
        .map(|node| {
            rustix::fs::fstat(lab.node_netns(node).unwrap())
                .unwrap()
                .st_ino
        })
        .to_vec();
    let agents: Vec<_> = lab
        .agents()
        .iter()
        .map(|agent| format!("/proc/{}", agent.pid()))
        .collect();
    let files = lab.manifests().paths();
    assert!(inodes.iter().all(|inode| is_held(*inode)));
    assert!(agents.iter().all(|process| Path::new(process).exists()));
    assert!(files.iter().all(|path| path.exists()));
    drop(lab);
    // Another test's namespace may get the number, for as long as it lives.
    eventually("the namespaces are gone", || {
        !inodes.iter().any(|inode| is_held(*inode))
    });
    assert!(
        !agents.iter().any(|process| Path::new(process).exists()),
        "an agent"
    );
    assert!(!files.iter().any(|path| path.exists()), "a file");
}
