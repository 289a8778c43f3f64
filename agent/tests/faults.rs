//! The agent when something goes wrong around it: what it loses it puts back, and nobody keeps it from answering or
//! from stopping.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketType};
use sluice_netlink::Rtnetlink;
use support::{Node, privileged};

mod support;

/// A pod that nothing may reach.
const ISOLATED: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: x}
spec: {nodeName: node-1, containers: [{name: s, image: s}]}
status: {podIPs: [{ip: 10.244.0.1}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: x}
spec: {podSelector: {}, policyTypes: [Ingress]}
";

/// The event's count in the agent's metrics.
fn counted(node: &Node, event: &str) -> u64 {
    let metrics = node.metrics();
    let line = format!("sluice_events_total{{event=\"{event}\"}} ");
    let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
    count.map_or(0, |count| count.parse().unwrap())
}

/// What `nft` does to the gate, and what of it is then missing or too much.
const MEDDLING: [(&str, &str); 5] = [
    ("the table", "flush ruleset"),
    ("all rules", "flush table inet sluice"),
    ("a chain's rules", "flush chain inet sluice postrouting"),
    ("isolation", "flush set inet sluice ingress4"),
    (
        "a rule of somebody's",
        "insert rule inet sluice postrouting accept",
    ),
];

#[test]
fn a_gate_that_somebody_changes_is_put_back() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.write("world.yaml", ISOLATED);
    let _agent = node.agent(&["--mode", "nfqueue"]);
    let before = node.nft("list table inet sluice");
    assert!(before.contains("10.244.0.1"), "{before}");
    for (count, (what, change)) in (1..).zip(MEDDLING) {
        node.nft(change);
        node.await_that(what, || counted(&node, "gate_lost") >= count);
        // It is counted before it is put back.
        node.await_that(what, || {
            node.gate() && stripped(&node.nft("list table inet sluice")) == stripped(&before)
        });
    }
    assert!(node.log().contains("the gate is gone"), "{}", node.log());
}

/// A listing without its counters.
fn stripped(listing: &str) -> Vec<String> {
    let counters = |line: &str| {
        let words = line.split(' ').filter(|word| word.parse::<u64>().is_err());
        words.collect::<Vec<_>>().join(" ")
    };
    listing.lines().map(counters).collect()
}

/// How many TCX programs an interface has at its ingress, by `BPF_PROG_QUERY` of bpf(2).
fn programs_on(ifindex: u32) -> u32 {
    const PROG_QUERY: libc::c_int = 16;
    const TCX_INGRESS: u32 = 46;
    const COUNT: usize = 6;
    // the interface, the kind, flags, and no room for programs: the kernel says how many there are
    let mut attributes = [0_u32; 16];
    attributes[..2].copy_from_slice(&[ifindex, TCX_INGRESS]);
    let size = u32::try_from(size_of_val(&attributes)).unwrap();
    // SAFETY: the kernel reads and writes `size` bytes of what lives until it returns.
    let outcome = unsafe { libc::syscall(libc::SYS_bpf, PROG_QUERY, &raw mut attributes, size) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
    attributes[COUNT]
}

#[test]
fn a_program_that_somebody_takes_off_is_put_back() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.add_link("veth0");
    let _agent = node.agent(&[]);
    if node.status()["tc"]["attach"] != "tcx" {
        println!("skipped: no TCX in this kernel");
        return;
    }
    let links = node.path("bpf/sluice/links");
    let index = || Rtnetlink::open()?.index("veth0");
    let index = node.netns().enter(index).unwrap().unwrap();
    let pin = links.join(index.to_string());
    let pin = pin.to_str().unwrap();
    let programs = || node.netns().enter(|| programs_on(index)).unwrap();
    assert_eq!(programs(), 1);
    let ways: [(&str, &[&str]); 2] = [
        ("bpftool", &["link", "detach", "pinned", pin]),
        ("rm", &[pin]),
    ];
    for (count, (program, arguments)) in (1..).zip(ways) {
        node.tool(program, arguments);
        node.await_that("the loss is noticed", || counted(&node, "tc_lost") >= count);
        // The kernel lets go of a link without a pin in its own time.
        node.await_that("one program", || programs() == 1);
    }
    assert!(node.log().contains("was taken off"), "{}", node.log());
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
        let said = node.log();
        assert!(said.contains("another agent runs on this node"), "{said}");
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
    // One after the other, they would take a minute.
    let _silent: Vec<_> = (0..12)
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
        asked.elapsed() < Duration::from_secs(30),
        "status took {:?}",
        asked.elapsed()
    );
    let (code, took) = agent.stop();
    assert_eq!(code, Some(0));
    // The half request alone would hold it for ten seconds.
    assert!(took < Duration::from_secs(9), "SIGTERM took {took:?}");
}

/// Port ids of a process's route sockets that receive events: a line of `/proc/net/netlink` is the socket, its
/// protocol (0 for routes), port id and groups.
fn watching(process: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/net/netlink")).unwrap();
    let port = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let watches = columns[1] == "0" && u32::from_str_radix(columns[3], 16) != Ok(0);
        watches.then(|| columns[2].parse().unwrap())
    };
    let mut ports: Vec<u32> = text.lines().skip(1).filter_map(port).collect();
    ports.sort_unstable();
    ports
}

/// Sends more to a netlink socket than its owner can read at once.
fn overfill(port: u32) {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
    let address = SocketAddrNetlink::new(port, 0);
    let sent = rustix::net::sendto(&socket, &vec![0; 40_000], SendFlags::empty(), &address);
    assert_eq!(sent, Ok(40_000));
}

#[test]
fn an_agent_that_can_follow_the_kernel_no_longer_ends() {
    if !privileged() {
        return;
    }
    let node = Node::new();
    node.write("world.yaml", ISOLATED);
    for number in 0..2 {
        let agent = node.agent(&["--mode", "nfqueue"]);
        let watching = watching(agent.id());
        assert_eq!(watching.len(), 2, "interfaces and routes");
        node.netns().enter(|| overfill(watching[number])).unwrap();
        assert_eq!(agent.ended(), Some(1), "{}", node.log());
        assert!(node.gate(), "what was enforced is enforced");
    }
    for lost in ["interfaces", "routes"] {
        let line = format!("{lost} are no longer watched");
        assert!(node.log().contains(&line), "{}", node.log());
    }
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
