//! SCTP as pods speak it, over sockets of the kernel: associations that policy allows, and one that it does not.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use sluice_lab::{Counters, Family, Lab, Manifests, Mode};

use crate::common::{eventually, pod, under_agents};

const PORT: u16 = 5000;
/// INIT is sent again after 3 s, and after twice as long each time: only a failing test waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that the guest may speak to, and the stranger may not. No pod declares an SCTP port: the lab's own listeners
/// answer on raw sockets, beside the kernel.
const WORLD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: s, labels: {is: server}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: guest, namespace: s, labels: {is: guest}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: s, labels: {is: stranger}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guests, namespace: s}
spec:
  podSelector: {matchLabels: {is: server}}
  ingress:
    - from: [{podSelector: {matchLabels: {is: guest}}}]
      ports: [{protocol: SCTP, port: 5000}]
";

/// An SCTP socket of a pod; none where the kernel has none.
fn socket(lab: &Lab, name: &str, family: Family, port: u16, flags: SocketFlags) -> Option<OwnedFd> {
    let at = SocketAddr::new(address(lab, name, family), port);
    let open = || {
        let kind = match family {
            Family::Ipv4 => AddressFamily::INET,
            Family::Ipv6 => AddressFamily::INET6,
        };
        let flags = flags | SocketFlags::CLOEXEC;
        let opened = rustix::net::socket_with(kind, SocketType::STREAM, flags, Some(ipproto::SCTP));
        if opened.as_ref().err() == Some(&Errno::PROTONOSUPPORT) {
            return None;
        }
        let socket = opened.unwrap();
        for which in [Timeout::Send, Timeout::Recv] {
            set_socket_timeout(&socket, which, Some(PATIENCE)).unwrap();
        }
        // An association has all addresses that its socket has.
        rustix::net::bind(&socket, &at).unwrap();
        Some(socket)
    };
    let opened = lab.pod_netns(&pod(name)).unwrap().enter(open).unwrap();
    if opened.is_none() {
        println!("skipped: no SCTP sockets in this kernel");
    }
    opened
}

fn address(lab: &Lab, name: &str, family: Family) -> IpAddr {
    let index = lab.plan().pod(&pod(name)).unwrap();
    lab.plan().pods[index].address(family).unwrap()
}

fn counters(lab: &Lab) -> Counters {
    lab.agents()[0].counters().unwrap()
}

/// Says something, which has to arrive.
#[track_caller]
fn say(from: &OwnedFd, to: &OwnedFd, what: &[u8]) {
    let sent = rustix::net::send(from, what, SendFlags::NOSIGNAL).unwrap();
    assert_eq!(sent, what.len());
    let mut buffer = [0; 64];
    let (heard, _) = rustix::net::recv(to, buffer.as_mut_slice(), RecvFlags::empty()).unwrap();
    assert_eq!(&buffer[..heard], what);
}

/// Opens an association from the guest, and lets both ends speak; the client's end of it.
fn visit(lab: &Lab, listener: &OwnedFd, family: Family) -> OwnedFd {
    let client = socket(lab, "s/guest", family, 0, SocketFlags::empty()).unwrap();
    let server = SocketAddr::new(address(lab, "s/server", family), PORT);
    rustix::net::connect(&client, &server).expect("an association that is allowed");
    let (accepted, from) = rustix::net::acceptfrom(listener).expect("an association");
    let from = SocketAddr::try_from(from.unwrap()).unwrap();
    assert_eq!(from.ip(), address(lab, "s/guest", family), "nobody else's");
    for _ in 0..3 {
        say(&client, &accepted, b"from the guest");
        say(&accepted, &client, b"from the server");
    }
    client
}

fn check(mode: Mode, family: Family) {
    let world = Manifests::Texts(vec![("world.yaml".to_owned(), WORLD.to_owned())]);
    let Some(lab) = under_agents(&world, &[family], mode) else {
        return;
    };
    let Some(listener) = socket(&lab, "s/server", family, PORT, SocketFlags::empty()) else {
        return;
    };
    rustix::net::listen(&listener, 8).unwrap();
    let stranger = socket(&lab, "s/stranger", family, 0, SocketFlags::NONBLOCK).unwrap();
    let server = SocketAddr::new(address(&lab, "s/server", family), PORT);
    let opening = rustix::net::connect(&stranger, &server);
    assert_eq!(opening.unwrap_err(), Errno::INPROGRESS);
    eventually("the stranger is denied", || counters(&lab).denied > 0);

    let first = visit(&lab, &listener, family);
    let before = counters(&lab);
    let second = visit(&lab, &listener, family);
    let since = counters(&lab).since(before);
    assert_eq!(since.allowed == 0, mode == Mode::Hybrid, "{since:?}");
    drop((first, second));
    ioctl_fionbio(&listener, true).unwrap();
    let others = rustix::net::accept(&listener).map(drop);
    assert_eq!(others, Err(Errno::AGAIN), "nobody else got through");
    let said = rustix::net::send(&stranger, b"hello", SendFlags::NOSIGNAL);
    assert!(said.is_err(), "the stranger has an association");
}

#[test]
fn associations_are_established_where_policy_allows_them_in_hybrid_mode() {
    for family in [Family::Ipv4, Family::Ipv6] {
        check(Mode::Hybrid, family);
    }
}

#[test]
fn associations_are_established_where_policy_allows_them_in_nfqueue_mode() {
    for family in [Family::Ipv4, Family::Ipv6] {
        check(Mode::Nfqueue, family);
    }
}
