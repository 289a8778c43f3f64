//! The sockets of numbered traffic: how a number travels, and what TCP says of its retransmissions. Who counts is not
//! known here.

use std::ffi::c_void;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::Family;

/// A message: these bits, and a number in the rest.
const MARK: u64 = 0xa5_5a_00 << 40;
const MARK_MASK: u64 = 0xff_ff_ff << 40;
/// The length of a message.
pub(super) const MESSAGE: usize = 8;
/// Arrivals of seconds fit: a receiver that does not run for a while must not look like a loss.
const BUFFER: usize = 8 << 20;
/// How long a call may block; then its thread looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(50);
/// In `struct tcp_info` of `linux/tcp.h`.
const TOTAL_RETRANS: usize = 100;
const DSACK_DUPS: usize = 216;

/// Whether bytes are a numbered message, which no server answers.
pub(crate) fn is_numbered(bytes: &[u8]) -> bool {
    <[u8; MESSAGE]>::try_from(bytes).is_ok_and(|bytes| decode(bytes).is_some())
}

pub(super) fn encode(number: u64) -> [u8; MESSAGE] {
    (MARK | (number & !MARK_MASK)).to_be_bytes()
}

pub(super) fn decode(message: [u8; MESSAGE]) -> Option<u64> {
    let word = u64::from_be_bytes(message);
    (word & MARK_MASK == MARK).then_some(word & !MARK_MASK)
}

/// A socket in the namespace of the calling thread.
pub(super) fn socket(
    family: Family,
    kind: SocketType,
    protocol: Option<Protocol>,
) -> io::Result<OwnedFd> {
    let family = match family {
        Family::Ipv4 => AddressFamily::INET,
        Family::Ipv6 => AddressFamily::INET6,
    };
    Ok(rustix::net::socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC,
        protocol,
    )?)
}

/// A UDP socket at `at` that hears `from` alone, in the namespace of the calling thread. There may be a server at the
/// same address: the kernel prefers the socket that is connected.
pub(super) fn receive_udp(at: SocketAddr, from: SocketAddr) -> io::Result<OwnedFd> {
    let socket = socket(Family::of(at.ip()), SocketType::DGRAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &at)?;
    rustix::net::connect(&socket, &from)?;
    Ok(socket)
}

/// Makes a socket blocking, for a short while each time, and its buffer large.
pub(super) fn prepare(socket: impl AsFd) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&socket, false)?;
    for which in [Timeout::Recv, Timeout::Send] {
        sockopt::set_socket_timeout(&socket, which, Some(PATIENCE))?;
    }
    Ok(sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER)?)
}

/// Sends a message, unless `is_over` before it could be; over TCP it may be taken in parts.
pub(super) fn send(
    socket: impl AsFd,
    message: &[u8],
    is_over: impl Fn() -> bool,
) -> io::Result<bool> {
    let mut rest = message;
    while !rest.is_empty() {
        match rustix::net::send(&socket, rest, SendFlags::NOSIGNAL) {
            Ok(length) => rest = &rest[length..],
            // Full, or an ICMP error about an earlier datagram: this message has not been sent yet.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNREFUSED | Errno::HOSTUNREACH) => {
                if is_over() {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// What arrived meanwhile, empty after a short while without anything; none once the peer has closed.
pub(super) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<&[u8]>> {
    match rustix::net::recv(&socket, &mut *buffer, RecvFlags::empty()) {
        Ok((0, _)) => Ok(None),
        Ok((length, _)) => Ok(Some(&buffer[..length])),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNREFUSED | Errno::HOSTUNREACH) => Ok(Some(&[])),
        Err(error) => Err(error.into()),
    }
}

/// How many segments this end of a TCP connection has sent again because they were lost: those that the peer had twice
/// (it says so in a D-SACK) were sent again for nothing.
pub(super) fn retransmissions(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = [0_u8; 256];
    let mut length = libc::socklen_t::try_from(info.len()).map_err(io::Error::other)?;
    // SAFETY: `info` is writable and `length` is its length; the kernel writes no more than that.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    let word = |at: usize| {
        let bytes = [info[at], info[at + 1], info[at + 2], info[at + 3]];
        u64::from(u32::from_ne_bytes(bytes))
    };
    Ok(word(TOTAL_RETRANS).saturating_sub(word(DSACK_DUPS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_words() {
        assert_eq!(decode(encode(7)), Some(7));
        assert!(is_numbered(&encode(0)));
        assert!(!is_numbered(b"who") && !is_numbered(b"greeting"));
    }
}
