//! Room for a full queue in its socket. The kernel drops what a socket has no room for, and by default that is a few
//! hundred packets, long before a queue is full.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, sockopt};

/// What 4096 packets of a common size take, as the kernel counts.
const ROOM: usize = 8 << 20;
/// `NETLINK_NETFILTER`.
const NETFILTER: u32 = 12;

/// Makes room in every netfilter socket of this process: the library keeps its own to itself.
pub(super) fn enlarge() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // SAFETY: the descriptor was open a moment ago; should it be another one by now, it is asked what it is, and at
        // worst another netfilter socket has more room.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let is_netfilter = sockopt::socket_domain(fd) == Ok(AddressFamily::NETLINK)
            && matches!(sockopt::socket_protocol(fd), Ok(Some(of)) if of.as_raw().get() == NETFILTER);
        if is_netfilter {
            sockopt::set_socket_recv_buffer_size_force(fd, ROOM)?;
        }
    }
    Ok(())
}
