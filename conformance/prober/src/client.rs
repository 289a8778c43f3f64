//! What asks: a socket in the source pod's namespace, one question, and what came back. How long to wait, and whether
//! the answer is right, is decided elsewhere.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, ipproto};
use sluice_policy::Protocol;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use crate::raw::{RawSocket, family};
use crate::sctp::{Chunk, Packet};
use crate::{Reply, Sctp};

/// The longest name, `NAMESPACE/NAME`, has 63 + 1 + 253 bytes.
const NAME: usize = 512;
/// What a word on an open connection begins with: servers return it, whatever the protocol.
pub(crate) const MORE: &str = "more ";
/// Client ports go round in the kernel's own ephemeral range.
const FIRST_PORT: u16 = 32_768;
/// The last of them.
const LAST_PORT: u16 = 60_999;
/// So many processes in one network have ports of their own.
pub(crate) const SHARES: u16 = 32;

/// The source port of the next probe. One after another, so that no 5-tuple comes back before all of them were used:
/// what the kernel remembers of an earlier probe must not answer for a later one.
#[derive(Debug)]
pub struct SourcePorts {
    next: AtomicU16,
    /// Of those that are used.
    first: u16,
    last: u16,
}

impl Default for SourcePorts {
    fn default() -> Self {
        Self::new()
    }
}

impl SourcePorts {
    /// From the first on.
    pub const fn new() -> Self {
        Self {
            next: AtomicU16::new(FIRST_PORT),
            first: FIRST_PORT,
            last: LAST_PORT,
        }
    }

    /// From one on that follows from a number, for those who share addresses and do not know of one another.
    pub fn from_seed(seed: u32) -> Self {
        Self::within(FIRST_PORT, LAST_PORT, seed)
    }

    /// Those of one of [`SHARES`] alone, from one on that follows from a number.
    pub(crate) fn of_share(share: u16, seed: u32) -> Self {
        let length = (LAST_PORT - FIRST_PORT + 1) / SHARES;
        let first = FIRST_PORT + share % SHARES * length;
        Self::within(first, first + length - 1, seed)
    }

    fn within(first: u16, last: u16, seed: u32) -> Self {
        let span = u32::from(last - first) + 1;
        // The remainder fits, as the range of ports does.
        let offset = u16::try_from(seed % span).unwrap_or_default();
        Self {
            next: AtomicU16::new(first + offset),
            first,
            last,
        }
    }

    fn next(&self) -> u16 {
        let step = |port| {
            Some(if port == self.last {
                self.first
            } else {
                port + 1
            })
        };
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .unwrap_or_else(|port| port)
    }
}

/// A bound socket that has not sent anything yet.
#[derive(Debug)]
pub enum Client {
    /// One that connects: of TCP, or of SCTP where the kernel has it.
    Tcp(OwnedFd),
    /// One that sends a datagram.
    Udp(std::net::UdpSocket),
    /// A raw socket, and the source port of its handshake.
    Sctp(OwnedFd, u16),
}

impl Client {
    /// Opens a socket at `source`, in the network namespace of the calling thread.
    pub fn open(
        source: IpAddr,
        protocol: Protocol,
        sctp: Sctp,
        ports: &SourcePorts,
    ) -> io::Result<Self> {
        loop {
            match Self::open_at(SocketAddr::new(source, ports.next()), protocol, sctp) {
                // A server of the same pod has it.
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                other => return other,
            }
        }
    }

    fn open_at(source: SocketAddr, protocol: Protocol, sctp: Sctp) -> io::Result<Self> {
        let connecting = |protocol| -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let family = family(source.ip());
            let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, protocol)?;
            rustix::net::bind(&socket, &source)?;
            Ok(Self::Tcp(socket))
        };
        match protocol {
            Protocol::Tcp => connecting(None),
            Protocol::Sctp if sctp == Sctp::Kernel => connecting(Some(ipproto::SCTP)),
            Protocol::Udp => {
                let socket = std::net::UdpSocket::bind(source)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
            Protocol::Sctp => Ok(Self::Sctp(RawSocket::open(source.ip())?, source.port())),
            Protocol::Other(number) => Err(io::Error::new(
                ErrorKind::Unsupported,
                format!("protocol {number} is not probed"),
            )),
        }
    }

    /// Who its packets come from: the number of the protocol, and the address; of a raw socket, with the port that it
    /// writes itself.
    pub fn sender(&self) -> io::Result<(u8, SocketAddr)> {
        let (protocol, fd, port) = match self {
            Self::Tcp(socket) => (Protocol::Tcp, socket.as_fd(), None),
            Self::Udp(socket) => (Protocol::Udp, socket.as_fd(), None),
            Self::Sctp(socket, port) => (Protocol::Sctp, socket.as_fd(), Some(*port)),
        };
        let mut source = SocketAddr::try_from(rustix::net::getsockname(fd)?)?;
        if let Some(port) = port {
            source.set_port(port);
        }
        Ok((protocol.number(), source))
    }

    /// Asks once and waits for as long as it takes. Within a runtime.
    pub async fn ask(self, to: SocketAddr) -> Reply {
        let answer = match self {
            Self::Sctp(socket, source) => ask_sctp(socket, source, to).await,
            other => other.connect(to).await.map(|(name, _)| name),
        };
        reply(answer)
    }

    /// Asks once, and keeps what a connection is for these protocols.
    pub async fn connect(self, to: SocketAddr) -> io::Result<(String, Conversation)> {
        match self {
            Self::Tcp(socket) => connect_tcp(socket, to).await,
            Self::Udp(socket) => connect_udp(socket, to).await,
            Self::Sctp(..) => Err(io::Error::new(
                ErrorKind::Unsupported,
                "an SCTP probe is a handshake only",
            )),
        }
    }
}

/// An open connection to a server.
#[derive(Debug)]
pub struct Conversation {
    carrier: Carrier,
    /// That of the last word: each has its own, so that a late answer to an earlier one is not taken for its answer.
    number: u64,
}

#[derive(Debug)]
enum Carrier {
    /// A stream, and what came of a line that has not ended.
    Tcp(TcpStream, Vec<u8>),
    /// Datagrams to one peer.
    Udp(UdpSocket),
}

impl Carrier {
    const fn conversation(self) -> Conversation {
        Conversation {
            carrier: self,
            number: 0,
        }
    }
}

impl Conversation {
    /// Says something more, and waits for the answer to just that for as long as it takes. May be given up at any time,
    /// and gone on with later.
    pub async fn go_on(&mut self) -> io::Result<()> {
        self.number += 1;
        let word = format!("{MORE}{}\n", self.number);
        let word = word.as_bytes();
        match &mut self.carrier {
            Carrier::Tcp(stream, came) => {
                stream.write_all(word).await?;
                while !came.split_inclusive(|it| *it == b'\n').any(|it| it == word) {
                    keep_unfinished(came);
                    if stream.read_buf(came).await? == 0 {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                keep_unfinished(came);
            }
            Carrier::Udp(socket) => {
                socket.send(word).await?;
                let mut buffer = [0; NAME];
                loop {
                    let length = socket.recv(&mut buffer).await?;
                    if buffer[..length] == *word {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Drops the lines that have ended.
fn keep_unfinished(came: &mut Vec<u8>) {
    let ended = came.iter().rposition(|it| *it == b'\n');
    came.drain(..ended.map_or(0, |at| at + 1));
}

async fn connect_tcp(socket: OwnedFd, to: SocketAddr) -> io::Result<(String, Conversation)> {
    let stream = TcpSocket::from_std_stream(socket.into())
        .connect(to)
        .await?;
    // An association has an option of its own for that, and no need of it here.
    drop(stream.set_nodelay(true));
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream).take(NAME as u64);
    reader.read_until(b'\n', &mut line).await?;
    let stream = reader.into_inner().into_inner();
    match line.strip_suffix(b"\n") {
        Some(name) => {
            let carrier = Carrier::Tcp(stream, Vec::new());
            Ok((text(name)?, carrier.conversation()))
        }
        None => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the server closed before it had said its name",
        )),
    }
}

async fn connect_udp(
    socket: std::net::UdpSocket,
    to: SocketAddr,
) -> io::Result<(String, Conversation)> {
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(to).await?;
    socket.send(b"who").await?;
    let mut buffer = [0; NAME];
    let length = socket.recv(&mut buffer).await?;
    let carrier = Carrier::Udp(socket);
    Ok((text(&buffer[..length])?, carrier.conversation()))
}

async fn ask_sctp(socket: OwnedFd, source_port: u16, to: SocketAddr) -> io::Result<String> {
    let socket = RawSocket::new(socket)?;
    socket.connect(to.ip())?;
    let tag = 0x51_0000 | u32::from(source_port);
    let init = Packet {
        source_port,
        destination_port: to.port(),
        verification_tag: 0,
        chunk: Chunk::Init { tag },
    };
    socket.send(&init.encode()).await?;
    loop {
        // A raw socket hears whatever the peer sends to this pod.
        let (bytes, _) = socket.receive().await?;
        let Some(packet) = Packet::decode(&bytes) else {
            continue;
        };
        if (packet.source_port, packet.destination_port) != (to.port(), source_port) {
            continue;
        }
        match packet.chunk {
            Chunk::InitAck { cookie, .. } if packet.verification_tag == tag => {
                return text(&cookie);
            }
            Chunk::Abort => return Err(ErrorKind::ConnectionRefused.into()),
            Chunk::Init { .. } | Chunk::InitAck { .. } => {}
        }
    }
}

fn text(bytes: &[u8]) -> io::Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(io::Error::other)
}

fn reply(answer: io::Result<String>) -> Reply {
    match answer {
        Ok(name) => Reply::Name(name),
        Err(error) if is_refusal(&error) => Reply::Refused,
        Err(error) => Reply::Error(error.to_string()),
    }
}

/// What resets and ICMP errors become: the table `icmp_err_convert` of the kernel, and its IPv6 counterpart.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNREFUSED
                | Errno::CONNRESET
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::NOPROTOOPT
                | Errno::ACCESS
        )
    ) || error.kind() == ErrorKind::ConnectionRefused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_ports_go_round_in_their_range() {
        let ports = SourcePorts::from_seed(u32::from(LAST_PORT - 1 - FIRST_PORT));
        let next: Vec<_> = (0..4).map(|_| ports.next()).collect();
        assert_eq!(next, [LAST_PORT - 1, LAST_PORT, FIRST_PORT, FIRST_PORT + 1]);
    }

    #[test]
    fn a_reset_is_a_refusal_and_a_bad_argument_is_not() {
        assert_eq!(reply(Err(Errno::CONNREFUSED.into())), Reply::Refused);
        assert_eq!(reply(Err(Errno::HOSTUNREACH.into())), Reply::Refused);
        assert!(matches!(reply(Err(Errno::INVAL.into())), Reply::Error(_)));
    }
}
