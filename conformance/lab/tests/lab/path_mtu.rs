//! A link behind the other node that takes less than whole packets: that node says so, and its errors pass the gates to
//! the client, who lets nobody in, and may ask the server alone: that node is no peer of its.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use rustix::io::Errno;
use sluice_lab::{Lab, Manifests};
use sluice_policy::Protocol;

use crate::common::{assert_allowed, cell, eventually, pod, under_agents};
use crate::hostile::{FAMILIES, MODES, address};

const CLIENT: &str = "n/client";
const SERVER: &str = "n/for-client";
/// What the link takes: more than IPv6 asks for, less than other links take.
const MTU: &str = "1300";
/// Some packets of what other links take.
const BYTES: usize = 30_000;
const PATIENCE: Duration = Duration::from_mins(1);
/// From one datagram to the next.
const BREATH: Duration = Duration::from_millis(100);

/// Narrows the link to the server at both ends. Its kernel would ask for short segments: it is told not to, so that the
/// client has to be told by an error.
fn narrow(lab: &Lab) {
    let link = format!("pod{}", lab.plan().pod(&pod(SERVER)).unwrap());
    let node = lab.node_netns("south").unwrap();
    node.enter(|| ip(&["link", "set", "dev", &link, "mtu", MTU]))
        .unwrap();
    let server = || {
        ip(&["link", "set", "dev", "eth0", "mtu", MTU]);
        for (family, gateway) in [("-4", "169.254.1.1"), ("-6", "fe80::1")] {
            let route = [family, "route", "replace", "default", "via", gateway];
            let asked = ["dev", "eth0", "onlink", "advmss", "1400"];
            ip(&[&route[..], &asked].concat());
        }
    };
    lab.pod_netns(&pod(SERVER)).unwrap().enter(server).unwrap();
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {}", arguments.join(" "));
}

/// Has some packets echoed, each of which is too long at first.
fn stream(to: SocketAddr) {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut name = [0; SERVER.len() + 1];
    stream.read_exact(&mut name).unwrap();
    let sent = vec![7; BYTES];
    stream.write_all(&sent).unwrap();
    let mut echo = vec![0; BYTES];
    stream.read_exact(&mut echo).unwrap();
    assert!(echo == sent);
}

/// Has a datagram answered that is too long for the link until the client knows, and cuts it up itself.
fn datagram(to: SocketAddr) {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(BREATH)).unwrap();
    eventually("a long datagram is answered", || {
        // what the client's kernel was told comes out as an error of either call, once
        if let Err(error) = socket.send(&[7; 1400]) {
            assert!(is_about_length(&error), "{error}");
        }
        match socket.recv(&mut [0; 64]) {
            Ok(length) => length == SERVER.len(),
            Err(error) => {
                let late = error.kind() == ErrorKind::WouldBlock;
                assert!(late || is_about_length(&error), "{error}");
                false
            }
        }
    });
}

fn is_about_length(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::MSGSIZE)
}

#[test]
fn the_path_mtu_is_learned_through_the_gates() {
    for mode in MODES {
        let text = include_str!("node_traffic.yaml").to_owned();
        let manifests = Manifests::Texts(vec![("world.yaml".into(), text)]);
        let Some(lab) = under_agents(&manifests, &FAMILIES, mode) else {
            return;
        };
        narrow(&lab);
        let probes = FAMILIES.map(|family| cell(CLIENT, SERVER, 80, Protocol::Tcp, family));
        // so that hybrid connections are leased, and accepted nowhere
        assert_allowed(&lab, &probes);
        for family in FAMILIES {
            let to = SocketAddr::new(address(&lab, SERVER, family), 80);
            let client = lab.pod_netns(&pod(CLIENT)).unwrap();
            client.enter(|| stream(to)).unwrap();
            let version = if to.is_ipv4() { "-4" } else { "-6" };
            let forget = || ip(&[version, "route", "flush", "cache"]);
            client.enter(forget).unwrap();
            client.enter(|| datagram(to)).unwrap();
        }
    }
}
