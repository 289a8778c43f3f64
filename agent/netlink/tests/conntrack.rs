//! Entries are read as they are, filtered, marked and deleted, compared with what `conntrack` says.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use common::Node;
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto};
use sluice_ebpf::Marks;
use sluice_netlink::{Conntrack, Entry, Filter, Gate, GateConfig, Judged, Masked, Matcher};

mod common;

const UDP: u8 = 17;

/// A node that tracks what it forwards.
fn tracking(pods: u8) -> (Node, Conntrack) {
    let node = Node::with_pods(pods);
    // However long a test takes, nothing that it sent is forgotten meanwhile.
    node.netns
        .set_sysctl("netfilter/nf_conntrack_udp_timeout", "3600")
        .unwrap();
    let marks = Marks::from_mask(Marks::DEFAULT_MASK).unwrap();
    let (matcher, verb) = (Matcher::Sets, common::verb());
    let config = GateConfig {
        marks,
        queue: 0,
        queues: 1,
        fail_open: false,
        accept_for_good: false,
        honour_pass: false,
        early_datagrams: false,
        redirect: None,
        matcher,
        verb,
    };
    // Nobody is isolated, so the gate does nothing but make the kernel track.
    drop(
        node.netns
            .enter(|| Gate::install(&config, &[], &[]))
            .unwrap()
            .unwrap(),
    );
    let conntrack = node.netns.enter(Conntrack::open).unwrap().unwrap();
    (node, conntrack)
}

/// Sends a datagram from one pod to each of these ports of another, in both families; no pod listens.
fn send(node: &Node, from: usize, to: usize, ports: RangeInclusive<u16>) {
    let (from, to) = (&node.pods[from], &node.pods[to]);
    for (source, destination) in [(from.ipv4, to.ipv4), (from.ipv6, to.ipv6)] {
        let socket = from
            .netns
            .enter(|| UdpSocket::bind((source, 4000)).unwrap())
            .unwrap();
        let send = |port| {
            // A refusal that came back for an earlier one is reported by this one, which is then not sent.
            while socket.send_to(b"hello", (destination, port)).is_err() {}
        };
        send(*ports.start());
        // Of a burst before the gateway is resolved, the kernel drops what is too much.
        let mut conntrack = node.netns.enter(Conntrack::open).unwrap().unwrap();
        common::eventually("the first entry", || {
            let entries = dump(&mut conntrack, UDP, &Filter::default());
            entries.iter().any(|it| it.original.src == source)
        });
        ports.clone().skip(1).for_each(send);
    }
}

/// The entries of one protocol: neighbour discovery makes some, too.
fn dump(conntrack: &mut Conntrack, protocol: u8, filter: &Filter) -> Vec<Entry> {
    let mut entries = Vec::new();
    conntrack.dump(filter, |entry| entries.push(entry)).unwrap();
    entries.retain(|entry| entry.original.protocol == protocol);
    entries
}

/// Waits until the table has that many entries of UDP, and returns them.
fn settled(conntrack: &mut Conntrack, count: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    common::eventually("the entries of what was sent", || {
        entries = dump(conntrack, UDP, &Filter::default());
        entries.len() == count
    });
    entries
}

#[test]
fn an_entry_is_what_conntrack_lists() {
    if !common::privileged() {
        return;
    }
    let (node, mut conntrack) = tracking(2);
    send(&node, 0, 1, 53..=53);
    for entry in settled(&mut conntrack, 2) {
        let ipv4 = entry.original.src.is_ipv4();
        let (client, server) = if ipv4 {
            ("10.77.0.1", "10.77.0.2")
        } else {
            ("fd77::1", "fd77::2")
        };
        let family = if ipv4 { "ipv4" } else { "ipv6" };
        let listed = node.run("conntrack", &["-L", "-p", "udp", "-f", family, "-o", "id"]);
        for part in [
            format!("src={client} dst={server} sport=4000 dport=53"),
            format!("src={server} dst={client} sport=53 dport=4000"),
            format!("id={}", entry.id),
        ] {
            assert!(listed.contains(&part), "{part} in {listed}");
        }
        assert_eq!(
            (entry.original.src, entry.original.dst),
            (client.parse().unwrap(), server.parse().unwrap())
        );
        assert_eq!(
            (
                entry.original.sport,
                entry.original.dport,
                entry.mark,
                entry.zone
            ),
            (4000, 53, 0, 0)
        );
        assert_eq!(
            (entry.reply.src, entry.reply.sport),
            (server.parse().unwrap(), 53)
        );
    }
}

#[test]
fn what_is_judged_is_the_pod_behind_the_service() {
    if !common::privileged() {
        return;
    }
    let (node, mut conntrack) = tracking(2);
    let vip: IpAddr = "10.96.0.10".parse().unwrap();
    node.serve(UDP, (vip, 53).into(), (node.pods[1].ipv4, 5353));
    let client = node.pods[0]
        .netns
        .enter(|| UdpSocket::bind("0.0.0.0:0").unwrap())
        .unwrap();
    client.send_to(b"hello", (vip, 53)).unwrap();
    let entries = settled(&mut conntrack, 1);
    let (source, destination) = (node.pods[0].ipv4, node.pods[1].ipv4);
    assert_eq!(
        (entries[0].original.dst, entries[0].original.dport),
        (vip, 53)
    );
    assert_eq!(
        entries[0].judged(),
        Judged {
            source,
            destination,
            protocol: UDP,
            port: 5353
        }
    );
}

/// Sends an echo request with identifier 7.
fn echo(pod: &common::Pod, to: IpAddr) {
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    // one's complement of the sum of type and identifier; the kernel overwrites that of ICMPv6
    let mut packet = vec![kind, 0, 0, 0, 0, 7, 0, 0];
    packet[2..4].copy_from_slice(&(!(u16::from(kind) << 8 | 7)).to_be_bytes());
    let socket = pod
        .netns
        .enter(|| rustix::net::socket(family, SocketType::RAW, Some(protocol)).unwrap())
        .unwrap();
    rustix::net::sendto(
        &socket,
        &packet,
        SendFlags::empty(),
        &SocketAddr::new(to, 0),
    )
    .unwrap();
}

#[test]
fn an_echo_has_no_port() {
    if !common::privileged() {
        return;
    }
    let (node, mut conntrack) = tracking(2);
    for (destination, protocol) in [(node.pods[1].ipv4, 1), (node.pods[1].ipv6, 58)] {
        echo(&node.pods[0], destination);
        let filter = Filter {
            reply_source: Some(destination),
            ..Filter::default()
        };
        let mut found = None;
        common::eventually("the entry of the echo", || {
            let entries = dump(&mut conntrack, protocol, &filter);
            found = entries.into_iter().find(|entry| entry.original.sport == 7);
            found.is_some()
        });
        let echo = found.unwrap();
        let source = node.pods[0].address_like(destination);
        assert_eq!(
            echo.judged(),
            Judged {
                source,
                destination,
                protocol,
                port: 0
            }
        );
        assert!(
            conntrack
                .set_mark(
                    &echo,
                    Masked {
                        value: 0x10,
                        mask: 0x30
                    }
                )
                .unwrap()
        );
        assert!(conntrack.delete(&echo).unwrap());
        assert!(!conntrack.delete(&echo).unwrap());
    }
}

#[test]
fn filters_are_joined_by_and() {
    if !common::privileged() {
        return;
    }
    let (node, mut conntrack) = tracking(3);
    send(&node, 0, 1, 1..=10);
    send(&node, 0, 2, 1..=20);
    send(&node, 1, 2, 1..=5);
    settled(&mut conntrack, 70);
    let pods = &node.pods;
    let mut count = |original: Option<IpAddr>, reply: Option<IpAddr>, mark| {
        let filter = Filter {
            mark,
            original_source: original,
            reply_source: reply,
        };
        dump(&mut conntrack, UDP, &filter).len()
    };
    assert_eq!(count(None, None, None), 70);
    assert_eq!(count(Some(pods[0].ipv4), None, None), 30);
    assert_eq!(count(Some(pods[0].ipv6), None, None), 30);
    assert_eq!(count(None, Some(pods[2].ipv4), None), 25);
    assert_eq!(count(Some(pods[1].ipv6), Some(pods[2].ipv6), None), 5);
    assert_eq!(
        count(
            None,
            None,
            Some(Masked {
                value: 0,
                mask: 0x30
            })
        ),
        70
    );
    assert_eq!(
        count(
            None,
            None,
            Some(Masked {
                value: 0x10,
                mask: 0x30
            })
        ),
        0
    );
}

#[test]
fn marks_change_in_their_bits_and_nowhere_else() {
    if !common::privileged() {
        return;
    }
    let (node, mut conntrack) = tracking(2);
    send(&node, 0, 1, 1..=300);
    let set = |mark| Masked {
        value: mark,
        mask: u32::MAX,
    };
    let all: Vec<_> = settled(&mut conntrack, 600)
        .into_iter()
        .map(|entry| (entry, set(0x8010)))
        .collect();
    assert_eq!(conntrack.set_marks(&all).unwrap(), 600);
    let of_pod = Filter {
        original_source: Some(node.pods[0].ipv4),
        ..Filter::default()
    };
    let all = dump(&mut conntrack, UDP, &of_pod);
    let odd: Vec<(Entry, Masked)> = all
        .iter()
        .filter(|entry| entry.judged().port % 2 == 1)
        .map(|entry| {
            (
                *entry,
                Masked {
                    value: 0x20,
                    mask: 0x30,
                },
            )
        })
        .collect();
    assert_eq!(conntrack.set_marks(&odd).unwrap(), 150);
    let revoked = Filter {
        mark: Some(Masked {
            value: 0x20,
            mask: 0x30,
        }),
        ..Filter::default()
    };
    let marked = dump(&mut conntrack, UDP, &revoked);
    assert!(
        marked
            .iter()
            .all(|entry| entry.mark == 0x8020 && entry.judged().port % 2 == 1)
    );
    assert_eq!(marked.len(), 150);
    let rest = Filter {
        mark: Some(set(0x8010)),
        ..of_pod
    };
    assert_eq!(dump(&mut conntrack, UDP, &rest).len(), 150);
    let listed = node.run("conntrack", &["-L", "-p", "udp", "--mark", "0x8020"]);
    assert_eq!(listed.lines().count(), 150);
}

#[test]
fn entries_that_are_gone_are_counted_out() {
    if !common::privileged() {
        return;
    }
    let (node, mut conntrack) = tracking(2);
    send(&node, 0, 1, 1..=200);
    let all = settled(&mut conntrack, 400);
    let before = conntrack.count().unwrap();
    assert!(before >= 400);
    assert_eq!(conntrack.delete_all(&all[..150]).unwrap(), 150);
    assert_eq!(conntrack.count().unwrap(), before - 150);
    let statistics = conntrack.statistics().unwrap();
    assert_eq!(statistics.entries, before - 150);
    let max = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max").unwrap();
    assert_eq!(statistics.max.to_string(), max.trim());
    let changes: Vec<_> = all
        .iter()
        .map(|entry| (*entry, Masked { value: 1, mask: 1 }))
        .collect();
    assert_eq!(conntrack.set_marks(&changes).unwrap(), 250);
}

#[test]
fn a_large_table_is_dumped_whole() {
    if !common::privileged() {
        return;
    }
    let (node, mut conntrack) = tracking(2);
    send(&node, 0, 1, 1..=20_000);
    let filter = Filter {
        original_source: Some(node.pods[0].ipv6),
        ..Filter::default()
    };
    common::eventually("the entries of what was sent", || {
        let mut seen = HashSet::new();
        let collect = |entry: Entry| {
            if entry.original.protocol == UDP {
                seen.insert(entry.judged());
            }
        };
        conntrack.dump(&filter, collect).unwrap();
        seen.len() == 20_000
    });
}
