//! Maps and conntrack at their bounds: slower, counted, and never open.

use std::fmt::Write as _;
use std::net::SocketAddr;

use sluice_lab::{
    AgentOptions, Cell, Counters, Family, Forged, Forger, Lab, Mode, Options, Segment, builtin,
};
use sluice_policy::Protocol;

use crate::common::{
    address, agent_binary, assert_all_right, assert_allowed, cell, eventually, nft, pod, skipped,
    under_agents,
};

fn counters(lab: &Lab) -> Counters {
    lab.agents()[0].counters().unwrap()
}

fn tcp(from: &str, to: &str, port: u16) -> Cell {
    cell(from, to, port, Protocol::Tcp, Family::Ipv4)
}

/// Pods of the first node, of which the lab makes nothing: addresses alone.
fn crowd(size: u32) -> String {
    let mut text = String::new();
    for number in 0..size {
        let [_, a, b, c] = (0x0001_0000 + number).to_be_bytes();
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{number}, namespace: crowd}}\n\
             spec: {{nodeName: node-1, containers: [{{name: c, image: i}}]}}\n\
             status: {{podIPs: [{{ip: 10.{a}.{b}.{c}}}]}}"
        );
    }
    text
}

/// More local pods than there is room for in the map.
const CROWD: u32 = 16_400;

#[test]
fn more_pods_than_fit_are_enforced_all_the_same() {
    let Some(binary) = (!skipped()).then(agent_binary).flatten() else {
        return;
    };
    let mut lab = Lab::up(&builtin::default_world(), &Options::default()).unwrap();
    lab.manifests().write("crowd.yaml", &crowd(CROWD)).unwrap();
    let options = AgentOptions {
        binary,
        mode: Mode::Hybrid,
        arguments: Vec::new(),
        environment: Vec::new(),
    };
    lab.start_agents(&options).unwrap();
    assert!(lab.agents()[0].log().contains("more local pods than fit"));
    assert_all_right(&lab);
    assert_all_right(&lab);
    let counted = counters(&lab);
    assert_eq!(counted.unmatched, 0, "all count as isolated: {counted:?}");
    lab.manifests().write("crowd.yaml", "").unwrap();
    eventually("all pods fit", || {
        lab.agents()[0].log().contains("all local pods fit again")
    });
    assert_all_right(&lab);
    assert!(counters(&lab).unmatched > 0);
}

/// Sends UDP to a pod's port 80 from every port of another, with its own address.
fn sweep(lab: &Lab, from: &str, to: &str, ports: std::ops::Range<u16>) {
    let forger = Forger::open(lab.pod_netns(&pod(from)).unwrap(), Family::Ipv4).unwrap();
    let to = SocketAddr::new(address(lab, to, Family::Ipv4), 80);
    let source = address(lab, from, Family::Ipv4);
    for port in ports {
        // What the pod has no room for is not sent.
        drop(forger.send(&Forged {
            from: SocketAddr::new(source, port),
            to,
            segment: Segment::Udp,
        }));
    }
}

#[test]
fn answers_whose_entries_were_pushed_out_are_judged_and_pass() {
    let Some(lab) = under_agents(&builtin::default_world(), &[Family::Ipv4], Mode::Hybrid) else {
        return;
    };
    let mut open = lab.connect(&tcp("x/b", "x/a", 80)).unwrap();
    let udp = cell("x/b", "x/a", 80, Protocol::Udp, Family::Ipv4);
    let leased = [udp, cell("x/c", "x/a", 80, Protocol::Udp, Family::Ipv4)];
    assert_allowed(&lab, &leased);
    for from in ["x/b", "x/c"] {
        sweep(&lab, from, "x/a", 1_024..65_535);
    }
    let flows = lab.agents()[0].status().unwrap()["maps"]["flows"].clone();
    let [entries, max] = ["entries", "max"].map(|name| flows[name].as_u64().unwrap());
    assert!(entries <= max && entries > max / 10 * 9, "{flows}");
    eventually("it goes on", || lab.is_alive(&mut open));
    assert_all_right(&lab);
}

/// More connections than conntrack holds, from pods that no policy concerns, and what others do meanwhile. The kernel
/// makes room by forgetting connections that were never answered, or drops what opens one.
#[test]
fn a_full_conntrack_opens_nothing_and_cuts_nothing() {
    let Some(lab) = under_agents(&builtin::default_world(), &[Family::Ipv4], Mode::Hybrid) else {
        return;
    };
    let path = "/proc/sys/net/netfilter/nf_conntrack_max";
    let max: u32 = std::fs::read_to_string(path)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    if max > 300_000 {
        println!("skipped: conntrack holds {max} connections, which takes too long to fill");
        return;
    }
    // However long it takes to fill, nothing is forgotten for its age.
    let node = lab.node_netns("node-1").unwrap();
    node.set_sysctl("netfilter/nf_conntrack_udp_timeout", "3600")
        .unwrap();
    let mut open =
        [tcp("x/b", "x/a", 80), tcp("y/a", "y/b", 81)].map(|cell| lab.connect(&cell).unwrap());
    // Nobody says that the port is closed, which would end a connection.
    let victim = lab.pod_netns(&pod("y/a")).unwrap();
    nft(
        victim,
        "table inet mute { chain out { type filter hook output priority 0; meta l4proto icmp drop; }; }",
    );
    let forger = Forger::open(lab.pod_netns(&pod("z/b")).unwrap(), Family::Ipv4).unwrap();
    let [from, to] = ["z/b", "y/a"].map(|name| address(&lab, name, Family::Ipv4));
    for number in 0..max + max / 10 {
        let [.., high, low] = number.to_be_bytes();
        let low = u16::from_be_bytes([high, low]);
        let to = SocketAddr::new(to, 1_000 + u16::try_from(number >> 16).unwrap());
        drop(forger.send(&Forged {
            from: SocketAddr::new(from, low.max(1)),
            to,
            segment: Segment::Udp,
        }));
    }
    let full = || {
        let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap();
        count.trim().parse::<u32>().unwrap()
    };
    let count = node.enter(full).unwrap();
    assert!(count > max / 10 * 9, "{count} of {max}: it is not full");
    assert_all_right(&lab);
    for connection in &mut open {
        eventually("an open connection goes on", || lab.is_alive(connection));
    }
}
