//! The load against its own server, over the loopback of a network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::ValueEnum as _;
use sluice_bench::load::{Pages, Ports, Route, Server, Span, Workload};
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

#[test]
fn every_workload_is_answered() {
    let Some(netns) = namespace() else {
        return;
    };
    let server = (
        Server::start(&netns).unwrap(),
        Pages::start(&netns).unwrap(),
    );
    let span = Span {
        warm_up: Duration::ZERO,
        warm_connections: 0,
        counted: Duration::from_millis(200),
        limit: Some(200),
        rate: 2_000.0,
    };
    for workload in Workload::value_variants() {
        let loopback = if workload.is_ipv6() {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        } else {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        };
        let route = Route {
            to: loopback,
            service: Some(SocketAddr::new(loopback, FIRST)),
        };
        let run = || workload.run(&route, &span, &mut Ports::default());
        let sent = netns.enter(run).unwrap();
        assert_eq!(sent.failed, None, "{workload:?}");
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
