//! Connections under review: accepted before, and asked about again until the review ends.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::net::UdpSocket;

use common::world::{MARKS, PORT, World, assert_nothing_received, receive, text};

mod common;

/// A connection from pod 0 to pod 1, accepted with `marks`.
struct Open {
    world: World,
    client: UdpSocket,
    server: UdpSocket,
}

impl Open {
    fn new(ipv6: bool, marks: u32) -> Self {
        let mut world = World::new();
        let (client, server) = (world.socket(0, ipv6, 4000), world.socket(1, ipv6, PORT));
        client
            .send_to(b"first", server.local_addr().unwrap())
            .unwrap();
        let mut message = world.queued();
        message.set_nfmark(marks);
        world.let_pass(message);
        receive(&server);
        Self {
            world,
            client,
            server,
        }
    }

    fn forth(&self) {
        let to = self.server.local_addr().unwrap();
        self.client.send_to(b"forth", to).unwrap();
    }

    fn back(&self) {
        let to = self.client.local_addr().unwrap();
        self.server.send_to(b"back", to).unwrap();
    }

    fn review(&mut self, pod: usize) {
        let pod = &self.world.node.pods[pod];
        assert_eq!(
            self.world.gate.update(&[], &[pod.ipv4, pod.ipv6]).unwrap(),
            2
        );
    }
}

fn asked_again_until_it_ends(ipv6: bool, pod: usize) {
    let mut open = Open::new(ipv6, MARKS.accepted);
    open.review(pod);
    for _ in 0..2 {
        open.forth();
        let message = open.world.queued();
        assert_eq!(text(&message, ipv6), b"forth");
        assert_eq!(message.get_nfmark() & MARKS.reply, 0);
        open.world.accept(message);
        assert_eq!(receive(&open.server).0, b"forth");
        open.back();
        let message = open.world.queued();
        assert_eq!(
            (text(&message, ipv6), message.get_nfmark()),
            (b"back".to_vec(), MARKS.reply)
        );
        open.world.accept(message);
        assert_eq!(receive(&open.client).0, b"back");
    }
    assert_eq!(open.world.gate.reviewed().unwrap(), 2);
    open.forth();
    open.back();
    assert_eq!(receive(&open.server).0, b"forth");
    assert_eq!(receive(&open.client).0, b"back");
    open.world.assert_nothing_queued();
    assert_eq!(open.world.connection().1.mark, MARKS.accepted);
}

#[test]
fn a_connection_under_review_is_asked_about_until_the_review_ends() {
    if !common::privileged() {
        return;
    }
    for ipv6 in [false, true] {
        for pod in [0, 1] {
            asked_again_until_it_ends(ipv6, pod);
        }
    }
}

#[test]
fn what_is_denied_under_review_does_not_arrive() {
    if !common::privileged() {
        return;
    }
    let mut open = Open::new(false, MARKS.accepted);
    open.review(1);
    open.forth();
    let message = open.world.queued();
    open.world.deny(message);
    open.back();
    let message = open.world.queued();
    open.world.deny(message);
    assert_nothing_received(&open.server);
    assert_nothing_received(&open.client);
}

#[test]
fn a_connection_accepted_against_its_direction_is_asked_about_that_way_round() {
    if !common::privileged() {
        return;
    }
    let reversed = MARKS.accepted | MARKS.reply;
    let mut open = Open::new(false, reversed);
    open.review(0);
    open.forth();
    let message = open.world.queued();
    assert_eq!(message.get_nfmark() & MARKS.reply, MARKS.reply);
    open.world.accept(message);
    assert_eq!(receive(&open.server).0, b"forth");
    open.back();
    let message = open.world.queued();
    assert_eq!(message.get_nfmark() & MARKS.reply, 0);
    open.world.accept(message);
    assert_eq!(
        open.world.connection().1.mark,
        reversed,
        "it stays what it was accepted as"
    );
}

#[test]
fn a_review_concerns_its_addresses_alone_and_is_asked_for_once() {
    if !common::privileged() {
        return;
    }
    let mut open = Open::new(false, MARKS.accepted);
    let elsewhere = ["10.9.9.9".parse().unwrap(), "fd00::9:9".parse().unwrap()];
    let gate = &mut open.world.gate;
    assert_eq!(gate.update(&[], &elsewhere).unwrap(), 2);
    assert_eq!(gate.update(&[], &elsewhere).unwrap(), 0);
    open.forth();
    assert_eq!(receive(&open.server).0, b"forth");
    open.world.assert_nothing_queued();
    assert_eq!(open.world.gate.reviewed().unwrap(), 2);
    assert_eq!(open.world.gate.reviewed().unwrap(), 0);
}
