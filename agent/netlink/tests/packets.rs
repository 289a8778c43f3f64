//! Real packets through the gate: what is queued, what the answer does, and what nobody is asked about.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use common::Node;
use common::bpf::Programs;
use nfq::{Message, Queue, Verdict};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};
use sluice_ebpf::Marks;
use sluice_netlink::dnat::{self, DnatRule};
use sluice_netlink::{
    Conntrack, Entry, Filter, Gate, GateConfig, Isolated, Masked, Matcher, QueueVerb, Rtnetlink,
};

mod common;

const PATIENCE: Duration = Duration::from_secs(5);
const PORT: u16 = 5353;
const UDP: u8 = 17;
const BOTH: Isolated = Isolated {
    ingress: true,
    egress: true,
};
/// ACCEPTED, PASS or REVOKED, and REPLY of the default mark bits.
const MARKS: Marks = Marks {
    accepted: 0x10,
    pass: 0x20,
    revoked: 0x20,
    reply: 0x40,
};
const CONNTRACK: u32 = 0x30;

/// A node with two pods, the gate, and a test that answers the queue.
struct World {
    node: Node,
    queue: Queue,
    gate: Gate,
}

fn config(matcher: Matcher) -> GateConfig {
    GateConfig {
        marks: MARKS,
        queue: 100,
        queues: 1,
        fail_open: false,
        matcher,
        verb: QueueVerb::Xt,
    }
}

impl World {
    /// Pods 0 and 1, the second of which is isolated.
    fn new() -> Self {
        let node = Node::with_pods(2);
        let isolated = [(node.pods[1].ipv4, BOTH), (node.pods[1].ipv6, BOTH)];
        let install = || Gate::install(&config(Matcher::Sets), &isolated);
        let gate = node.netns.enter(install).unwrap().unwrap();
        let queue = || {
            let mut queue = Queue::open().unwrap();
            queue.bind(100).unwrap();
            queue.set_nonblocking(true);
            queue
        };
        let queue = node.netns.enter(queue).unwrap();
        Self { node, queue, gate }
    }

    /// The next packet in the queue.
    fn queued(&mut self) -> Message {
        let mut received = None;
        common::eventually("a packet in the queue", || {
            received = self.queue.recv().ok();
            received.is_some()
        });
        received.unwrap()
    }

    fn assert_nothing_queued(&mut self) {
        let message = self
            .queue
            .recv()
            .map(|message| message.get_payload().to_vec());
        assert_eq!(message.unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    /// Accepts, with the marks of an agent that does: the packet's own, without REPLY, and with ACCEPTED.
    fn accept(&mut self, mut message: Message) {
        message.set_nfmark(message.get_nfmark() & !MARKS.packet() | MARKS.accepted);
        message.set_verdict(Verdict::Accept);
        self.queue.verdict(message).unwrap();
    }

    /// Lets a packet pass that decides nothing about its connection.
    fn let_pass(&mut self, mut message: Message) {
        message.set_verdict(Verdict::Accept);
        self.queue.verdict(message).unwrap();
    }

    /// A socket in a pod, on this port of the pod's address of that family.
    fn socket(&self, pod: usize, ipv6: bool, port: u16) -> UdpSocket {
        let pod = &self.node.pods[pod];
        let address = if ipv6 { pod.ipv6 } else { pod.ipv4 };
        let socket = pod
            .netns
            .enter(|| UdpSocket::bind((address, port)).unwrap())
            .unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// The packets that ended at this rule.
    fn counter(&self, name: &str) -> u64 {
        let counters = self.node.netns.enter(Gate::counters).unwrap().unwrap();
        counters
            .into_iter()
            .find(|(rule, _)| rule == name)
            .unwrap()
            .1
    }

    /// The connection between the pods.
    fn connection(&self) -> (Conntrack, Entry) {
        let mut conntrack = self.node.netns.enter(Conntrack::open).unwrap().unwrap();
        let mut entries = Vec::new();
        conntrack
            .dump(&Filter::default(), |entry| entries.push(entry))
            .unwrap();
        entries.retain(|entry| entry.original.protocol == UDP);
        assert_eq!(entries.len(), 1);
        (conntrack, entries[0])
    }
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

fn assert_nothing_received(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let result = socket.recv_from(&mut [0; 64]);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
}

/// The datagram's text.
fn text(message: &Message, ipv6: bool) -> Vec<u8> {
    message.get_payload()[if ipv6 { 48 } else { 28 }..].to_vec()
}

fn accepted_once_then_never_asked_again(ipv6: bool) {
    let mut world = World::new();
    let (client, server) = (world.socket(0, ipv6, 4000), world.socket(1, ipv6, PORT));
    client
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let message = world.queued();
    assert_eq!(
        (text(&message, ipv6), message.get_nfmark()),
        (b"first".to_vec(), 0)
    );
    world.accept(message);
    let (got, from) = receive(&server);
    assert_eq!(
        (got, from),
        (b"first".to_vec(), client.local_addr().unwrap())
    );
    assert_eq!(world.connection().1.mark, MARKS.accepted);
    server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&client).0, b"answer");
    client
        .send_to(b"second", server.local_addr().unwrap())
        .unwrap();
    assert_eq!(receive(&server).0, b"second");
    world.assert_nothing_queued();
    assert_eq!(
        (
            world.counter("queue"),
            world.counter("accepted"),
            world.counter("keep")
        ),
        (1, 2, 1)
    );
}

#[test]
fn a_connection_that_is_accepted_is_asked_about_once() {
    if common::privileged() {
        accepted_once_then_never_asked_again(false);
        accepted_once_then_never_asked_again(true);
    }
}

#[test]
fn a_connection_that_is_revoked_is_dropped_in_both_directions() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let message = world.queued();
    world.accept(message);
    let (_, from) = receive(&server);
    let (mut conntrack, entry) = world.connection();
    let revoked = Masked {
        value: MARKS.revoked,
        mask: CONNTRACK,
    };
    assert!(conntrack.set_mark(&entry, revoked).unwrap());
    client
        .send_to(b"second", server.local_addr().unwrap())
        .unwrap();
    common::eventually("the first drop", || world.counter("revoked") == 1);
    server.send_to(b"answer", from).unwrap();
    common::eventually("the second drop", || world.counter("revoked") == 2);
    assert_nothing_received(&server);
    assert_nothing_received(&client);
    world.assert_nothing_queued();
    // and allowed again
    let accepted = Masked {
        value: MARKS.accepted,
        mask: CONNTRACK,
    };
    assert!(conntrack.set_mark(&entry, accepted).unwrap());
    server.send_to(b"again", from).unwrap();
    assert_eq!(receive(&client).0, b"again");
}

#[test]
fn a_reply_says_that_it_is_one() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let message = world.queued();
    world.let_pass(message);
    let (_, from) = receive(&server);
    assert_eq!(world.connection().1.mark, 0);
    server.send_to(b"answer", from).unwrap();
    let message = world.queued();
    assert_eq!(
        (text(&message, false), message.get_nfmark()),
        (b"answer".to_vec(), MARKS.reply)
    );
    world.accept(message);
    assert_eq!(receive(&client).0, b"answer");
    assert_eq!(world.connection().1.mark, MARKS.accepted);
}

#[test]
fn nobody_elses_mark_bits_are_touched() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let others = "
        table inet others {
            chain before {
                type filter hook prerouting priority 0;
                udp dport 5353 meta mark set 0x4000 ct mark set 0x8000
                udp sport 5353 meta mark set 0x4000
            }
            chain behind {
                type filter hook postrouting priority 200;
                meta mark 0x4000 counter
            }
        }";
    world.node.run("nft", &[others]);
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let message = world.queued();
    assert_eq!(message.get_nfmark(), 0x4000);
    world.let_pass(message);
    let (_, from) = receive(&server);
    assert_eq!(world.connection().1.mark, 0x8000);
    server.send_to(b"answer", from).unwrap();
    let message = world.queued();
    assert_eq!(message.get_nfmark(), 0x4000 | MARKS.reply);
    world.accept(message);
    assert_eq!(receive(&client).0, b"answer");
    assert_eq!(world.connection().1.mark, 0x8000 | MARKS.accepted);
    // the accepted reply left with the others' bit alone; UDP is all that was forwarded
    let behind = world
        .node
        .run("nft", &["list", "chain", "inet", "others", "behind"]);
    assert!(
        behind.contains("meta mark 0x00004000 counter packets 2 "),
        "{behind}"
    );
}

#[test]
fn what_is_not_isolated_is_not_asked_about() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let released = [(world.node.pods[1].ipv4, Isolated::default())];
    assert_eq!(world.gate.update(&released).unwrap(), 2);
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    assert_eq!(receive(&server).0, b"first");
    let egress = [(
        world.node.pods[0].ipv4,
        Isolated {
            ingress: false,
            egress: true,
        },
    )];
    assert_eq!(world.gate.update(&egress).unwrap(), 1);
    let other = world.socket(0, false, 4001);
    other
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let message = world.queued();
    assert_eq!(text(&message, false), b"first");
    drop(message);
}

#[test]
fn a_pass_mark_counts_unless_the_connection_is_translated() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let marker = "
        table inet marker {
            chain before {
                type filter hook prerouting priority -200;
                meta mark set 0x20
            }
        }";
    world.node.run("nft", &[marker]);
    let vip: IpAddr = "10.96.0.1".parse().unwrap();
    let service = DnatRule {
        vip,
        protocol: UDP,
        port: 53,
        backends: vec![(world.node.pods[1].ipv4, PORT)],
    };
    world
        .node
        .netns
        .enter(|| dnat::install(&[service]))
        .unwrap()
        .unwrap();
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client
        .send_to(b"direct", server.local_addr().unwrap())
        .unwrap();
    assert_eq!(receive(&server).0, b"direct");
    assert!(world.counter("pass") > 0);
    world.assert_nothing_queued();
    client.send_to(b"service", (vip, 53)).unwrap();
    let message = world.queued();
    assert_eq!(text(&message, false), b"service");
    // behind the translation: the pod's own port
    assert_eq!(message.get_payload()[22..24], PORT.to_be_bytes());
    world.accept(message);
    assert_eq!(receive(&server).0, b"service");
}

#[test]
fn an_icmp_error_about_a_connection_passes() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    for ipv6 in [false, true] {
        let (client, pod) = (world.socket(0, ipv6, 4000), &world.node.pods[1]);
        let to = SocketAddr::new(if ipv6 { pod.ipv6 } else { pod.ipv4 }, PORT);
        client.connect(to).unwrap();
        client.send(b"nobody listens").unwrap();
        let message = world.queued();
        world.let_pass(message);
        let error = client.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    assert_eq!(world.counter("related"), 2);
}

#[test]
fn the_nodes_own_traffic_passes_and_a_pods_to_the_node_is_asked_about() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let pod = world.socket(1, false, PORT);
    let own = world
        .node
        .netns
        .enter(|| UdpSocket::bind("0.0.0.0:6000").unwrap())
        .unwrap();
    own.set_read_timeout(Some(PATIENCE)).unwrap();
    own.send_to(b"probe", pod.local_addr().unwrap()).unwrap();
    let (_, from) = receive(&pod);
    pod.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&own).0, b"answer");
    world.assert_nothing_queued();
    assert!(world.counter("own") > 0 && world.counter("answer") > 0);
    // the other way round, the connection is the pod's
    let other = world.socket(1, false, 5454);
    other.send_to(b"hello", from).unwrap();
    let message = world.queued();
    assert_eq!(text(&message, false), b"hello");
    world.accept(message);
    let (_, client) = receive(&own);
    own.send_to(b"welcome", client).unwrap();
    assert_eq!(receive(&other).0, b"welcome");
    other.send_to(b"thanks", from).unwrap();
    assert_eq!(receive(&own).0, b"thanks");
    world.assert_nothing_queued();
}

#[test]
fn a_pod_cannot_borrow_the_nodes_address() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let borrowed: IpAddr = "fd77::bad".parse().unwrap();
    let add = |link: &'static str| move || Rtnetlink::open()?.add_address(link, borrowed, 128);
    world.node.netns.enter(add("pod0")).unwrap().unwrap();
    world.node.pods[0]
        .netns
        .enter(add("eth0"))
        .unwrap()
        .unwrap();
    let liar = || UdpSocket::bind((borrowed, 0)).unwrap();
    let liar = world.node.pods[0].netns.enter(liar).unwrap();
    liar.send_to(b"let me in", (world.node.pods[1].ipv6, PORT))
        .unwrap();
    assert_eq!(text(&world.queued(), true), b"let me in");
}

#[test]
fn the_number_of_icmpv6_means_nothing_in_ipv4() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let raw = || {
        rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMPV6)).unwrap()
    };
    let socket = world.node.pods[0].netns.enter(raw).unwrap();
    let to = SocketAddr::new(world.node.pods[1].ipv4, 0);
    // it looks like a neighbour solicitation
    rustix::net::sendto(
        &socket,
        &[135, 0, 0, 0, 0, 0, 0, 0],
        SendFlags::empty(),
        &to,
    )
    .unwrap();
    assert_eq!(world.queued().get_payload()[20], 135);
}

#[test]
fn without_an_agent_what_needs_a_verdict_follows_fail_open() {
    if !common::privileged() {
        return;
    }
    for fail_open in [false, true] {
        let World { node, queue, gate } = World::new();
        drop((queue, gate));
        let isolated = [(node.pods[1].ipv4, BOTH)];
        let config = GateConfig {
            fail_open,
            ..config(Matcher::Sets)
        };
        let gate = node
            .netns
            .enter(|| Gate::install(&config, &isolated))
            .unwrap()
            .unwrap();
        let queue = node.netns.enter(|| Queue::open().unwrap()).unwrap();
        let world = World { node, queue, gate };
        let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
        client
            .send_to(b"first", server.local_addr().unwrap())
            .unwrap();
        if fail_open {
            assert_eq!(receive(&server).0, b"first");
        } else {
            common::eventually("the queue", || world.counter("queue") == 1);
            assert_nothing_received(&server);
        }
    }
}

#[test]
fn the_pinned_programs_decide_before_the_queue() {
    if !common::privileged() {
        return;
    }
    for (pass, deny) in [(true, true), (false, true), (false, false)] {
        let World { node, queue, .. } = World::new();
        let install = || {
            let programs = Programs::pin(pass, deny);
            let matcher = Matcher::Bpf {
                pass: programs.pass(),
                deny: programs.deny(),
            };
            Gate::install(&config(matcher), &[]).unwrap()
        };
        let gate = node.netns.enter(install).unwrap();
        let mut world = World { node, queue, gate };
        let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
        client
            .send_to(b"first", server.local_addr().unwrap())
            .unwrap();
        match (pass, deny) {
            (true, _) => assert_eq!(receive(&server).0, b"first"),
            (false, true) => common::eventually("the drop", || world.counter("gate-deny") > 0),
            (false, false) => {
                // the pods' multicast listener reports to the node are in the queue, too
                let queued = || world.queued();
                let first = std::iter::repeat_with(queued)
                    .find(|message| message.get_payload()[0] >> 4 == 4);
                assert_eq!(text(&first.unwrap(), false), b"first");
            }
        }
        assert_eq!(world.counter("gate-pass") > 0, pass);
        assert_eq!(world.counter("queue") > 0, !pass && !deny);
    }
}
