//! Links, addresses and routes, made and changed: what laboratories and tests are built of. The agent itself only
//! watches (`links.rs`, `routes.rs`).

use std::ffi::CString;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_bindings::rt_addr::{self, IfaFlags, Ifaddrmsg};
use netlink_bindings::rt_link::{self, IfinfoFlags, Ifinfomsg};
use netlink_bindings::rt_route::{self, PushRouteAttrs, RtmType, Rtmsg};
use netlink_bindings::traits::Pusher as _;
use netlink_bindings::utils::{finalize_nested_header, push_header, push_nested_header};

use crate::Error;
use crate::socket::{Family, Socket};

/// `enum { IFLA_INFO_DATA }` and `enum { VETH_INFO_PEER }`: the specification has no veth.
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
/// `RTNH_F_ONLINK`: the gateway is taken to be on the link.
const ONLINK: u32 = 4;

/// A route socket of the network namespace it was opened in.
pub struct Rtnetlink {
    socket: Socket,
}

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub struct VethEnd<'a> {
    /// Its name there: 1 to 15 bytes.
    pub name: &'a str,
    /// The namespace it goes to; `None` is the socket's own.
    pub netns: Option<BorrowedFd<'a>>,
}

/// A route of the main table. Of `gateway` and `device` at least one is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Route {
    /// Destination prefix, address and length; `None` is the default route.
    pub destination: Option<(IpAddr, u8)>,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// Index of the link to send on.
    pub device: Option<u32>,
    /// The source address that the host's own packets prefer.
    pub source: Option<IpAddr>,
    /// The gateway is on the link although no prefix says so.
    pub onlink: bool,
}

impl Rtnetlink {
    /// A socket in the network namespace of the calling thread.
    pub fn open() -> Result<Self, Error> {
        Socket::open(Family::Route).map(|socket| Self { socket })
    }

    /// Makes a pair of links, each of which receives what the other one sends. Both are down.
    pub fn create_veth(&mut self, near: VethEnd<'_>, far: VethEnd<'_>) -> Result<(), Error> {
        let (name, peer) = (link_name(near.name)?, link_name(far.name)?);
        let mut request = rt_link::Request::new()
            .set_create()
            .set_excl()
            .op_newlink_do(&Ifinfomsg::new());
        let mut attributes = request.encode().push_ifname(&name);
        if let Some(netns) = near.netns {
            attributes = attributes.push_net_ns_fd(netns.as_raw_fd().cast_unsigned());
        }
        let mut info = attributes.nested_linkinfo().push_kind(c"veth");
        let bytes = info.as_vec_mut();
        let data = push_nested_header(bytes, IFLA_INFO_DATA);
        let end = push_nested_header(bytes, VETH_INFO_PEER);
        bytes.extend_from_slice(Ifinfomsg::new().as_slice());
        let peer = peer.as_bytes_with_nul();
        push_header(bytes, IFLA_IFNAME, attribute_length(peer));
        bytes.extend_from_slice(peer);
        if let Some(netns) = far.netns {
            push_header(bytes, IFLA_NET_NS_FD, 4);
            bytes.extend_from_slice(&netns.as_raw_fd().to_ne_bytes());
        }
        finalize_nested_header(bytes, end);
        finalize_nested_header(bytes, data);
        drop(info);
        self.socket.command("create a veth pair", &request)
    }

    /// Makes a bridge, down.
    pub fn create_bridge(&mut self, name: &str) -> Result<(), Error> {
        let name = link_name(name)?;
        let mut request = rt_link::Request::new()
            .set_create()
            .set_excl()
            .op_newlink_do(&Ifinfomsg::new());
        drop(
            request
                .encode()
                .push_ifname(&name)
                .nested_linkinfo()
                .push_kind(c"bridge"),
        );
        self.socket.command("create a bridge", &request)
    }

    /// The index of the link with this name.
    pub fn index(&mut self, name: &str) -> Result<u32, Error> {
        self.look_up(name)
            .map(|link| link.ifi_index.cast_unsigned())
    }

    /// Whether the link with this name carries packets (`IFF_RUNNING`): it is up, and the kernel has got round to
    /// noticing its carrier, which takes up to a second. Newer kernels notice when asked.
    pub fn is_running(&mut self, name: &str) -> Result<bool, Error> {
        let link = self.look_up(name)?;
        Ok(link.ifi_flags & IfinfoFlags::Running as u32 != 0)
    }

    fn look_up(&mut self, name: &str) -> Result<Ifinfomsg, Error> {
        let name = link_name(name)?;
        let mut request = rt_link::Request::new().op_getlink_do(&Ifinfomsg::new());
        drop(request.encode().push_ifname(&name));
        let mut link = Ifinfomsg::new();
        self.socket
            .request("look a link up", &request, |(header, _)| link = header)
            .map(|_| link)
    }

    /// Brings the link up.
    pub fn set_up(&mut self, name: &str) -> Result<(), Error> {
        let up = IfinfoFlags::Up as u32;
        self.change(
            "set a link up",
            name,
            &Ifinfomsg {
                ifi_flags: up,
                ifi_change: up,
                ..Ifinfomsg::new()
            },
            |_| (),
        )
    }

    /// Brings the link down.
    pub fn set_down(&mut self, name: &str) -> Result<(), Error> {
        let up = IfinfoFlags::Up as u32;
        self.change(
            "set a link down",
            name,
            &Ifinfomsg {
                ifi_change: up,
                ..Ifinfomsg::new()
            },
            |_| (),
        )
    }

    /// Gives the link another name.
    pub fn rename(&mut self, name: &str, to: &str) -> Result<(), Error> {
        let to = link_name(to)?;
        self.change("rename a link", name, &Ifinfomsg::new(), |request| {
            drop(request.encode().push_ifname(&to));
        })
    }

    /// Makes the link a port of a bridge.
    pub fn set_master(&mut self, name: &str, bridge: &str) -> Result<(), Error> {
        let bridge = self.index(bridge)?;
        self.change("enslave a link", name, &Ifinfomsg::new(), |request| {
            drop(request.encode().push_master(bridge));
        })
    }

    /// Deletes the link, and with one end of a veth pair the other one.
    pub fn delete(&mut self, name: &str) -> Result<(), Error> {
        let index = self.index(name)?;
        let header = Ifinfomsg {
            ifi_index: index.cast_signed(),
            ..Ifinfomsg::new()
        };
        self.socket.command(
            "delete a link",
            &rt_link::Request::new().op_dellink_do(&header),
        )
    }

    /// Adds an address with its prefix length to the link. IPv6 addresses are usable at once: nobody else can have
    /// them, so they are not looked for (`nodad`).
    pub fn add_address(&mut self, name: &str, address: IpAddr, prefix: u8) -> Result<(), Error> {
        let header = Ifaddrmsg {
            ifa_family: family(address),
            ifa_prefixlen: prefix,
            ifa_flags: if address.is_ipv6() {
                IfaFlags::Nodad as u8
            } else {
                0
            },
            ifa_index: self.index(name)?,
            ..Ifaddrmsg::new()
        };
        let mut request = rt_addr::Request::new()
            .set_create()
            .set_excl()
            .op_newaddr_do(&header);
        drop(request.encode().push_local(address).push_address(address));
        self.socket.command("add an address", &request)
    }

    /// Adds a route.
    pub fn add_route(&mut self, route: &Route) -> Result<(), Error> {
        let request = rt_route::Request::new().set_create().set_excl();
        let mut request = request.op_newroute_do(&route.header()?);
        route.encode(request.encode());
        self.socket.command("add a route", &request)
    }

    /// Adds a route in the place of another one to the same destination.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), Error> {
        let request = rt_route::Request::new().set_create().set_replace();
        let mut request = request.op_newroute_do(&route.header()?);
        route.encode(request.encode());
        self.socket.command("replace a route", &request)
    }

    /// Removes a route.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), Error> {
        let mut request = rt_route::Request::new().op_delroute_do(&route.header()?);
        route.encode(request.encode());
        self.socket.command("delete a route", &request)
    }

    fn change(
        &mut self,
        what: &'static str,
        name: &str,
        header: &Ifinfomsg,
        encode: impl FnOnce(&mut rt_link::OpNewlinkDo<'_>),
    ) -> Result<(), Error> {
        let mut header = Ifinfomsg::new_from_array(*header.as_array());
        header.ifi_index = self.index(name)?.cast_signed();
        let mut request = rt_link::Request::new().op_newlink_do(&header);
        encode(&mut request);
        self.socket.command(what, &request)
    }
}

impl Route {
    fn encode(&self, mut attributes: PushRouteAttrs<&mut Vec<u8>>) {
        if let Some((address, _)) = self.destination {
            attributes = attributes.push_dst(address);
        }
        if let Some(gateway) = self.gateway {
            attributes = attributes.push_gateway(gateway);
        }
        if let Some(device) = self.device {
            attributes = attributes.push_oif(device);
        }
        if let Some(source) = self.source {
            attributes = attributes.push_prefsrc(source);
        }
        drop(attributes);
    }

    fn header(&self) -> Result<Rtmsg, Error> {
        let any = self
            .destination
            .map(|(address, _)| address)
            .or(self.gateway)
            .or(self.source);
        let Some(address) = any else {
            let why = "neither destination nor gateway says which family".into();
            return Err(Error::Argument { what: "route", why });
        };
        let scope = if self.gateway.is_some() {
            libc::RT_SCOPE_UNIVERSE
        } else {
            libc::RT_SCOPE_LINK
        };
        Ok(Rtmsg {
            rtm_family: family(address),
            rtm_dst_len: self.destination.map_or(0, |(_, length)| length),
            rtm_table: libc::RT_TABLE_MAIN,
            rtm_protocol: libc::RTPROT_STATIC,
            rtm_scope: scope,
            rtm_type: RtmType::Unicast as u8,
            rtm_flags: if self.onlink { ONLINK } else { 0 },
            ..Rtmsg::new()
        })
    }
}

/// The kernel truncates a name that is too long, and so finds or makes another link.
fn link_name(name: &str) -> Result<CString, Error> {
    let refuse = |why| {
        Err(Error::Argument {
            what: "link name",
            why,
        })
    };
    if name.is_empty() || name.len() >= libc::IFNAMSIZ {
        return refuse(format!("{name:?} has not 1 to 15 bytes"));
    }
    CString::new(name).or_else(|_| refuse(format!("{name:?} contains a NUL")))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a name of at most 16 bytes"
)]
const fn attribute_length(bytes: &[u8]) -> u16 {
    bytes.len() as u16
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "AF_INET is 2, AF_INET6 is 10"
)]
const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}
