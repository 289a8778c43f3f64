//! A pod that is denied, and first pretends to answer: its connection must not be opened by that.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};
use sluice_lab::{Family, Lab, Mode, builtin};
use sluice_netlink::Gate;

use crate::common::{eventually, nft, pod, under_agents};

const ACK: u8 = 0x10;
/// Below the ephemeral ports, and no port that is probed.
const SOURCE_PORT: u16 = 4000;
/// A SYN that is lost is sent again after a second; so long a connection is given.
const PATIENCE: Duration = Duration::from_millis(1500);

fn socket(address: SocketAddr, kind: SocketType) -> OwnedFd {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket(family, kind, Some(ipproto::TCP)).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    socket
}

/// An ACK of a connection that is none.
fn send_ack(from: SocketAddr, to: SocketAddr) {
    let mut segment = [0; 20];
    segment[..2].copy_from_slice(&from.port().to_be_bytes());
    segment[2..4].copy_from_slice(&to.port().to_be_bytes());
    segment[4..12].copy_from_slice(&[0, 0, 0, 100, 0, 0, 0, 200]);
    segment[12..16].copy_from_slice(&[5 << 4, ACK, 0xff, 0xff]);
    let sum = sum(from.ip()) + sum(to.ip()) + words(&segment) + 6 + 20;
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    segment[16..18].copy_from_slice(&(!folded).to_be_bytes());
    let raw = socket(SocketAddr::new(from.ip(), 0), SocketType::RAW);
    let to = SocketAddr::new(to.ip(), 0);
    rustix::net::sendto(&raw, &segment, SendFlags::empty(), &to).unwrap();
}

fn sum(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => words(&address.octets()),
        IpAddr::V6(address) => words(&address.octets()),
    }
}

fn words(bytes: &[u8]) -> u32 {
    let words = bytes.chunks_exact(2);
    words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum()
}

fn counter(lab: &Lab, rule: &str) -> u64 {
    let counters = lab.node_netns("node-1").unwrap().enter(Gate::counters);
    let mut counters = counters.unwrap().unwrap().into_iter();
    counters.find(|(name, _)| name == rule).unwrap().1
}

fn address(lab: &Lab, name: &str, family: Family) -> IpAddr {
    let name = pod(name);
    let plan = lab.plan().pods.iter().find(|plan| plan.name == name);
    let mut addresses = plan.unwrap().addresses.iter();
    *addresses
        .find(|address| Family::of(**address) == family)
        .unwrap()
}

/// z/b may not connect to x/a, x/a may to z/b.
fn try_to_open(lab: &Lab, family: Family) {
    let from = SocketAddr::new(address(lab, "z/b", family), SOURCE_PORT);
    let to = SocketAddr::new(address(lab, "x/a", family), 80);
    let attacker = lab.pod_netns(&pod("z/b")).unwrap();
    let before = ["keep-reversed", "reopened"].map(|rule| counter(lab, rule));
    attacker.enter(|| send_ack(from, to)).unwrap();
    eventually("the ACK is accepted as an answer", || {
        counter(lab, "keep-reversed") > before[0]
    });
    let connected = attacker.enter(|| {
        let socket = socket(from, SocketType::STREAM);
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).unwrap();
        rustix::net::connect(&socket, &to)
    });
    assert!(connected.unwrap().is_err(), "{from} has reached {to}");
    assert_eq!(counter(lab, "reopened"), before[1] + 1);
}

#[test]
fn a_denied_pod_opens_nothing_by_pretending_to_answer() {
    let families = [Family::Ipv4, Family::Ipv6];
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let Some(lab) = under_agents(&builtin::default_world(), &families, mode) else {
            return;
        };
        // x/a resets what it does not know, on which conntrack would forget it; there are ACKs that it ignores
        let rules = "table inet victim { \
                     chain mute { type filter hook output priority -300; tcp flags rst drop; }; \
                     chain seen { type filter hook input priority 0; tcp flags & (syn | ack) == syn counter; }; }";
        let victim = lab.pod_netns(&pod("x/a")).unwrap();
        nft(victim, rules);
        for family in families {
            try_to_open(&lab, family);
        }
        let list = || {
            let mut nft = Command::new("nft");
            nft.args(["list", "chain", "inet", "victim", "seen"])
                .output()
        };
        let seen = String::from_utf8(victim.enter(list).unwrap().unwrap().stdout).unwrap();
        assert!(seen.contains("counter packets 0 "), "{mode:?}: {seen}");
    }
}
