//! Sockets as clients want them, with a time limit, and reset when they are closed, so that no port rests for a minute;
//! and as servers want them, that share their ports with other threads.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::PATIENCE;

/// Connections that wait to be taken at most.
const BACKLOG: i32 = 128;

/// A TCP socket that is not connected yet.
pub(super) fn tcp(to: SocketAddr, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = open(to, SocketType::STREAM, flags)?;
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    Ok(socket)
}

/// A UDP socket that is not connected yet.
pub(super) fn udp(to: SocketAddr) -> io::Result<OwnedFd> {
    open(to, SocketType::DGRAM, SocketFlags::empty())
}

/// A listener that does not wait. The kernel deals connections out among all that listen at the same address.
pub(super) fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = served(at, SocketType::STREAM)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A socket for UDP that does not wait; likewise.
pub(super) fn served_udp(at: SocketAddr) -> io::Result<UdpSocket> {
    served(at, SocketType::DGRAM).map(UdpSocket::from)
}

fn served(at: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family(at), kind, flags, None)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &at)?;
    Ok(socket)
}

fn family(of: SocketAddr) -> AddressFamily {
    if of.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    }
}

fn open(to: SocketAddr, kind: SocketType, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = socket_with(family(to), kind, flags | SocketFlags::CLOEXEC, None)?;
    for which in [Timeout::Recv, Timeout::Send] {
        sockopt::set_socket_timeout(&socket, which, Some(PATIENCE))?;
    }
    Ok(socket)
}
