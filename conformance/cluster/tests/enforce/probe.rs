//! Questions that pods ask one another, many at once, and what came back. Whether it ought to is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use sluice_policy::Protocol;

use crate::world::World;

/// A server answers within this time, or nobody does: long enough for a segment that is sent a second time.
const PATIENCE: Duration = Duration::from_millis(1300);
/// The longest answer to an HTTP request for a name.
const ANSWER: u64 = 4096;

/// Which way a question goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// To the pod's own address.
    Pod,
    /// To the address of its Service.
    Service,
}

/// A question: a pod asks another for its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) via: Via,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The name of who answered, as in `x/a`.
    Name(String),
    /// Nothing.
    Silence,
    /// Something else: a refusal, or garbage.
    Other(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            via,
            protocol,
            port,
        } = self;
        let via = if *via == Via::Service {
            " by its Service"
        } else {
            ""
        };
        write!(f, "{from} > {to} {port}/{protocol}{via}")
    }
}

impl World {
    /// Asks all questions at once: the replies, in the same order.
    pub(crate) fn ask(&self, cells: &[Cell]) -> Result<Vec<Reply>> {
        let mut by_pod: BTreeMap<&str, Vec<(usize, SocketAddr, Protocol)>> = BTreeMap::new();
        for (number, cell) in cells.iter().enumerate() {
            let to = self.destination(cell)?;
            by_pod
                .entry(&cell.from)
                .or_default()
                .push((number, to, cell.protocol));
        }
        let mut replies = BTreeMap::new();
        thread::scope(|scope| {
            let asked = by_pod.into_iter().map(|(from, questions)| {
                scope.spawn(move || Ok(self.pod(from)?.netns.enter(|| ask_all(&questions))?))
            });
            for one in asked.collect::<Vec<_>>() {
                let got: Result<Vec<_>> = one
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                replies.extend(got?);
            }
            Ok(replies.into_values().collect())
        })
    }

    /// Where a question is sent.
    pub(crate) fn destination(&self, cell: &Cell) -> Result<SocketAddr> {
        let address = match cell.via {
            Via::Pod => self.pod(&cell.to)?.address,
            Via::Service => self.services[&cell.to],
        };
        Ok(SocketAddr::new(address, cell.port))
    }
}

/// In the network namespace of the calling thread, which its threads share.
fn ask_all(questions: &[(usize, SocketAddr, Protocol)]) -> Vec<(usize, Reply)> {
    thread::scope(|scope| {
        let asked = questions.iter().map(|(number, to, protocol)| {
            scope.spawn(move || {
                let answer = match protocol {
                    Protocol::Udp => ask_udp(*to),
                    _ => ask_tcp(*to),
                };
                (*number, reply(answer))
            })
        });
        let asked: Vec<_> = asked.collect();
        asked
            .into_iter()
            .map(|one| {
                one.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}

fn ask_tcp(to: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /hostname HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER).read_to_string(&mut answer)?;
    let name = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
    Ok(name.trim().to_owned())
}

fn ask_udp(to: SocketAddr) -> io::Result<String> {
    let socket = UdpSocket::bind((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(b"hostname")?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
}

fn reply(answer: io::Result<String>) -> Reply {
    match answer {
        Ok(name) => match name.split_once('-') {
            Some((namespace, name)) => Reply::Name(format!("{namespace}/{name}")),
            None => Reply::Other(format!("`{name}`")),
        },
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
            Reply::Silence
        }
        Err(error) => Reply::Other(error.to_string()),
    }
}
