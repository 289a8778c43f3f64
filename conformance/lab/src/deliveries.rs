//! What arrives in pods, whether or not anything answers: it tells a request that was dropped from a reply that was.
//! Which ought to arrive is not known here.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};

use crate::{Family, Outcome};

/// What a socket holds between two looks: a thousand probes at once are some thousand packets, and a small packet takes
/// a kilobyte. What does not fit is counted by the kernel: of packets that were not heard then, nothing is known.
const ROOM: usize = 16 << 20;
/// Network header without options, and ports.
const BEGINNING: usize = 128;

/// Who sent a packet: the protocol's number, and the address and port that it came from. Probes of a lab have a source
/// port each.
pub(crate) type Sender = (u8, SocketAddr);

/// Sockets that hear what comes in to network namespaces.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    sockets: Vec<OwnedFd>,
}

impl Deliveries {
    /// Sockets in the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let sockets = Family::ALL.into_iter().map(|family| socket(family, ROOM));
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
        })
    }

    /// Takes over the sockets of another namespace.
    pub(crate) fn add(&mut self, other: Self) {
        self.sockets.extend(other.sockets);
    }

    /// What came in since the last call.
    pub(crate) fn take(&self) -> io::Result<Arrived> {
        let mut senders = BTreeSet::new();
        let mut unheard = 0;
        let mut buffer = [0; BEGINNING];
        for socket in &self.sockets {
            loop {
                // The rest of a long packet is of no interest.
                match recv(socket, buffer.as_mut_slice(), RecvFlags::empty()) {
                    Ok((length, _)) => senders.extend(sender(&buffer[..length])),
                    Err(Errno::AGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            unheard += drops(socket)?;
        }
        Ok(Arrived { senders, unheard })
    }
}

/// What came in.
#[derive(Debug)]
pub(crate) struct Arrived {
    senders: BTreeSet<Sender>,
    /// Packets that came in too, and that no socket had room for.
    unheard: u64,
}

impl Arrived {
    /// What came of a probe that this sender sent, in the light of what arrived.
    pub(crate) fn judge(&self, outcome: Outcome, sender: &Sender) -> Outcome {
        match outcome {
            Outcome::Denied if self.senders.contains(sender) => Outcome::ReplyLost,
            Outcome::Denied if self.unheard > 0 => Outcome::Error(format!(
                "nothing came back, and {} packets arrived unheard",
                self.unheard
            )),
            outcome => outcome,
        }
    }
}

/// packet(7), `PACKET_STATISTICS`: how many packets a socket had no room for since it was last asked.
fn drops(socket: &OwnedFd) -> io::Result<u64> {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut length = libc::socklen_t::try_from(size_of_val(&statistics)).unwrap_or_default();
    // SAFETY: the kernel writes no more than `length` bytes, which is the size of what it writes to.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(statistics.tp_drops))
}

/// packet(7): of one ethertype. A socket for all would hear what goes out as well.
fn socket(family: Family, room: usize) -> io::Result<OwnedFd> {
    let ethertype: u16 = match family {
        Family::Ipv4 => 0x0800,
        Family::Ipv6 => 0x86dd,
    };
    let number = u32::from(ethertype.to_be());
    let protocol = std::num::NonZeroU32::new(number).map(Protocol::from_raw);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, protocol)?;
    set_socket_recv_buffer_size_force(&socket, room)?;
    Ok(socket)
}

/// The sender of a packet without options and extension headers, as probes are; by the first four bytes behind the
/// network header, which TCP, UDP and SCTP begin with their ports in.
fn sender(packet: &[u8]) -> Option<Sender> {
    let (protocol, source, ports): (u8, IpAddr, &[u8]) = match packet.first()? {
        0x45 => {
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            (packet[9], Ipv4Addr::from(source).into(), packet.get(20..)?)
        }
        first if first >> 4 == 6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            (packet[6], Ipv6Addr::from(source).into(), packet.get(40..)?)
        }
        _ => return None,
    };
    let port: [u8; 2] = ports.get(..2)?.try_into().ok()?;
    Some((protocol, (source, u16::from_be_bytes(port)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::{Forged, Segment};

    #[test]
    fn the_sender_of_a_packet_is_read() {
        for (from, to) in [
            ("10.0.0.1:4000", "10.0.0.2:80"),
            ("[fd00::1]:4000", "[fd00::2]:80"),
        ] {
            for (segment, number) in [(Segment::SYN, 6), (Segment::Udp, 17)] {
                let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
                let packet = Forged { from, to, segment }.bytes();
                assert_eq!(sender(&packet), Some((number, from)));
                assert_eq!(sender(&packet[..21]), None, "cut short");
            }
        }
        assert_eq!(sender(&[]), None);
    }

    #[test]
    fn what_arrives_unheard_is_no_denial() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let sender: Sender = (17, "127.0.0.1:9".parse().unwrap());
        let judged = |arrived: Arrived| arrived.judge(Outcome::Denied, &sender);
        let netns = sluice_netlink::Netns::new().unwrap();
        let work = || {
            let mut netlink = sluice_netlink::Rtnetlink::open().unwrap();
            netlink.set_up("lo").unwrap();
            let deliveries = Deliveries {
                sockets: vec![socket(Family::Ipv4, 1 << 12).unwrap()],
            };
            let to = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let from = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            for _ in 0..1000 {
                from.send_to(b"who", to.local_addr().unwrap()).unwrap();
            }
            let outcome = judged(deliveries.take().unwrap());
            assert!(matches!(outcome, Outcome::Error(_)), "{outcome}");
            let later = judged(deliveries.take().unwrap());
            assert_eq!(later, Outcome::Denied, "it is counted once");
        };
        netns.enter(work).unwrap();
    }
}
