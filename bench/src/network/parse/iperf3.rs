//! The document that `iperf3 -J` prints.

use serde::Deserialize;

use super::{CPU_CLIENT, CPU_SERVER, Figure, RETRANSMITS, THROUGHPUT, Unreadable, figures};

const TOOL: &str = "iperf3";

#[derive(Deserialize)]
struct Document {
    error: Option<String>,
    #[serde(default)]
    end: End,
}

#[derive(Default, Deserialize)]
struct End {
    sum_sent: Option<Sent>,
    sum_received: Option<Received>,
    cpu_utilization_percent: Option<Cpu>,
}

#[derive(Deserialize)]
struct Sent {
    /// Where the kernel tells.
    retransmits: Option<f64>,
}

#[derive(Deserialize)]
struct Received {
    bits_per_second: f64,
}

#[derive(Deserialize)]
struct Cpu {
    host_total: f64,
    remote_total: f64,
}

pub(super) fn read(output: &str) -> Result<Vec<Figure>, Unreadable> {
    let lacks = |what| Unreadable::Lacks(what, TOOL);
    let document: Option<Document> = serde_json::from_str(output).ok();
    let document = document.ok_or(lacks("JSON document"))?;
    if let Some(error) = document.error {
        return Err(Unreadable::Told(TOOL, error));
    }
    let End {
        sum_sent,
        sum_received,
        cpu_utilization_percent,
    } = document.end;
    let retransmits = sum_sent.and_then(|it| it.retransmits);
    let cpu = cpu_utilization_percent.ok_or(lacks("cpu_utilization_percent"))?;
    let received = sum_received.ok_or(lacks("sum_received"))?;
    Ok(figures([
        (THROUGHPUT, received.bits_per_second),
        (RETRANSMITS, retransmits.ok_or(lacks("retransmits"))?),
        (CPU_CLIENT, cpu.host_total),
        (CPU_SERVER, cpu.remote_total),
    ]))
}
