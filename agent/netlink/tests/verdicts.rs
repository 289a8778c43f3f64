//! Real packets through the gate to the queue: what an answer does to them, and to the rest of their connection.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::net::{IpAddr, SocketAddr};

use common::tcp::{ACK, Forger, SYN};
use common::world::{
    BOTH, MARKS, PORT, TCP, UDP, World, assert_nothing_received, config, receive, text,
};
use common::{GATEWAY4, GATEWAY6};
use nfq::Queue;
use sluice_netlink::{Gate, GateConfig, Masked, Matcher};

mod common;

fn accepted_once_then_never_asked_again(ipv6: bool) {
    let mut world = World::new();
    let (client, server) = (world.socket(0, ipv6, 4000), world.socket(1, ipv6, PORT));
    client
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let message = world.queued();
    assert_eq!(
        (text(&message, ipv6), message.get_nfmark()),
        (b"first".to_vec(), MARKS.pass),
        "the bit of PASS says here that the connection is new"
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
        mask: MARKS.conntrack(),
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
        mask: MARKS.conntrack(),
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
fn an_acceptance_against_the_direction_is_kept_as_one() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client
        .send_to(b"first", server.local_addr().unwrap())
        .unwrap();
    let mut message = world.queued();
    message.set_nfmark(MARKS.accepted | MARKS.reply);
    world.let_pass(message);
    receive(&server);
    assert_eq!(world.connection().1.mark, MARKS.accepted | MARKS.reply);
}

/// Who is sent an ACK out of nowhere would reset: conntrack must not see it, or it forgets.
const MUTE: &str =
    "table inet mute { chain c { type filter hook output priority -300; tcp flags rst drop; }; }";

/// `gateway`: the pod turns to its own node, and not to another pod.
fn reopened_against_an_acceptance(ipv6: bool, gateway: bool) {
    let mut world = World::new();
    let (target, pod) = (&world.node.pods[0], &world.node.pods[1]);
    let (source, destination, own) = if ipv6 {
        (pod.ipv6, target.ipv6, IpAddr::from(GATEWAY6))
    } else {
        (pod.ipv4, target.ipv4, IpAddr::from(GATEWAY4))
    };
    let to = SocketAddr::new(if gateway { own } else { destination }, 80);
    let netns = if gateway {
        &world.node.netns
    } else {
        &target.netns
    };
    common::run(netns, "nft", &[MUTE]);
    let forger = Forger::new(&pod.netns, SocketAddr::new(source, 4000));

    forger.send(to, ACK);
    let mut message = world.queued();
    assert_eq!(message.get_nfmark(), MARKS.pass, "conntrack says it is new");
    message.set_nfmark(MARKS.accepted | MARKS.reply);
    world.let_pass(message);
    let mark = |world: &World| world.connection_of(TCP).1.mark;
    assert_eq!(mark(&world), MARKS.accepted | MARKS.reply);
    forger.send(to, ACK);
    common::eventually("it goes on", || world.counter("accepted") == 1);
    world.assert_nothing_queued();

    forger.send(to, SYN);
    let message = world.queued();
    assert_eq!(message.get_nfmark() & MARKS.reply, 0, "it opens");
    assert_eq!((mark(&world), world.counter("reopened")), (0, 1));
    world.deny(message);
    forger.send(to, ACK);
    let message = world.queued();
    world.deny(message);
    // and where the agent allows it
    forger.send(to, SYN);
    let message = world.queued();
    world.accept(message);
    assert_eq!(mark(&world), MARKS.accepted);
    assert_eq!(
        (world.counter("accepted"), world.counter("reopened")),
        (1, 1)
    );
}

#[test]
fn who_opens_what_was_accepted_as_an_answer_is_asked_about() {
    if !common::privileged() {
        return;
    }
    for (ipv6, gateway) in [(false, false), (false, true), (true, false), (true, true)] {
        reopened_against_an_acceptance(ipv6, gateway);
    }
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
    assert_eq!(message.get_nfmark(), 0x4000 | MARKS.pass);
    world.let_pass(message);
    let (_, from) = receive(&server);
    assert_eq!(world.connection().1.mark, 0x8000);
    server.send_to(b"answer", from).unwrap();
    let message = world.queued();
    assert_eq!(message.get_nfmark(), 0x4000 | MARKS.reply);
    world.accept(message);
    assert_eq!(receive(&client).0, b"answer");
    assert_eq!(world.connection().1.mark, 0x8000 | MARKS.accepted);
    // the accepted reply left with the others' bit alone
    let behind = world
        .node
        .run("nft", &["list", "chain", "inet", "others", "behind"]);
    assert!(
        behind.contains("meta mark 0x00004000 counter packets 1 "),
        "{behind}"
    );
}

#[test]
fn without_an_agent_what_needs_a_verdict_follows_fail_open() {
    if !common::privileged() {
        return;
    }
    for fail_open in [false, true] {
        let World { node, queue, gate } = World::new();
        drop((queue, gate));
        common::world::await_no_queue(&node);
        let isolated = [(node.pods[1].ipv4, BOTH)];
        let config = GateConfig {
            fail_open,
            ..config(Matcher::Sets)
        };
        let gate = node
            .netns
            .enter(|| Gate::install(&config, &isolated, &[]))
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

/// Marks what the second pod sends, as TC marks what it passes.
const PASSES: &str = "
    table inet marker {
        chain before {
            type filter hook prerouting priority -200;
            ip saddr 10.77.0.2 meta mark set 0x20
        }
    }";

/// A packet from the middle of a connection, accepted as running the other way, and its answer, which TC passes.
fn answered_against_an_acceptance(service: bool) {
    let mut world = World::under(&GateConfig {
        accept_for_good: true,
        ..config(Matcher::Sets)
    });
    let node = &world.node;
    node.run("nft", &[PASSES]);
    for pod in &node.pods {
        common::run(&pod.netns, "nft", &[MUTE]);
    }
    let client = SocketAddr::new(node.pods[0].ipv4, 4000);
    let server = SocketAddr::new(node.pods[1].ipv4, 80);
    let vip: SocketAddr = "10.96.0.1:80".parse().unwrap();
    node.serve(TCP, vip, (server.ip(), server.port()));
    let from_client = Forger::new(&node.pods[0].netns, client);
    let from_server = Forger::new(&node.pods[1].netns, server);
    let to = if service { vip } else { server };

    from_client.send(to, ACK);
    let mut message = world.queued();
    message.set_nfmark(MARKS.accepted | MARKS.reply);
    world.let_pass(message);
    let mark = |world: &World| world.connection_of(TCP).1.mark;
    assert_eq!(mark(&world), MARKS.accepted | MARKS.reply);
    from_server.send(client, ACK);
    let rule = if service { "accepted" } else { "pass" };
    common::eventually("the answer passes", || world.counter(rule) == 1);
    assert_eq!(mark(&world), MARKS.accepted | MARKS.reply);
    from_client.send(to, SYN);
    let message = world.queued();
    assert_eq!(world.counter("reopened"), 1);
    world.deny(message);
}

#[test]
fn an_answer_makes_no_opening_of_what_was_accepted_the_other_way_round() {
    if !common::privileged() {
        return;
    }
    for service in [false, true] {
        answered_against_an_acceptance(service);
    }
}

#[test]
fn a_revoked_connection_through_a_service_has_no_answers() {
    if !common::privileged() {
        return;
    }
    let mut world = World::new();
    world.node.run("nft", &[PASSES]);
    let service: SocketAddr = "10.96.0.1:53".parse().unwrap();
    let backend = (world.node.pods[1].ipv4, PORT);
    world.node.serve(UDP, service, backend);
    let (client, server) = (world.socket(0, false, 4000), world.socket(1, false, PORT));
    client.send_to(b"question", service).unwrap();
    let message = world.queued();
    world.accept(message);
    let (_, from) = receive(&server);
    server.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&client).0, b"answer");
    assert_eq!(world.counter("pass-reply"), 1);
    let (mut conntrack, entry) = world.connection();
    let revoked = Masked {
        mask: MARKS.conntrack(),
        value: MARKS.revoked,
    };
    assert!(conntrack.set_mark(&entry, revoked).unwrap());
    server.send_to(b"more", from).unwrap();
    common::eventually("it is dropped", || world.counter("revoked") == 1);
    assert_nothing_received(&client);
}
