//! Packets of established connections that the agent has handed from link to link: they are what they would have been,
//! conntrack knows their connections, and what the node's other rules say reaches them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sluice_lab::stream::{Direction, Lost, Pace, Stream};
use sluice_lab::{Cell, Counters, Family, Forged, Forger, Lab, Mode, Segment, ServiceName, Target};
use sluice_netlink::{Conntrack, Entry, Filter, Netns};
use sluice_policy::Protocol;

use crate::common::{
    REDIRECT, address, assert_allowed, cell, enforce, eventually, nft, nft_list, pod, under_agents,
    under_agents_told,
};
use crate::revocation::{FRIENDS, NONE, PODS, assert_no_leak, manifests};

const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];
/// How long packets are handed over without one that the node's rules see (`sluice_ebpf::Redirect::CONFIRM_NS`).
const CONFIRMED: Duration = Duration::from_secs(5);

/// A server that lets friends in, whom the kernel has leases for: a connection that the queue accepted passes as that.
fn lab() -> Option<Lab> {
    let manifests = manifests([PODS, FRIENDS, NONE]);
    let lab = under_agents_told(&manifests, &BOTH, Mode::Hybrid, &[REDIRECT])?;
    let protocols = [Protocol::Tcp, Protocol::Udp];
    let cells = protocols.map(|protocol| BOTH.map(|family| direct(protocol, family)));
    assert_allowed(&lab, cells.as_flattened());
    Some(lab)
}

fn direct(protocol: Protocol, family: Family) -> Cell {
    let port = if protocol == Protocol::Udp { 81 } else { 80 };
    cell("shop/friend", "shop/server", port, protocol, family)
}

fn node(lab: &Lab) -> &Netns {
    lab.node_netns("node-1").unwrap()
}

fn counters(lab: &Lab) -> Counters {
    lab.counters().unwrap()
}

/// Something there and back, every millisecond.
fn stream(lab: &Lab, cell: &Cell) -> Stream {
    let pace = Pace {
        interval: Duration::from_millis(1),
        answered: true,
    };
    lab.stream(cell, pace).unwrap()
}

/// Waits for more of it.
#[track_caller]
fn assert_flows(stream: &Stream) {
    let then = stream.delivered(Direction::Backward);
    eventually("it flows", || {
        stream.delivered(Direction::Backward) > then + 50
    });
}

/// Waits until what flows is handed over, some packets there and back.
#[track_caller]
fn assert_redirected(lab: &Lab) {
    let then = counters(lab).redirected;
    eventually("it is redirected", || counters(lab).redirected > then + 100);
}

/// Waits for more of it, of which nothing is handed over.
#[track_caller]
fn assert_not_redirected(lab: &Lab, stream: &Stream) {
    let then = counters(lab).redirected;
    assert_flows(stream);
    assert_eq!(counters(lab).redirected, then);
}

#[track_caller]
fn assert_nothing_lost(mut stream: Stream) {
    assert!(stream.stop(), "something does not arrive");
    assert_eq!(stream.lost(), Lost::default());
}

/// What conntrack knows of IPv4 connections to a port.
fn tracked(lab: &Lab, port: u16) -> Vec<Entry> {
    let look = || {
        let mut found = Vec::new();
        let note = |entry: Entry| {
            if entry.original.dport == port && entry.original.dst.is_ipv4() {
                found.push(entry);
            }
        };
        let mut conntrack = Conntrack::open().unwrap();
        conntrack.dump(&Filter::default(), note).unwrap();
        found
    };
    node(lab).enter(look).unwrap()
}

/// Counts at a pod what has not made one hop, and keeps the link headers of what has come.
const HEADERS: &str = "table inet seen { \
    set links { type ether_addr . ether_addr; flags dynamic; }; \
    chain headers { type filter hook input priority -400; \
    ip ttl != 63 counter; ip6 nexthdr { tcp, udp } ip6 hoplimit != 63 counter; }; \
    chain links { type filter hook input priority -399; \
    meta l4proto { tcp, udp } add @links { ether saddr . ether daddr } counter; }; }";

#[test]
fn what_is_redirected_is_what_it_would_have_been() {
    let Some(lab) = lab() else {
        return;
    };
    let server = lab.pod_netns(&pod("shop/server")).unwrap();
    nft(server, HEADERS);
    for family in BOTH {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let stream = stream(&lab, &direct(protocol, family));
            assert_redirected(&lab);
            assert!(stream.delivered(Direction::Forward) > 0);
            assert_nothing_lost(stream);
        }
    }
    assert!(nft_list(server, "inet seen links") > 0);
    assert_eq!(nft_list(server, "inet seen headers"), 0, "hops");
    let links = listed(server, "inet seen links");
    assert_eq!(links.matches(" . ").count(), 1, "one neighbour: {links}");
}

/// The elements of a set, as `nft` lists them.
fn listed(netns: &Netns, set: &str) -> String {
    let mut nft = Command::new("nft");
    nft.args(["list", "set"]).args(set.split(' '));
    let listed = netns.enter(|| nft.output().unwrap()).unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split("elements").nth(1).unwrap_or_default().to_owned()
}

#[test]
fn conntrack_knows_a_connection_from_its_beginning_to_its_end() {
    let Some(lab) = lab() else {
        return;
    };
    let cell = direct(Protocol::Tcp, Family::Ipv4);
    let stream = stream(&lab, &cell);
    assert_redirected(&lab);
    let client = address(&lab, "shop/friend", Family::Ipv4);
    assert!(is_open(&lab, 80));
    let mut opened = tracked(&lab, 80).into_iter().map(|it| it.original.src);
    assert!(opened.all(|source| source == client), "who opened it");
    assert_nothing_lost(stream);
    eventually("it is known to be over", || !is_open(&lab, 80));
}

/// Whether conntrack has an open TCP connection to a port.
fn is_open(lab: &Lab, port: u16) -> bool {
    let table = || std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    let table = node(lab).enter(table).unwrap();
    let port = format!(" dport={port} ");
    let mut lines = table.lines();
    lines.any(|line| line.contains("ESTABLISHED") && line.contains(&port))
}

#[test]
fn what_is_translated_is_not_redirected() {
    let Some(lab) = lab() else {
        return;
    };
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let through = Cell {
            to: Target::Service(ServiceName {
                namespace: "shop".into(),
                name: "front".into(),
            }),
            ..direct(protocol, Family::Ipv4)
        };
        let stream = stream(&lab, &through);
        assert_flows(&stream);
        assert_not_redirected(&lab, &stream);
        assert_nothing_lost(stream);
    }
}

#[test]
fn what_others_say_reaches_what_is_redirected() {
    let Some(lab) = lab() else {
        return;
    };
    let streams = [Protocol::Tcp, Protocol::Udp]
        .map(|protocol| stream(&lab, &direct(protocol, Family::Ipv4)));
    assert_redirected(&lab);
    let friend = address(&lab, "shop/friend", Family::Ipv4);
    nft(
        node(&lab),
        &format!(
            "table ip others {{ chain forward {{ type filter hook forward priority 0; ip saddr {friend} counter drop; }}; }}"
        ),
    );
    let said = Instant::now();
    for stream in &streams {
        eventually("others' rule is in force", || {
            let last = stream.last_delivery(Direction::Forward).unwrap();
            last < Instant::now().checked_sub(CONFIRMED).unwrap()
        });
        let last = stream.last_delivery(Direction::Forward).unwrap();
        // A processor that the test does not get for long is no packet that passed.
        assert!(last < said + 2 * CONFIRMED, "{:?}", last - said);
    }
    nft(node(&lab), "delete table ip others");
    for stream in &streams {
        assert_flows(stream);
    }
    assert_redirected(&lab);
}

/// Drops what conntrack takes for invalid, as kube-proxy has it done.
const INVALID: &str = "table inet proxy { chain invalid { type filter hook forward priority 0; ct state invalid counter drop; }; }";

#[test]
fn a_connection_that_conntrack_saw_little_of_goes_on() {
    let Some(lab) = lab() else {
        return;
    };
    nft(node(&lab), INVALID);
    let server = lab.pod_netns(&pod("shop/server")).unwrap();
    let client = lab.pod_netns(&pod("shop/friend")).unwrap();
    let at = SocketAddr::new(address(&lab, "shop/server", Family::Ipv4), 8080);
    let listener = server.enter(|| TcpListener::bind(at)).unwrap().unwrap();
    let taken = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut buffer, mut sum) = (vec![0; 1 << 20], 0);
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => return sum,
                count => sum += count as u64,
            }
        }
    });
    let mut stream = client.enter(|| TcpStream::connect(at)).unwrap().unwrap();
    stream.set_write_timeout(Some(6 * CONFIRMED)).unwrap();
    let (begun, buffer, mut sent) = (Instant::now(), vec![7; 1 << 18], 0);
    // Through two confirmations, each of them far beyond the window that the last has shown.
    while begun.elapsed() < 2 * CONFIRMED + CONFIRMED / 5 {
        stream.write_all(&buffer).unwrap();
        sent += buffer.len() as u64;
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(taken.join().unwrap(), sent);
    assert!(counters(&lab).redirected > 1_000, "{:?}", counters(&lab));
    assert_eq!(nft_list(node(&lab), "inet proxy invalid"), 0, "invalid");
}

#[test]
fn a_redirected_connection_is_nobody_elses() {
    let Some(lab) = lab() else {
        return;
    };
    let stream = stream(&lab, &direct(Protocol::Udp, Family::Ipv4));
    assert_redirected(&lab);
    let guest = lab.pod_netns(&pod("guests/guest")).unwrap();
    let forger = Forger::open(guest, Family::Ipv4).unwrap();
    let (before, entries) = (counters(&lab).spoofed, tracked(&lab, 81));
    for entry in &entries {
        let segment = Forged {
            from: SocketAddr::new(entry.original.src, entry.original.sport),
            to: SocketAddr::new(entry.original.dst, entry.original.dport),
            segment: Segment::Udp,
        };
        forger.send(&segment).unwrap();
    }
    let sent = entries.len() as u64;
    assert!(sent > 0);
    eventually("it is spoofed", || counters(&lab).spoofed == before + sent);
    assert_nothing_lost(stream);
}

#[test]
fn an_agent_that_starts_without_it_ends_it_and_cuts_nothing() {
    let Some(mut lab) = lab() else {
        return;
    };
    let cell = direct(Protocol::Tcp, Family::Ipv4);
    let stream = stream(&lab, &cell);
    assert_redirected(&lab);
    // Without an agent it goes on.
    lab.agent("node-1").unwrap().kill().unwrap();
    assert_flows(&stream);
    lab.agent("node-1").unwrap().restart().unwrap();
    assert_redirected(&lab);
    lab.agent("node-1").unwrap().stop().unwrap();
    lab.agent("node-1").unwrap().set_arguments(Vec::new());
    lab.agent("node-1").unwrap().start_again().unwrap();
    lab.agent("node-1").unwrap().wait_ready().unwrap();
    assert_not_redirected(&lab, &stream);
    assert_nothing_lost(stream);
}

#[test]
fn a_node_whose_conntrack_is_strict_redirects_nothing() {
    let manifests = manifests([PODS, FRIENDS, NONE]);
    let Some(lab) = under_agents(&manifests, &BOTH, Mode::Hybrid) else {
        return;
    };
    let mut lab = lab;
    let agent = lab.agent("node-1").unwrap();
    agent.stop().unwrap();
    agent.set_arguments(vec![REDIRECT.into()]);
    agent.start_again().unwrap();
    agent.wait_ready().unwrap();
    assert_eq!(agent.status().unwrap()["tc"]["redirects"], false);
    let said = "net.netfilter.nf_conntrack_tcp_be_liberal=1, ";
    assert!(agent.log().contains(said), "{}", agent.log());
    let cell = direct(Protocol::Tcp, Family::Ipv4);
    let stream = stream(&lab, &cell);
    assert_not_redirected(&lab, &stream);
    // And policies are enforced.
    enforce(
        &lab,
        "friends.yaml",
        &FRIENDS.replace("role: friend", "role: nobody"),
    );
    assert_no_leak("a strict node", &[(cell, stream)], Instant::now());
}

/// A server that answers datagrams, and a socket that is redirected to it and back.
fn echo(lab: &Lab) -> UdpSocket {
    let socket = || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket
            .connect((address(lab, "shop/server", Family::Ipv4), 81))
            .unwrap();
        socket
    };
    let client = lab.pod_netns(&pod("shop/friend")).unwrap();
    let socket = client.enter(socket).unwrap();
    socket.set_read_timeout(Some(CONFIRMED / 50)).unwrap();
    let then = counters(lab).redirected;
    eventually("its datagrams are redirected", || {
        is_answered(&socket, 1) && counters(lab).redirected > then + 4
    });
    socket
}

/// Whether a datagram of that length is answered. What the kernel has learned of the way comes out as an error, once.
fn is_answered(socket: &UdpSocket, length: usize) -> bool {
    socket.send(&vec![7; length]).is_ok() && socket.recv(&mut [0; 64]).is_ok()
}

/// Counts at a pod datagrams that a router would not have sent on: spent, or longer than the link takes.
const UNFIT: &str = "table ip unfit { chain spent { type filter hook prerouting priority -450; udp dport 81 ip ttl 0 counter; }; \
    chain long { type filter hook prerouting priority -450; ip protocol udp ip length > 1300 counter; }; }";

#[test]
fn what_a_router_would_not_send_on_takes_the_ordinary_way() {
    let Some(lab) = lab() else {
        return;
    };
    let server = lab.pod_netns(&pod("shop/server")).unwrap();
    nft(server, UNFIT);
    let socket = echo(&lab);
    socket.set_ttl(1).unwrap();
    assert!(!is_answered(&socket, 1), "its hops are spent");
    socket.set_ttl(64).unwrap();
    eventually("it is answered", || is_answered(&socket, 1));
    assert_eq!(nft_list(server, "ip unfit spent"), 0);
    let link = lab.interface(&pod("shop/server")).unwrap();
    let narrow = || {
        let mut ip = Command::new("ip");
        ip.args(["link", "set", "dev", &link, "mtu", "1300"]);
        assert!(ip.status().unwrap().success());
    };
    node(&lab).enter(narrow).unwrap();
    eventually("what is too long is answered", || {
        is_answered(&socket, 1400)
    });
    assert_eq!(nft_list(server, "ip unfit long"), 0);
    let then = counters(&lab).redirected;
    eventually("what is not goes past", || {
        is_answered(&socket, 1) && counters(&lab).redirected > then
    });
}
