//! The traffic of nodes: what they send, what pods send them, and what they make of addresses on the way.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::process::Uid;
use rustix::thread::set_thread_uid;
use sluice_lab::{Cell, Lab, Manifests, Outcome, ServiceName, Target};
use sluice_policy::Protocol;

use crate::common::{assert_outcomes, cell, eventually, nft, under_agents};
use crate::hostile::{FAMILIES, MODES, address};

const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
/// What an answer may take on a machine that does other things as well.
const PATIENCE: Duration = Duration::from_mins(1);
/// What an answer to a datagram may take, before it is sent again.
const BREATH: Duration = Duration::from_secs(1);

/// Calls `run` in a lab of each mode.
fn in_both_modes(run: impl Fn(&mut Lab, &str)) {
    for mode in MODES {
        let text = include_str!("node_traffic.yaml").to_owned();
        let manifests = Manifests::Texts(vec![("world.yaml".into(), text)]);
        let Some(mut lab) = under_agents(&manifests, &FAMILIES, mode) else {
            return;
        };
        run(&mut lab, mode.name());
    }
}

/// Sends every probe twice, cold and warm, in all protocols and families.
#[track_caller]
fn check(lab: &Lab, mode: &str, probes: &[(&str, Target, u16, Outcome)]) {
    let all = PROTOCOLS
        .iter()
        .flat_map(|protocol| FAMILIES.map(|family| (*protocol, family)));
    let all: Vec<(Cell, Outcome)> = all
        .flat_map(|(protocol, family)| {
            probes.iter().map(move |(from, to, port, outcome)| {
                let cell = cell(from, "n/sealed", *port, protocol, family);
                (
                    Cell {
                        to: to.clone(),
                        ..cell
                    },
                    outcome.clone(),
                )
            })
        })
        .collect();
    let (cells, expected): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    for heat in ["cold", "warm"] {
        println!("{mode} {heat}");
        assert_outcomes(lab, &cells, &expected);
    }
}

fn to(name: &str) -> Target {
    Target::Pod(crate::common::pod(name))
}

/// Asks a pod its name from the node's namespace, as a process of some user does.
fn probe_as(lab: &Lab, user: u32, to: SocketAddr) {
    let ask = || {
        // for this thread alone, which ends with the probe
        set_thread_uid(Uid::from_raw(user)).unwrap();
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut name = [0; "n/sealed".len()];
        stream.read_exact(&mut name).unwrap();
        assert_eq!(&name, b"n/sealed");
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(BREATH)).unwrap();
        eventually("a datagram is answered", || {
            socket.send_to(b"who", to).unwrap();
            let answer = socket.recv_from(&mut name);
            answer.is_ok_and(|(length, _)| &name[..length] == b"n/sealed")
        });
    };
    lab.node_netns("north").unwrap().enter(ask).unwrap();
}

#[test]
fn probes_of_any_user_reach_a_sealed_pod_of_the_node() {
    in_both_modes(|lab, _| {
        for agent in ["running", "gone"] {
            if agent == "gone" {
                lab.agent("north").unwrap().kill().unwrap();
            }
            for user in [0, 1000, 65_534] {
                for family in FAMILIES {
                    let to = SocketAddr::new(address(lab, "n/sealed", family), 80);
                    probe_as(lab, user, to);
                }
            }
        }
    });
}

#[test]
fn what_a_pod_sends_to_nodes_follows_its_egress_policy() {
    use Outcome::{Allowed, Denied};
    in_both_modes(|lab, mode| {
        let probes = [
            ("n/homebody", to("n/host-north"), 80, Allowed),
            ("n/homebody", to("n/host-south"), 80, Denied),
            ("n/traveller", to("n/host-north"), 80, Denied),
            ("n/traveller", to("n/host-south"), 80, Allowed),
            ("n/sealed", to("n/host-north"), 80, Denied),
            ("n/sealed", to("n/host-south"), 80, Denied),
        ];
        check(lab, mode, &probes);
    });
}

#[test]
fn another_node_is_a_peer_by_its_address() {
    use Outcome::{Allowed, Denied};
    in_both_modes(|lab, mode| {
        let probes = [
            ("n/host-north", to("n/for-node"), 80, Allowed),
            ("n/host-north", to("n/for-client"), 80, Denied),
            ("n/host-south", to("n/for-node"), 80, Allowed),
            ("n/host-south", to("n/for-client"), 80, Allowed),
            ("n/host-south", to("n/sealed"), 80, Denied),
        ];
        check(lab, mode, &probes);
    });
}

#[test]
fn a_masqueraded_client_is_its_node_to_others_and_itself_at_home() {
    use Outcome::{Allowed, Denied};
    in_both_modes(|lab, mode| {
        let probes = |masqueraded| {
            let (node, client) = if masqueraded {
                (Allowed, Denied)
            } else {
                (Denied, Allowed)
            };
            [
                ("n/client", to("n/for-node"), 80, node),
                ("n/client", to("n/for-client"), 80, client),
                ("n/sealed", to("n/for-node"), 80, Denied),
                ("n/homebody", to("n/for-node"), 80, Denied),
            ]
        };
        check(lab, mode, &probes(false));
        let masquerade = "table inet uplink { chain c { type nat hook postrouting priority 100; \
                          oifname wire0 ip saddr 10.244.0.0/16 snat ip to 192.0.2.1; \
                          oifname wire0 ip6 saddr fd00:10:244::/48 snat ip6 to 2001:db8::1; }; }";
        nft(lab.node_netns("north").unwrap(), masquerade);
        check(lab, mode, &probes(true));
    });
}

#[test]
fn a_pod_reaches_itself_directly_and_through_its_service() {
    use Outcome::{Allowed, Denied};
    let service = Target::Service(ServiceName {
        namespace: "n".into(),
        name: "mirror".into(),
    });
    in_both_modes(|lab, mode| {
        // what a pod sends to itself has to have another's address on its way back
        let hairpin = "table inet hairpin { chain c { type nat hook postrouting priority 100; \
                       ip saddr 10.244.1.1 ip daddr 10.244.1.1 snat ip to 192.0.2.1; \
                       ip6 saddr fd00:10:244:1::1 ip6 daddr fd00:10:244:1::1 snat ip6 to 2001:db8::1; }; }";
        nft(lab.node_netns("north").unwrap(), hairpin);
        let probes = [
            ("n/sealed", to("n/sealed"), 80, Allowed),
            ("n/sealed", service.clone(), 8080, Allowed),
            ("n/homebody", service.clone(), 8080, Denied),
            ("n/client", service.clone(), 8080, Denied),
        ];
        check(lab, mode, &probes);
    });
}
