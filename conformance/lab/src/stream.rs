//! Numbered traffic, for tests that count: how many packets were lost, how many leaked, and when.
//!
//! A [`Stream`] is one UDP flow or one TCP connection that sends a number every so often and may have each answered. A
//! [`Hammer`] opens a new connection every so often. What arrived is counted in the namespace of the destination, by
//! receivers that know nothing of what was sent. A [`Lab`] has them on its cells; between any other two namespaces a
//! [`Way`] says where they go. Whether any of it ought to arrive is not known here.

mod door;
mod hammer;
mod tally;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use anyhow::{Context as _, Result, bail};
use sluice_netlink::Netns;
use sluice_policy::Protocol;
use sluice_prober::{Client, Sctp, SourcePorts};

use crate::{Cell, Lab, Target};
use door::Door;
pub use hammer::Hammer;
use tally::Tally;
pub(crate) use wire::is_numbered;

/// What has to be opened is open by then, also on a busy machine.
const OPEN: Duration = Duration::from_secs(10);
/// What has not arrived when nothing has for so long is lost: TCP tries again after 200 ms, 400 ms, 800 ms.
const QUIET: Duration = Duration::from_secs(2);
/// How often is looked at what is awaited.
const LOOK: Duration = Duration::from_millis(2);

/// Where numbered traffic starts, where it is sent, and where it may arrive.
#[derive(Debug)]
pub struct Way<'a> {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The namespace that it comes from, and the address that it is sent with.
    pub from: (&'a Netns, IpAddr),
    /// Where it is sent: an address of a receiver, or one that is translated.
    pub to: SocketAddr,
    /// The namespaces that it may arrive in, and the addresses that it has there.
    pub receivers: Vec<(&'a Netns, SocketAddr)>,
}

/// How a stream is sent.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one number to the next. A sender that was held up goes on from there, and makes nothing good.
    pub interval: Duration,
    /// Whether the receiver answers each number with itself.
    pub answered: bool,
}

/// From the client to the server, or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the source of the cell.
    Forward,
    /// The answers.
    Backward,
}

/// A number that arrived.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// From 0, without gaps in what was sent.
    pub number: u64,
    /// When it was sent: no later than it really was.
    pub sent: Instant,
    /// When the receiver saw it: no earlier than it really arrived.
    pub arrived: Instant,
}

/// What was lost in each direction: over UDP numbers that did not arrive, over TCP segments that had to be sent again,
/// and numbers that nevertheless did not arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Of what the client sent.
    pub forward: u64,
    /// Of what the server answered.
    pub backward: u64,
}

/// One flow of numbers; it ends with this value.
pub struct Stream {
    shared: Arc<Shared>,
    answered: bool,
    /// The ends of a TCP connection, client's first; none for UDP.
    ends: Vec<Arc<OwnedFd>>,
    sender: Option<JoinHandle<()>>,
    receivers: Vec<JoinHandle<()>>,
    settled: Mutex<usize>,
}

#[derive(Default)]
struct Shared {
    /// When each number was sent.
    sent: Mutex<Vec<Instant>>,
    forward: Mutex<Tally>,
    backward: Mutex<Tally>,
    /// The sender is to end.
    stop: AtomicBool,
    /// The receivers are to end too.
    end: AtomicBool,
    broken: Mutex<Option<String>>,
}

impl Lab {
    /// Starts a stream on `cell`, TCP or UDP, from a port that nobody else gets soon. For TCP the connection is open when
    /// this returns, an error where it does not open; over UDP it takes its course.
    pub fn stream(&self, cell: &Cell, pace: Pace) -> Result<Stream> {
        let door = |client| Ok(Door::Announced(self.guests().announce(client)));
        let opened = self
            .way(cell)
            .and_then(|way| Stream::open(&way, self.source_ports(), pace, door));
        opened.with_context(|| format!("stream {cell}"))
    }

    /// Starts to open connections on `cell`, TCP or UDP, one every `interval`, each from another port.
    pub fn hammer(&self, cell: &Cell, interval: Duration) -> Result<Hammer> {
        let started = self
            .way(cell)
            .and_then(|way| Hammer::between(&way, interval));
        started.with_context(|| format!("hammer {cell}"))
    }

    /// Where what is sent on a cell goes.
    fn way(&self, cell: &Cell) -> Result<Way<'_>> {
        Ok(Way {
            protocol: cell.port.protocol,
            from: self.source(cell)?,
            to: self.destination(cell)?,
            receivers: self.receivers(cell)?,
        })
    }

    /// Who may receive what is sent on a cell, with the address that it arrives at.
    fn receivers(&self, cell: &Cell) -> Result<Vec<(&Netns, SocketAddr)>> {
        let to = self.destination(cell)?;
        let backends = match &cell.to {
            Target::Pod(name) => return Ok(vec![(self.pod_netns(name)?, to)]),
            Target::Service(name) => self.plan().service(name).map(|it| it.backends(cell.port)),
        };
        let backend = |(pod, port): &(usize, u16)| {
            let pod = &self.plan().pods[*pod];
            let address = pod.address(cell.family).context("a pod without address")?;
            Ok((self.pod_netns(&pod.name)?, SocketAddr::new(address, *port)))
        };
        backends.unwrap_or_default().iter().map(backend).collect()
    }

    /// The source's namespace and address.
    fn source(&self, cell: &Cell) -> Result<(&Netns, IpAddr)> {
        let pod = self.plan().pod(&cell.from).context("no such source")?;
        let address = self.plan().pods[pod].address(cell.family);
        Ok((
            self.pod_netns(&cell.from)?,
            address.context("a source without address")?,
        ))
    }
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}/{}", self.from.1, self.to, self.protocol)
    }
}

impl Stream {
    /// Starts a stream, as [`Lab::stream`] does. Nobody else listens where it may arrive: over TCP its own listener
    /// accepts the connection.
    pub fn between(way: &Way<'_>, pace: Pace) -> Result<Self> {
        static PORTS: SourcePorts = SourcePorts::new();
        Self::open(way, &PORTS, pace, |_| Door::listen(&way.receivers))
            .with_context(|| format!("stream {way}"))
    }

    /// `door` is asked for once the client's address is known, and only for TCP.
    fn open(
        way: &Way<'_>,
        ports: &SourcePorts,
        pace: Pace,
        door: impl FnOnce(SocketAddr) -> Result<Door>,
    ) -> Result<Self> {
        let (netns, source) = way.from;
        let client = netns.enter(|| Client::open(source, way.protocol, Sctp::Raw, ports))??;
        let (client, servers) = match client {
            Client::Udp(socket) => open_udp(way, socket.into())?,
            Client::Tcp(socket) => open_tcp(way, socket, door)?,
            Client::Sctp(..) => bail!("{} is not streamed", way.protocol),
        };
        let ends = match way.protocol {
            Protocol::Tcp => [&client].into_iter().chain(&servers).cloned().collect(),
            _ => Vec::new(),
        };
        let shared = Arc::<Shared>::default();
        let mut receivers = Vec::new();
        for server in servers {
            let shared = Arc::clone(&shared);
            let answered = pace.answered;
            receivers.push(spawn("stream receiver", move || {
                shared.serve(&server, answered);
            })?);
        }
        if pace.answered {
            let (shared, client) = (Arc::clone(&shared), Arc::clone(&client));
            receivers.push(spawn("stream answers", move || {
                shared.receive(&client, &shared.backward, |_| Ok(()));
            })?);
        }
        let sending = Arc::clone(&shared);
        let sender = spawn("stream sender", move || {
            sending.send(&client, pace.interval);
        })?;
        Ok(Self {
            shared,
            answered: pace.answered,
            ends,
            sender: Some(sender),
            receivers,
            settled: Mutex::new(0),
        })
    }

    /// How many numbers were sent so far: all below this one.
    pub fn sent(&self) -> u64 {
        self.shared.sent().len() as u64
    }

    /// How many different numbers arrived so far.
    pub fn delivered(&self, direction: Direction) -> u64 {
        self.tally(direction).delivered()
    }

    /// Each number that arrived so far.
    pub fn deliveries(&self, direction: Direction) -> Vec<Delivery> {
        let sent = self.shared.sent().clone();
        deliveries(&sent, &self.tally(direction))
    }

    /// When a number arrived last.
    pub fn last_delivery(&self, direction: Direction) -> Option<Instant> {
        self.tally(direction).last()
    }

    /// What was lost so far. A number that nothing later has overtaken may be under way, and is lost only once
    /// [`Stream::settle`] was in vain.
    pub fn lost(&self) -> Lost {
        let settled = *lock(&self.settled);
        let (forward, backward) = (lock(&self.shared.forward), lock(&self.shared.backward));
        let was_answered = |number| self.answered && forward.arrival(number).is_some();
        Lost {
            forward: forward.lost(settled, |_| true) + self.again(0),
            backward: backward.lost(settled, was_answered) + self.again(1),
        }
    }

    /// What an end of a TCP connection has sent again, and not for nothing.
    fn again(&self, end: usize) -> u64 {
        let end = self.ends.get(end);
        let count = end.map(|end| wire::retransmissions(end.as_fd()));
        count.and_then(Result::ok).unwrap_or_default()
    }

    /// Waits until all that was sent before has arrived, and been answered; false where nothing arrives any more.
    /// What was sent again for nothing is known by then.
    pub fn settle(&self) -> bool {
        let upto = self.shared.sent().len();
        let is_there = |direction| self.tally(direction).end() >= upto;
        let is_all_there =
            || is_there(Direction::Forward) && (!self.answered || is_there(Direction::Backward));
        let state = || (self.arrived(), self.again(0), self.again(1));
        // Time is waited for in pieces: while this process stood still, nothing was received either.
        let (mut seen, mut quiet) = (state(), Duration::ZERO);
        // The peer says that it had something twice when that has arrived, too.
        while !is_all_there() || self.again(0) + self.again(1) > 0 {
            let now = state();
            if now != seen {
                (seen, quiet) = (now, Duration::ZERO);
            }
            if quiet > QUIET {
                break;
            }
            thread::sleep(LOOK);
            quiet += LOOK;
        }
        *lock(&self.settled) = upto;
        is_all_there()
    }

    /// Sends nothing more, and settles.
    pub fn stop(&mut self) -> bool {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.sender.take().into_iter().for_each(join);
        self.settle()
    }

    /// Why nothing more can be sent or received, where that is so: a reset, or a close.
    pub fn broken(&self) -> Option<String> {
        lock(&self.shared.broken).clone()
    }

    fn arrived(&self) -> u64 {
        self.delivered(Direction::Forward) + self.delivered(Direction::Backward)
    }

    fn tally(&self, direction: Direction) -> MutexGuard<'_, Tally> {
        lock(match direction {
            Direction::Forward => &self.shared.forward,
            Direction::Backward => &self.shared.backward,
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.end.store(true, Ordering::Relaxed);
        self.sender.take().into_iter().for_each(join);
        self.receivers.drain(..).for_each(join);
    }
}

impl Shared {
    fn sent(&self) -> MutexGuard<'_, Vec<Instant>> {
        lock(&self.sent)
    }

    fn send(&self, client: &OwnedFd, interval: Duration) {
        let is_over = || self.stop.load(Ordering::Relaxed);
        let mut number = 0;
        let mut next = Instant::now();
        while !is_over() {
            let now = Instant::now();
            match wire::send(client, &wire::encode(number), is_over) {
                Ok(true) => self.sent().push(now),
                Ok(false) => return,
                Err(error) => return self.broke(&error),
            }
            number += 1;
            next = now.max(next + interval);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn serve(&self, server: &OwnedFd, answered: bool) {
        let is_over = || self.end.load(Ordering::Relaxed);
        let answer = |message: &[u8]| wire::send(server, message, is_over).map(drop);
        self.receive(server, &self.forward, |message| {
            if answered { answer(message) } else { Ok(()) }
        });
    }

    /// Notes what arrives at `socket`, and hands each message on.
    fn receive(
        &self,
        socket: &OwnedFd,
        tally: &Mutex<Tally>,
        hand_on: impl Fn(&[u8]) -> io::Result<()>,
    ) {
        let (mut buffer, mut pending) = ([0; 4096], Vec::new());
        while !self.end.load(Ordering::Relaxed) {
            let received = wire::receive(socket, &mut buffer);
            let now = Instant::now();
            match received {
                Ok(Some(bytes)) => pending.extend_from_slice(bytes),
                Ok(None) => return self.broke(&"the peer has closed"),
                Err(error) => return self.broke(&error),
            }
            let whole = pending.len() / wire::MESSAGE * wire::MESSAGE;
            for message in pending[..whole].as_chunks().0 {
                if let Some(number) = wire::decode(*message) {
                    lock(tally).note(number, now);
                }
                if let Err(error) = hand_on(message) {
                    return self.broke(&error);
                }
            }
            pending.drain(..whole);
        }
    }

    /// The first reason is the one that counts; an end that was asked for is none.
    fn broke(&self, reason: &dyn ToString) {
        if !self.end.load(Ordering::Relaxed) {
            lock(&self.broken).get_or_insert_with(|| reason.to_string());
        }
    }
}

type Ends = (Arc<OwnedFd>, Vec<Arc<OwnedFd>>);

/// Receivers before the client sends anything.
fn open_udp(way: &Way<'_>, client: OwnedFd) -> Result<Ends> {
    let from = SocketAddr::try_from(rustix::net::getsockname(&client)?)?;
    let mut servers = Vec::new();
    for (netns, at) in &way.receivers {
        let server = netns.enter(|| wire::receive_udp(*at, from))??;
        wire::prepare(&server)?;
        servers.push(Arc::new(server));
    }
    rustix::net::connect(&client, &way.to)?;
    wire::prepare(&client)?;
    Ok((Arc::new(client), servers))
}

/// Whoever listens accepts the connection and hands it over.
fn open_tcp(
    way: &Way<'_>,
    client: OwnedFd,
    door: impl FnOnce(SocketAddr) -> Result<Door>,
) -> Result<Ends> {
    let receivers = way.receivers.iter().map(|(netns, _)| *netns);
    for netns in std::iter::once(way.from.0).chain(receivers) {
        // A probe for a lost tail would count as a loss, also when nothing is lost.
        netns.set_sysctl("ipv4/tcp_early_retrans", "0")?;
    }
    let door = door(SocketAddr::try_from(rustix::net::getsockname(&client)?)?)?;
    // Not blocking: it goes on by itself.
    match rustix::net::connect(&client, &way.to) {
        Err(error) if error != rustix::io::Errno::INPROGRESS => return Err(error.into()),
        _ => {}
    }
    let server: OwnedFd = door.accept(OPEN)?.into();
    for end in [&client, &server] {
        wire::prepare(end)?;
        rustix::net::sockopt::set_tcp_nodelay(end, true)?;
    }
    Ok((Arc::new(client), vec![Arc::new(server)]))
}

/// What arrived, beside when it was sent.
fn deliveries(sent: &[Instant], tally: &Tally) -> Vec<Delivery> {
    let delivery = |(number, arrived)| {
        Some(Delivery {
            number: number as u64,
            sent: *sent.get(number)?,
            arrived,
        })
    };
    tally.arrivals().filter_map(delivery).collect()
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread.context("start a thread")
}

/// A thread that panicked has said so.
fn join(thread: JoinHandle<()>) {
    let _ended = thread.join().is_ok();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
