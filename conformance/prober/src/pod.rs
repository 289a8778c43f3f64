//! A pod: what it listens on, what came, which connections it keeps, and the door by which it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as DoorAddress, UnixDatagram};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use sluice_policy::Protocol;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::client::SHARES;
use crate::protocol::{
    Answer, Listening, Numbered, Probed, Question, Received, Request, Said, Transport,
};
use crate::raw::RawSocket;
use crate::{Client, Conversation, Listener, Patience, Reply, Sctp, SourcePorts, Visitors, random};

/// More are not kept count of: who asks for them in time has them all.
const MOST_RECEIVED: usize = 1 << 16;
/// At most so many questions are under way at once.
const AT_ONCE: usize = 512;

/// A pod that serves and asks.
#[derive(Debug)]
pub struct Pod {
    name: Arc<str>,
    process: u64,
    /// The last request's number, and its answer.
    last: tokio::sync::Mutex<Option<(u64, Answer)>>,
    addresses: Vec<IpAddr>,
    sctp: Result<Sctp, String>,
    listening: Mutex<BTreeSet<(Transport, u16)>>,
    received: Arc<Counts>,
    kept: tokio::sync::Mutex<BTreeMap<String, Conversation>>,
    patience: Arc<Patience>,
    source_ports: SourcePorts,
    /// Whoever has bound it has that share of the ports; it is free again when the process ends.
    _share: Option<UnixDatagram>,
}

impl Pod {
    /// A pod that does not listen yet.
    pub fn new(name: &str, addresses: Vec<IpAddr>) -> Self {
        Self {
            name: name.into(),
            process: random(),
            last: tokio::sync::Mutex::default(),
            sctp: sctp(&addresses),
            addresses,
            listening: Mutex::default(),
            received: Arc::default(),
            kept: tokio::sync::Mutex::default(),
            patience: Arc::default(),
            source_ports: SourcePorts::from_seed(seed()),
            _share: None,
        }
    }

    /// Has source ports that no other pod uses which does the same in this network: whoever shares an address must not
    /// use the 5-tuples of another.
    pub fn with_own_ports(self) -> io::Result<Self> {
        // Not always the same, so that one that was started again does not use the ports it had.
        let first = seed().to_ne_bytes()[0];
        for number in 0..SHARES {
            let share = (u16::from(first) + number) % SHARES;
            let name = DoorAddress::from_abstract_name(format!("sluice-prober ports {share}"))?;
            match UnixDatagram::bind_addr(&name) {
                Ok(held) => {
                    return Ok(Self {
                        source_ports: SourcePorts::of_share(share, seed()),
                        _share: Some(held),
                        ..self
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        let others = format!("{SHARES} others in this network have all source ports");
        Err(io::Error::new(io::ErrorKind::AddrInUse, others))
    }

    /// Lets whoever enters the network namespace ask, until the process ends.
    pub async fn open_door(self: Arc<Self>) -> io::Result<()> {
        let listener = std::os::unix::net::UnixListener::bind_addr(&door(&self.name)?)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(Arc::clone(&self).converse(stream));
        }
    }

    /// Answers requests until there are no more.
    async fn converse(self: Arc<Self>, mut stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next_line().await? {
            let said = match serde_json::from_str(&line) {
                Ok(request) => self.hear(request).await,
                Err(error) => self.says(None, Answer::Failed(format!("no request: {error}"))),
            };
            let mut said = serde_json::to_vec(&said)?;
            said.push(b'\n');
            writer.write_all(&said).await?;
        }
        Ok(())
    }

    /// Does what is asked, unless that is the request that was made last: then it says again what it said. Where that is
    /// still under way, it is waited for.
    pub async fn hear(&self, asked: Numbered) -> Said {
        let mut last = self.last.lock().await;
        let (number, answer) = match last.take() {
            Some(before) if before.0 == asked.number => before,
            _ => (asked.number, self.answer(asked.request).await),
        };
        *last = Some((number, answer.clone()));
        self.says(Some(number), answer)
    }

    fn says(&self, number: Option<u64>, answer: Answer) -> Said {
        Said {
            process: self.process,
            number,
            answer,
        }
    }

    /// Does what is asked.
    pub async fn answer(&self, request: Request) -> Answer {
        match request {
            Request::Listen(ports) => match self.listen(&ports) {
                Ok(listening) => Answer::Listening(listening),
                Err(error) => Answer::Failed(error),
            },
            Request::Probe(questions) => Answer::Probed(self.probe(&questions).await),
            Request::Received => Answer::Received(self.received.take()),
            Request::Open(name, question) => Answer::Opened(self.keep(name, &question).await),
            Request::GoOn(name) => match self.goes_on(&name).await {
                Some(goes_on) => Answer::GoesOn(goes_on),
                None => Answer::Failed(format!("no connection {name}")),
            },
        }
    }

    /// Listens on what it does not listen on yet.
    fn listen(&self, ports: &BTreeSet<(Transport, u16)>) -> Result<Listening, String> {
        let mut listening = lock(&self.listening);
        let more = ports.difference(&listening).copied();
        let more: Vec<_> = more.filter(|(it, _)| self.speaks(*it)).collect();
        for address in &self.addresses {
            let ports = more
                .iter()
                .map(|(transport, port)| (Protocol::from(*transport), *port));
            let opened = Listener::open(*address, ports, self.sctp());
            for listener in opened.map_err(|error| format!("listen on {address}: {error}"))? {
                let (name, received) = (Arc::clone(&self.name), Arc::clone(&self.received));
                tokio::spawn(listener.serve(name, received));
            }
        }
        listening.extend(more);
        Ok(Listening {
            name: self.name.to_string(),
            addresses: self.addresses.clone(),
            sctp: self.sctp.clone(),
            ports: listening.clone(),
        })
    }

    fn speaks(&self, transport: Transport) -> bool {
        transport != Transport::Sctp || self.sctp.is_ok()
    }

    fn sctp(&self) -> Sctp {
        self.sctp.clone().unwrap_or(Sctp::Raw)
    }

    async fn probe(&self, questions: &[Question]) -> Vec<Probed> {
        let mut probed = Vec::with_capacity(questions.len());
        for batch in questions.chunks(AT_ONCE) {
            let mut tasks = JoinSet::new();
            for (number, question) in batch.iter().enumerate() {
                let (client, to) = (self.client(question), question.to);
                let patience = Arc::clone(&self.patience);
                tasks.spawn(async move { (number, ask(client, to, &patience).await) });
            }
            let mut came = tasks.join_all().await;
            came.sort_unstable_by_key(|(number, _)| *number);
            probed.extend(came.into_iter().map(|(_, it)| it));
        }
        probed
    }

    fn client(&self, question: &Question) -> io::Result<Client> {
        let is_of_family = |it: &&IpAddr| it.is_ipv4() == question.to.is_ipv4();
        let source = self.addresses.iter().find(is_of_family);
        let source = source.ok_or_else(|| io::Error::other("no address of that family"))?;
        let protocol = question.transport.into();
        Client::open(*source, protocol, self.sctp(), &self.source_ports)
    }

    async fn keep(&self, name: String, question: &Question) -> Reply {
        let client = match self.client(question) {
            Ok(client) => client,
            Err(error) => return Reply::Error(error.to_string()),
        };
        match self.patience.wait(client.connect(question.to)).await {
            None => Reply::Silence,
            Some(Err(error)) => Reply::Error(error.to_string()),
            Some(Ok((server, conversation))) => {
                self.kept.lock().await.insert(name, conversation);
                Reply::Name(server)
            }
        }
    }

    /// Whether a connection goes on; none where it was never opened, which is not that it was cut.
    async fn goes_on(&self, name: &str) -> Option<bool> {
        let mut kept = self.kept.lock().await;
        let conversation = kept.get_mut(name)?;
        let answer = self.patience.wait(conversation.go_on()).await;
        Some(matches!(answer, Some(Ok(()))))
    }
}

async fn ask(client: io::Result<Client>, to: SocketAddr, patience: &Patience) -> Probed {
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            let reply = Reply::Error(error.to_string());
            return Probed { reply, from: None };
        }
    };
    let from = client.sender().ok().map(|(_, address)| address);
    let reply = patience.wait(client.ask(to)).await;
    Probed {
        reply: reply.unwrap_or(Reply::Silence),
        from,
    }
}

fn seed() -> u32 {
    let [a, b, c, d, ..] = random().to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

/// How SCTP can be spoken here.
fn sctp(addresses: &[IpAddr]) -> Result<Sctp, String> {
    let flags = SocketFlags::CLOEXEC;
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    if rustix::net::socket_with(family, kind, flags, Some(ipproto::SCTP)).is_ok() {
        return Ok(Sctp::Kernel);
    }
    let address = addresses.first().ok_or("no address")?;
    let raw = RawSocket::open(*address);
    raw.map(|_| Sctp::Raw)
        .map_err(|error| format!("the kernel has no SCTP, and raw sockets: {error}"))
}

/// The door of a pod: a name in its network namespace, which needs no file.
pub fn door(name: &str) -> io::Result<DoorAddress> {
    DoorAddress::from_abstract_name(format!("sluice-prober/{name}"))
}

/// Passes on what is said to the pod of a name, and what it answers.
pub async fn pass_on(name: &str) -> io::Result<()> {
    let stream = std::os::unix::net::UnixStream::connect_addr(&door(name)?)?;
    stream.set_nonblocking(true)?;
    let (mut answers, mut requests) = UnixStream::from_std(stream)?.into_split();
    let (mut stdin, mut stdout) = (tokio::io::stdin(), tokio::io::stdout());
    let asking = async {
        tokio::io::copy(&mut stdin, &mut requests).await?;
        requests.shutdown().await
    };
    let answering = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = tokio::io::AsyncReadExt::read(&mut answers, &mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            stdout.write_all(&buffer[..length]).await?;
            stdout.flush().await?;
        }
    };
    tokio::select! {
        ended = answering => ended,
        Err(error) = asking => Err(error),
    }
}

/// What came, by where it came from and to which port.
#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<(Transport, SocketAddr, u16), u32>>);

impl Counts {
    fn count(&self, protocol: Protocol, from: SocketAddr, port: u16) {
        let Some(transport) = Transport::of(protocol) else {
            return;
        };
        let mut counts = lock(&self.0);
        if counts.len() < MOST_RECEIVED {
            *counts.entry((transport, from, port)).or_default() += 1;
        }
    }

    /// Everything since the last time.
    fn take(&self) -> Vec<Received> {
        let counts = std::mem::take(&mut *lock(&self.0));
        let one = |((transport, from, port), count)| Received {
            transport,
            from,
            port,
            count,
        };
        counts.into_iter().map(one).collect()
    }
}

impl Visitors for Counts {
    fn connected(
        &self,
        stream: TcpStream,
        protocol: Protocol,
        from: SocketAddr,
        port: u16,
    ) -> Option<TcpStream> {
        self.count(protocol, from, port);
        Some(stream)
    }

    fn received(&self, protocol: Protocol, from: SocketAddr, port: u16, _: &[u8]) -> bool {
        self.count(protocol, from, port);
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
