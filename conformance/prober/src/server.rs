//! What answers in a pod: a listener per port, and the pod's name for everyone who asks. Policies, probes and other
//! pods are not known here.
//!
//! A TCP server writes `NAME\n` and then returns whatever it is sent, so that a connection can be held and tried again
//! later; a UDP server answers every datagram with `NAME`, but returns one that says something more to it; an SCTP server puts the name into the state cookie of its
//! INIT ACK. Where the kernel has SCTP itself, its associations are served as connections are. Whoever counts or wants to
//! answer for itself what comes is a [`Visitors`].

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{Protocol as SocketProtocol, SocketFlags, SocketType, ipproto};
use sluice_policy::Protocol;
use tokio::io::{AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::Sctp;
use crate::client::MORE;
use crate::raw::{RawSocket, family};
use crate::sctp::{Chunk, Packet};

/// More connections than this at once wait in the kernel.
const BACKLOG: i32 = 1024;

/// Who is told what comes to servers.
pub trait Visitors: Send + Sync + 'static {
    /// A connection to a port of ours was accepted. It is answered if it is returned.
    fn connected(
        &self,
        stream: TcpStream,
        protocol: Protocol,
        from: SocketAddr,
        port: u16,
    ) -> Option<TcpStream>;

    /// A datagram, or a packet that asks for an association, came to a port of ours. Whether it is to be answered.
    fn received(&self, protocol: Protocol, from: SocketAddr, port: u16, bytes: &[u8]) -> bool;
}

/// A socket that is bound, and stays in the network namespace it was opened in.
#[derive(Debug)]
pub enum Listener {
    /// One that accepts: of TCP, or of SCTP where the kernel has it.
    Accepting(Protocol, std::net::TcpListener),
    /// One for datagrams.
    Udp(std::net::UdpSocket),
    /// All SCTP ports of an address: a raw socket has no ports.
    Sctp(OwnedFd, BTreeSet<u16>),
}

impl Listener {
    /// Opens listeners for `ports` at `address`, in the network namespace of the calling thread.
    pub fn open(
        address: IpAddr,
        ports: impl IntoIterator<Item = (Protocol, u16)>,
        sctp: Sctp,
    ) -> io::Result<Vec<Self>> {
        let mut listeners = Vec::new();
        let mut raw = BTreeSet::new();
        for (protocol, number) in ports {
            let at = SocketAddr::new(address, number);
            match protocol {
                Protocol::Tcp => listeners.push(Self::Accepting(protocol, listen(at, None)?)),
                Protocol::Udp => {
                    listeners.push(Self::Udp(open(at, SocketType::DGRAM, None)?.into()));
                }
                Protocol::Sctp if sctp == Sctp::Kernel => {
                    let listener = listen(at, Some(ipproto::SCTP))?;
                    listeners.push(Self::Accepting(protocol, listener));
                }
                Protocol::Sctp => {
                    raw.insert(number);
                }
                Protocol::Other(_) => {}
            }
        }
        if !raw.is_empty() {
            listeners.push(Self::Sctp(RawSocket::open(address)?, raw));
        }
        Ok(listeners)
    }

    /// Answers with `name` until the task is dropped. Within a runtime.
    pub async fn serve(self, name: Arc<str>, visitors: Arc<impl Visitors>) -> io::Result<()> {
        match self {
            Self::Accepting(protocol, listener) => {
                let listener = TcpListener::from_std(listener)?;
                accept(listener, protocol, name, visitors).await
            }
            Self::Udp(socket) => serve_udp(UdpSocket::from_std(socket)?, &name, &*visitors).await,
            Self::Sctp(socket, ports) => {
                serve_sctp(RawSocket::new(socket)?, &ports, &name, &*visitors).await
            }
        }
    }
}

/// `std`'s listener has a backlog of 128, and a matrix opens more connections at once.
fn listen(at: SocketAddr, protocol: Option<SocketProtocol>) -> io::Result<std::net::TcpListener> {
    let socket = open(at, SocketType::STREAM, protocol)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A bound socket that lets a more special one be bound beside it.
fn open(at: SocketAddr, kind: SocketType, protocol: Option<SocketProtocol>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family(at.ip()), kind, flags, protocol)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &at)?;
    Ok(socket)
}

async fn accept(
    listener: TcpListener,
    protocol: Protocol,
    name: Arc<str>,
    visitors: Arc<impl Visitors>,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    loop {
        // A connection that ended before it was accepted is no reason to stop.
        let Ok((stream, client)) = listener.accept().await else {
            continue;
        };
        if let Some(stream) = visitors.connected(stream, protocol, client, port) {
            drop(tokio::spawn(converse(stream, Arc::clone(&name))));
        }
    }
}

/// Returns once the client has closed; then the server closes too.
async fn converse(mut stream: TcpStream, name: Arc<str>) -> io::Result<()> {
    // An association has an option of its own for that, and no need of it here.
    drop(stream.set_nodelay(true));
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

async fn serve_udp(socket: UdpSocket, name: &str, visitors: &impl Visitors) -> io::Result<()> {
    let port = socket.local_addr()?.port();
    let mut buffer = [0; 512];
    loop {
        // An error is the ICMP answer to an earlier reply: the next client is another one.
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await
            && visitors.received(Protocol::Udp, from, port, &buffer[..length])
        {
            let came = &buffer[..length];
            let is_more = came.starts_with(MORE.as_bytes());
            let answer = if is_more { came } else { name.as_bytes() };
            drop(socket.send_to(answer, from).await);
        }
    }
}

async fn serve_sctp(
    socket: RawSocket,
    ports: &BTreeSet<u16>,
    name: &str,
    visitors: &impl Visitors,
) -> io::Result<()> {
    loop {
        let Ok((bytes, from)) = socket.receive().await else {
            continue;
        };
        let Some(reply) = Packet::decode(&bytes).and_then(|packet| init_ack(&packet, ports, name))
        else {
            continue;
        };
        let client = SocketAddr::new(from, reply.destination_port);
        if !visitors.received(Protocol::Sctp, client, reply.source_port, &bytes) {
            continue;
        }
        drop(socket.send_to(&reply.encode(), from).await);
    }
}

/// The answer to an INIT for one of `ports`.
fn init_ack(packet: &Packet, ports: &BTreeSet<u16>, name: &str) -> Option<Packet> {
    let Chunk::Init { tag } = packet.chunk else {
        return None;
    };
    ports.contains(&packet.destination_port).then(|| Packet {
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        verification_tag: tag,
        chunk: Chunk::InitAck {
            tag: tag.rotate_left(16) | 1,
            cookie: name.as_bytes().to_vec(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_init_to_an_open_port_is_answered() {
        let init = Packet {
            source_port: 40_000,
            destination_port: 80,
            verification_tag: 0,
            chunk: Chunk::Init { tag: 77 },
        };
        let reply = init_ack(&init, &BTreeSet::from([80]), "x/a").unwrap();
        assert_eq!(
            (
                reply.source_port,
                reply.destination_port,
                reply.verification_tag
            ),
            (80, 40_000, 77)
        );
        assert_eq!(init_ack(&reply, &BTreeSet::from([40_000]), "x/a"), None);
        assert_eq!(init_ack(&init, &BTreeSet::from([81]), "x/a"), None);
    }
}
