//! Packets as they are: sent on a pod's link and seen on another's, byte for byte from the network header on. What is
//! in them is for `craft`.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto,
    socket_with,
};
use sluice_lab::Lab;

use crate::common::pod;
use crate::craft::TTL;

/// The ethertypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Longer than any packet on a veth.
const BUFFER: usize = 1 << 16;
/// What a tap holds between two looks: tiny packets take room like whole ones.
const ROOM: usize = 16 << 20;
/// A packet may have been forwarded so often.
const HOPS: u8 = 4;

/// `struct sockaddr_ll` of packet(7).
#[repr(C)]
#[derive(Clone, Copy)]
struct LinkAddress {
    family: u16,
    protocol: u16,
    index: u32,
    hardware: u16,
    kind: u8,
    length: u8,
    address: [u8; 8],
}

// SAFETY: the pointer is to a whole `sockaddr_ll` that outlives the call, and the length is its own.
unsafe impl SocketAddrArg for LinkAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let length = SocketAddrLen::try_from(size_of::<Self>()).unwrap_or(0);
        f((&raw const *self).cast(), length)
    }
}

/// Hears packets of an ethertype that come in; of none, nothing. (One that heard all ethertypes would hear what goes out
/// as well.)
fn packet_socket(ethertype: Option<u16>) -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol =
        ethertype.map(|number| Protocol::from_raw(u32::from(number.to_be()).try_into().unwrap()));
    let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol).unwrap();
    set_socket_recv_buffer_size_force(&socket, ROOM).unwrap();
    socket
}

/// Puts packets on a pod's link, addressed to its node. The pod's own kernel has no say in them.
pub(crate) struct Injector {
    socket: OwnedFd,
    link: u32,
    node: [u8; 6],
}

impl Injector {
    pub(crate) fn of(lab: &Lab, name: &str) -> Self {
        let node = hardware_address(lab, name);
        let open = || {
            let socket = packet_socket(None);
            let link = name_to_index(&socket, "eth0").unwrap();
            (socket, link)
        };
        let (socket, link) = lab.pod_netns(&pod(name)).unwrap().enter(open).unwrap();
        Self { socket, link, node }
    }

    /// Sends a packet, from its IP header on; an error where it does not fit the link.
    pub(crate) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let is_ipv6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
        let mut address = [0; 8];
        address[..6].copy_from_slice(&self.node);
        let to = LinkAddress {
            family: AddressFamily::PACKET.as_raw(),
            protocol: if is_ipv6 { IPV6 } else { IPV4 }.to_be(),
            index: self.link,
            hardware: 0,
            kind: 0,
            length: 6,
            address,
        };
        sendto(&self.socket, packet, SendFlags::empty(), &to)?;
        Ok(())
    }
}

/// The node's end of a pod's link.
fn hardware_address(lab: &Lab, name: &str) -> [u8; 6] {
    let index = lab.plan().pod(&pod(name)).unwrap();
    let plan = lab.plan();
    let node = lab.node_netns(&plan.nodes[plan.pods[index].node].name);
    let ask = || {
        let mut ip = Command::new("ip");
        ip.args(["-j", "link", "show", "dev", &format!("pod{index}")]);
        ip.output().unwrap().stdout
    };
    let links: serde_json::Value =
        serde_json::from_slice(&node.unwrap().enter(ask).unwrap()).unwrap();
    let text = links[0]["address"].as_str().unwrap();
    let bytes: Vec<_> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// Hears every IP packet that is delivered to a pod, whoever it is for and whatever it is.
pub(crate) struct Tap {
    sockets: [OwnedFd; 2],
    heard: Vec<Vec<u8>>,
}

impl Tap {
    pub(crate) fn of(lab: &Lab, name: &str) -> Self {
        let open = || [IPV4, IPV6].map(|ethertype| packet_socket(Some(ethertype)));
        Self {
            sockets: lab.pod_netns(&pod(name)).unwrap().enter(open).unwrap(),
            heard: Vec::new(),
        }
    }

    /// All packets of [`crate::craft`] that were heard so far.
    pub(crate) fn heard(&mut self) -> &[Vec<u8>] {
        let mut buffer = vec![0; BUFFER];
        for socket in &self.sockets {
            loop {
                match recv(socket, buffer.as_mut_slice(), RecvFlags::TRUNC) {
                    Ok((length, _)) => {
                        let packet = &buffer[..length.min(BUFFER)];
                        if crafted(packet) {
                            self.heard.push(packet.to_owned());
                        }
                    }
                    Err(Errno::AGAIN) => break,
                    Err(errno) => panic!("a tap fails: {errno}"),
                }
            }
        }
        &self.heard
    }

    /// How many packets arrived from `source` under an identification.
    pub(crate) fn count(&mut self, source: IpAddr, identification: u16) -> usize {
        let is_it = |packet: &&Vec<u8>| {
            (self::source(packet), self::identification(packet))
                == (Some(source), Some(identification))
        };
        self.heard().iter().filter(is_it).count()
    }
}

fn crafted(packet: &[u8]) -> bool {
    let at = match packet.first().map(|byte| byte >> 4) {
        Some(4) => 8,
        Some(6) => 7,
        _ => return false,
    };
    packet
        .get(at)
        .is_some_and(|ttl| (TTL - HOPS..=TTL).contains(ttl))
}

/// IPv4's identification, or the lower part of IPv6's flow label.
fn identification(packet: &[u8]) -> Option<u16> {
    let at = if packet.first()? >> 4 == 6 { 2 } else { 4 };
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

fn source(packet: &[u8]) -> Option<IpAddr> {
    if packet.first()? >> 4 == 6 {
        let octets: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    } else {
        let octets: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    }
}
