//! Real packets that nobody is asked about, and those that only look like them.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd as _;

use common::bpf::Programs;
use common::world::{BOTH, PATIENCE, PORT, UDP, World, config, receive, text};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};
use sluice_netlink::{Gate, GateConfig, Isolated, Matcher, Netns, Rtnetlink, VethEnd};

mod common;

#[test]
fn what_is_not_isolated_is_not_asked_about() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let released = [(world.node.pods[1].ipv4, Isolated::default())];
    assert_eq!(world.gate.update(&released, &[]).unwrap(), 2);
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
    assert_eq!(world.gate.update(&egress, &[]).unwrap(), 1);
    let other = world.socket(0, false, 4001);
    other
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let message = world.queued();
    assert_eq!(text(&message, false), b"first");
    drop(message);
}

#[test]
fn a_pass_mark_counts_for_the_addresses_that_it_was_given_to() {
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
            chain hidden {
                type nat hook postrouting priority srcnat;
                udp sport 4001 masquerade
            }
        }";
    world.node.run("nft", &[marker]);
    let service: SocketAddr = "10.96.0.1:53".parse().unwrap();
    let backend = (world.node.pods[1].ipv4, PORT);
    world.node.serve(UDP, service, backend);
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client
        .send_to(b"direct", server.local_addr().unwrap())
        .unwrap();
    assert_eq!(receive(&server).0, b"direct");
    assert!(world.counter("pass") > 0);
    world.assert_nothing_queued();
    // From another port: from this one, the reply would look as those of the direct connection do.
    let client = world.socket(0, false, 4002);
    client.send_to(b"service", service).unwrap();
    let message = world.queued();
    assert_eq!(text(&message, false), b"service");
    // behind the translation: the pod's own port
    assert_eq!(message.get_payload()[22..24], PORT.to_be_bytes());
    world.accept(message);
    let (text, from) = receive(&server);
    assert_eq!(text, b"service");
    // The reply has the pods' own addresses until the gate is behind it.
    server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&client), (b"answer".to_vec(), service));
    assert_eq!(world.counter("pass-reply"), 1);
    // That of a hidden client had the node's at TC.
    let hidden = world.socket(0, false, 4001);
    hidden.send_to(b"service", service).unwrap();
    let message = world.queued();
    world.accept(message);
    server.send_to(b"answer", receive(&server).1).unwrap();
    assert_eq!(receive(&hidden), (b"answer".to_vec(), service));
    assert_eq!(world.counter("pass-reply"), 1);
}

#[test]
fn a_pass_mark_means_nothing_where_no_program_sets_it() {
    if !common::privileged() {
        return;
    }
    let mut world = World::under(&GateConfig {
        honour_pass: false,
        ..config(Matcher::Sets)
    });
    let marker = "table inet marker { chain before { type filter hook prerouting priority -200; meta mark set 0x20; }; }";
    world.node.run("nft", &[marker]);
    let client = world.socket(0, false, 4000);
    client
        .send_to(b"marked", (world.node.pods[1].ipv4, PORT))
        .unwrap();
    assert_eq!(text(&world.queued(), false), b"marked");
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
fn a_link_local_address_of_the_node_is_its_own() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let own = || {
        let mut rtnetlink = Rtnetlink::open().unwrap();
        let address = "fe80::77".parse().unwrap();
        rtnetlink
            .add_address("pod1", IpAddr::V6(address), 64)
            .unwrap();
        let scope = rtnetlink.index("pod1").unwrap();
        UdpSocket::bind(SocketAddrV6::new(address, 6000, 0, scope)).unwrap()
    };
    let own = world.node.netns.enter(own).unwrap();
    // the kernel adds an address first, and its route when it comes to it
    let routes = || std::fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap();
    common::eventually("the address is local", || {
        let routes = world.node.netns.enter(routes).unwrap();
        routes.contains("fe800000000000000000000000000077")
    });
    let pod = world.socket(1, true, PORT);
    own.send_to(b"probe", pod.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&pod).0, b"probe");
    assert!(world.counter("own") > 0);
    world.assert_nothing_queued();
}

#[test]
fn what_the_node_sends_on_for_somebody_is_asked_about() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    world
        .node
        .netns
        .set_sysctl("ipv6/ip_nonlocal_bind", "1")
        .unwrap();
    let foreign = || UdpSocket::bind("[fd99::9]:6000").unwrap();
    let foreign = world.node.netns.enter(foreign).unwrap();
    foreign
        .send_to(b"for somebody", (world.node.pods[1].ipv6, PORT))
        .unwrap();
    assert_eq!(text(&world.queued(), true), b"for somebody");
}

/// The bridge's address, and those of the pods on it.
const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);
const ON_BRIDGE: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 78, 0, 1), Ipv4Addr::new(10, 78, 0, 2)];

/// Two pods on a bridge of the node.
fn bridged(node: &Netns) -> [Netns; 2] {
    let address = |link, address: Ipv4Addr| {
        let mut rtnetlink = Rtnetlink::open().unwrap();
        rtnetlink.add_address(link, address.into(), 24).unwrap();
        rtnetlink.set_up(link).unwrap();
    };
    let bridge = || {
        Rtnetlink::open().unwrap().create_bridge("bridge").unwrap();
        address("bridge", BRIDGE);
    };
    node.enter(bridge).unwrap();
    let port = |own: Ipv4Addr| {
        let pod = Netns::new().unwrap();
        let name = format!("port{}", own.octets()[3]);
        let attach = || {
            let near = VethEnd {
                name: &name,
                netns: None,
            };
            let far = VethEnd {
                name: "eth0",
                netns: Some(pod.as_fd()),
            };
            let mut rtnetlink = Rtnetlink::open().unwrap();
            rtnetlink.create_veth(near, far).unwrap();
            rtnetlink.set_master(&name, "bridge").unwrap();
            rtnetlink.set_up(&name).unwrap();
        };
        node.enter(attach).unwrap();
        pod.enter(|| address("eth0", own)).unwrap();
        pod
    };
    ON_BRIDGE.map(port)
}

#[test]
fn a_pod_on_a_bridge_cannot_borrow_the_bridges_address() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let filtered = world
        .node
        .netns
        .set_sysctl("bridge/bridge-nf-call-iptables", "1");
    if let Err(error) = filtered {
        println!("skipped: the kernel has no br_netfilter: {error}");
        return;
    }
    let [liar, victim] = bridged(&world.node.netns);
    let isolated = [(IpAddr::from(ON_BRIDGE[1]), BOTH)];
    world.gate.update(&isolated, &[]).unwrap();
    let listen = || UdpSocket::bind((ON_BRIDGE[1], PORT)).unwrap();
    let victim = victim.enter(listen).unwrap();
    victim.set_read_timeout(Some(PATIENCE)).unwrap();
    // the bridge itself is the node
    let own = || UdpSocket::bind((BRIDGE, 6000)).unwrap();
    let own = world.node.netns.enter(own).unwrap();
    own.send_to(b"probe", (ON_BRIDGE[1], PORT)).unwrap();
    assert_eq!(receive(&victim).0, b"probe");
    world.assert_nothing_queued();

    let liar = liar
        .enter(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            rtnetlink.add_address("eth0", BRIDGE.into(), 32).unwrap();
            UdpSocket::bind((BRIDGE, 6001)).unwrap()
        })
        .unwrap();
    liar.send_to(b"let me in", (ON_BRIDGE[1], PORT)).unwrap();
    assert_eq!(text(&world.queued(), false), b"let me in");
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
            Gate::install(&config(matcher), &[], &[]).unwrap()
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
