//! An answer that is still to come while the question is forbidden.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, sockopt};
use sluice_lab::{Family, Lab, Mode};
use sluice_policy::Protocol;

use super::restart::allow;
use super::{How, agent, pair};
use crate::common::{assert_allowed, eventually, pod};

fn address(lab: &Lab, name: &str, port: u16) -> SocketAddr {
    let plan = lab.plan();
    let pod = &plan.pods[plan.pod(&pod(name)).unwrap()];
    SocketAddr::new(pod.address(Family::Ipv4).unwrap(), port)
}

/// A socket of the pod `at`, beside that of its server, which hears `from` alone.
fn socket(lab: &Lab, name: &str, at: SocketAddr, from: SocketAddr) -> UdpSocket {
    let open = || {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        rustix::net::bind(&socket, &at).unwrap();
        rustix::net::connect(&socket, &from).unwrap();
        UdpSocket::from(socket)
    };
    lab.pod_netns(&pod(name)).unwrap().enter(open).unwrap()
}

#[test]
fn a_late_answer_does_not_open_the_way_for_more_questions() {
    for mode in [Mode::Hybrid, Mode::Nfqueue] {
        let how = How {
            mode,
            fail_open: false,
        };
        let Some(mut lab) = how.up() else {
            return;
        };
        // the first is judged, the second finds its lease
        let flows = [4000, 4001].map(|port| {
            let asks = address(&lab, "x/client", port);
            let answers = address(&lab, "x/server", 80);
            let client = socket(&lab, "x/client", asks, answers);
            let server = socket(&lab, "x/server", answers, asks);
            server
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            // What is sent before a neighbour is known may be dropped.
            eventually("a question is heard", || {
                client.send(b"question").unwrap();
                server.recv(&mut [0; 16]).is_ok()
            });
            (client, server)
        });
        allow(&lab, "late");
        let enforced = "change enforced";
        eventually(enforced, || agent(&mut lab).log().contains(enforced));
        for (client, server) in &flows {
            server.send(b"answer").unwrap();
            for _ in 0..20 {
                client.send(b"another question").unwrap();
            }
        }
        // a probe on the same way arrives after them
        let probe = pair("late", "server", Protocol::Udp, Family::Ipv4);
        assert_allowed(&lab, &[probe]);
        for (number, (_, server)) in flows.iter().enumerate() {
            server.set_nonblocking(true).unwrap();
            let heard = server.recv(&mut [0; 16]);
            assert!(heard.is_err(), "{mode:?}: flow {number}: {heard:?}");
        }
    }
}
