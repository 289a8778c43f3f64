//! Traffic: what is sent in a slice, and how long it took. Clients and servers are threads of this process in the
//! network namespaces of pods; nothing is started for a connection.

mod background;
mod flood;
mod iperf3;
mod pages;
mod parallel;
mod ports;
mod serial;
mod server;
mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use serde::Serialize;

pub use self::flood::{Flooded, Flooder};
pub use self::iperf3::{NotInstalled, installed as iperf3_is_installed};
pub(crate) use self::iperf3::{server as iperf3_server, touch as touch_iperf3};
pub use self::pages::Pages;
pub use self::ports::Ports;
pub use self::server::Server;
use crate::world::{DISCARD, HTTP, Nodes};

/// What nobody answered by then has failed, and its slice with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// The longest latency that is told from longer ones, in nanoseconds.
const LONGEST: u64 = 10_000_000_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Workload {
    /// TCP: connect, a byte there, a byte back, reset; one after another
    TcpCrr,
    /// The same, 8 at once
    #[value(name = "tcp_crr_8")]
    #[serde(rename = "tcp_crr_8")]
    TcpCrr8,
    /// The same, 64 at once
    #[value(name = "tcp_crr_64")]
    #[serde(rename = "tcp_crr_64")]
    TcpCrr64,
    /// The same, begun at 25 % of the rate that the reference reached with 64 at once, whatever is still open; timed from
    /// when each was due
    #[value(name = "tcp_open_25")]
    #[serde(rename = "tcp_open_25")]
    TcpOpen25,
    /// The same at 50 %
    #[value(name = "tcp_open_50")]
    #[serde(rename = "tcp_open_50")]
    TcpOpen50,
    /// The same at 75 %
    #[value(name = "tcp_open_75")]
    #[serde(rename = "tcp_open_75")]
    TcpOpen75,
    /// The same as the first, over IPv6
    #[value(name = "tcp_crr_ipv6")]
    #[serde(rename = "tcp_crr_ipv6")]
    TcpCrrIpv6,
    /// The same as the first, through a Service
    TcpCrrService,
    /// TCP: a byte there and back on one connection
    TcpRr,
    /// UDP: the same
    UdpRr,
    /// UDP: a datagram there and back, each from another port
    UdpNew,
    /// TCP: as much as goes on one connection
    TcpStream,
    /// HTTP/1.0: a page of 1 kB, a connection each
    Http,
    /// A second of iperf3, one stream
    #[value(name = "iperf3_1")]
    #[serde(rename = "iperf3_1")]
    Iperf31,
    /// The same with 8 streams
    #[value(name = "iperf3_8")]
    #[serde(rename = "iperf3_8")]
    Iperf38,
    /// The same as `tcp_crr`, in the same rounds as `flood`, and without one
    FloodQuiet,
    /// The same as `tcp_crr`, while a stranger who may not sends TCP SYNs, each from and to another port
    Flood,
    /// The same as `tcp_crr`, to another node
    TcpCrrNodes,
    /// The same as `tcp_rr`, to another node
    TcpRrNodes,
}

/// The size of the page of [`Workload::Http`].
const PAGE: usize = 1_000;

/// Where a client sends.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The server's.
    pub to: IpAddr,
    /// The address of the Service, where there is one.
    pub service: Option<SocketAddr>,
}

/// How long a slice is, and what it may do.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// What is not counted at its beginning.
    pub warm_up: Duration,
    /// So many connections are not counted either.
    pub warm_connections: u64,
    /// What is counted, from the end of the warm-up on.
    pub counted: Duration,
    /// The most connections that are opened; each port of the server is used once before one is used again.
    pub limit: Option<u64>,
    /// For the open workloads: connections per second; for a flood: packets per second.
    pub rate: f64,
}

/// What came of a slice.
#[derive(Clone, Debug)]
pub struct Sent {
    /// How long each took, in nanoseconds; nothing of the warm-up.
    pub latency: Histogram<u64>,
    /// How long after it was due each began, in nanoseconds, where it was due at some time: what the generator adds by
    /// itself, or what waited because too many were open.
    pub lateness: Histogram<u64>,
    /// Connections, or UDP flows, that were opened, those of the warm-up too.
    pub connections: u64,
    /// What was answered, in the warm-up too.
    pub exchanges: u64,
    /// What was answered in the time that is counted.
    pub in_time: u64,
    /// What nobody answered, or refused; the first of the reasons.
    pub failed: Option<String>,
    /// What a stream sent after its warm-up, in bytes.
    pub bytes: u64,
    /// The time that is counted.
    pub wall: Duration,
    /// The flood meanwhile.
    pub flooded: Option<Flooded>,
}

/// What the connections of a warm-up may take.
const WARMING: Duration = Duration::from_secs(30);

/// A slice while it runs.
pub(crate) struct Meter {
    sent: Sent,
    counted_from: Instant,
    counted: Duration,
    end: Instant,
    limit: u64,
    warm_connections: u64,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, DIGITS)
        .unwrap_or_else(|error| unreachable!("bounds that are constants: {error}"))
}

impl Sent {
    fn nothing() -> Self {
        Self {
            latency: histogram(),
            lateness: histogram(),
            connections: 0,
            exchanges: 0,
            in_time: 0,
            failed: None,
            bytes: 0,
            wall: Duration::ZERO,
            flooded: None,
        }
    }

    /// Both together, of threads that sent at the same time.
    fn beside(mut self, other: Self) -> Self {
        for (all, some) in [
            (&mut self.latency, &other.latency),
            (&mut self.lateness, &other.lateness),
        ] {
            all.add(some)
                .unwrap_or_else(|error| unreachable!("bounds that are the same: {error}"));
        }
        Self {
            latency: self.latency,
            lateness: self.lateness,
            connections: self.connections + other.connections,
            exchanges: self.exchanges + other.exchanges,
            in_time: self.in_time + other.in_time,
            failed: self.failed.or(other.failed),
            bytes: self.bytes + other.bytes,
            wall: self.wall.max(other.wall),
            flooded: self.flooded.or(other.flooded),
        }
    }
}

impl Meter {
    pub(crate) fn start(span: &Span) -> Self {
        let counted_from = Instant::now() + span.warm_up;
        let warming = match span.warm_connections {
            0 => Duration::ZERO,
            _ => WARMING,
        };
        Self {
            sent: Sent::nothing(),
            counted_from,
            counted: span.counted,
            end: counted_from + warming + span.counted,
            limit: span.limit.unwrap_or(u64::MAX),
            warm_connections: span.warm_connections,
        }
    }

    /// Whether another connection may be opened, or another byte sent.
    pub(crate) fn goes_on(&self) -> bool {
        self.may_open() && Instant::now() < self.end
    }

    /// Whether another connection may be opened, the time aside.
    pub(crate) fn may_open(&self) -> bool {
        self.sent.failed.is_none() && self.sent.connections < self.limit
    }

    /// When nothing more is begun.
    pub(crate) const fn end(&self) -> Instant {
        self.end
    }

    pub(crate) fn opened(&mut self) {
        self.sent.connections += 1;
        // However slow the machine is, what is counted gets its time.
        if self.sent.connections == self.warm_connections {
            self.counted_from = Instant::now();
            self.end = self.counted_from + self.counted;
        }
    }

    /// One begins now that was due then.
    pub(crate) fn begins(&mut self, due: Instant) {
        let late = Instant::now().saturating_duration_since(due);
        record(&mut self.sent.lateness, late);
    }

    /// One was answered now that was begun at `begun`.
    pub(crate) fn answered(&mut self, begun: Instant) {
        let now = Instant::now();
        self.sent.exchanges += 1;
        if begun >= self.counted_from && self.sent.connections >= self.warm_connections {
            record(&mut self.sent.latency, now - begun);
            self.sent.in_time += u64::from(now <= self.end);
        }
    }

    /// So many bytes were taken now.
    pub(crate) fn took(&mut self, bytes: usize) {
        if Instant::now() >= self.counted_from {
            self.sent.bytes += bytes as u64;
        }
    }

    pub(crate) fn failed(&mut self, what: &str, error: &io::Error) {
        self.sent.failed.get_or_insert(format!("{what}: {error}"));
    }

    pub(crate) fn finish(mut self) -> Sent {
        let end = Instant::now().min(self.end);
        self.sent.wall = end.saturating_duration_since(self.counted_from);
        self.sent
    }
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(LONGEST);
    histogram.saturating_record(nanoseconds);
}

impl Workload {
    /// As flags and documents spell it.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it goes on over IPv6.
    pub const fn is_ipv6(self) -> bool {
        matches!(self, Self::TcpCrrIpv6)
    }

    /// Whether it opens connections all the time, so that its latency is theirs.
    pub const fn opens(self) -> bool {
        let stays = matches!(self, Self::TcpRr | Self::TcpRrNodes | Self::UdpRr);
        !stays && !self.streams()
    }

    /// Whether it is as much as goes, and so has a rate and no latency.
    pub const fn streams(self) -> bool {
        matches!(self, Self::TcpStream) || self.is_iperf3()
    }

    /// Whether iperf3 sends it.
    pub const fn is_iperf3(self) -> bool {
        matches!(self, Self::Iperf31 | Self::Iperf38)
    }

    /// Where the pods are that send it to each other.
    pub const fn nodes(self) -> Nodes {
        match self {
            Self::TcpCrrNodes | Self::TcpRrNodes => Nodes::Two,
            _ => Nodes::One,
        }
    }

    /// The one that it is compared with within a mode: the same without what is special about it.
    pub const fn reference(self) -> Option<Self> {
        match self {
            Self::Flood => Some(Self::FloodQuiet),
            Self::TcpCrrService => Some(Self::TcpCrr),
            _ => None,
        }
    }

    /// For the workloads that open connections at a rate: its share of what the reference can do.
    pub const fn share(self) -> Option<f64> {
        match self {
            Self::TcpOpen25 => Some(0.25),
            Self::TcpOpen50 => Some(0.5),
            Self::TcpOpen75 => Some(0.75),
            _ => None,
        }
    }

    /// Sends for as long as `span` says, iperf3 for a second, from the network namespace of the calling thread. The flood
    /// of [`Workload::Flood`] is somebody else's to send.
    pub fn run(self, route: &Route, span: &Span, ports: &mut Ports) -> Sent {
        let next = |ports: &mut Ports| SocketAddr::new(route.to, ports.next());
        let meter = || Meter::start(span);
        match self {
            Self::TcpCrr | Self::TcpCrrIpv6 | Self::TcpCrrNodes | Self::FloodQuiet => {
                serial::tcp_crr(meter(), || next(ports))
            }
            Self::Flood => flood::unanswered_is_slow(serial::tcp_crr(meter(), || next(ports))),
            Self::TcpCrrService => {
                let to = route.service.unwrap_or_else(|| next(ports));
                serial::tcp_crr(meter(), || to)
            }
            Self::TcpCrr8 => parallel::closed(span, 8, route.to, ports),
            Self::TcpCrr64 => parallel::closed(span, 64, route.to, ports),
            Self::TcpOpen25 | Self::TcpOpen50 | Self::TcpOpen75 => {
                parallel::open(span, route.to, ports)
            }
            Self::TcpRr | Self::TcpRrNodes => serial::tcp_rr(meter(), next(ports)),
            Self::UdpRr => serial::udp_rr(meter(), next(ports)),
            Self::UdpNew => serial::udp_new(meter(), || {
                let to = next(ports);
                (to, ports.next_source())
            }),
            Self::TcpStream => serial::tcp_stream(meter(), SocketAddr::new(route.to, DISCARD)),
            Self::Http => pages::fetch(meter(), SocketAddr::new(route.to, HTTP), PAGE),
            Self::Iperf31 => iperf3::stream(route.to, 1),
            Self::Iperf38 => iperf3::stream(route.to, 8),
        }
    }
}

/// Fetches pages of `size` bytes, from the network namespace of the calling thread, a connection each.
pub fn fetch(to: IpAddr, size: usize, span: &Span) -> Sent {
    pages::fetch(Meter::start(span), SocketAddr::new(to, HTTP), size)
}
