//! A node with two pods and the gate, and a test that is the agent: it answers the queue.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use nfq::{Message, Queue, Verdict};
use sluice_ebpf::Marks;
use sluice_netlink::{Conntrack, Entry, Filter, Gate, GateConfig, Isolated, Matcher};

use super::{Node, eventually, verb};

pub const PATIENCE: Duration = Duration::from_mins(1);
pub const PORT: u16 = 5353;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const BOTH: Isolated = Isolated {
    ingress: true,
    egress: true,
};
/// ACCEPTED, PASS or REVOKED, and REPLY of the default mark bits.
pub const MARKS: Marks = Marks {
    accepted: 0x10,
    pass: 0x20,
    revoked: 0x20,
    reply: 0x40,
};

/// A node with two pods, the gate, and a test that answers the queue.
pub struct World {
    pub node: Node,
    pub queue: Queue,
    pub gate: Gate,
}

pub fn config(matcher: Matcher) -> GateConfig {
    GateConfig {
        marks: MARKS,
        queue: 100,
        queues: 1,
        fail_open: false,
        accept_for_good: false,
        honour_pass: true,
        early_datagrams: false,
        redirect: None,
        matcher,
        verb: verb(),
    }
}

impl World {
    /// Pods 0 and 1, the second of which is isolated.
    pub fn new() -> Self {
        Self::under(&config(Matcher::Sets))
    }

    /// The same behind a gate of this kind.
    pub fn under(config: &GateConfig) -> Self {
        let node = Node::with_pods(2);
        let isolated = [(node.pods[1].ipv4, BOTH), (node.pods[1].ipv6, BOTH)];
        let install = || Gate::install(config, &isolated, &[]);
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
    pub fn queued(&mut self) -> Message {
        let mut received = None;
        eventually("a packet in the queue", || {
            received = self.queue.recv().ok();
            received.is_some()
        });
        received.unwrap()
    }

    pub fn assert_nothing_queued(&mut self) {
        let message = self
            .queue
            .recv()
            .map(|message| message.get_payload().to_vec());
        assert_eq!(message.unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    /// Accepts, with the marks of an agent that does: the packet's own, without REPLY, and with ACCEPTED.
    pub fn accept(&mut self, mut message: Message) {
        message.set_nfmark(message.get_nfmark() & !MARKS.packet() | MARKS.accepted);
        message.set_verdict(Verdict::Accept);
        self.queue.verdict(message).unwrap();
    }

    /// Lets a packet pass that decides nothing about its connection.
    pub fn let_pass(&mut self, mut message: Message) {
        message.set_verdict(Verdict::Accept);
        self.queue.verdict(message).unwrap();
    }

    /// Drops a packet.
    pub fn deny(&mut self, mut message: Message) {
        message.set_verdict(Verdict::Drop);
        self.queue.verdict(message).unwrap();
    }

    /// A socket in a pod, on this port of the pod's address of that family.
    pub fn socket(&self, pod: usize, ipv6: bool, port: u16) -> UdpSocket {
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
    pub fn counter(&self, name: &str) -> u64 {
        let counters = self.node.netns.enter(Gate::counters).unwrap().unwrap();
        counters
            .into_iter()
            .find(|(rule, _)| rule == name)
            .unwrap()
            .1
    }

    /// The UDP connection between the pods.
    pub fn connection(&self) -> (Conntrack, Entry) {
        self.connection_of(UDP)
    }

    /// The one connection of that protocol.
    pub fn connection_of(&self, protocol: u8) -> (Conntrack, Entry) {
        let mut conntrack = self.node.netns.enter(Conntrack::open).unwrap().unwrap();
        let mut entries = Vec::new();
        conntrack
            .dump(&Filter::default(), |entry| entries.push(entry))
            .unwrap();
        entries.retain(|entry| entry.original.protocol == protocol);
        assert_eq!(entries.len(), 1);
        (conntrack, entries[0])
    }
}

/// Waits until the kernel has no queue in the node's namespace. A program that another test starts has a copy of
/// this process's descriptors until it is executed, and for longer of those without `O_CLOEXEC`, as `nfq` opens
/// its own: the queue outlives the end of its owner here, and what is queued meanwhile is dropped with it.
pub fn await_no_queue(node: &Node) {
    let queues = || std::fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue");
    eventually("the end of the queue", || {
        node.netns.enter(queues).unwrap().unwrap().is_empty()
    });
}

pub fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 64];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

pub fn assert_nothing_received(socket: &UdpSocket) {
    socket.set_nonblocking(true).unwrap();
    let result = socket.recv_from(&mut [0; 64]);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
}

/// The datagram's text.
pub fn text(message: &Message, ipv6: bool) -> Vec<u8> {
    message.get_payload()[if ipv6 { 48 } else { 28 }..].to_vec()
}
