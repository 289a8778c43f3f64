//! `network orchestrator`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use super::{EXIT_CODES, Output, Usage, block_on, print, told};
use crate::network::benchmark::{Benchmark, origin};
use crate::network::conductor::{Terms, Verdict};
use crate::network::duration;
use crate::network::orchestrator::{self, Options, Outcome, StartError};
use crate::network::push::Gateway;
use crate::network::{figures, handover};

const EXAMPLES: &str = "\
Examples:
  sluice-bench network orchestrator -benchmark iperf3-tcp -port 50051 -results results.json -timeout 1m
  sluice-bench network orchestrator --benchmark qperf-tcp --port 50051 --workers 3 -o json

Every ordered pair of workers is measured, strictly one at a time. `status` in the results: 0 not begun, 1 running,
2 done, 3 failed, 4 timed out, 5 a worker was lost.

";

/// What an orchestrator takes.
#[derive(Debug, clap::Args)]
#[command(after_help = [EXAMPLES, EXIT_CODES].concat())]
pub struct Args {
    /// What is measured; of several, one after another
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "BENCHMARK",
        required = true
    )]
    benchmark: Vec<Benchmark>,
    /// IP address to bind to
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    host: IpAddr,
    /// Port to listen on
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// File to save results
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Timeout for worker registration, task allocation and post cleanup [default: 1m; quick: 10s]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// How many workers there will be: begin once they are there [default: wait the timeout out]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(2..=1000))]
    workers: Option<u16>,
    /// How long each benchmark measures [default: 10; quick: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: Option<u32>,
    /// Push each task's figures to a push gateway of Prometheus
    #[arg(long, value_name = "URL")]
    pushgateway: Option<Gateway>,
    /// One second each
    #[arg(long)]
    quick: bool,
    /// A table, or the results as one JSON document
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Print the results for a launcher that reads this program's log
    #[arg(long, hide = true, conflicts_with = "output")]
    hand_over: bool,
}

impl Args {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (output, hand_over) = (self.output, self.hand_over);
        let options = self.options();
        let done = block_on(orchestrator::run(&options, told()))?;
        let outcome = match done {
            Err(error) if error.is::<StartError>() => return Err(Usage(error.to_string()).into()),
            other => other?,
        };
        match output {
            _ if hand_over => print!("{}", handover::lines(&outcome.results)?),
            Output::Table => print!("{}", figures::table(&figures::rows(&outcome.results))),
            Output::Json => print(&outcome.results)?,
        }
        Ok(exit_code(&outcome))
    }

    fn options(self) -> Options {
        let timeout = Duration::from_secs(if self.quick { 10 } else { 60 });
        let seconds = if self.quick { 1 } else { 10 };
        Options {
            listen: SocketAddr::new(self.host, self.port),
            terms: Terms {
                benchmarks: self.benchmark,
                seconds: self.seconds.unwrap_or(seconds),
                timeout: self.timeout.unwrap_or(timeout),
                expected: self.workers.map(usize::from),
            },
            results: self.results,
            gateway: self.pushgateway,
        }
    }
}

/// Says what is wrong, if anything.
fn exit_code(outcome: &Outcome) -> ExitCode {
    let (code, wrong) = match &outcome.verdict {
        Verdict::Complete => (0, None),
        Verdict::TooFew { there } => {
            let wrong = format!("{there} registered in time; it takes two workers to measure");
            (3, Some(wrong))
        }
        Verdict::Lacks(programs) => {
            let one = |program: &String| format!("{program} ({})", origin(program));
            let programs: Vec<_> = programs.iter().map(one).collect();
            let wrong = format!("not installed on a worker: {}", programs.join(", "));
            (3, Some(wrong))
        }
        Verdict::Incomplete {
            undone,
            tasks,
            absent,
            told,
        } => {
            let mut wrong = format!("{undone} of {tasks} tasks are not done");
            if *absent > 0 {
                wrong = format!("{wrong}, {absent} workers did not come");
            }
            (if *told { 130 } else { 1 }, Some(wrong))
        }
    };
    if let Some(wrong) = wrong {
        eprintln!("error: {wrong}");
    }
    match &outcome.unpushed {
        Some(error) if code == 0 => {
            eprintln!("error: not all figures were pushed: {error}");
            ExitCode::from(3)
        }
        _ => ExitCode::from(code),
    }
}
