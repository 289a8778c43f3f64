//! Sockets as clients want them: with a time limit, and reset when they are closed, so that no port rests for a minute.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::PATIENCE;

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

fn open(to: SocketAddr, kind: SocketType, flags: SocketFlags) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, kind, flags | SocketFlags::CLOEXEC, None)?;
    for which in [Timeout::Recv, Timeout::Send] {
        sockopt::set_socket_timeout(&socket, which, Some(PATIENCE))?;
    }
    Ok(socket)
}
