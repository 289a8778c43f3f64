//! What can be measured, and how the programs that do it are called. What they print is read in `parse`.

use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use serde::Serialize;

/// What is measured between two workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub enum Benchmark {
    /// A stream of TCP, by iperf3
    Iperf3Tcp,
    /// A byte there and back on one connection, by netperf
    NetperfTcpRr,
    /// A stream of TCP, by netperf
    NetperfTcpStream,
    /// A stream, and then messages there and back, by qperf
    QperfTcp,
    /// Messages there and back on four connections, by fortio
    FortioTcp,
    /// Requests of HTTP on four connections, by fortio
    FortioHttp,
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The program's name; it is looked for on the path.
    pub command: String,
    /// As they are: no shell reads them.
    pub args: Vec<String>,
}

impl Call {
    fn new(line: &str) -> Self {
        let mut words = line.split(' ').map(str::to_owned);
        Self {
            command: words.next().unwrap_or_default(),
            args: words.collect(),
        }
    }
}

/// Seconds that a client may take besides those that it measures: connecting, and telling what it saw.
const MARGIN: u32 = 10;
/// What netperf is to tell, as `NAME=VALUE`; latencies in microseconds.
const RR_FIELDS: &str = "THROUGHPUT,THROUGHPUT_UNITS,MEAN_LATENCY,P50_LATENCY,P90_LATENCY,\
                         P99_LATENCY,STDDEV_LATENCY";
const STREAM_FIELDS: &str = "THROUGHPUT,THROUGHPUT_UNITS,LOCAL_TRANSPORT_RETRANS";

impl Benchmark {
    /// As flags and documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iperf3Tcp => "iperf3-tcp",
            Self::NetperfTcpRr => "netperf-tcp-rr",
            Self::NetperfTcpStream => "netperf-tcp-stream",
            Self::QperfTcp => "qperf-tcp",
            Self::FortioTcp => "fortio-tcp",
            Self::FortioHttp => "fortio-http",
        }
    }

    /// The port that its server listens on once it is ready: each program's own default.
    pub const fn port(self) -> u16 {
        match self {
            Self::Iperf3Tcp => 5201,
            Self::NetperfTcpRr | Self::NetperfTcpStream => 12865,
            Self::QperfTcp => 19765,
            Self::FortioTcp => 8078,
            Self::FortioHttp => 8080,
        }
    }

    /// Whether all its ports are known beforehand, as a mesh wants to know them.
    pub const fn has_fixed_ports(self) -> bool {
        match self {
            Self::Iperf3Tcp | Self::FortioTcp | Self::FortioHttp => true,
            Self::NetperfTcpRr | Self::NetperfTcpStream | Self::QperfTcp => false,
        }
    }

    /// The programs of its server and its client.
    pub const fn programs(self) -> [&'static str; 2] {
        match self {
            Self::Iperf3Tcp => ["iperf3", "iperf3"],
            Self::NetperfTcpRr | Self::NetperfTcpStream => ["netserver", "netperf"],
            Self::QperfTcp => ["qperf", "qperf"],
            Self::FortioTcp | Self::FortioHttp => ["fortio", "fortio"],
        }
    }

    /// How its server is called. Servers stay in the foreground.
    pub fn server(self) -> Call {
        let port = self.port();
        Call::new(&match self {
            Self::Iperf3Tcp => format!("iperf3 -s -p {port}"),
            Self::NetperfTcpRr | Self::NetperfTcpStream => format!("netserver -D -p {port}"),
            Self::QperfTcp => format!("qperf -lp {port}"),
            Self::FortioTcp => format!("fortio tcp-echo -tcp-port {port}"),
            Self::FortioHttp => format!(
                "fortio server -http-port {port} -tcp-port disabled -udp-port disabled \
                 -grpc-port disabled -redirect-port disabled"
            ),
        })
    }

    /// How its client is called, for so many seconds of measuring. fortio counts in steps of 10 µs: by default they are as
    /// long as most of its answers take.
    pub fn client(self, server: IpAddr, seconds: u32) -> Call {
        let port = self.port();
        let socket = SocketAddr::new(server, port);
        let family = if server.is_ipv4() { "-4" } else { "-6" };
        Call::new(&match self {
            Self::Iperf3Tcp => format!("iperf3 -c {server} -p {port} -t {seconds} -J"),
            Self::NetperfTcpRr => format!(
                "netperf {family} -H {server} -p {port} -t TCP_RR -l {seconds} -j -P 0 -- -r 1,1 -k {RR_FIELDS}"
            ),
            Self::NetperfTcpStream => format!(
                "netperf {family} -H {server} -p {port} -t TCP_STREAM -l {seconds} -P 0 -- -k {STREAM_FIELDS}"
            ),
            Self::QperfTcp => format!("qperf {server} -lp {port} -t {seconds} tcp_bw tcp_lat"),
            Self::FortioTcp => {
                format!("fortio load -qps 0 -c 4 -r 0.00001 -t {seconds}s -json - tcp://{socket}")
            }
            Self::FortioHttp => {
                format!("fortio load -qps 0 -c 4 -r 0.00001 -t {seconds}s -json - http://{socket}/")
            }
        })
    }

    /// How long its client may take, in seconds.
    pub const fn timeout(self, seconds: u32) -> u32 {
        let tests = if matches!(self, Self::QperfTcp) { 2 } else { 1 };
        tests * seconds + MARGIN
    }

    /// Which one a client's call is of.
    pub fn of(command: &str, args: &[String]) -> Option<Self> {
        let has = |word: &str| args.iter().any(|arg| arg == word);
        let goes_to = |scheme: &str| args.last().is_some_and(|arg| arg.starts_with(scheme));
        match command {
            "iperf3" => Some(Self::Iperf3Tcp),
            "netperf" if has("TCP_RR") => Some(Self::NetperfTcpRr),
            "netperf" if has("TCP_STREAM") => Some(Self::NetperfTcpStream),
            "qperf" => Some(Self::QperfTcp),
            "fortio" if goes_to("tcp:") => Some(Self::FortioTcp),
            "fortio" if goes_to("http:") => Some(Self::FortioHttp),
            _ => None,
        }
    }
}

/// Where a program comes from.
pub fn origin(program: &str) -> &'static str {
    match program {
        "iperf3" => "Debian's package iperf3",
        "netperf" | "netserver" => "Debian's package netperf, of non-free",
        "qperf" => "Debian's package qperf",
        "fortio" => "the Go module fortio.org/fortio; `cargo xtask cluster tools` builds it",
        _ => "nobody knows",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_is_known_by_its_clients_call() {
        for benchmark in Benchmark::value_variants() {
            for server in ["10.0.0.1", "fd00::1"] {
                let call = benchmark.client(server.parse().unwrap(), 3);
                assert_eq!(Benchmark::of(&call.command, &call.args), Some(*benchmark));
                assert_eq!(call.command, benchmark.programs()[1]);
            }
            assert_eq!(benchmark.server().command, benchmark.programs()[0]);
        }
        assert_eq!(Benchmark::of("sh", &[]), None);
    }

    #[test]
    fn names_are_those_of_flags_and_documents() {
        for benchmark in Benchmark::value_variants() {
            let flag = benchmark.to_possible_value().unwrap();
            assert_eq!(flag.get_name(), benchmark.name());
            assert_eq!(serde_json::json!(benchmark), benchmark.name());
        }
    }
}
