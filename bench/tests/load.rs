//! The load against its own server, over the loopback of a network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum as _;
use sluice_bench::load::{Pages, Ports, Route, Sent, Server, Span, Workload};
use sluice_bench::world::FIRST;
use sluice_netlink::Netns;

/// A namespace of its own; none where the test cannot run, which is said.
fn namespace() -> Option<Netns> {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: network namespaces need root");
    }
    is_root.then(|| Netns::new().expect("a namespace"))
}

/// As often is tried what a machine that stands still gives no answer to in time.
const TRIES: usize = 5;

#[test]
fn every_workload_is_answered() {
    let Some(netns) = namespace() else {
        return;
    };
    let server = (
        Server::start(&netns).unwrap(),
        Pages::start(&netns).unwrap(),
    );
    // iperf3 has a server of its own.
    let answered_here = Workload::value_variants()
        .iter()
        .filter(|it| !it.is_iperf3());
    for workload in answered_here {
        let loopback = if workload.is_ipv6() {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        } else {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        };
        let route = Route {
            to: loopback,
            service: Some(SocketAddr::new(loopback, FIRST)),
        };
        let span = Span {
            warm_up: Duration::ZERO,
            warm_connections: 0,
            // The others end by themselves.
            counted: Duration::from_millis(if workload.opens() { 5_000 } else { 200 }),
            limit: Some(200),
            rate: 2_000.0,
        };
        let run = || workload.run(&route, &span, &mut Ports::default());
        let is_answered =
            |sent: &Sent| sent.failed.is_none() && (sent.bytes > 0 || !sent.latency.is_empty());
        let mut tries = (0..TRIES).map(|_| netns.enter(run).unwrap());
        let sent = tries.find(is_answered);
        let sent = sent.unwrap_or_else(|| panic!("{workload:?}: not answered"));
        assert!(sent.connections > 0, "{workload:?}");
        let answered = sent.latency.len();
        if *workload == Workload::TcpStream {
            assert!(sent.bytes > 0);
        } else if workload.opens() {
            assert!(
                answered > 0 && answered <= sent.connections,
                "{workload:?}: {answered}"
            );
        } else {
            assert!(
                answered > 0 && sent.connections == 1,
                "{workload:?}: {answered}"
            );
        }
    }
    drop(server);
}

#[test]
fn nobody_who_answers_is_a_failure_that_says_who() {
    let Some(netns) = namespace() else {
        return;
    };
    let route = Route {
        to: IpAddr::V4(Ipv4Addr::LOCALHOST),
        service: None,
    };
    let span = Span {
        warm_up: Duration::ZERO,
        warm_connections: 0,
        counted: Duration::from_secs(5),
        limit: None,
        rate: 100.0,
    };
    for workload in [Workload::TcpCrr, Workload::TcpCrr8, Workload::UdpNew] {
        let sent = netns
            .enter(|| workload.run(&route, &span, &mut Ports::default()))
            .unwrap();
        let failed = sent.failed.unwrap_or_default();
        assert!(failed.contains("refused"), "{workload:?}: {failed}");
    }
}
