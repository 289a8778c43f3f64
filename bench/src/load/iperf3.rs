//! Streams by iperf3, a program of others: what they know to read.

use std::io;
use std::net::IpAddr;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::Sent;
use crate::network::benchmark::Benchmark;
use crate::network::parse::THROUGHPUT;
use crate::world::IPERF3;

/// The program, which is looked for on the path.
const PROGRAM: &str = "iperf3";
/// What a client measures: it counts in whole seconds.
const SECONDS: u8 = 1;

/// It is asked for and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("iperf3 is not installed (Debian's package iperf3)")]
pub struct NotInstalled;

/// Whether the program is there.
pub fn installed() -> bool {
    let mut version = Command::new(PROGRAM);
    version.arg("--version");
    version.stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// The server, which stays in the foreground and takes one client after another.
pub(crate) fn server() -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["-s", "-p", &IPERF3.to_string()]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// So many streams for a second.
pub(super) fn stream(to: IpAddr, streams: u8) -> Sent {
    let seconds = SECONDS.to_string();
    run(to, &["-t", &seconds, "-P", &streams.to_string()], streams)
}

/// One stream of a few kilobytes, so that what follows is not the first.
pub(crate) fn touch(to: IpAddr) -> Sent {
    run(to, &["-n", "64K"], 1)
}

fn run(to: IpAddr, arguments: &[&str], streams: u8) -> Sent {
    let mut client = Command::new(PROGRAM);
    client.args(["-c", &to.to_string(), "-p", &IPERF3.to_string(), "-J"]);
    client.args(arguments).stdin(Stdio::null());
    let mut sent = Sent::nothing();
    // One more tells what the streams are to be.
    sent.connections = u64::from(streams) + 1;
    sent.wall = Duration::from_secs(SECONDS.into());
    match throughput(client.output()) {
        Ok(bits) => sent.bytes = bytes(bits),
        Err(error) => sent.failed = Some(format!("{PROGRAM} to {to}: {error}")),
    }
    sent
}

/// Bits per second that arrived.
fn throughput(output: io::Result<Output>) -> Result<f64, String> {
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = Benchmark::Iperf3Tcp.read(&text);
    let figures = figures.map_err(|error| error.to_string())?;
    let found = figures.iter().find(|it| it.metric == THROUGHPUT);
    found
        .map(|it| it.value)
        .ok_or_else(|| "no throughput".to_owned())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes of a second"
)]
fn bytes(bits_per_second: f64) -> u64 {
    (bits_per_second / 8.0 * f64::from(SECONDS)) as u64
}
