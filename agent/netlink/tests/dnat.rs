//! Connections to a Service's address come to its backends, and to all of them.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use common::Node;
use rustix::net::{AddressFamily, SocketType, ipproto};
use sluice_netlink::dnat::{self, DnatRule};

mod common;

const VIP4: &str = "10.96.0.1";
const VIP6: &str = "fd96::1";
const PATIENCE: Duration = Duration::from_mins(1);

fn rule(vip: &str, protocol: u8, node: &Node) -> DnatRule {
    let vip: IpAddr = vip.parse().unwrap();
    let backends = node.pods[1..]
        .iter()
        .map(|pod| (pod.address_like(vip), 8080))
        .collect();
    DnatRule {
        vip,
        protocol,
        port: 80,
        backends,
    }
}

/// A thread that answers every TCP connection to the pod with the server's address.
fn serve(node: &Node, pod: usize, vip: &str) {
    let pod = &node.pods[pod];
    let address = pod.address_like(vip.parse().unwrap());
    let listener = pod
        .netns
        .enter(|| TcpListener::bind((address, 8080)).unwrap())
        .unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream
                .unwrap()
                .write_all(address.to_string().as_bytes())
                .unwrap();
        }
    });
}

fn ask(node: &Node, vip: &str) -> String {
    let to = SocketAddr::new(vip.parse().unwrap(), 80);
    let mut stream = node.pods[0]
        .netns
        .enter(|| TcpStream::connect_timeout(&to, PATIENCE))
        .unwrap()
        .unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn tcp_connections_reach_every_backend_in_both_families() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(4);
    let rules = [rule(VIP4, 6, &node), rule(VIP6, 6, &node)];
    node.netns.enter(|| dnat::install(&rules)).unwrap().unwrap();
    for (vip, own) in [(VIP4, "10.77.0."), (VIP6, "fd77::")] {
        (1..4).for_each(|pod| serve(&node, pod, vip));
        // The chance that one of three is missed 64 times is 2^-36.
        let seen: BTreeSet<String> = (0..64).map(|_| ask(&node, vip)).collect();
        let all: BTreeSet<String> = (2..5).map(|number| format!("{own}{number}")).collect();
        assert_eq!(seen, all);
    }
}

#[test]
fn udp_datagrams_are_translated_and_so_are_the_answers() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(2);
    node.netns
        .enter(|| dnat::install(&[rule(VIP4, 17, &node)]))
        .unwrap()
        .unwrap();
    let server = node.pods[1]
        .netns
        .enter(|| UdpSocket::bind("0.0.0.0:8080").unwrap())
        .unwrap();
    let client = node.pods[0]
        .netns
        .enter(|| UdpSocket::bind("0.0.0.0:0").unwrap())
        .unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    client.send_to(b"ask", (VIP4, 80)).unwrap();
    let mut buffer = [0; 16];
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(from.ip(), node.pods[0].ipv4);
    server.send_to(b"answer", from).unwrap();
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from),
        (&b"answer"[..], SocketAddr::new(VIP4.parse().unwrap(), 80))
    );
}

#[test]
fn an_sctp_init_is_translated() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(2);
    node.netns
        .enter(|| dnat::install(&[rule(VIP4, 132, &node)]))
        .unwrap()
        .unwrap();
    let raw =
        || rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::SCTP)).unwrap();
    let server = node.pods[1].netns.enter(raw).unwrap();
    rustix::net::sockopt::set_socket_timeout(
        &server,
        rustix::net::sockopt::Timeout::Recv,
        Some(PATIENCE),
    )
    .unwrap();
    let client = node.pods[0].netns.enter(raw).unwrap();
    let packet = sctp_init(5000, 80);
    let to = SocketAddr::new(VIP4.parse().unwrap(), 0);
    rustix::net::sendto(
        client.as_fd(),
        &packet,
        rustix::net::SendFlags::empty(),
        &to,
    )
    .unwrap();
    let mut buffer = [0u8; 256];
    let (_, length) =
        rustix::net::recv(&server, &mut buffer[..], rustix::net::RecvFlags::empty()).unwrap();
    // behind the IPv4 header: source port, translated destination port, verification tag 0
    assert_eq!(length, 20 + packet.len());
    assert_eq!(buffer[20..28], [0x13, 0x88, 0x1f, 0x90, 0, 0, 0, 0]);
}

/// An INIT chunk in a packet with a correct `CRC32c`.
fn sctp_init(source: u16, destination: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend_from_slice(&source.to_be_bytes());
    packet.extend_from_slice(&destination.to_be_bytes());
    packet.extend_from_slice(&[0; 8]);
    packet.extend_from_slice(&[1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
    let mut crc = u32::MAX;
    for byte in &packet {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0x82f6_3b78
            } else {
                crc >> 1
            };
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
    packet
}

#[test]
fn installing_replaces_and_removing_says_whether_there_was_anything() {
    if !common::privileged() {
        return;
    }
    let node = Node::with_pods(2);
    let table = || node.run("nft", &["list", "table", "inet", "sluice-lab"]);
    node.netns
        .enter(|| dnat::install(&[rule(VIP4, 6, &node)]))
        .unwrap()
        .unwrap();
    assert!(
        table().contains("ip daddr 10.96.0.1 tcp dport 80 dnat ip to 10.77.0.2:8080"),
        "{}",
        table()
    );
    node.netns
        .enter(|| dnat::install(&[rule(VIP6, 17, &node)]))
        .unwrap()
        .unwrap();
    assert!(
        table().contains("ip6 daddr fd96::1 udp dport 80 dnat ip6 to [fd77::2]:8080"),
        "{}",
        table()
    );
    assert!(!table().contains("10.96.0.1"));
    assert!(node.netns.enter(dnat::remove).unwrap().unwrap());
    assert!(!node.netns.enter(dnat::remove).unwrap().unwrap());
}

#[test]
fn a_backend_of_the_other_family_is_refused() {
    let backends = vec![("fd77::2".parse().unwrap(), 80)];
    let rule = DnatRule {
        vip: VIP4.parse().unwrap(),
        protocol: 6,
        port: 80,
        backends,
    };
    let error = dnat::install(&[rule]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "dnat rule: 10.96.0.1 has a backend of the other address family"
    );
}
