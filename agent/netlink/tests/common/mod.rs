//! What the privileged tests share: the question whether they can run, and pods behind a node, all in namespaces
//! without names, so that nothing outlives the test.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

pub mod bpf;
pub mod tcp;
pub mod world;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sluice_netlink::dnat::{self, DnatRule};
use sluice_netlink::{Error, Gate, Netns, QueueVerb, Route, Rtnetlink, VethEnd};

/// The node's address on every pod's link.
pub const GATEWAY4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0xffff);

/// Whether this process may make namespaces; says why the test does nothing if it may not.
pub fn privileged() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: making network namespaces needs root");
    }
    root
}

/// How this kernel queues.
pub fn verb() -> QueueVerb {
    static VERB: OnceLock<QueueVerb> = OnceLock::new();
    *VERB.get_or_init(|| {
        Netns::new()
            .unwrap()
            .enter(Gate::probe_verb)
            .unwrap()
            .unwrap()
    })
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        // reason: from one look to the next; the processor is left to what is waited for
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A namespace that routes between pods.
pub struct Node {
    pub netns: Netns,
    pub pods: Vec<Pod>,
}

/// A namespace with an address of each family.
pub struct Pod {
    pub netns: Netns,
    pub ipv4: IpAddr,
    pub ipv6: IpAddr,
}

impl Node {
    /// Has what is sent to `service` go to `backend`, an address and its port.
    pub fn serve(&self, protocol: u8, service: SocketAddr, backend: (IpAddr, u16)) {
        let rule = DnatRule {
            vip: service.ip(),
            protocol,
            port: service.port(),
            backends: vec![backend],
        };
        let install = || dnat::install(&[rule]).unwrap();
        self.netns.enter(install).unwrap();
    }

    /// Pod `n` has the addresses 10.77.0.(n+1) and `fd77::(n+1)`, and hangs on the node's link `pod<n>`.
    pub fn with_pods(count: u8) -> Self {
        let netns = Netns::new().unwrap();
        netns.set_sysctl("ipv4/ip_forward", "1").unwrap();
        netns.set_sysctl("ipv6/conf/all/forwarding", "1").unwrap();
        let pods = (0..count)
            .map(|number| Pod::on(&netns, number).unwrap())
            .collect();
        Self { netns, pods }
    }

    /// Runs a program in the node's namespace; its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        run(&self.netns, program, arguments)
    }
}

/// Runs a program in a namespace; its output.
pub fn run(netns: &Netns, program: &str, arguments: &[&str]) -> String {
    let command = || Command::new(program).args(arguments).output().unwrap();
    let output = netns.enter(command).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

impl Pod {
    fn on(node: &Netns, number: u8) -> Result<Self, Error> {
        let netns = Netns::new()?;
        let ipv4 = IpAddr::from([10, 77, 0, number + 1]);
        let ipv6 = IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, u16::from(number) + 1]);
        let link = format!("pod{number}");
        node.enter(|| {
            let mut rtnetlink = Rtnetlink::open()?;
            let far = VethEnd {
                name: "eth0",
                netns: Some(netns.as_fd()),
            };
            rtnetlink.create_veth(
                VethEnd {
                    name: &link,
                    netns: None,
                },
                far,
            )?;
            rtnetlink.set_up(&link)?;
            rtnetlink.add_address(&link, GATEWAY4.into(), 32)?;
            rtnetlink.add_address(&link, GATEWAY6.into(), 128)?;
            let device = Some(rtnetlink.index(&link)?);
            for (address, length) in [(ipv4, 32), (ipv6, 128)] {
                let destination = Some((address, length));
                rtnetlink.add_route(&Route {
                    destination,
                    device,
                    ..Route::default()
                })?;
            }
            Ok(())
        })??;
        netns.enter(|| {
            let mut rtnetlink = Rtnetlink::open()?;
            rtnetlink.set_up("eth0")?;
            rtnetlink.add_address("eth0", ipv4, 32)?;
            rtnetlink.add_address("eth0", ipv6, 128)?;
            let device = Some(rtnetlink.index("eth0")?);
            for gateway in [IpAddr::from(GATEWAY4), IpAddr::from(GATEWAY6)] {
                let gateway = Some(gateway);
                rtnetlink.add_route(&Route {
                    gateway,
                    device,
                    onlink: true,
                    ..Route::default()
                })?;
            }
            Ok(())
        })??;
        Ok(Self { netns, ipv4, ipv6 })
    }

    /// The address of the family of `other`.
    pub fn address_like(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() {
            self.ipv4
        } else {
            self.ipv6
        }
    }
}
