//! The real thing: a lab with an agent, sockets at every host, and what is observed of them. What ought to be observed
//! is not known here.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_linger, socket_error};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sluice_lab::{AgentOptions, Family, Lab, Manifests, Options};
use sluice_netlink::Netns;
use sluice_policy::PodName;

use crate::cluster::{CANARIES, Cluster, address, placeholders};
use crate::event::{HOSTS, Path, Wire};
use crate::fence::Fence;
use crate::run::Plan;

const NODE: &str = "node-1";
const FILE: &str = "model.yaml";
const PORTS: [u16; 2] = [80, 81];
/// Below the ephemeral ports; no two connections of a lab have the same.
const FIRST_PORT: u16 = 10_000;
/// By then an agent is not slow: it does not enforce.
const LIMIT: Duration = Duration::from_secs(20);
/// An edit that was read while it was written is told of again.
const AGAIN: Duration = Duration::from_millis(500);

/// What became of a packet, and of the answer to it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Both arrived.
    Both,
    /// The answer was lost.
    OneWay,
    /// Nothing arrived.
    Nothing,
}

/// Both ends of an open connection.
pub(crate) struct Conversation {
    client: Socket,
    server: Socket,
}

enum Socket {
    Tcp(TcpStream),
    /// A socket, and whom it talks to.
    Udp(UdpSocket, SocketAddr),
}

/// A lab that is up.
pub(crate) struct Bench {
    lab: Lab,
    netns: Vec<Netns>,
    udp: BTreeMap<(usize, Family, u16), UdpSocket>,
    tcp: BTreeMap<(usize, Family, u16), TcpListener>,
    fence: Fence,
    alive: bool,
    port: u16,
    marker: u32,
    written: SystemTime,
    manifests: String,
}

impl Bench {
    /// Builds it, with an agent that enforces [`Cluster::FIRST`].
    pub(crate) fn up(plan: &Plan) -> Self {
        let texts = vec![(FILE.to_owned(), placeholders())];
        let options = Options {
            families: vec![Family::Ipv4, Family::Ipv6],
            ..Options::default()
        };
        let mut lab = Lab::up(&Manifests::Texts(texts), &options).unwrap();
        let manifests = Cluster::FIRST.manifests();
        lab.manifests().write(FILE, &manifests).unwrap();
        let agent = AgentOptions {
            binary: plan.binary.clone(),
            mode: plan.mode,
            arguments: plan.arguments.clone(),
            environment: Vec::new(),
        };
        if plan.redirects() {
            lab.let_agents_redirect().unwrap();
        }
        lab.start_agents(&agent).unwrap();
        let netns: Vec<_> = (0..HOSTS + CANARIES.len())
            .map(|host| {
                let name = PodName {
                    namespace: "lab".into(),
                    name: format!("h{host}").into(),
                };
                lab.pod_netns(&name).unwrap().try_clone().unwrap()
            })
            .collect();
        let fence = Fence::new(&netns[CANARIES[0]], plan.home);
        let mut bench = Self {
            lab,
            netns,
            udp: BTreeMap::new(),
            tcp: BTreeMap::new(),
            fence,
            alive: true,
            port: FIRST_PORT,
            marker: 0,
            written: UNIX_EPOCH,
            manifests,
        };
        bench.listen();
        bench
    }

    /// How many packets went from link to link.
    pub(crate) fn redirected(&self) -> u64 {
        self.lab.counters().unwrap().redirected
    }

    fn listen(&mut self) {
        for host in 0..HOSTS {
            let ends = [Family::Ipv4, Family::Ipv6].into_iter();
            let ends: Vec<_> = ends
                .flat_map(|family| PORTS.map(|port| (host, family, port)))
                .collect();
            let open = || {
                ends.iter().map(|&(host, family, port)| {
                    let at = SocketAddr::new(address(host, family), port);
                    let udp = UdpSocket::bind(at).unwrap();
                    udp.set_nonblocking(true).unwrap();
                    (udp, listen_at(at))
                })
            };
            let sockets: Vec<_> = self.netns[host].enter(|| open().collect()).unwrap();
            for (end, (udp, tcp)) in ends.iter().zip(sockets) {
                self.udp.insert(*end, udp);
                self.tcp.insert(*end, tcp);
            }
        }
    }

    /// Puts a cluster into the manifests.
    pub(crate) fn write(&mut self, cluster: &Cluster) {
        self.manifests = cluster.manifests();
        self.write_again();
    }

    fn write_again(&mut self) {
        self.lab.manifests().write(FILE, &self.manifests).unwrap();
        self.written = SystemTime::now();
    }

    /// Waits until the agent says that what was written is enforced.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let limit = Instant::now() + LIMIT;
        let mut again = Instant::now() + AGAIN;
        while self.alive && self.enforced_as_of()? < self.written {
            if Instant::now() > limit {
                let log = self.lab.agents()[0].log();
                return Err(format!(
                    "an edit is not enforced after {LIMIT:?}; the agent's log:\n{log}"
                ));
            }
            if Instant::now() > again {
                self.write_again();
                again += AGAIN;
            }
            // reason: asking costs the agent more than waiting
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn enforced_as_of(&self) -> Result<SystemTime, String> {
        let ask = || -> io::Result<String> {
            let mut stream = UnixStream::connect(self.lab.agents()[0].socket())?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.write_all(b"{\"request\":\"status\"}\n")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line)
        };
        let line = ask().map_err(|error| format!("status: {error}"))?;
        let status: serde_json::Value =
            serde_json::from_str(&line).map_err(|error| format!("status: {error}"))?;
        let seconds = status["ok"]["agent"]["enforced_as_of"].as_f64();
        let seconds = seconds.ok_or_else(|| format!("no time in {line}"))?;
        Ok(UNIX_EPOCH + Duration::from_secs_f64(seconds))
    }

    pub(crate) fn kill(&mut self) {
        self.alive = false;
        self.lab.agent(NODE).unwrap().kill().unwrap();
    }

    /// Starts the agent, after stopping it where it runs, and waits until it is ready.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        let agent = self.lab.agent(NODE).unwrap();
        if self.alive {
            agent.stop().map_err(|error| format!("{error:#}"))?;
        }
        self.alive = true;
        agent.restart().map_err(|error| error.to_string())
    }

    /// Opens a connection; where no answer comes there is none.
    pub(crate) fn connect(&mut self, path: &Path) -> Result<(Seen, Option<Conversation>), String> {
        self.port += 1;
        let from = SocketAddr::new(address(path.from, path.family), self.port);
        let to = SocketAddr::new(address(path.to, path.family), path.port);
        match path.wire {
            Wire::Udp => self.connect_udp(path, from, to),
            Wire::Tcp => self.connect_tcp(path, from, to),
        }
    }

    fn connect_udp(
        &mut self,
        path: &Path,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<(Seen, Option<Conversation>), String> {
        let client = self.netns[path.from]
            .enter(|| UdpSocket::bind(from).unwrap())
            .unwrap();
        client.set_nonblocking(true).unwrap();
        let server = &self.udp[&(path.to, path.family, path.port)];
        let mut conversation = Conversation {
            client: Socket::Udp(client, to),
            server: Socket::Udp(server.try_clone().unwrap(), from),
        };
        let seen = self.send(&mut conversation, false)?;
        Ok((seen, (seen != Seen::Nothing).then_some(conversation)))
    }

    fn connect_tcp(
        &mut self,
        path: &Path,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<(Seen, Option<Conversation>), String> {
        let client = self.netns[path.from]
            .enter(|| begin_connecting(from, to))
            .unwrap()
            .map_err(|error| format!("connect: {error}"))?;
        let is_open = || is_connected(&client).map_err(|error| format!("refused: {error}"));
        // A SYN, and the answer.
        if !self.arrives(2, is_open)? {
            self.give_up(path, to);
            return Ok((Seen::Nothing, None));
        }
        let Some(server) = self.accept(path, from)? else {
            self.give_up(path, to);
            return Ok((Seen::OneWay, None));
        };
        let (client, server) = (tcp(client.into()), tcp(server));
        Ok((Seen::Both, Some(Conversation { client, server })))
    }

    /// The server's end of a connection whose client has the answer.
    fn accept(&mut self, path: &Path, from: SocketAddr) -> Result<Option<TcpStream>, String> {
        let listener = &self.tcp[&(path.to, path.family, path.port)];
        let listener = listener.try_clone().unwrap();
        let mut accepted = None;
        let accept = || match listener.accept() {
            Ok((stream, peer)) if peer == from => {
                accepted = Some(stream);
                Ok(true)
            }
            Ok((_, peer)) => Err(format!("accept: {peer}, who was given up")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(format!("accept: {error}")),
        };
        self.arrives(1, accept)?;
        Ok(accepted)
    }

    /// Has a server forget whom it waits for: for a minute it would say again what it has answered.
    fn give_up(&mut self, path: &Path, to: SocketAddr) {
        let end = (path.to, path.family, path.port);
        drop(self.tcp.remove(&end));
        let listener = self.netns[path.to].enter(|| listen_again(to)).unwrap();
        self.tcp.insert(end, listener);
    }

    /// Sends a packet on an open connection, and where it arrives an answer.
    pub(crate) fn send(
        &mut self,
        conversation: &mut Conversation,
        back: bool,
    ) -> Result<Seen, String> {
        let Conversation { client, server } = conversation;
        let (here, there) = if back {
            (server, client)
        } else {
            (client, server)
        };
        if !self.carry(here, there)? {
            return Ok(Seen::Nothing);
        }
        Ok(if self.carry(there, here)? {
            Seen::Both
        } else {
            Seen::OneWay
        })
    }

    fn carry(&mut self, from: &mut Socket, to: &mut Socket) -> Result<bool, String> {
        self.marker += 1;
        let marker = self.marker;
        from.write(marker)
            .map_err(|error| format!("send: {error}"))?;
        self.arrives(1, || to.read(marker))
    }

    /// Whether something arrives that was sent just now, or is the answer to it, the last of so many `packets` in a row.
    fn arrives(
        &mut self,
        packets: usize,
        mut has_arrived: impl FnMut() -> Result<bool, String>,
    ) -> Result<bool, String> {
        self.fence.here()?;
        if has_arrived()? {
            return Ok(true);
        }
        self.fence.everywhere(packets, self.alive)?;
        has_arrived()
    }
}

impl Socket {
    fn write(&mut self, marker: u32) -> io::Result<()> {
        let bytes = marker.to_be_bytes();
        match self {
            Self::Tcp(stream) => stream.write_all(&bytes),
            Self::Udp(socket, peer) => socket.send_to(&bytes, *peer).map(drop),
        }
    }

    /// Whether the marker has arrived. An earlier one on the same connection must not: it was given up.
    fn read(&mut self, marker: u32) -> Result<bool, String> {
        let mut bytes = [0; 4];
        let read = match self {
            Self::Tcp(stream) => stream.read_exact(&mut bytes),
            Self::Udp(socket, _) => socket.recv(&mut bytes).map(drop),
        };
        match read {
            Ok(()) if u32::from_be_bytes(bytes) == marker => Ok(true),
            Ok(()) => {
                let late = u32::from_be_bytes(bytes);
                Err(format!(
                    "packet {late} arrives after it was given up, while {marker} is awaited"
                ))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(format!("receive: {error}")),
        }
    }
}

fn listen_at(at: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// The former listener is open for as long as a process that is being started has it.
fn listen_again(at: SocketAddr) -> TcpListener {
    let limit = Instant::now() + LIMIT;
    while let Err(error) = TcpListener::bind(at) {
        let is_taken = error.kind() == ErrorKind::AddrInUse;
        assert!(is_taken && Instant::now() < limit, "{at}: {error}");
        // reason: from one look to the next; the processor is left to what is waited for
        std::thread::sleep(Duration::from_millis(1));
    }
    listen_at(at)
}

fn tcp(stream: TcpStream) -> Socket {
    end_at_once(&stream).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    Socket::Tcp(stream)
}

/// Closed, it sends nothing again: what comes late might be judged late.
fn end_at_once(socket: impl AsFd) -> io::Result<()> {
    Ok(set_socket_linger(socket, Some(Duration::ZERO))?)
}

fn begin_connecting(from: SocketAddr, to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if from.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    end_at_once(&socket)?;
    rustix::net::bind(&socket, &from)?;
    match rustix::net::connect(&socket, &to) {
        Err(rustix::io::Errno::INPROGRESS) | Ok(()) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn is_connected(socket: &OwnedFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(socket, PollFlags::OUT)];
    let ready = poll(&mut fds, Some(&Timespec::default()))? > 0;
    socket_error(socket)??;
    Ok(ready)
}
