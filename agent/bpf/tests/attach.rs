//! The classifier on real interfaces, with real packets between two namespaces.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::UdpSocket;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use aya::programs::{SchedClassifier, TcAttachType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sluice_bpf::{Attach, Fastpath, PodIsolation, remove_pins};
use support::Ground;

/// A veth pair: one end here as `node0` with 10.9.0.1, the other with 10.9.0.2 in a namespace of its own.
struct Wire {
    pod: OwnedFd,
    here: OwnedFd,
}

impl Wire {
    fn new() -> Self {
        let here = namespace();
        ip("link add node0 type veth peer name pod0");
        // SAFETY: no descriptor table is unshared.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
            .expect("a namespace");
        let pod = namespace();
        enter(&here);
        let number = std::os::fd::AsRawFd::as_raw_fd(&pod);
        let target = format!("/proc/{}/fd/{number}", std::process::id());
        ip(&format!("link set pod0 netns {target}"));
        ip("addr add 10.9.0.1/24 dev node0");
        ip("link set node0 up");
        enter(&pod);
        ip("addr add 10.9.0.2/24 dev pod0");
        ip("link set pod0 up");
        enter(&here);
        Self { pod, here }
    }

    /// Sends datagrams from the pod until one arrives here.
    fn send(&self) {
        let receiver = UdpSocket::bind("10.9.0.1:9000").expect("a receiver");
        receiver
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        enter(&self.pod);
        let sender = UdpSocket::bind("10.9.0.2:9001").expect("a sender");
        enter(&self.here);
        let until = Instant::now() + Duration::from_mins(1);
        let mut buffer = [0; 16];
        while Instant::now() < until {
            // Refused until the link is up.
            drop(sender.send_to(b"hello", "10.9.0.1:9000"));
            if receiver.recv(&mut buffer).is_ok() {
                return;
            }
        }
        panic!("no datagram arrived");
    }
}

#[test]
fn a_tcx_link_sees_packets_and_outlives_its_agent_without_stacking() {
    if usual() != Attach::Tcx {
        println!("skipped: no TCX before Linux 6.6");
        return;
    }
    check(
        "a_tcx_link_sees_packets_and_outlives_its_agent_without_stacking",
        Attach::Tcx,
    );
}

#[test]
fn a_clsact_filter_sees_packets_and_outlives_its_agent_without_stacking() {
    check(
        "a_clsact_filter_sees_packets_and_outlives_its_agent_without_stacking",
        Attach::Clsact,
    );
}

/// How this kernel attaches, by its version.
fn usual() -> Attach {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (6, 6) {
        Attach::Tcx
    } else {
        Attach::Clsact
    }
}

fn check(test: &str, means: Attach) {
    let Some(ground) = Ground::new(test) else {
        return;
    };
    let open = || {
        let mut fastpath =
            Fastpath::open(&ground.config()).unwrap_or_else(|error| panic!("{error:#?}"));
        if means == Attach::Clsact {
            fastpath.prefer_clsact();
        }
        fastpath
    };
    let wire = Wire::new();
    let index = index();
    let mut first = open();
    first
        .set_pod("10.9.0.1".parse().unwrap(), PodIsolation::default())
        .unwrap();
    first.assume_isolated(false).unwrap();
    assert_eq!(first.attach(index, "node0").unwrap(), means);
    assert_eq!(
        first.attach(index, "node0").unwrap(),
        means,
        "once more changes nothing"
    );
    assert_eq!(attached_programs(means), 1);
    assert_counts(&first, &wire);
    drop(first);
    assert_eq!(attached_programs(means), 1, "it stays");

    let mut second = open();
    assert_eq!(second.attached(), [(index, means)]);
    assert_eq!(attached_programs(means), 1);
    assert_counts(&second, &wire);
    assert_eq!(second.attach(index, "node0").unwrap(), means);
    assert_eq!(attached_programs(means), 1);
    assert_counts(&second, &wire);
    assert!(second.detach(index).unwrap());
    assert!(!second.detach(index).unwrap());
    assert_eq!(
        (second.attached(), attached_programs(means)),
        (Vec::new(), 0)
    );
    assert_eq!(second.attach(index, "node0").unwrap(), means);
    drop(second);

    let removed = remove_pins(&ground.pins()).unwrap();
    assert!(
        removed.iter().any(|line| line.contains("interface")),
        "{removed:?}"
    );
    assert!(!ground.pins().exists());
    assert_eq!(attached_programs(means), 0);
}

#[test]
fn an_interface_that_is_gone_is_forgotten() {
    let Some(ground) = Ground::new("an_interface_that_is_gone_is_forgotten") else {
        return;
    };
    let mut fastpath = Fastpath::open(&ground.config()).unwrap();
    let _wire = Wire::new();
    let index = index();
    assert_eq!(fastpath.attach(index, "node0").unwrap(), usual());
    ip("link del node0");
    assert!(fastpath.attach(index, "node0").is_err());
    drop(fastpath);
    let mut fastpath = Fastpath::open(&ground.config()).unwrap();
    assert_eq!(fastpath.attached(), []);
    assert!(!fastpath.detach(index).unwrap());
}

/// That packets from the pod are counted: its destination is a local pod without policies.
fn assert_counts(fastpath: &Fastpath, wire: &Wire) {
    let before = fastpath.counters().unwrap().unmatched;
    wire.send();
    assert!(fastpath.counters().unwrap().unmatched > before);
}

fn index() -> u32 {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    rustix::net::netdevice::name_to_index(socket.as_fd(), "node0").unwrap()
}

fn attached_programs(means: Attach) -> usize {
    match means {
        Attach::Tcx => SchedClassifier::query_tcx("node0", TcAttachType::Ingress)
            .unwrap()
            .1
            .len(),
        Attach::Clsact => {
            let output = Command::new("tc")
                .args(["filter", "show", "dev", "node0", "ingress"])
                .output()
                .unwrap();
            String::from_utf8_lossy(&output.stdout)
                .matches("direct-action")
                .count()
        }
    }
}

fn namespace() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/net")
        .expect("a namespace")
        .into()
}

fn enter(namespace: &OwnedFd) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("the namespace");
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("ip");
    assert!(status.success(), "ip {arguments}");
}
