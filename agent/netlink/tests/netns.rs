//! Namespaces, links, addresses, routes and sysctls are what the calls say, seen through sockets and through `ip`.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::time::Duration;

use sluice_netlink::{Error, Netns, Route, Rtnetlink, VethEnd};

mod common;

fn ip(netns: &Netns, arguments: &str) -> String {
    let output = netns
        .enter(|| {
            Command::new("ip")
                .args(arguments.split(' '))
                .output()
                .unwrap()
        })
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Two namespaces joined by a veth pair made from a third one.
fn pair() -> (Netns, Netns) {
    let (left, right) = (Netns::new().unwrap(), Netns::new().unwrap());
    let elsewhere = Netns::new().unwrap();
    elsewhere
        .enter(|| {
            let near = VethEnd {
                name: "l0",
                netns: Some(left.as_fd()),
            };
            let far = VethEnd {
                name: "r0",
                netns: Some(right.as_fd()),
            };
            Rtnetlink::open()?.create_veth(near, far)
        })
        .unwrap()
        .unwrap();
    (left, right)
}

fn configure(netns: &Netns, link: &str, addresses: &[(&str, u8)]) {
    let work = || -> Result<(), Error> {
        let mut rtnetlink = Rtnetlink::open()?;
        for (address, prefix) in addresses {
            rtnetlink.add_address(link, address.parse().unwrap(), *prefix)?;
        }
        rtnetlink.set_up(link)
    };
    netns.enter(work).unwrap().unwrap();
}

/// A datagram from `from` reaches `address` in `to`.
fn reaches(from: &Netns, to: &Netns, address: &str) -> io::Result<()> {
    let address: IpAddr = address.parse().unwrap();
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let receiver = to.enter(|| UdpSocket::bind((address, 0))).unwrap()?;
    receiver.set_read_timeout(Some(Duration::from_mins(1)))?;
    let sender = from.enter(|| UdpSocket::bind(any)).unwrap()?;
    sender.send_to(b"hello", receiver.local_addr()?)?;
    let mut buffer = [0; 16];
    let length = receiver.recv(&mut buffer)?;
    assert_eq!(&buffer[..length], b"hello");
    Ok(())
}

#[test]
fn a_new_namespace_is_another_one_and_has_loopback_up() {
    if !common::privileged() {
        return;
    }
    let netns = Netns::new().unwrap();
    let inode = |netns: &Netns| rustix::fs::fstat(netns.as_fd()).unwrap().st_ino;
    let inside = netns.enter(Netns::current).unwrap().unwrap();
    assert_eq!(inode(&netns), inode(&inside));
    assert_ne!(inode(&netns), inode(&Netns::current().unwrap()));
    reaches(&netns, &netns, "127.0.0.1").unwrap();
}

#[test]
fn a_veth_pair_carries_both_families() {
    if !common::privileged() {
        return;
    }
    let (left, right) = pair();
    configure(&left, "l0", &[("10.9.0.1", 24), ("fd09::1", 64)]);
    configure(&right, "r0", &[("10.9.0.2", 24), ("fd09::2", 64)]);
    reaches(&left, &right, "10.9.0.2").unwrap();
    reaches(&right, &left, "fd09::1").unwrap();
}

/// The router's end of a pod's link: gateway addresses that every pod has in common, and a route to each of the pod's.
fn host_routes(rtnetlink: &mut Rtnetlink, link: &str, pod: [&str; 2]) -> Result<(), Error> {
    rtnetlink.set_up(link)?;
    rtnetlink.add_address(link, "169.254.1.1".parse().unwrap(), 32)?;
    rtnetlink.add_address(link, "fd09::ffff".parse().unwrap(), 128)?;
    let device = Some(rtnetlink.index(link)?);
    for address in pod {
        let (address, length) = address.split_once('/').unwrap();
        rtnetlink.add_route(&Route {
            destination: Some((address.parse().unwrap(), length.parse().unwrap())),
            device,
            ..Route::default()
        })?;
    }
    Ok(())
}

#[test]
fn host_routes_onlink_gateways_and_forwarding_make_a_router() {
    if !common::privileged() {
        return;
    }
    let (left, router) = pair();
    let right = Netns::new().unwrap();
    router.set_sysctl("ipv4/ip_forward", "1").unwrap();
    router.set_sysctl("ipv6/conf/all/forwarding", "1").unwrap();
    configure(&left, "l0", &[("10.9.0.1", 32), ("fd09::1", 128)]);
    let work = || -> Result<(), Error> {
        let mut rtnetlink = Rtnetlink::open()?;
        let far = VethEnd {
            name: "r0",
            netns: Some(right.as_fd()),
        };
        rtnetlink.create_veth(
            VethEnd {
                name: "temporary",
                netns: None,
            },
            far,
        )?;
        rtnetlink.rename("temporary", "l1")?;
        host_routes(&mut rtnetlink, "r0", ["10.9.0.1/32", "fd09::1/128"])?;
        host_routes(&mut rtnetlink, "l1", ["10.9.0.2/32", "fd09::2/128"])?;
        Ok(())
    };
    router.enter(work).unwrap().unwrap();
    configure(&right, "r0", &[("10.9.0.2", 32), ("fd09::2", 128)]);
    for (pod, link) in [(&left, "l0"), (&right, "r0")] {
        let default = || -> Result<(), Error> {
            let mut rtnetlink = Rtnetlink::open()?;
            let device = Some(rtnetlink.index(link)?);
            for gateway in ["169.254.1.1", "fd09::ffff"] {
                let gateway = Some(gateway.parse().unwrap());
                rtnetlink.add_route(&Route {
                    gateway,
                    device,
                    onlink: true,
                    ..Route::default()
                })?;
            }
            Ok(())
        };
        pod.enter(default).unwrap().unwrap();
    }
    reaches(&left, &right, "10.9.0.2").unwrap();
    reaches(&right, &left, "fd09::1").unwrap();
    assert!(ip(&left, "route show default").contains("via 169.254.1.1 dev l0"));
}

#[test]
fn a_sysctl_belongs_to_its_namespace() {
    if !common::privileged() {
        return;
    }
    let (one, other) = (Netns::new().unwrap(), Netns::new().unwrap());
    let before = other.sysctl("ipv4/ip_forward").unwrap();
    let new = if before == "0" { "1" } else { "0" };
    one.set_sysctl("ipv4/ip_forward", new).unwrap();
    assert_eq!(one.sysctl("ipv4/ip_forward").unwrap(), new);
    assert_eq!(other.sysctl("ipv4/ip_forward").unwrap(), before);
    assert!(one.set_sysctl("../kernel/hostname", "x").is_err());
}

#[test]
fn links_are_enslaved_taken_down_and_deleted() {
    if !common::privileged() {
        return;
    }
    let (left, _right) = pair();
    let work = || -> Result<(), Error> {
        let mut rtnetlink = Rtnetlink::open()?;
        rtnetlink.create_bridge("br0")?;
        rtnetlink.set_up("br0")?;
        rtnetlink.set_master("l0", "br0")?;
        rtnetlink.set_up("l0")
    };
    left.enter(work).unwrap().unwrap();
    assert!(ip(&left, "-o link show l0").contains("master br0"));
    left.enter(|| Rtnetlink::open()?.set_down("l0"))
        .unwrap()
        .unwrap();
    assert_eq!(ip(&left, "-o link show l0 up"), "");
    left.enter(|| Rtnetlink::open()?.delete("l0"))
        .unwrap()
        .unwrap();
    assert!(!ip(&left, "-o link").contains("l0"));
}

#[test]
fn refusals_name_what_was_asked_and_why() {
    if !common::privileged() {
        return;
    }
    let netns = Netns::new().unwrap();
    let error = netns
        .enter(|| Rtnetlink::open()?.set_up("missing"))
        .unwrap()
        .unwrap_err();
    assert_eq!(error.errno(), Some(rustix::io::Errno::NODEV));
    assert!(error.to_string().starts_with("look a link up: "), "{error}");
    let error = netns
        .enter(|| Rtnetlink::open()?.set_up("a-name-of-sixteen"))
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("1 to 15 bytes"), "{error}");
}
