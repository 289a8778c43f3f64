//! `network worker`.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::{EXIT_CODES, Output, Usage, block_on, print, told};
use crate::network::duration;
use crate::network::task::{Vm, is_name};
use crate::network::worker::{self, Options, WorkerError};

const EXAMPLES: &str = "\
Examples:
  sluice-bench network worker -host 10.0.0.1 -port 50051
  sluice-bench network worker --host orchestrator --port 50051 --name a --ip 10.0.0.7

It runs iperf3, netperf, netserver, qperf and fortio, with the arguments that benchmarks need, and nothing else.

";

/// What a worker takes.
#[derive(Debug, clap::Args)]
#[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
pub struct Args {
    /// Orchestrator gRPC host
    #[arg(long)]
    host: String,
    /// Orchestrator gRPC port
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Time to finish all tasks and exit
    #[arg(long, value_name = "DURATION", default_value = "30m0s", allow_hyphen_values = true, value_parser = duration::parse)]
    deadline: Duration,
    /// How long the orchestrator may take to be there [default: 30s; quick: 5s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration::parse)]
    patience: Option<Duration>,
    /// A name that no other worker has [default: the host's]
    #[arg(long, env = "POD_NAME")]
    name: Option<String>,
    /// Where other workers reach this one [default: from where it reaches the orchestrator]
    #[arg(long, env = "POD_IP")]
    ip: Option<IpAddr>,
    /// The node that this worker is on
    #[arg(long, env = "NODE_NAME", default_value = "")]
    vm_hostname: String,
    /// The zone that the node is in
    #[arg(long, env = "AVAILABILITY_ZONE", default_value = "")]
    availability_zone: String,
    /// Little patience
    #[arg(long)]
    quick: bool,
    /// Nothing, or one JSON document on how it ended
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Args {
    pub(super) fn run(self) -> Result<ExitCode> {
        let output = self.output;
        let options = self.options()?;
        let ended = block_on(worker::run(&options, told()))?;
        let error = ended.as_ref().err().map(ToString::to_string);
        if output == Output::Json {
            print(&json!({"worker": options.name, "ok": ended.is_ok(), "error": error}))?;
        }
        if let Some(error) = error {
            eprintln!("error: worker {}: {error}", options.name);
        }
        Ok(ExitCode::from(match ended {
            Ok(()) => 0,
            Err(WorkerError::Deadline(_)) => 1,
            Err(WorkerError::Refused(_)) => 2,
            Err(WorkerError::Unreachable { .. } | WorkerError::Abandoned(_)) => 3,
            Err(WorkerError::Told) => 130,
        }))
    }

    fn options(self) -> Result<Options> {
        let name = self.name.unwrap_or_else(host_name);
        if !is_name(&name) {
            let usage = format!("--name `{name}`: letters, digits, dots, hyphens and underscores");
            return Err(Usage(usage).into());
        }
        let usual = Duration::from_secs(if self.quick { 5 } else { 30 });
        Ok(Options {
            host: self.host,
            port: self.port,
            deadline: self.deadline,
            patience: self.patience.unwrap_or(usual),
            name,
            ip: self.ip,
            vm: Vm {
                hostname: self.vm_hostname,
                availability_zone: self.availability_zone,
            },
        })
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
