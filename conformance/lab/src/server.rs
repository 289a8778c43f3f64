//! What answers in a pod: a listener per port, and the pod's name for everyone who asks. Policies, probes and other
//! pods are not known here.
//!
//! A TCP server writes `NAME\n` and then returns whatever it is sent, so that a connection can be held and tried again
//! later; a UDP server answers every datagram with `NAME`; an SCTP server puts the name into the state cookie of its
//! INIT ACK. Numbered traffic is counted by others: its connections are handed over, its datagrams ignored.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sluice_policy::Protocol;
use tokio::io::{AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::guests::Guests;
use crate::raw::RawSocket;
use crate::sctp::{Chunk, Packet};
use crate::stream::is_numbered;
use crate::{Family, Port};

/// More connections than this at once wait in the kernel.
const BACKLOG: i32 = 1024;

/// A socket that is bound, and stays in the network namespace it was opened in.
pub(crate) enum Listener {
    Tcp(std::net::TcpListener),
    Udp(std::net::UdpSocket),
    /// All SCTP ports of an address: a raw socket has no ports.
    Sctp(OwnedFd, BTreeSet<u16>),
}

impl Listener {
    /// Opens listeners for `ports` at `address`, in the network namespace of the calling thread.
    pub(crate) fn open(address: IpAddr, ports: &BTreeSet<Port>) -> io::Result<Vec<Self>> {
        let mut listeners = Vec::new();
        let mut sctp = BTreeSet::new();
        for port in ports {
            let at = SocketAddr::new(address, port.number);
            match port.protocol {
                Protocol::Tcp => listeners.push(Self::Tcp(listen(at)?)),
                Protocol::Udp => {
                    listeners.push(Self::Udp(open(at, SocketType::DGRAM)?.into()));
                }
                Protocol::Sctp => {
                    sctp.insert(port.number);
                }
                Protocol::Other(_) => {}
            }
        }
        if !sctp.is_empty() {
            listeners.push(Self::Sctp(RawSocket::open(address)?, sctp));
        }
        Ok(listeners)
    }

    /// Answers with `name` until the task is dropped. Within a runtime.
    pub(crate) async fn serve(self, name: Arc<str>, guests: Arc<Guests>) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => serve_tcp(TcpListener::from_std(listener)?, name, guests).await,
            Self::Udp(socket) => serve_udp(UdpSocket::from_std(socket)?, &name).await,
            Self::Sctp(socket, ports) => serve_sctp(RawSocket::new(socket)?, &ports, &name).await,
        }
    }
}

/// `std`'s listener has a backlog of 128, and a matrix opens more connections at once.
fn listen(at: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = open(at, SocketType::STREAM)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// A bound socket that lets a more special one be bound beside it.
fn open(at: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = match Family::of(at.ip()) {
        Family::Ipv4 => AddressFamily::INET,
        Family::Ipv6 => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &at)?;
    Ok(socket)
}

async fn serve_tcp(listener: TcpListener, name: Arc<str>, guests: Arc<Guests>) -> io::Result<()> {
    loop {
        // A connection that ended before it was accepted is no reason to stop.
        let Ok((stream, client)) = listener.accept().await else {
            continue;
        };
        match guests.host_of(client) {
            // A host that has gone in the meantime closes the connection.
            Some(host) => drop(host.send(stream.into_std()?)),
            None => drop(tokio::spawn(converse(stream, Arc::clone(&name)))),
        }
    }
}

/// Returns once the client has closed; then the server closes too.
async fn converse(mut stream: TcpStream, name: Arc<str>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let (mut reader, mut writer) = stream.split();
    copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

async fn serve_udp(socket: UdpSocket, name: &str) -> io::Result<()> {
    let mut buffer = [0; 512];
    loop {
        // An error is the ICMP answer to an earlier reply: the next client is another one.
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await
            && !is_numbered(&buffer[..length])
        {
            drop(socket.send_to(name.as_bytes(), from).await);
        }
    }
}

async fn serve_sctp(socket: RawSocket, ports: &BTreeSet<u16>, name: &str) -> io::Result<()> {
    loop {
        let Ok((bytes, from)) = socket.receive().await else {
            continue;
        };
        let Some(reply) = Packet::decode(&bytes).and_then(|packet| init_ack(&packet, ports, name))
        else {
            continue;
        };
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
