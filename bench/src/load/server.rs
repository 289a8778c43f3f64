//! What answers: threads in the server's network namespace, each on every port of it, over both families. There are half
//! as many as processors, as whoever asks needs some too.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use sluice_netlink::Netns;

use super::background::{Background, Stop};
use super::socket;
use crate::env::processors;
use crate::world;

/// Events that are taken from the kernel at a time.
const EVENTS: usize = 256;
/// What is read at a time; a stream is thrown away in pieces of this size.
const BUFFER: usize = 256 * 1024;
/// The number of what tells it to end, the first that is kept.
const STOP: u64 = 0;
/// The number of the listener for streams, the second: the first port.
const DISCARDS: u64 = 1;

/// Threads at most: each has a socket for every port.
const THREADS: u32 = 4;

/// A server; it ends with this value.
#[derive(Debug)]
pub struct Server {
    _threads: Vec<Background>,
}

enum Socket {
    /// Readable when the server is to end.
    Stop(Stop),
    Listener(TcpListener),
    Datagrams(UdpSocket),
    Echo(OwnedFd),
    Discard(OwnedFd),
}

struct Sockets {
    epoll: OwnedFd,
    /// The kernel is told the numbers.
    by_number: HashMap<u64, Socket>,
    next: u64,
    buffer: Vec<u8>,
}

impl Server {
    /// Listens on every port, and answers from threads of its own.
    pub fn start(netns: &Netns) -> Result<Self> {
        let thread = |_| {
            Background::start("server", |stop| {
                let server = netns.enter(|| Sockets::listen(stop))??;
                Ok(move || server.run())
            })
        };
        let threads = (0..(processors() / 2).clamp(1, THREADS)).map(thread);
        Ok(Self {
            _threads: threads.collect::<Result<_>>()?,
        })
    }
}

impl Sockets {
    fn listen(stop: Stop) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        let mut server = Self {
            epoll,
            by_number: HashMap::new(),
            next: STOP,
            buffer: vec![0; BUFFER],
        };
        server.keep(Socket::Stop(stop))?;
        for port in world::ports().filter(|port| *port != world::HTTP) {
            let at = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
            let listener = socket::listener(at).with_context(|| format!("listening on {at}"))?;
            server.keep(Socket::Listener(listener))?;
            let socket =
                socket::served_udp(at).with_context(|| format!("listening on {at}/UDP"))?;
            server.keep(Socket::Datagrams(socket))?;
        }
        Ok(server)
    }

    fn keep(&mut self, socket: Socket) -> io::Result<()> {
        let number = self.next;
        match &socket {
            Socket::Listener(listener) => add(&self.epoll, listener, number),
            Socket::Datagrams(socket) => add(&self.epoll, socket, number),
            Socket::Echo(socket) | Socket::Discard(socket) | Socket::Stop(socket) => {
                add(&self.epoll, socket, number)
            }
        }?;
        self.next += 1;
        self.by_number.insert(number, socket);
        Ok(())
    }

    fn run(mut self) {
        let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        loop {
            let Ok((events, _rest)) = epoll::wait(&self.epoll, &mut buffer, None) else {
                continue;
            };
            for event in &*events {
                if event.data.u64() == STOP {
                    return;
                }
                self.step(event.data.u64());
            }
        }
    }

    /// Whatever a client does wrong ends its connection and nothing else.
    fn step(&mut self, number: u64) {
        let outcome = match self.by_number.get(&number) {
            Some(Socket::Listener(listener)) => {
                match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                    Ok(socket) => {
                        let socket = if number == DISCARDS {
                            Socket::Discard(socket)
                        } else {
                            Socket::Echo(socket)
                        };
                        self.keep(socket)
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Some(Socket::Datagrams(socket)) => answer(socket, &mut self.buffer),
            Some(Socket::Echo(socket)) => echo(socket, &mut self.buffer),
            Some(Socket::Discard(socket)) => discard(socket, &mut self.buffer),
            Some(Socket::Stop(_)) | None => Ok(()),
        };
        let is_over = outcome.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
        let is_connection = matches!(
            self.by_number.get(&number),
            Some(Socket::Echo(_) | Socket::Discard(_))
        );
        if is_over && is_connection {
            self.by_number.remove(&number);
        }
    }
}

fn add(epoll: &OwnedFd, socket: impl AsFd, number: u64) -> io::Result<()> {
    epoll::add(epoll, socket, EventData::new_u64(number), EventFlags::IN)?;
    Ok(())
}

fn answer(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<()> {
    let (length, from) = socket.recv_from(buffer)?;
    socket.send_to(&buffer[..length], from)?;
    Ok(())
}

fn echo(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
    let length = take(socket, buffer)?;
    send(socket, &buffer[..length], SendFlags::NOSIGNAL)?;
    Ok(())
}

fn discard(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
    take(socket, buffer).map(drop)
}

/// What has come.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] at its end.
fn take(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match recv(socket, buffer, RecvFlags::empty()) {
        Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok((length, _)) => Ok(length),
        Err(Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
