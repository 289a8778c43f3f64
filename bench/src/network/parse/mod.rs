//! What the tools print, as figures in base units. Whatever else they print is passed over.

mod fortio;
mod iperf3;
mod netperf;
mod qperf;
#[cfg(test)]
mod tests;

use super::benchmark::Benchmark;

/// Something that a benchmark measures: its name and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// As in `latency_mean`.
    pub name: &'static str,
    /// A base unit, as Prometheus has them.
    pub unit: &'static str,
}

const fn metric(name: &'static str, unit: &'static str) -> Metric {
    Metric { name, unit }
}

/// What arrived of a stream.
pub const THROUGHPUT: Metric = metric("throughput", "bits_per_second");
/// Segments that the client sent again.
pub const RETRANSMITS: Metric = metric("retransmits", "segments");
/// Of one processor, at the client; above 100 where it had several.
pub const CPU_CLIENT: Metric = metric("cpu_client", "percent");
/// The same at the server.
pub const CPU_SERVER: Metric = metric("cpu_server", "percent");
/// Questions that were answered.
pub const TRANSACTIONS: Metric = metric("transactions", "per_second");
/// Questions that were not.
pub const ERRORS: Metric = metric("errors", "total");
/// From a question to its answer, on average.
pub const LATENCY_MEAN: Metric = metric("latency_mean", "seconds");
/// Its standard deviation.
pub const LATENCY_STDDEV: Metric = metric("latency_stddev", "seconds");
/// Its median.
pub const LATENCY_P50: Metric = metric("latency_p50", "seconds");
/// What nine of ten were below.
pub const LATENCY_P90: Metric = metric("latency_p90", "seconds");
/// What 99 of 100 were below.
pub const LATENCY_P99: Metric = metric("latency_p99", "seconds");

/// A metric and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// Of what.
    pub metric: Metric,
    /// In the metric's unit.
    pub value: f64,
}

/// Why an output has no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It lacks what a complete one has.
    #[error("no {0} in what {1} printed")]
    Lacks(&'static str, &'static str),
    /// The tool itself says so.
    #[error("{0}: {1}")]
    Told(&'static str, String),
}

impl Metric {
    /// As in documents: name and unit.
    pub fn full_name(self) -> String {
        format!("{}_{}", self.name, self.unit)
    }
}

impl Benchmark {
    /// What it measures, in the order in which [`Benchmark::read`] tells it.
    pub const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Iperf3Tcp => &[THROUGHPUT, RETRANSMITS, CPU_CLIENT, CPU_SERVER],
            Self::NetperfTcpRr => &[
                TRANSACTIONS,
                LATENCY_MEAN,
                LATENCY_STDDEV,
                LATENCY_P50,
                LATENCY_P90,
                LATENCY_P99,
            ],
            Self::NetperfTcpStream => &[THROUGHPUT, RETRANSMITS],
            Self::QperfTcp => &[THROUGHPUT, LATENCY_MEAN],
            Self::FortioTcp | Self::FortioHttp => &[
                TRANSACTIONS,
                ERRORS,
                LATENCY_MEAN,
                LATENCY_STDDEV,
                LATENCY_P50,
                LATENCY_P90,
                LATENCY_P99,
            ],
        }
    }

    /// The figures in what its client printed.
    ///
    /// # Errors
    /// What is missing.
    pub fn read(self, output: &str) -> Result<Vec<Figure>, Unreadable> {
        match self {
            Self::Iperf3Tcp => iperf3::read(output),
            Self::NetperfTcpRr => netperf::read_rr(output),
            Self::NetperfTcpStream => netperf::read_stream(output),
            Self::QperfTcp => qperf::read(output),
            Self::FortioTcp => fortio::read(output, "OK"),
            Self::FortioHttp => fortio::read(output, "200"),
        }
    }
}

fn figures<const N: usize>(of: [(Metric, f64); N]) -> Vec<Figure> {
    let figure = |(metric, value)| Figure { metric, value };
    of.into_iter().map(figure).collect()
}
