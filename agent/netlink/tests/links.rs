//! Links are listed as `ip` lists them, and followed while they come, change and go.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sluice_netlink::{Error, LinkEvent, LinkWatch, Netns, Rtnetlink, VethEnd, links};

mod common;

/// Waits for the next event, as a reactor does.
fn next(watch: &mut LinkWatch) -> LinkEvent {
    loop {
        if let Some(event) = watch.next().unwrap() {
            return event;
        }
        let patience = Timespec {
            tv_sec: 5,
            tv_nsec: 0,
        };
        let ready = poll(
            &mut [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)],
            Some(&patience),
        )
        .unwrap();
        assert_eq!(ready, 1, "no event came");
    }
}

/// What an event says, in a word.
fn summary(event: &LinkEvent) -> String {
    match event {
        LinkEvent::Appeared(link) => format!("+{}", link.name),
        LinkEvent::Changed(link) => {
            format!("{}{}", link.name, if link.up { " up" } else { " down" })
        }
        LinkEvent::Vanished(link) => format!("-{}", link.name),
    }
}

fn inside<T: Send>(
    netns: &Netns,
    work: impl FnOnce(&mut Rtnetlink) -> Result<T, Error> + Send,
) -> T {
    netns
        .enter(|| work(&mut Rtnetlink::open()?))
        .unwrap()
        .unwrap()
}

#[test]
fn a_list_knows_names_states_and_kinds() {
    if !common::privileged() {
        return;
    }
    let netns = Netns::new().unwrap();
    inside(&netns, |rtnetlink| {
        rtnetlink.create_veth(
            VethEnd {
                name: "a",
                netns: None,
            },
            VethEnd {
                name: "b",
                netns: None,
            },
        )?;
        rtnetlink.set_up("a")?;
        rtnetlink.create_bridge("br0")
    });
    let links = netns.enter(links::list).unwrap().unwrap();
    let seen: BTreeSet<_> = links
        .iter()
        .map(|link| (&*link.name, link.up, link.kind.as_deref()))
        .collect();
    let veth = Some("veth");
    let expected = [
        ("lo", true, None),
        ("a", true, veth),
        ("b", false, veth),
        ("br0", false, Some("bridge")),
    ];
    assert_eq!(seen, BTreeSet::from(expected));
    assert!(
        links
            .iter()
            .all(|link| link.loopback == (link.name == "lo"))
    );
}

#[test]
fn a_watch_starts_with_what_is_there_and_follows_it() {
    if !common::privileged() {
        return;
    }
    let (netns, pod) = (Netns::new().unwrap(), Netns::new().unwrap());
    let mut watch = netns.enter(LinkWatch::open).unwrap().unwrap();
    assert_eq!(summary(&next(&mut watch)), "+lo");
    assert_eq!(watch.next().unwrap(), None);
    inside(&netns, |rtnetlink| {
        let far = VethEnd {
            name: "eth0",
            netns: Some(pod.as_fd()),
        };
        rtnetlink.create_veth(
            VethEnd {
                name: "pod",
                netns: None,
            },
            far,
        )?;
        rtnetlink.set_up("pod")?;
        rtnetlink.set_down("pod")?;
        rtnetlink.rename("pod", "renamed")?;
        rtnetlink.delete("renamed")
    });
    let seen: Vec<String> = (0..5).map(|_| summary(&next(&mut watch))).collect();
    assert_eq!(
        seen,
        ["+pod", "pod up", "pod down", "renamed down", "-renamed"]
    );
}

#[test]
fn a_port_that_leaves_its_bridge_is_still_there() {
    if !common::privileged() {
        return;
    }
    let netns = Netns::new().unwrap();
    inside(&netns, |rtnetlink| {
        rtnetlink.create_bridge("br0")?;
        rtnetlink.create_veth(
            VethEnd {
                name: "a",
                netns: None,
            },
            VethEnd {
                name: "b",
                netns: None,
            },
        )
    });
    let mut watch = netns.enter(LinkWatch::open).unwrap().unwrap();
    let mut there: BTreeSet<String> = (0..4).map(|_| summary(&next(&mut watch))).collect();
    assert_eq!(there.pop_first().as_deref(), Some("+a"));
    inside(&netns, |rtnetlink| {
        rtnetlink.set_master("a", "br0")?;
        rtnetlink.delete("br0")?;
        rtnetlink.rename("a", "last")
    });
    let mut seen = Vec::new();
    while seen.last().is_none_or(|event| event != "last down") {
        seen.push(summary(&next(&mut watch)));
    }
    assert!(
        seen.contains(&"-br0".to_owned()) && !seen.contains(&"-a".to_owned()),
        "{seen:?}"
    );
}

#[test]
fn a_watch_that_was_overrun_finds_out_what_it_missed() {
    if !common::privileged() {
        return;
    }
    let netns = Netns::new().unwrap();
    let mut watch = netns.enter(LinkWatch::open).unwrap().unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(watch.as_fd(), 4096).unwrap();
    inside(&netns, |rtnetlink| {
        for round in 0..50 {
            rtnetlink.create_veth(
                VethEnd {
                    name: "a",
                    netns: None,
                },
                VethEnd {
                    name: "b",
                    netns: None,
                },
            )?;
            if round < 49 {
                rtnetlink.delete("a")?;
            }
        }
        rtnetlink.set_up("b")
    });
    let mut links: BTreeSet<(u32, String, bool)> = BTreeSet::new();
    while let Some(event) = watch.next().unwrap() {
        match event {
            LinkEvent::Appeared(link) | LinkEvent::Changed(link) => {
                links.retain(|(index, ..)| *index != link.index);
                links.insert((link.index, link.name, link.up));
            }
            LinkEvent::Vanished(link) => links.retain(|(index, ..)| *index != link.index),
        }
    }
    let names: BTreeSet<(&str, bool)> = links.iter().map(|(_, name, up)| (&**name, *up)).collect();
    assert_eq!(
        names,
        BTreeSet::from([("lo", true), ("a", false), ("b", true)])
    );
}
