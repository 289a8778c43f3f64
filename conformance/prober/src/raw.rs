//! Raw IP sockets for SCTP under tokio. Knows IP headers just well enough to step over them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A handshake packet with a long pod name is some 300 bytes.
const BUFFER: usize = 2048;

/// A raw SCTP socket that is bound to one address.
pub(crate) struct RawSocket {
    fd: AsyncFd<OwnedFd>,
    is_ipv4: bool,
}

impl RawSocket {
    /// A bound socket in the network namespace of the calling thread.
    pub(crate) fn open(address: IpAddr) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(family(address), SocketType::RAW, flags, Some(ipproto::SCTP))?;
        rustix::net::bind(&socket, &SocketAddr::new(address, 0))?;
        Ok(socket)
    }

    /// Takes a socket of [`RawSocket::open`] into the runtime.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let local = SocketAddr::try_from(rustix::net::getsockname(&socket)?)?;
        // SAFETY: an `OwnedFd` owns its descriptor, is moved in, and is never replaced.
        let fd = unsafe { AsyncFd::register(socket) }
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            fd,
            is_ipv4: local.is_ipv4(),
        })
    }

    /// Receives only from `peer` from now on, and reports its ICMP errors.
    pub(crate) fn connect(&self, peer: IpAddr) -> io::Result<()> {
        Ok(rustix::net::connect(&self.fd, &SocketAddr::new(peer, 0))?)
    }

    /// Sends to the connected peer.
    pub(crate) async fn send(&self, packet: &[u8]) -> io::Result<usize> {
        let send = |fd: &OwnedFd| Ok(rustix::net::send(fd, packet, SendFlags::empty())?);
        self.fd.async_io(Interest::WRITABLE, send).await
    }

    /// Sends to `to`, whose port is of no account.
    pub(crate) async fn send_to(&self, packet: &[u8], to: IpAddr) -> io::Result<usize> {
        let to = SocketAddr::new(to, 0);
        let send = |fd: &OwnedFd| Ok(rustix::net::sendto(fd, packet, SendFlags::empty(), &to)?);
        self.fd.async_io(Interest::WRITABLE, send).await
    }

    /// The next packet, without its IP header, and who sent it.
    pub(crate) async fn receive(&self) -> io::Result<(Vec<u8>, IpAddr)> {
        let receive = |fd: &OwnedFd| {
            let mut buffer = vec![0; BUFFER];
            let (_, length, from) =
                rustix::net::recvfrom(fd, buffer.as_mut_slice(), RecvFlags::empty())?;
            buffer.truncate(length);
            let from = from.ok_or_else(|| io::Error::other("a packet from nowhere"))?;
            Ok((buffer, SocketAddr::try_from(from)?.ip()))
        };
        let (mut packet, from) = self.fd.async_io(Interest::READABLE, receive).await?;
        packet.drain(..header_length(self.is_ipv4, &packet));
        Ok((packet, from))
    }
}

/// The socket family of an address.
pub(crate) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}

/// The length of the IP header that a raw socket delivers: raw IPv4 sockets do, IPv6 ones do not (raw(7), RFC 3542 §3).
pub fn header_length(is_ipv4: bool, packet: &[u8]) -> usize {
    match (is_ipv4, packet.first()) {
        (true, Some(first)) => (usize::from(first & 0xf) * 4).min(packet.len()),
        _ => 0,
    }
}
