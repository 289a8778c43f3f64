//! Host routes are followed as they come, move and go, whether the kernel says so or not.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sluice_netlink::{Error, HostRoute, Netns, Route, RouteEvent, RouteWatch, Rtnetlink, VethEnd};

mod common;

/// Waits for the next event, as a thread does.
fn next(watch: &mut RouteWatch) -> RouteEvent {
    loop {
        if let Some(event) = watch.next().unwrap() {
            return event;
        }
        let patience = Timespec {
            tv_sec: 5,
            tv_nsec: 0,
        };
        let mut ready = [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)];
        assert_eq!(
            poll(&mut ready, Some(&patience)).unwrap(),
            1,
            "no event came"
        );
    }
}

fn inside<T: Send>(
    netns: &Netns,
    work: impl FnOnce(&mut Rtnetlink) -> Result<T, Error> + Send,
) -> T {
    let outcome = netns.enter(|| work(&mut Rtnetlink::open()?));
    outcome.unwrap().unwrap()
}

/// A namespace with a pair of links, and their indices.
fn pair() -> (Netns, [u32; 2]) {
    let netns = Netns::new().unwrap();
    let end = |name| VethEnd { name, netns: None };
    let links = inside(&netns, |rtnetlink| {
        rtnetlink.create_veth(end("a"), end("b"))?;
        rtnetlink.set_up("a")?;
        rtnetlink.set_up("b")?;
        Ok([rtnetlink.index("a")?, rtnetlink.index("b")?])
    });
    (netns, links)
}

fn to(address: IpAddr, device: u32) -> Route {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    Route {
        destination: Some((address, whole)),
        device: Some(device),
        ..Route::default()
    }
}

fn addresses() -> [IpAddr; 2] {
    ["10.9.0.1", "fd00:9::1"].map(|text| text.parse().unwrap())
}

#[test]
fn a_route_is_known_from_its_coming_to_its_going() {
    if !common::privileged() {
        return;
    }
    let (netns, [a, b]) = pair();
    for address in addresses() {
        let [there, elsewhere] = [a, b].map(|device| HostRoute { address, device });
        inside(&netns, |rtnetlink| rtnetlink.add_route(&to(address, a)));
        let mut watch = netns.enter(RouteWatch::open).unwrap().unwrap();
        assert_eq!(next(&mut watch), RouteEvent::Appeared(there));
        assert_eq!(watch.next().unwrap(), None, "only host routes are told of");
        inside(&netns, |rtnetlink| rtnetlink.replace_route(&to(address, b)));
        assert_eq!(next(&mut watch), RouteEvent::Appeared(elsewhere));
        assert_eq!(next(&mut watch), RouteEvent::Vanished(there));
        inside(&netns, |rtnetlink| rtnetlink.delete_route(&to(address, b)));
        assert_eq!(next(&mut watch), RouteEvent::Vanished(elsewhere));
    }
}

#[test]
fn a_link_that_goes_down_takes_its_routes_with_it() {
    if !common::privileged() {
        return;
    }
    let (netns, [device, _]) = pair();
    for address in addresses() {
        inside(&netns, |rtnetlink| {
            rtnetlink.add_route(&to(address, device))
        });
    }
    let mut watch = netns.enter(RouteWatch::open).unwrap().unwrap();
    let appeared = [next(&mut watch), next(&mut watch)];
    inside(&netns, |rtnetlink| rtnetlink.set_down("a"));
    let mut vanished = [next(&mut watch), next(&mut watch)];
    vanished.sort_by_key(
        |event| matches!(event, RouteEvent::Vanished(route) if route.address.is_ipv6()),
    );
    for (appeared, vanished) in appeared.into_iter().zip(vanished) {
        let RouteEvent::Appeared(route) = appeared else {
            panic!("{appeared:?}");
        };
        assert_eq!(vanished, RouteEvent::Vanished(route));
    }
}

#[test]
fn prefixes_gateways_and_addresses_of_the_namespace_are_no_host_routes() {
    if !common::privileged() {
        return;
    }
    let (netns, [device, _]) = pair();
    inside(&netns, |rtnetlink| {
        rtnetlink.add_address("a", "fd00:9::5".parse().unwrap(), 128)?;
        rtnetlink.add_address("a", "10.9.1.1".parse().unwrap(), 24)?;
        rtnetlink.add_route(&Route {
            destination: Some(("10.9.2.0".parse().unwrap(), 24)),
            device: Some(device),
            ..Route::default()
        })?;
        rtnetlink.add_route(&Route {
            gateway: Some("10.9.1.2".parse().unwrap()),
            ..to("10.9.3.1".parse().unwrap(), device)
        })
    });
    let mut watch = netns.enter(RouteWatch::open).unwrap().unwrap();
    assert_eq!(watch.next().unwrap(), None);
}
