//! New connections, one after another, each of a packet or two; and the packets of them that arrive. Replies are not
//! waited for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{SocketType, ipproto, sockopt};
use sluice_netlink::Netns;
use sluice_policy::Protocol;
use sluice_prober::header_length;

use super::tally::Tally;
use super::{Delivery, Way, deliveries, join, lock, spawn, wire};
use crate::Family;

/// Below the ports of probes and streams. It takes a minute or more until one comes back.
const FIRST_PORT: u16 = 10_000;
const PORTS: u16 = 22_000;
/// Where a TCP header has its flags, and two of them (RFC 9293).
const FLAGS: usize = 13;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Connections that are opened all the time; it ends with this value.
pub struct Hammer {
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
    receivers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    attempts: Mutex<Attempts>,
    arrived: Mutex<Tally>,
    stop: AtomicBool,
    end: AtomicBool,
}

#[derive(Default)]
struct Attempts {
    /// When each was made.
    sent: Vec<Instant>,
    /// The attempt that used a port last.
    by_port: Vec<Option<u64>>,
}

impl Hammer {
    /// Starts to open connections, as [`Lab::hammer`](crate::Lab::hammer) does.
    pub fn between(way: &Way<'_>, interval: Duration) -> Result<Self> {
        let (netns, source) = way.from;
        let shared = Arc::<Shared>::default();
        let mut receivers = Vec::new();
        for (netns, at) in way.receivers.iter().copied() {
            let socket = netns.enter(|| listen(way.protocol, at.ip(), source))??;
            let receiver = Arc::clone(&shared);
            let protocol = way.protocol;
            receivers.push(spawn("hammer receiver", move || {
                receiver.receive(&socket, protocol, at);
            })?);
        }
        let (netns, to) = (netns.try_clone()?, way.to);
        let (sender, protocol) = (Arc::clone(&shared), way.protocol);
        let sender = spawn("hammer", move || {
            let run = || sender.send(protocol, source, to, interval);
            // A namespace that cannot be entered leaves nothing sent, which whoever counts sees.
            drop(Netns::enter(&netns, run));
        })?;
        Ok(Self {
            shared,
            sender: Some(sender),
            receivers,
        })
    }

    /// How many connections were tried so far.
    pub fn sent(&self) -> u64 {
        lock(&self.shared.attempts).sent.len() as u64
    }

    /// When each was tried.
    pub fn attempts(&self) -> Vec<Instant> {
        lock(&self.shared.attempts).sent.clone()
    }

    /// How many arrived: of TCP, how many SYNs.
    pub fn delivered(&self) -> u64 {
        lock(&self.shared.arrived).delivered()
    }

    /// The connections that arrived, and when the first packet of each did.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let sent = lock(&self.shared.attempts).sent.clone();
        deliveries(&sent, &lock(&self.shared.arrived))
    }

    /// Opens nothing more. What waits somewhere for a verdict may still arrive.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.sender.take().into_iter().for_each(join);
    }
}

impl Drop for Hammer {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        self.stop();
        self.receivers.drain(..).for_each(join);
    }
}

impl Shared {
    fn send(&self, protocol: Protocol, source: IpAddr, to: SocketAddr, interval: Duration) {
        let mut next = Instant::now();
        for port in (0..PORTS).cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let from = SocketAddr::new(source, FIRST_PORT + port);
            // A port that a server of the pod has is passed over.
            if let Ok(socket) = bound(protocol, from) {
                let number = self.attempt(port);
                open(&socket, protocol, to, number);
            }
            next = Instant::now().max(next + interval);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// Notes an attempt before it is made: what it sends may arrive at once.
    fn attempt(&self, port: u16) -> u64 {
        let mut attempts = lock(&self.attempts);
        let number = attempts.sent.len() as u64;
        attempts.by_port.resize(usize::from(PORTS), None);
        attempts.by_port[usize::from(port)] = Some(number);
        attempts.sent.push(Instant::now());
        number
    }

    fn receive(&self, socket: &OwnedFd, protocol: Protocol, at: SocketAddr) {
        let mut buffer = [0; 2048];
        while !self.end.load(Ordering::Relaxed) {
            let received = wire::receive(socket, &mut buffer);
            let now = Instant::now();
            let packet = received.ok().flatten().unwrap_or_default();
            if let Some(number) = port(packet, protocol, at).and_then(|port| self.number_of(port)) {
                lock(&self.arrived).note(number, now);
            }
        }
    }

    fn number_of(&self, port: u16) -> Option<u64> {
        let index = usize::from(port.checked_sub(FIRST_PORT)?);
        lock(&self.attempts).by_port.get(index).copied().flatten()
    }
}

/// Hears every packet that the pod gets from `from`, whether or not anybody listens.
fn listen(protocol: Protocol, at: IpAddr, from: IpAddr) -> Result<OwnedFd> {
    let protocol = match protocol {
        Protocol::Tcp => ipproto::TCP,
        Protocol::Udp => ipproto::UDP,
        other => anyhow::bail!("{other} is not hammered"),
    };
    let socket = wire::socket(Family::of(at), SocketType::RAW, Some(protocol))?;
    rustix::net::bind(&socket, &SocketAddr::new(at, 0))?;
    rustix::net::connect(&socket, &SocketAddr::new(from, 0)).context("connect")?;
    wire::prepare(&socket)?;
    Ok(socket)
}

/// The source port of a packet to `at` that opens a connection. The reset with which the sender answers what a server
/// repeats a second later is none: from the server's end, which may be allowed, it answers.
fn port(packet: &[u8], protocol: Protocol, at: SocketAddr) -> Option<u16> {
    let segment = packet.get(header_length(at.is_ipv4(), packet)..)?;
    let [a, b, c, d, ..] = *segment else {
        return None;
    };
    let opens = protocol != Protocol::Tcp
        || segment
            .get(FLAGS)
            .is_some_and(|flags| flags & (SYN | ACK) == SYN);
    let to = u16::from_be_bytes([c, d]);
    (opens && to == at.port()).then_some(u16::from_be_bytes([a, b]))
}

fn bound(protocol: Protocol, from: SocketAddr) -> io::Result<OwnedFd> {
    let kind = match protocol {
        Protocol::Udp => SocketType::DGRAM,
        _ => SocketType::STREAM,
    };
    let socket = wire::socket(Family::of(from.ip()), kind, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::bind(&socket, &from)?;
    Ok(socket)
}

/// One datagram; or a SYN, and a reset where it was answered at once or later. What the peer or an ICMP error says is of
/// no account.
fn open(socket: &OwnedFd, protocol: Protocol, to: SocketAddr, number: u64) {
    let _outcome: Result<(), Errno> = rustix::net::connect(socket, &to);
    if protocol == Protocol::Udp {
        drop(wire::send(socket, &wire::encode(number), || true));
    } else {
        // Closing resets: nothing of the connection is left to wait for.
        let _outcome: Result<(), Errno> = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_known_by_its_ports() {
        let at: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let udp = |packet: &[u8], at| port(packet, Protocol::Udp, at);
        let mut packet = vec![0x46; 24];
        packet.extend([0x27, 0x11, 0, 80, 0]);
        assert_eq!(udp(&packet, at), Some(10_001));
        assert_eq!(udp(&packet, SocketAddr::new(at.ip(), 81)), None);
        assert_eq!(udp(&packet[..26], at), None);
        assert_eq!(udp(&[0, 7, 0, 80], "[::1]:80".parse().unwrap()), Some(7));
    }

    #[test]
    fn of_a_tcp_connection_only_what_opens_it_arrives() {
        let at: SocketAddr = "[::1]:80".parse().unwrap();
        for (flags, expected) in [(SYN, Some(7)), (ACK, None), (SYN | ACK, None), (0x04, None)] {
            let mut packet = vec![0, 7, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50];
            assert_eq!(port(&packet, Protocol::Tcp, at), None, "cut short");
            packet.push(flags);
            assert_eq!(port(&packet, Protocol::Tcp, at), expected, "{flags:#x}");
        }
    }
}
